"""A transformer over the pulses of an event, that gives all parameters of its posterior at once.

Pulses attend to each other, if asked with a bias by their distance in space and time; a token in a
stream of its own looks at them after each block (cross-attention) and becomes the output. The
design is that of IceCube's reconstruction as its abstract tells it (arXiv:2604.19846) with the
space-time bias of the second place in the Kaggle challenge (arXiv:2310.15674); neither network is
rebuilt to the letter. Matrix products of the encoder may be in bfloat16; the last layer and what
comes behind it are in float32.

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

from hepjax.neutrino import frames
from hepjax.nn import mlp, norm, transformer

N_PLACE = 4
"""The first features of a pulse that tell where it is, and when: three places, in 100 m."""


class PulseTransformer(linen.Module):
    """Numbers [event, n_out] of Features.

    width, n_layers, n_heads, ratio: of the blocks; pair_width: of the network that makes a bias of
    pairs of pulses, 0 for none; dtype: of the matrix products of the blocks.
    """

    n_out: int
    width: int = 192
    n_layers: int = 6
    n_heads: int = 6
    ratio: int = 3
    pair_width: int = 16
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: frames.Features, train: bool = False) -> jax.Array:
        """Compute the numbers, float32; of an event without pulses from what is known of it as a
        whole.
        """
        mask = inputs.mask
        x = jnp.where(mask[..., None], inputs.pulse, 0)
        embed = mlp.MLP((self.width, self.width), mlp.gelu, dtype=self.dtype, name="embedding")
        x = embed(x)
        whole = mlp.MLP((self.width, self.width), mlp.gelu, dtype=self.dtype, name="whole")
        token = whole(inputs.whole)
        bias = self._bias(inputs) if self.pair_width else None
        for k in range(self.n_layers):
            scale = (2 * self.n_layers) ** -0.5
            fields = (self.n_heads, self.ratio, self.dtype)
            x = transformer.Block(*fields, scale, name=f"block_{k}")(x, mask, bias)
            token = transformer.TokenBlock(*fields, name=f"token_{k}")(token, x, mask)
        token = norm.LayerNorm(name="norm")(token).astype(jnp.float32)
        hidden = mlp.gelu(linen.Dense(2 * self.width, name="hidden")(token))
        last = linen.initializers.variance_scaling(1e-2, "fan_in", "truncated_normal")
        return linen.Dense(self.n_out, kernel_init=last, name="head")(hidden)

    def _bias(self, inputs: frames.Features) -> jax.Array:
        """Make a bias [event, head, pulse, pulse] from distances and delays."""
        place, late = inputs.pulse[..., :3], inputs.pulse[..., 10] * 2
        apart = jnp.sqrt(((place[:, :, None] - place[:, None]) ** 2).sum(-1) + 1e-6)
        delay = late[:, :, None] - late[:, None]
        pairs = jnp.stack([apart, jnp.log(apart + 0.1), delay, jnp.abs(delay)], -1)
        network = mlp.MLP((self.pair_width, self.n_heads), mlp.gelu, dtype=self.dtype, name="pairs")
        return jnp.moveaxis(network(pairs), -1, 1)


def small(n_out: int, **fields: Any) -> PulseTransformer:
    """Configure a network for two CPU cores: three layers of width 64, no bias of pairs."""
    sizes = {"width": 64, "n_layers": 3, "n_heads": 4, "ratio": 2, "pair_width": 0}
    return PulseTransformer(n_out, **{**sizes, **fields})
