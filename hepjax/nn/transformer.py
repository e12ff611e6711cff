"""Transformer blocks for padded sets: items that attend to each other, and a token that asks them.

`Block` updates the items, `TokenBlock` a class token of its own stream, which attends to the items
and which no item attends to. Both normalise first (arXiv:2002.04745).

>>> import jax, jax.numpy as jnp
>>> x, mask = jnp.ones((2, 5, 16)), jnp.arange(5) < jnp.array([[5], [0]])
>>> block = Block(n_heads=4)
>>> block.apply(block.init(jax.random.key(0), x, mask), x, mask).shape
(2, 5, 16)
"""

from typing import Any

import flax.linen as linen
import jax

from hepjax.nn import attention, mlp, norm


class Block(linen.Module):
    """Attention between the items of a set, then a dense layer of `ratio` times the width and back:
    x [set, item, feature] -> the same shape.

    dtype: of the matrix products; out_scale: factor on the initial kernels that write to x.
    """

    n_heads: int
    ratio: int = 2
    dtype: Any = None
    out_scale: float = 1.0

    @linen.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array | None = None, bias: jax.Array | None = None
    ) -> jax.Array:
        """Update x; mask: [set, item] True = real; bias: [set, head, item, item]."""
        attend = attention.MultiHeadAttention(
            self.n_heads, True, dtype=self.dtype, out_scale=self.out_scale, name="attention"
        )
        x = x + attend(x, mask, bias)
        return x + _wide(self, x, self.out_scale)


class TokenBlock(linen.Module):
    """A token that attends to the items of a set, then the dense layers of a block: token [set,
    feature] -> the same shape.
    """

    n_heads: int
    ratio: int = 2
    dtype: Any = None

    @linen.compact
    def __call__(
        self, token: jax.Array, items: jax.Array, mask: jax.Array | None = None
    ) -> jax.Array:
        """Update the token from items [set, item, feature]; mask: [set, item] True = real."""
        attend = attention.QueryAttention(self.n_heads, self.dtype, name="attention")
        query = norm.LayerNorm(name="token_norm")(token)
        token = token + attend(query, norm.LayerNorm(name="item_norm")(items), mask)
        return token + _wide(self, token, 1.0)


def _wide(block: Any, x: jax.Array, out_scale: float) -> jax.Array:
    """Normalise, widen, activate, and map back."""
    hidden = norm.NormedDense(block.ratio * x.shape[-1], block.dtype, name="dense_in")(x)
    init = linen.initializers.variance_scaling(out_scale**2, "fan_in", "truncated_normal")
    out = linen.Dense(x.shape[-1], dtype=block.dtype, kernel_init=init, name="dense_out")
    return out(mlp.gelu(hidden))
