"""Batch norm over the real entries of padded batches, and layer norm.

Padding that enters a mean shifts it, by an amount that depends on the batch; so every statistic of
batch norm here is over the entries whose mask is True, on all devices together. In training
`MaskedBatchNorm` normalises with the statistics of the batch and emits additive sums (count, total,
total of squares) into the collection "batch_sums"; the running statistics "batch_stats", which
evaluation uses, are not touched inside: `update` moves them once a step, with the sums of all
micro-batches and devices.

Batches by length are not alike: jets of few particles and of many have other statistics, and a
network normalised by those of its batch alone never sees the difference it meets in evaluation. So
where training is given the running statistics, it normalises by them and keeps the gradient of
batch norm (batch renormalisation).

`standardise` is layer norm without its factors, `LayerNorm` has them, and `NormedDense` is layer
norm and the dense layer behind it in one, with the factors multiplied into the kernel: fewer passes
over the activations, forwards and backwards.

>>> import jax, jax.numpy as jnp
>>> x, mask = jnp.array([[1.0], [3.0], [99.0]]), jnp.array([True, True, False])
>>> layer = MaskedBatchNorm()
>>> variables = layer.init(jax.random.key(0), x, mask)
>>> layer.apply({"params": variables["params"]}, x, mask, train=True)[:2, 0].round(3).tolist()
[-1.0, 1.0]
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.nn import mlp

EPSILON = 1e-5
"""Added to variances, as in torch."""

MOMENTUM = 0.1
"""Weight of a new batch in the running statistics, as torch's batch norm has it."""

MOST_STRETCH, MOST_SHIFT = 3.0, 5.0
"""How far running statistics may stand from those of a batch in training (arXiv:1702.03275)."""


class MaskedBatchNorm(linen.Module):
    """Batch norm of x over the entries where the mask is True (arXiv:1502.03167).

    Mean and biased variance are found in two passes in float32. In training with a collection
    "batch_stats" it is batch renormalisation (arXiv:1702.03275). feature_axis: of x, the last one
    or 0; axis_name: the axis of pmap to sum over, None under jit; fixed_bias: for a norm whose bias
    a later norm takes out again, so that its slope is rounding alone.
    """

    feature_axis: int = -1
    axis_name: str | None = None
    dtype: Any = None
    fixed_bias: bool = False

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array, train: bool = False) -> jax.Array:
        """Normalise x [..., feature] by mask [...]; masked entries are mapped like the others."""
        axis = self.feature_axis % x.ndim
        axes = tuple(k for k in range(x.ndim) if k != axis)
        if mask.shape != tuple(x.shape[k] for k in axes):
            raise ValueError(
                f"mask: expected the shape of x {x.shape} less axis {axis}, found {mask.shape}"
            )
        n_features = x.shape[axis]
        scale, bias = factors(self, n_features)
        bias = jax.lax.stop_gradient(bias) if self.fixed_bias else bias
        mean, var, known = _running(self, n_features)
        real = jnp.expand_dims(mask, axis)
        wide = x.astype(_at_least_float32(x.dtype))
        running_mean, running_var = mean, var
        if train:
            count = mask.sum(dtype=wide.dtype)
            total = jnp.where(real, wide, 0).sum(axes)
            n = jnp.maximum(_psum(count, self.axis_name), 1)
            mean = _psum(total, self.axis_name) / n
            centre = jnp.expand_dims(mean, axes)
            spread = jnp.where(real, (wide - centre) ** 2, 0).sum(axes)
            var = _psum(spread, self.axis_name) / n
            _emit(self, count, total, spread + 2 * mean * total - count * mean**2)
            if known:
                stretch, shift = _to_running(mean, var, running_mean, running_var)
                scale, bias = scale * stretch, bias + scale * shift
        factor = scale * jax.lax.rsqrt(var + EPSILON)
        out = (wide - jnp.expand_dims(mean, axes)) * jnp.expand_dims(factor, axes)
        return (out + jnp.expand_dims(bias, axes)).astype(self.dtype or x.dtype)


def _to_running(
    mean: jax.Array, var: jax.Array, running_mean: jax.Array, running_var: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Factor and shift from values normalised by the batch to those by running statistics."""
    inverse = jax.lax.rsqrt(running_var + EPSILON)
    stretch = jnp.clip(jnp.sqrt(var + EPSILON) * inverse, 1 / MOST_STRETCH, MOST_STRETCH)
    shift = jnp.clip((mean - running_mean) * inverse, -MOST_SHIFT, MOST_SHIFT)
    return jax.lax.stop_gradient(stretch), jax.lax.stop_gradient(shift)


@jax.custom_vjp
def standardise(x: jax.Array) -> jax.Array:
    """Bring each vector x [..., feature] to mean 0 and variance 1, up to EPSILON
    (arXiv:1607.06450).
    """
    return _standardise(x)[0]


def _standardise(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    wide = x.astype(_at_least_float32(x.dtype))
    centred = wide - wide.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
    out = (centred * inverse).astype(x.dtype)
    return out, (out, inverse)


def _standardise_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array]:
    out, inverse = (x.astype(_at_least_float32(x.dtype)) for x in saved)
    wide = gradient.astype(out.dtype)
    along = (wide * out).mean(-1, keepdims=True)
    change = (wide - wide.mean(-1, keepdims=True) - out * along) * inverse
    return (change.astype(gradient.dtype),)


standardise.defvjp(_standardise, _standardise_backward)


def standardise_dense(
    x: jax.Array, scale: jax.Array, shift: jax.Array, kernel: jax.Array, bias: jax.Array, dtype: Any
) -> jax.Array:
    """Apply layer norm with scale and shift [feature], kernel [feature, out] and bias [out]."""
    dtype = dtype or x.dtype
    out = mlp.matmul(standardise(x).astype(dtype), (scale[:, None] * kernel).astype(dtype))
    return out + (shift @ kernel + bias).astype(dtype)


class LayerNorm(linen.Module):
    """Layer norm of x [..., feature], with a scale and a bias a feature."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise each vector."""
        scale, bias = factors(self, x.shape[-1])
        return standardise(x) * scale.astype(x.dtype) + bias.astype(x.dtype)


class NormedDense(linen.Module):
    """Layer norm of x [..., feature], then a dense layer; dtype: of the product."""

    features: int
    dtype: Any = None
    kernel_init: Any = linen.initializers.lecun_normal()

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise each vector and map it."""
        scale, shift = factors(self, x.shape[-1], "norm_")
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", linen.initializers.zeros, (self.features,))
        return standardise_dense(x, scale, shift, kernel, bias, self.dtype)


def update(
    batch_stats: Mapping[str, Any], batch_sums: Mapping[str, Any], momentum: Any = MOMENTUM
) -> dict[str, Any]:
    """Move the running statistics towards those of a batch.

    batch_stats: nested {name: {"mean", "var"}}; batch_sums: the same names with {"count", "total",
    "total_of_squares"}, summed over micro-batches and devices; momentum: weight of the batch. The
    variance is the unbiased one of the batches together, so that between batches counts too (torch
    leaves that out); fewer than two entries change nothing. Raises ValueError for sums of a layer
    without statistics.
    """
    unknown = set(batch_sums) - set(batch_stats)
    if unknown:
        raise ValueError(f"batch_sums: no running statistics for {sorted(unknown)}")
    return {
        name: (old if name not in batch_sums else _moved(old, batch_sums[name], momentum))
        for name, old in batch_stats.items()
    }


def _moved(old: Mapping[str, Any], sums: Mapping[str, Any], momentum: Any) -> dict[str, Any]:
    if "count" not in sums:
        return update(old, sums, momentum)
    enough = sums["count"] > 1
    n = jnp.where(enough, sums["count"], 2)
    mean = sums["total"] / n
    var = jnp.maximum(sums["total_of_squares"] / n - mean**2, 0) * n / (n - 1)
    between = (1 - momentum) * (mean - old["mean"]) ** 2
    new = {"mean": mean, "var": var + between}
    return {
        name: jnp.where(enough, value + momentum * (new[name] - value), value).astype(value.dtype)
        for name, value in old.items()
    }


def factors(module: linen.Module, n_features: int, prefix: str = "") -> tuple[jax.Array, jax.Array]:
    """Make the scale and bias parameters [n_features] of a norm inside a linen module."""
    scale = module.param(f"{prefix}scale", linen.initializers.ones, (n_features,))
    return scale, module.param(f"{prefix}bias", linen.initializers.zeros, (n_features,))


def _running(module: linen.Module, n_features: int) -> tuple[jax.Array, jax.Array, bool]:
    """Running mean and variance, and whether there are any: training can do without."""
    stored = module.has_variable("batch_stats", "mean")
    if not stored and not module.is_mutable_collection("batch_stats"):
        return jnp.zeros(n_features), jnp.ones(n_features), False
    mean = module.variable("batch_stats", "mean", jnp.zeros, (n_features,))
    var = module.variable("batch_stats", "var", jnp.ones, (n_features,))
    return mean.value, var.value, True


def _emit(module: linen.Module, count: jax.Array, total: jax.Array, squares: jax.Array) -> None:
    sums = {"count": count, "total": total, "total_of_squares": squares}
    for name, value in sums.items():
        value = jax.lax.stop_gradient(value)
        module.sow("batch_sums", name, value, reduce_fn=jnp.add, init_fn=lambda: 0.0)


def _psum(value: jax.Array, axis_name: str | None) -> jax.Array:
    return value if axis_name is None else jax.lax.psum(value, axis_name)


def _at_least_float32(dtype: Any) -> Any:
    return jnp.promote_types(dtype, jnp.float32)
