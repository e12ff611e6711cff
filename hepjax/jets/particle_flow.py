"""Particle-flow and energy-flow networks: a jet as a sum over its particles (arXiv:1810.05165).

Both map each particle by a network Phi, sum over the particles, and map the sum by a network F. The
particle-flow network (PFN) gives Phi all features. The energy-flow network (EFN) gives it the
direction alone and weighs the sum by the particle's share z of the transverse momentum, sum_i z_i
Phi(p_i): it does not change when a particle splits in two of the same direction or when a particle
of no momentum is added, which makes it infrared and collinear safe.

>>> import jax, jax.numpy as jnp
>>> from hepjax.jets import data
>>> from hepjax.nn import model
>>> inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (7, 2, 4)), jnp.ones((2, 8), bool))
>>> pfn = model.from_linen(PFN(n_classes=2))
>>> variables = jax.eval_shape(pfn.init, jax.random.key(0), inputs)
>>> jax.eval_shape(pfn.apply, variables, inputs).shape
(2, 2)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax import lorentz
from hepjax.jets import data
from hepjax.nn import mlp, norm, sets


class PFN(linen.Module):
    """Class logits [jet, n_classes] of Inputs by the particle-flow network.

    phi: widths of the layers on particles; hidden: of those on the sum; dropout: on the latter;
    axis_name: pmap's axis; dtype: of matrix products, None for that of the inputs.
    """

    n_classes: int
    phi: tuple[int, ...] = (128, 128, 128)
    hidden: tuple[int, ...] = (128, 128, 128)
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        mask = inputs.mask
        x = jnp.where(mask[..., None], inputs.features, 0)
        x = norm.MaskedBatchNorm(-1, self.axis_name, name="norm")(x, mask, train)
        x = mlp.MLP(self.phi, activate_last=True, dtype=self.dtype, name="phi")(x)
        return _head(self, sets.total(_wide(x), mask), train)


class EFN(linen.Module):
    """Class logits [jet, n_classes] of Inputs by the energy-flow network.

    Only points and p4 are used. The fields are those of PFN; axis_name changes nothing, since
    there is no batch norm.
    """

    n_classes: int
    phi: tuple[int, ...] = (128, 128, 128)
    hidden: tuple[int, ...] = (128, 128, 128)
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        mask = inputs.mask
        pt = lorentz.pt(jnp.where(mask[..., None], inputs.p4, 0))
        total = pt.sum(-1, keepdims=True)
        share = pt / jnp.where(total > 0, total, 1)
        points = jnp.where(mask[..., None], inputs.points, 0)
        x = mlp.MLP(self.phi, activate_last=True, dtype=self.dtype, name="phi")(points)
        return _head(self, sets.total(_wide(x), mask, share), train)


def small_pfn(n_classes: int, **fields: Any) -> PFN:
    """Configure a PFN of width 64, with two layers on particles and one on the sum."""
    return PFN(n_classes, **{"phi": (64, 64), "hidden": (64,), **fields})


def small_efn(n_classes: int, **fields: Any) -> EFN:
    """Configure an EFN of width 64, with two layers on particles and one on the sum."""
    return EFN(n_classes, **{"phi": (64, 64), "hidden": (64,), **fields})


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _head(module: Any, x: jax.Array, train: bool) -> jax.Array:
    widths = (*module.hidden, module.n_classes)
    return mlp.MLP(widths, dropout=module.dropout, name="head")(x, train)
