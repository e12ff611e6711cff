"""Deep sets of particles: particle flow and energy flow networks (arXiv:1810.05165).

A jet is an unordered set, and a function of a set is F(sum_i Phi(particle_i)). The particle flow
network (PFN) gives Phi all features of a particle; the energy flow network (EFN) gives it the
direction alone and weighs the sum by the particle's share z of the jet's pt, so that the output
does not change when a particle splits in two collinear ones or a soft one is added: it is infrared
and collinear safe. In order: `PFN`, `EFN`, and small versions of both for two CPU cores.

>>> import jax, jax.numpy as jnp
>>> from hepjax.jets import data
>>> from hepjax.nn import model
>>> inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (7, 2, 4)), jnp.ones((2, 8), bool))
>>> net = model.from_linen(small_pfn(n_classes=2))
>>> net.apply(net.init(jax.random.key(0), inputs), inputs).shape
(2, 2)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax import lorentz
from hepjax.jets import data
from hepjax.nn import norm


class PFN(linen.Module):
    """Particle flow network: class logits [jet, n_classes] of Inputs.

    particle_widths: of Phi; jet_widths: of F; axis_name: pmap's axis; dtype: of matrix products.
    The features pass a masked batch norm first, which the paper's do not.
    """

    n_classes: int
    particle_widths: tuple[int, ...] = (128, 128, 128)
    jet_widths: tuple[int, ...] = (128, 128, 128)
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        mask = inputs.mask
        x = jnp.where(mask[..., None], inputs.features, 0)
        x = norm.MaskedBatchNorm(axis_name=self.axis_name, name="norm")(x, mask, train)
        x = layers(x, self.particle_widths, self.dtype, "particle")
        wide = jnp.promote_types(x.dtype, jnp.float32)
        pooled = jnp.where(mask[..., None], x.astype(wide), 0).sum(-2)
        x = layers(pooled, self.jet_widths, self.dtype, "jet")
        return linen.Dense(self.n_classes, name="head")(x.astype(wide))


class EFN(linen.Module):
    """Energy flow network: class logits [jet, n_classes] of Inputs, infrared and collinear safe.

    particle_widths: of Phi, whose inputs are (deta, dphi); jet_widths: of F; dtype: of matrix
    products; axis_name: not used, there is no batch norm, which would not be collinear safe.
    """

    n_classes: int
    particle_widths: tuple[int, ...] = (128, 128, 128)
    jet_widths: tuple[int, ...] = (128, 128, 128)
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        mask = inputs.mask
        kept = mask[..., None]
        pt = jnp.where(mask, lorentz.pt(jnp.where(kept, inputs.p4, 0)), 0)
        total = pt.sum(-1, keepdims=True)
        share = pt / jnp.where(total > 0, total, 1)
        x = layers(jnp.where(kept, inputs.points, 0), self.particle_widths, self.dtype, "particle")
        wide = jnp.promote_types(x.dtype, jnp.float32)
        pooled = (share[..., None] * x.astype(wide)).sum(-2)
        x = layers(pooled, self.jet_widths, self.dtype, "jet")
        return linen.Dense(self.n_classes, name="head")(x.astype(wide))


def small_pfn(n_classes: int, **fields: Any) -> PFN:
    """Configure a PFN for two CPU cores: widths 48, 48 and 48, 48."""
    return PFN(n_classes, **{"particle_widths": (48, 48), "jet_widths": (48, 48), **fields})


def small_efn(n_classes: int, **fields: Any) -> EFN:
    """Configure an EFN for two CPU cores: widths 48, 48 and 48, 48."""
    return EFN(n_classes, **{"particle_widths": (48, 48), "jet_widths": (48, 48), **fields})


def layers(x: jax.Array, widths: tuple[int, ...], dtype: Any, name: str) -> jax.Array:
    """Apply dense layers with ReLU to the last axis; to be called in a linen module."""
    for i, width in enumerate(widths):
        x = jax.nn.relu(linen.Dense(width, dtype=dtype, name=f"{name}_{i}")(x))
    return x
