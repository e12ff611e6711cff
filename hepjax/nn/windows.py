"""Attention of items in a row to those near them, the row closed to a ring.

Where what belongs together stands together, such as hits sorted by azimuth, an item need not look
at all others: here it looks at about `width` items around it, at a cost that grows with the length
of the row and not with its square (arXiv:2411.07149). Rows are cut into blocks of `width`, and a
block looks at itself and at half a block on either side; before the first item comes the last one
that is real. `around` says which items these are, `WindowEncoder` is a stack of layers.

>>> import jax, jax.numpy as jnp
>>> x, mask = jnp.ones((8, 16)), jnp.arange(8) < 6
>>> [k[2:6].tolist() for k in around(jnp.array(6), 8, 4)[0]]
[[0, 1, 2, 3], [4, 5, 0, 1]]
>>> encoder = WindowEncoder(n_layers=2, n_heads=4, width=4)
>>> encoder.apply(encoder.init(jax.random.key(0), x, mask), x, mask).shape
(8, 16)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.nn import attention, mlp


def around(n: jax.Array, length: int, width: int) -> tuple[jax.Array, jax.Array]:
    """List the items that each block of a ring of n items looks at, and which are real.

    length: of the padded row, a multiple of width, which is even; the n real items stand first.
    Returns indices and mask [block, 2 width]: each real item at most once a block. Raises
    ValueError for others.
    """
    if length % width or width % 2:
        raise ValueError(f"length: expected a multiple of an even width, found {length}, {width}")
    offset = jnp.arange(2 * width)
    place = jnp.arange(0, length, width)[:, None] - width // 2 + offset
    real = jnp.broadcast_to((offset < n), place.shape)
    start = place[:, :1] < n + width // 2  # a block of padding looks at nothing
    return place % jnp.maximum(n, 1), real & start


def _blocks(ring: jax.Array, width: int) -> jax.Array:
    """Cut what each block looks at out of a row with half a block more on either side, by slices,
    whose gradient is cheaper than that of a gather: [block, 2 width, ...].
    """
    halves = ring.reshape(-1, width // 2, *ring.shape[1:])
    n_blocks = len(halves) // 2 - 1
    return jnp.concatenate([halves[k : k + 2 * n_blocks : 2] for k in range(4)], 1)


class WindowAttention(linen.Module):
    """Self-attention in a ring, x [item, feature] -> the same shape.

    width: of a block, items; n_heads; dtype: of the matrix products.
    """

    n_heads: int
    width: int
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Attend in x [item, feature]; mask [item]: the real items, which stand first."""
        length, n_features = x.shape
        if n_features % self.n_heads:
            raise ValueError(f"n_heads: expected a divisor of {n_features}, found {self.n_heads}")
        n = mask.sum()
        _, real = around(n, length, self.width)
        xavier = linen.initializers.xavier_uniform()
        heads = self.n_heads, n_features // self.n_heads

        def project(x: jax.Array, name: str) -> jax.Array:
            out = linen.Dense(
                n_features, kernel_init=xavier, dtype=self.dtype, dot_general=mlp.dot, name=name
            )(x)
            return out.reshape(len(x), *heads)

        ring = x[jnp.arange(-(self.width // 2), length + self.width // 2) % jnp.maximum(n, 1)]
        query = project(x, "query").reshape(-1, self.width, *heads)
        key, value = (_blocks(project(ring, name), self.width) for name in ("key", "value"))
        out = attention.attention(query, key, value, real).reshape(length, n_features)
        return linen.Dense(n_features, kernel_init=xavier, dtype=self.dtype, name="out")(out)


class WindowEncoder(linen.Module):
    """Layers of attention in a ring and of dense layers, each on top of what came in
    (arXiv:2002.04745, layer norm first).

    n_layers; n_heads; width: of a block; ratio: of the hidden layer's width to the features;
    dtype: of the matrix products.
    """

    n_layers: int
    n_heads: int = 4
    width: int = 128
    ratio: int = 2
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Encode x [item, feature]; mask [item]: the real items, which stand first."""
        n_features = x.shape[-1]
        for k in range(self.n_layers):

            def normed(x: jax.Array, name: str, k: int = k) -> jax.Array:
                return linen.LayerNorm(dtype=self.dtype, name=f"{name}_{k}")(x)

            attend = WindowAttention(self.n_heads, self.width, self.dtype, name=f"attention_{k}")
            x = x + attend(normed(x, "norm"), mask)
            widths = (self.ratio * n_features, n_features)
            x = x + mlp.MLP(widths, dtype=self.dtype, name=f"dense_{k}")(normed(x, "dense_norm"))
        return linen.LayerNorm(dtype=self.dtype, name="norm")(x)
