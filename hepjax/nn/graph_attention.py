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

import functools
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
        wide = jnp.promote_types(sent.dtype, jnp.float32)
        towards, from_ = (jnp.moveaxis(y.astype(wide), 1, 3) for y in (received, sent))
        logits: Any = _scores(towards, from_, weight.astype(wide), self.slope)
        there = mask[:, None, None]
        logits = jnp.where(there, logits, attention.MASKED)
        e = jnp.where(
            there, jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True))), 0
        )
        total = e.sum(-1, keepdims=True)
        share = (e / jnp.where(total > 0, total, 1)).astype(sent.dtype)
        out = jnp.einsum("shij,sjhc->sihc", share, sent).reshape(x.shape)
        return out + self.param("bias", linen.initializers.zeros, (n_features,)).astype(out.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _scores(received: jax.Array, sent: jax.Array, weight: jax.Array, slope: float) -> jax.Array:
    """Sum weight leaky_relu(received_i + sent_j) over channels: [set, head, i, j].

    received, sent: [set, head, channel, item]; weight: [head, channel]. The gradient computes the
    wide sum of both again instead of keeping it: [set, head, channel, i, j] is what would cost.
    """
    both = received[..., :, None] + sent[..., None, :]
    return (jnp.maximum(both, slope * both) * weight[:, :, None, None]).sum(2)


def _scores_forward(*arguments: Any) -> tuple[jax.Array, tuple]:
    return _scores(*arguments), arguments[:3]


def _scores_backward(slope: float, saved: tuple, gradient: jax.Array) -> tuple:
    received, sent, weight = saved
    both = received[..., :, None] + sent[..., None, :]
    bent = jnp.where(both > 0, 1, slope) * gradient[:, :, None]
    to, of = bent.sum(-1), bent.sum(-2)
    of_weight = (received * to + sent * of).sum((0, 3))  # since leaky_relu(x) = x slope(x)
    return to * weight[:, :, None], of * weight[:, :, None], of_weight


_scores.defvjp(_scores_forward, _scores_backward)
