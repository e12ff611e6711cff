"""Batch norm over the real entries of padded batches.

Padding that enters a mean shifts it, by an amount that depends on the batch; so every statistic here is over the entries whose
mask is True, on all devices together. In training the layers normalise with the statistics of the batch and emit additive sums
(count, total, total of squares) into the collection "batch_sums"; the running statistics "batch_stats", which evaluation uses,
are not touched inside: `update` moves them once a step, with the sums of all micro-batches and devices.

`MaskedBatchNorm` is the plain layer. `NormedDense` is a dense layer and the batch norm behind it in one: mean and variance of
W x + b follow from the first two moments of x, one small matrix, so that a wide tensor is never read again to normalise it.

>>> import jax, jax.numpy as jnp
>>> x, mask = jnp.array([[1.0], [3.0], [99.0]]), jnp.array([True, True, False])
>>> layer = MaskedBatchNorm()
>>> variables = layer.init(jax.random.key(0), x, mask)
>>> layer.apply(variables, x, mask, train=True)[:2, 0].round(3).tolist()
[-1.0, 1.0]
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

MOMENTUM = 0.1
"""Weight of a new batch in the running statistics, as torch's batch norm has it."""


class MaskedBatchNorm(linen.Module):
    """Batch norm of x [..., feature] over the entries where mask [...] is True (arXiv:1502.03167).

    Mean and biased variance are found in two passes in float32. axis_name: the axis of pmap to sum over, None under jit.
    """

    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array, train: bool = False) -> jax.Array:
        """Normalise x; values where mask is False come out finite and mean nothing."""
        if mask.shape != x.shape[:-1]:
            raise ValueError(f"mask: expected shape {x.shape[:-1]}, found {mask.shape}")
        n_features = x.shape[-1]
        scale = self.param("scale", linen.initializers.ones, (n_features,))
        bias = self.param("bias", linen.initializers.zeros, (n_features,))
        mean, var = _running(self, n_features)
        wide = jnp.where(mask[..., None], x, 0).astype(_at_least_float32(x.dtype))
        if train:
            axes = tuple(range(x.ndim - 1))
            count = mask.sum(dtype=wide.dtype)
            total = wide.sum(axes)
            n = jnp.maximum(_psum(count, self.axis_name), 1)
            mean = _psum(total, self.axis_name) / n
            centred = jnp.where(mask[..., None], wide - mean, 0)
            var = _psum((centred**2).sum(axes), self.axis_name) / n
            _emit(self, count, total, (wide**2).sum(axes))
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        return ((wide - mean) * factor + bias).astype(self.dtype or x.dtype)


class NormedDense(linen.Module):
    """A dense layer and masked batch norm of its output, on x [channel, entry] -> [features, entry].

    x must be 0 where mask [entry] is False. In training the statistics of y = W x + b come from the moments of x over the
    real entries: mean_y = W mean_x + b and var_y = diag(W cov_x W^T), float32. Channels lead, since sums along the many
    entries are then contiguous. use_bias: b, which only evaluation sees; the norm takes it out in training.
    """

    features: int
    epsilon: float = 1e-5
    use_bias: bool = True
    axis_name: str | None = None
    dtype: Any = None
    kernel_init: Any = linen.initializers.lecun_normal()

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array, train: bool = False) -> jax.Array:
        """Map and normalise x; values where mask is False come out finite and mean nothing."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[0], self.features))
        bias = jnp.zeros((self.features,), kernel.dtype)
        if self.use_bias:
            bias = self.param("bias", linen.initializers.zeros, (self.features,))
        scale = self.param("scale", linen.initializers.ones, (self.features,))
        shift = self.param("shift", linen.initializers.zeros, (self.features,))
        mean, var = _running(self, self.features)
        if train:
            wide = _at_least_float32(x.dtype)
            count, total = mask.sum(dtype=wide), x.sum(1, dtype=wide)
            moments = _matmul(x, x, (1, 1), wide, exact=True)
            n = jnp.maximum(_psum(count, self.axis_name), 1)
            centre = _psum(total, self.axis_name) / n
            cov = _psum(moments, self.axis_name) / n - jnp.outer(centre, centre)
            mean = centre @ kernel + bias
            var = jnp.maximum(((cov @ kernel) * kernel).sum(0), 0)
            local = total @ kernel
            squares = ((moments @ kernel) * kernel).sum(0) + 2 * bias * local + count * bias**2
            _emit(self, count, local + count * bias, squares)
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        dtype = self.dtype or x.dtype
        y = _matmul((kernel * factor).astype(dtype), x.astype(dtype), (0, 0), dtype)
        return y + ((bias - mean) * factor + shift).astype(dtype)[:, None]


def update(
    batch_stats: Mapping[str, Any], batch_sums: Mapping[str, Any], momentum: float = MOMENTUM
) -> dict[str, Any]:
    """Move the running statistics towards those of a batch.

    batch_stats: nested {name: {"mean", "var"}}; batch_sums: the same names with {"count", "total", "total_of_squares"}, summed
    over micro-batches and devices. The variance moves towards the unbiased one, as in torch; fewer than two entries change
    nothing. Raises ValueError for sums of a layer without statistics.
    """
    unknown = set(batch_sums) - set(batch_stats)
    if unknown:
        raise ValueError(f"batch_sums: no running statistics for {sorted(unknown)}")
    return {
        name: (old if name not in batch_sums else _moved(old, batch_sums[name], momentum))
        for name, old in batch_stats.items()
    }


def _moved(old: Mapping[str, Any], sums: Mapping[str, Any], momentum: float) -> dict[str, Any]:
    if "count" not in sums:
        return update(old, sums, momentum)
    enough = sums["count"] > 1
    n = jnp.where(enough, sums["count"], 2)
    mean = sums["total"] / n
    var = jnp.maximum(sums["total_of_squares"] / n - mean**2, 0) * n / (n - 1)
    new = {"mean": mean, "var": var}
    return {
        name: jnp.where(enough, value + momentum * (new[name] - value), value).astype(value.dtype)
        for name, value in old.items()
    }


def _running(module: linen.Module, n_features: int) -> tuple[jax.Array, jax.Array]:
    mean = module.variable("batch_stats", "mean", jnp.zeros, (n_features,))
    var = module.variable("batch_stats", "var", jnp.ones, (n_features,))
    return mean.value, var.value


def _emit(module: linen.Module, count: jax.Array, total: jax.Array, squares: jax.Array) -> None:
    sums = {"count": count, "total": total, "total_of_squares": squares}
    for name, value in sums.items():
        value = jax.lax.stop_gradient(value)
        module.sow("batch_sums", name, value, reduce_fn=jnp.add, init_fn=lambda: 0.0)


def _psum(value: jax.Array, axis_name: str | None) -> jax.Array:
    return value if axis_name is None else jax.lax.psum(value, axis_name)


def _at_least_float32(dtype: Any) -> Any:
    return jnp.promote_types(dtype, jnp.float32)


def _matmul(a: jax.Array, b: jax.Array, axes: tuple[int, int], dtype: Any, exact: bool = False) -> jax.Array:
    precision = jax.lax.Precision.HIGHEST if exact else None
    numbers = (((axes[0],), (axes[1],)), ((), ()))
    return jax.lax.dot_general(a, b, numbers, precision=precision, preferred_element_type=dtype)
