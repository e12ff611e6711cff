"""DynEdge, a graph network over the pulses of an event whose edges follow what it learns.

Each pulse is joined to its eight nearest in space and time; after every convolution neighbours are
found anew, nearest in the first features of what came out. All outputs and the input together go
through dense layers, are pooled over pulses by minimum, maximum, mean and sum, and read out
(arXiv:2209.03042; sizes as published). Differences: features are those of `frames`, time counts
among places, what is known of the event as a whole joins after the pooling, layer norm stands
there, and the sum is one over the root of the number of pulses, so that events of very different
size stay in range.

The module takes the place of `pulse_transformer` wherever an encoder is asked for. An event of one
pulse has no edges and is read out all the same.

>>> import jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> inputs = frames.Features(jnp.ones((2, 8, 19)), jnp.ones((2, 16)), jnp.ones((2, 8), bool))
>>> net = model.from_linen(small(n_out=50))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
>>> jax.eval_shape(net.apply, variables, inputs).shape
(2, 50)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from hepjax.neutrino import frames
from hepjax.nn import edgeconv, mlp, norm

PLACE = np.array([0, 1, 2, 10])
"""Features of pulses in which neighbours are found first: places, and the time, which decides
between modules of a string that are in equal distance.
"""


class DynEdge(linen.Module):
    """Numbers [event, n_out] of Features.

    blocks: widths of the dense layers on edges, of each convolution; after: of those behind the
    convolutions; readout: of those behind the pooling; k: neighbours; dtype: of the matrix
    products before the pooling.
    """

    n_out: int
    blocks: tuple[tuple[int, ...], ...] = ((128, 256), (336, 256), (336, 256), (336, 256))
    after: tuple[int, ...] = (336, 256)
    readout: tuple[int, ...] = (128,)
    k: int = 8
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: frames.Features, train: bool = False) -> jax.Array:
        """Compute the numbers, float32; of an event without pulses from what is known of it as a
        whole.
        """
        mask = inputs.mask
        x = jnp.where(mask[..., None], inputs.pulse, 0)
        seen, place = [x], x[..., PLACE]
        for k, widths in enumerate(self.blocks):
            index, real = edgeconv.neighbours(place, mask, self.k)
            fields = (widths, "sum", linen.leaky_relu, False, self.dtype)
            layer = edgeconv.EdgeUpdate(*fields, name=f"edges_{k}")
            x = layer(x, mask, index, real) / self.k
            seen.append(x)
            place = x[..., : len(PLACE)]
        dense = mlp.MLP(self.after, linen.leaky_relu, True, dtype=self.dtype, name="after")
        pooled = pool(dense(jnp.concatenate(seen, -1)).astype(jnp.float32), mask)
        pooled = norm.LayerNorm(name="norm")(pooled)
        hidden = jnp.concatenate([pooled, inputs.whole], -1)
        hidden = mlp.MLP(self.readout, linen.leaky_relu, True, name="readout")(hidden)
        last = linen.initializers.variance_scaling(1e-2, "fan_in", "truncated_normal")
        return linen.Dense(self.n_out, kernel_init=last, name="head")(hidden)


def pool(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Pool x [event, pulse, feature] over the pulses of mask [event, pulse] to [event, 4 feature]:
    minimum, maximum, mean, and sum over the root of their number; all 0 where there are none.
    """
    real, some = mask[..., None], mask.any(-1)[:, None]
    n = jnp.maximum(mask.sum(-1), 1)[:, None]
    total = jnp.where(real, x, 0).sum(-2)
    ends = [jnp.where(real, x, jnp.inf).min(-2), jnp.where(real, x, -jnp.inf).max(-2)]
    ends = [jnp.where(some, end, 0) for end in ends]
    return jnp.concatenate([*ends, total / n, total / jnp.sqrt(n)], -1)


def small(n_out: int, **fields: Any) -> DynEdge:
    """Configure a network for two CPU cores: three convolutions, widths of 64."""
    sizes = {"blocks": ((64, 64), (64, 64), (64, 64)), "after": (96, 64), "readout": (64,)}
    return DynEdge(n_out, **{**sizes, **fields})
