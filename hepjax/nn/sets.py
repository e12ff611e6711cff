"""Pooling of padded sets: sums over the real items only, whatever the padding holds.

Sums are taken in float32 at least, since 256 is the largest sum of ones that bfloat16 can hold.

>>> import jax.numpy as jnp
>>> x, mask = jnp.array([[[1.0], [3.0], [jnp.nan]]]), jnp.array([[True, True, False]])
>>> float(total(x, mask)[0, 0]), float(mean(x, mask)[0, 0])
(4.0, 2.0)
"""

import jax
import jax.numpy as jnp


def total(x: jax.Array, mask: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Sum x [set, item, feature] over items where mask [set, item] is True, times weight [set,
    item]: [set, feature].
    """
    if mask.shape != x.shape[:-1]:
        raise ValueError(f"mask: expected shape {x.shape[:-1]}, found {mask.shape}")
    wide = jnp.promote_types(x.dtype, jnp.float32)
    x = jnp.where(mask[..., None], x, 0)
    if weight is None:
        return x.sum(-2, dtype=wide).astype(x.dtype)
    weight = jnp.where(mask, weight, 0).astype(wide)
    return (x * weight[..., None]).sum(-2).astype(x.dtype)


def mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Average x [set, item, feature] over items where mask [set, item] is True: [set, feature], 0
    of nothing.
    """
    count = jnp.maximum(mask.sum(-1, dtype=jnp.promote_types(x.dtype, jnp.float32)), 1)
    return (total(x, mask) / count[..., None]).astype(x.dtype)
