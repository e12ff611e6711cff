"""GN1: a graph of tracks, each joined with all others (ATL-PHYS-PUB-2022-027).

The first tagger that read flavour, origins and vertices from one network: tracks are embedded, pass
layers of graph attention, and go through the same heads as in GN2, which put a transformer in the
place of the graph. Each layer stands beside a residual: else a track reaches its own heads through
attention to itself alone, and origins and vertices are learned late, or by some seeds never.

>>> import jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> net = model.from_linen(small())
>>> inputs = data.Inputs(jnp.ones((2, 8, 18)), jnp.ones((2, 2)), jnp.ones((2, 8), bool))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
>>> out = jax.eval_shape(net.apply, variables, inputs)
>>> out.flavour.shape, out.vertex.shape
((2, 4), (2, 8, 8))
"""

from typing import Any

import flax.linen as linen

from hepjax.jets.flavour import data, gn2
from hepjax.nn import graph_attention


class GN1(linen.Module):
    """gn2.Output of Inputs by layers of graph attention.

    width: of the tracks; n_layers, n_heads: of graph attention; hidden: of the heads; auxiliary:
    whether to have heads for origins and vertices; dtype: of matrix products.
    """

    n_classes: int = len(data.CLASSES)
    width: int = 64
    n_layers: int = 3
    n_heads: int = 2
    hidden: tuple[int, ...] = (128, 64, 32)
    auxiliary: bool = True
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> gn2.Output:
        """Compute the logits, float32."""
        x = gn2.embed(inputs, self.width, self.dtype)
        for k in range(self.n_layers):
            layer = graph_attention.GraphAttention(
                self.n_heads, dtype=self.dtype, name=f"layer_{k}"
            )
            x = x + linen.relu(layer(x, inputs.mask))
        heads = gn2.Heads(self.n_classes, self.hidden, self.auxiliary, self.dtype, name="heads")
        return heads(x, inputs.mask)


def small(**fields: Any) -> GN1:
    """Configure the published graph with smaller heads."""
    return GN1(**{"hidden": (64, 32), **fields})
