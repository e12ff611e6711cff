"""Densities of directions with names: von Mises-Fisher, mixtures of it, and an elliptic one.

What a flow of the sphere is compared with. A `Family` has as `flows.sphere` a number of parameters
a density, `log_prob(params [..., size], n [..., 3])` by area, 1 / sr, and `sample(key, params,
n_samples)`; parameters have no bounds, zeros are nearly even. `VMF` is the von Mises-Fisher
density, `mixture` several of them, `ESAG` the elliptically symmetric angular normal density, whose
norm, unlike Kent's, has a closed form; `of_flow` makes a family of a flow's plan.

`vmf_log_prob` and `vmf_sample` are by mean and log kappa. From even to kappa of 1e8 all hold in
float32: by |n - m|^2, where k (cos - 1) of float32 is wrong by 0.03 at 1e6, and without a switch
between formulas, at which a fitted kappa would stay.

>>> params = jnp.array([0.0, 0.0, 0.0, 8.0])  # to +z, kappa e^5
>>> n, log_p = VMF.sample(jax.random.key(0), params, 4)
>>> n.shape, bool(jnp.allclose(log_p, VMF.log_prob(params, n), atol=1e-4))
((4, 3), True)
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax import sphere
from hepjax.flows import sphere as flow
from hepjax.flows import sphere_layers as layers

LOG_KAPPA = (-9.3, 18.5)
"""Bounds of the logarithm of kappa that parameters can give."""
ROOT_START = layers.START
"""Of the elliptic density kappa begins so much lower: it goes by the root of it."""
N_STEPS = 60
"""Of a continued fraction."""


class Family(NamedTuple):
    """A kind of density of directions, see the module."""

    size: int
    log_prob: Callable[[Any, Any], jax.Array]
    sample: Callable[[jax.Array, Any, int], tuple[jax.Array, jax.Array]]


def vmf_log_prob(mean: Any, log_kappa: Any, n: Any) -> jax.Array:
    """Give the logarithm of the density [...] at n [..., 3], for mean [..., 3], log kappa [...].

    log k - log 2 pi - log(1 - e^(-2 k)) - k |n - m|^2 / 2, good for all k > 0.
    """
    kappa = jnp.exp(log_kappa)
    even = jnp.log(layers.expm1_over(-2 * kappa)) + math.log(sphere.AREA)
    return -even - 2 * kappa * sphere.height(jnp.asarray(n), jnp.asarray(mean))


def vmf_sample(key: jax.Array, mean: Any, log_kappa: Any, n_samples: int) -> jax.Array:
    """Draw directions [n_samples, ..., 3] about a mean [..., 3]."""
    mean, twice = jnp.asarray(mean), 2 * jnp.exp(log_kappa)
    share, turn = jax.random.uniform(key, (2, n_samples, *mean.shape[:-1]), mean.dtype)
    low = -jnp.log1p(share * jnp.expm1(-twice)) / twice
    across, around = 2 * jnp.sqrt(low * (1 - low)), 2 * math.pi * turn
    axes = sphere.frame(sphere.toward(mean))
    parts = across * jnp.cos(around), across * jnp.sin(around), 1 - 2 * low
    return sum((x[..., None] * axis for x, axis in zip(parts, axes)), jnp.zeros(()))


def _vmf_parts(params: Any, home: Any = (0.0, 0.0, 1.0)) -> tuple[jax.Array, jax.Array]:
    """Give mean and log kappa of params [..., 4], whose zeros are at home."""
    params = _checked(params, 4)
    mean = sphere.unit(params[..., :3] + jnp.asarray(home, params.dtype))
    return mean, layers.log_kappa(params[..., 3], LOG_KAPPA)


def _vmf(params: Any, n: Any) -> jax.Array:
    return vmf_log_prob(*_vmf_parts(params), n)


def _draw_vmf(key: jax.Array, params: Any, n_samples: int) -> tuple[jax.Array, jax.Array]:
    mean, log_kappa = _vmf_parts(params)
    n = vmf_sample(key, mean, log_kappa, n_samples)
    return n, vmf_log_prob(mean, log_kappa, n)


VMF = Family(4, _vmf, _draw_vmf)
"""To a direction that differs from +z by the first three; log kappa; [..., 4]."""


def mixture(n_components: int) -> Family:
    """Give the family of mixtures of von Mises-Fisher densities, [..., 5 n_components].

    Of each component as in `VMF`, and the logarithm of its share; means of zeros are spread evenly.
    Raises ValueError for less than one component.
    """
    if n_components < 1:
        raise ValueError(f"n_components: {n_components}, expected at least 1")
    homes, size = sphere.fibonacci(n_components), 5 * n_components

    def parts(params: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        params = _checked(params, size)
        each = params.reshape(*params.shape[:-1], n_components, 5)
        mean, log_kappa = _vmf_parts(each[..., :4], homes)
        return mean, log_kappa, jax.nn.log_softmax(each[..., 4], -1)

    def log_prob(params: Any, n: Any) -> jax.Array:
        mean, log_kappa, log_share = parts(params)
        each = vmf_log_prob(mean, log_kappa, jnp.asarray(n)[..., None, :])
        return jax.nn.logsumexp(log_share + each, -1)

    def sample(key: jax.Array, params: Any, n_samples: int) -> tuple[jax.Array, jax.Array]:
        mean, log_kappa, log_share = parts(params)
        which, within = jax.random.split(key)
        shape = (n_samples, *log_share.shape[:-1])
        chosen = jax.random.categorical(which, log_share, shape=shape)[..., None]
        each = vmf_sample(within, mean, log_kappa, n_samples)
        n = jnp.take_along_axis(each, chosen[..., None], -2)[..., 0, :]
        return n, log_prob(params, n)

    return Family(size, log_prob, sample)


def log_moment(x: Any) -> jax.Array:
    """Compute the logarithm of the integral of r^2 phi(r - x) over r > 0, phi the normal density.

    (1 + x^2) Phi(x) + x phi(x), and below x = -2, where that cancels, a continued fraction of
    repeated integrals of the error function.
    """
    direct = x > -2
    near, far = jnp.where(direct, x, 0.0), jnp.where(direct, 2.0, -x)
    phi = jnp.exp(-near * near / 2) / math.sqrt(2 * math.pi)
    value = (1 + near * near) * jax.scipy.stats.norm.cdf(near) + near * phi
    z = far / math.sqrt(2)

    def step(ratio: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = 1 / (2 * (z + k * ratio))
        return found, found

    start = 1 / (z + jnp.sqrt(z * z + 2 * N_STEPS))
    _, ratios = jax.lax.scan(step, start, jnp.arange(N_STEPS, 1, -1, dtype=z.dtype))
    tail = jax.scipy.special.log_ndtr(-far) + jnp.log(4 * ratios[-1] * ratios[-2])
    return jnp.where(direct, jnp.log(value), tail)


def _esag_parts(params: Any) -> tuple[tuple, jax.Array, jax.Array]:
    """Give the axes, the root of kappa, and the ratio of variances across the mean."""
    w, x, y, z, for_kappa, for_ratio = jnp.unstack(_checked(params, 6), axis=-1)
    root = jnp.exp(layers.log_kappa(for_kappa + ROOT_START, LOG_KAPPA) / 2)
    return sphere.axes(1 + w, x, y, z), root, jnp.exp(for_ratio)


def _esag(params: Any, n: Any) -> jax.Array:
    axes, root, ratio = _esag_parts(params)
    point = layers.seen(axes, tuple(jnp.unstack(jnp.asarray(n), axis=-1)))
    z = point.high - point.low
    across = point.x * point.x / ratio + point.y * point.y * ratio
    squared = z * z + across
    exponent = -root * root * across / (2 * squared)
    moment = log_moment(root * z * jax.lax.rsqrt(squared))
    return exponent + moment - 1.5 * jnp.log(squared) - math.log(2 * math.pi)


def _draw_esag(key: jax.Array, params: Any, n_samples: int) -> tuple[jax.Array, jax.Array]:
    axes, root, ratio = _esag_parts(params)
    x, y, z = jax.random.normal(key, (3, n_samples, *root.shape), root.dtype)
    x, y, z = x * jnp.sqrt(ratio), y / jnp.sqrt(ratio), z + root
    parts = [x * a + y * b + z * c for a, b, c in zip(*axes)]
    n = sphere.unit(jnp.stack(parts, -1))
    return n, _esag(params, n)


ESAG = Family(6, _esag, _draw_esag)
"""A normal vector of mean sqrt(kappa) m, scaled to length 1: its covariance has variances r and
1 / r across m, and 1 along it (Paine et al., Stat. Comput. 28 (2018) 689). Quaternion as in
`flows.sphere`, log kappa, log r; [..., 6]."""


def of_flow(plan: flow.Plan) -> Family:
    """Give the family of a flow of the sphere."""
    return Family(
        flow.size(plan),
        lambda params, n: flow.log_prob(plan, params, n),
        lambda key, params, n_samples: flow.sample(key, plan, params, n_samples),
    )


def _checked(params: Any, size: int) -> jax.Array:
    params = jnp.asarray(params)
    if not params.shape or params.shape[-1] != size:
        raise ValueError(f"params: {params.shape}, expected [..., {size}]")
    return params
