"""ParticleNet: convolutions on the graph of nearest neighbours of a jet's particles
(arXiv:1902.08570).

A jet is a cloud of particles in the plane (deta, dphi) around its axis; the first convolution looks
at neighbours there, the others at neighbours in the space of what the one before found. The default
is the published network for JetClass and top tagging, as weaver-core 0.5.3 has it without fusion:
368,216 parameters with 7 inputs and 10 classes. We differ in the statistics of batch norm, which
are over real particles and edges between them.

>>> import jax, jax.numpy as jnp
>>> from hepjax.jets import data
>>> from hepjax.nn import model
>>> inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (7, 2, 4)), jnp.ones((2, 8), bool))
>>> net = model.from_linen(small(n_classes=2))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
>>> jax.eval_shape(net.apply, variables, inputs).shape
(2, 2)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.jets import data
from hepjax.nn import edgeconv, mlp, norm, sets


class ParticleNet(linen.Module):
    """Class logits [jet, n_classes] of Inputs.

    k: neighbours; widths: of the layers of each convolution; fc_width: of the layer behind the
    average over particles; dropout: there; axis_name: pmap's axis; dtype: of matrix products, None
    for that of the inputs; drop: which of the k + 1 nearest is no neighbour, `edgeconv.neighbours`:
    "first" for weights trained with weaver.
    """

    n_classes: int
    k: int = 16
    widths: tuple[tuple[int, ...], ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
    fc_width: int = 256
    dropout: float = 0.1
    axis_name: str | None = None
    dtype: Any = None
    drop: edgeconv.Drop = "itself"

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        mask = inputs.mask
        first = norm.MaskedBatchNorm(-1, self.axis_name, name="norm")
        x = first(jnp.where(mask[..., None], inputs.features, 0), mask, train)
        x = jnp.where(mask[..., None], x, 0)
        points = inputs.points
        for layer_index, widths in enumerate(self.widths):
            index, real = edgeconv.neighbours(points, mask, self.k, self.drop)
            layer = edgeconv.EdgeConv(
                widths, self.axis_name, self.dtype, name=f"edgeconv_{layer_index}"
            )
            x = points = layer(x, mask, index, real, train)
        x = sets.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), mask)
        head = mlp.MLP(
            (self.fc_width, self.n_classes),
            dropout=self.dropout,
            kernel_init=mlp.uniform,
            name="head",
        )
        return head(x, train)


def small(n_classes: int, **fields: Any) -> ParticleNet:
    """Configure a network for two CPU cores: two convolutions of width 32 and 64, 8 neighbours."""
    sizes = {"k": 8, "widths": ((32, 32), (64, 64)), "fc_width": 64, "dropout": 0.0}
    return ParticleNet(n_classes, **{**sizes, **fields})
