"""Graph attention on sets whose items all see each other, and themselves (GATv2, arXiv:2105.14491).

Where a transformer compares items by a product of queries and keys, graph attention adds what it
learns of both and applies a non-linear function before it weighs them. Sets are padded: an item
whose mask is False is never looked at.

>>> import jax, jax.numpy as jnp
>>> x, mask = jnp.ones((2, 6, 16)), jnp.arange(6) < jnp.array([[6], [0]])
>>> layer = GraphAttention(n_heads=4)
>>> layer.apply(layer.init(jax.random.key(0), x, mask), x, mask).shape
(2, 6, 16)
"""

import math
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.nn import attention


class GraphAttention(linen.Module):
    """Average of what items send, weighed by softmax(a.leaky_relu(W x_i + V x_j)), on x [set, item,
    feature] -> the same shape.

    n_heads: a divisor of the number of features; slope: of the leaky rectifier; dtype: of the
    matrix products.
    """

    n_heads: int
    slope: float = 0.2
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Attend within each set; mask: [set, item] True = real."""
        n_features = x.shape[-1]
        if n_features % self.n_heads:
            raise ValueError(f"n_heads: expected a divisor of {n_features}, found {self.n_heads}")
        heads = (self.n_heads, n_features // self.n_heads)
        sent = linen.Dense(n_features, dtype=self.dtype, name="source")(x)
        sent = sent.reshape(*x.shape[:2], *heads)
        received = linen.Dense(n_features, dtype=self.dtype, name="target")(x)
        received = received.reshape(*x.shape[:2], *heads)
        weight = self.param("weight", linen.initializers.normal(1 / math.sqrt(heads[1])), heads)
        both = linen.leaky_relu(received[:, :, None] + sent[:, None], self.slope)
        wide = jnp.promote_types(both.dtype, jnp.float32)
        logits = jnp.einsum(
            "sijhc,hc->sijh", both, weight.astype(both.dtype), preferred_element_type=wide
        )
        there = mask[:, None, :, None]
        logits = jnp.where(there, logits, attention.MASKED)
        e = jnp.where(
            there, jnp.exp(logits - jax.lax.stop_gradient(logits.max(2, keepdims=True))), 0
        )
        total = e.sum(2, keepdims=True)
        share = (e / jnp.where(total > 0, total, 1)).astype(sent.dtype)
        out = jnp.einsum("sijh,sjhc->sihc", share, sent).reshape(x.shape)
        return out + self.param("bias", linen.initializers.zeros, (n_features,)).astype(out.dtype)
