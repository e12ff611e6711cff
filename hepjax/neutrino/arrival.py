"""When photons arrive: Pandel's function, a gamma density, with the Gaussian jitter of a module.

Light that is scattered comes late, by a time that is distributed as a gamma density of shape
a = distance / (scattering length) and rate b (astro-ph/0407044, section 3.3.1), and a module adds
Gaussian noise of sigma. The density of the sum is

    p(t) = b^a sigma^(a-1) exp(-t^2 / (2 sigma^2)) I(a, z) / sqrt(2 pi),    z = b sigma - t / sigma,
    I(a, z) = 1/Gamma(a) int_0^inf y^(a-1) exp(-y^2 / 2 - z y) dy,

a parabolic cylinder function (astro-ph/0506136 and 0704.1706, which approximate it in regions).
Here Laplace's method about the saddle y = (sqrt(z^2 + 4 a) - z) / 2, with Stirling's formula for
Gamma, gives everything that is steep, in a form without differences of large numbers, and the
logarithm of what is left, a bounded function of a and z alone, is read from a table by cubic
splines. That holds in float32 from jitter to microseconds; its derivatives are those of the spline.

`log_density` and `survival` are for likelihoods, `sample` draws.

>>> t = jnp.linspace(-20.0, 3000.0, 30_001)
>>> p = jnp.exp(log_density(t, 1.5, 0.004, 3.0))
>>> round(float(jnp.trapezoid(p, t)), 3), round(float(survival(t[-1], 1.5, 0.004, 3.0)), 5)
(1.0, 2e-05)
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg, special

SHAPES = (math.log(5e-4), math.log(500.0), 93)
"""Grid of log a: first and last node, number; beyond, the nearest is taken."""

SADDLES = (-9.7, 7.7, 621)
"""Grid of arcsinh(z / (BEND sqrt(1 + a)))."""

BEND = 0.3

N_SERIES = 10
HERMITE = np.polynomial.hermite_e.hermegauss(24)


def log_density(t: Any, shape: Any, rate: Any, sigma: Any, *, linear: bool = False) -> jax.Array:
    """Give the logarithm of the density of arrival times t [...], ns after the earliest possible.

    shape: [...] 0.001 to 300; rate: [...] 1/ns; sigma: [...] ns, the jitter; all broadcast. The
    error of the logarithm is below 1e-5 (see the tests); linear: interpolate the table linearly,
    faster, with errors up to 1e-3 and derivatives with steps.
    """
    t, shape, rate, sigma = (jnp.asarray(x) for x in (t, shape, rate, sigma))
    u, beta = t / sigma, rate * sigma
    z = beta - u
    root = jnp.sqrt(z**2 + 4 * shape)
    negative = z < 0
    sum_ = root + jnp.where(negative, -z, z)
    saddle = jnp.where(negative, sum_ / 2, 2 * shape / sum_)
    other = jnp.where(negative, 2 * shape / sum_, sum_ / 2)  # shape / saddle
    steep = shape * jnp.log(beta / other) + (other - beta) * (saddle + u) / 2
    wide = -jnp.log1p(saddle / other) / 2
    at = jnp.log(shape), jnp.arcsinh(z / (BEND * jnp.sqrt(1 + shape)))
    left = _read(*at) if linear else _interpolate(*at)
    return steep + wide + left - jnp.log(sigma * math.sqrt(2 * math.pi))


def survival(t: Any, shape: Any, rate: Any, sigma: Any) -> jax.Array:
    """Give the probability that a photon comes later than t [...]; arguments as `log_density`.

    Well after the earliest time it is the gamma's own, averaged over the jitter by Gauss-Hermite
    quadrature; before, one minus a series of densities of the shapes a + 1, a + 2, ..., which is
    exact and short, as long as the rate is below 0.3 / sigma.
    """
    t, shape, rate, sigma = jnp.broadcast_arrays(*map(jnp.asarray, (t, shape, rate, sigma)))
    early = t < 8 * sigma
    near = jnp.where(early, t, 0.0)
    k = jnp.arange(1, N_SERIES + 1).reshape(-1, *(1,) * t.ndim)
    before = jnp.exp(log_density(near, shape + k, rate, sigma) - jnp.log(rate)).sum(0)
    node, weight = (x.reshape(-1, *(1,) * t.ndim).astype(t.dtype) for x in HERMITE)
    far = jnp.maximum(jnp.where(early, 8 * sigma, t) - sigma * node, 1e-3 * sigma)
    late = jax.scipy.special.gammaincc(shape, rate * far)
    mean = (weight * late).sum(0) / float(HERMITE[1].sum())
    return jnp.where(early, 1 - jnp.minimum(before, 1.0), mean)


def sample(key: jax.Array, shape: Any, rate: Any, sigma: Any) -> jax.Array:
    """Draw arrival times [...], ns; arguments as `log_density`."""
    late, jitter = jax.random.split(key)
    shape, rate, sigma = jnp.broadcast_arrays(*map(jnp.asarray, (shape, rate, sigma)))
    delay = jnp.exp(jax.random.loggamma(late, shape, dtype=shape.dtype)) / rate
    return delay + sigma * jax.random.normal(jitter, shape.shape, shape.dtype)


def _interpolate(x: jax.Array, y: jax.Array) -> jax.Array:
    """Read the table at the coordinates of its grid, both clipped to its range.

    One number at a time: sixteen at once would have an axis of their own, which is four times as
    slow on a CPU, and seven times with a derivative.
    """
    table = _table()
    x, y = jnp.broadcast_arrays(x, y)
    first, f = _place(x, SHAPES)
    second, g = _place(y, SADDLES)
    in_row, in_column = _basis(f), _basis(g)
    flat = jnp.asarray(table.reshape(-1), x.dtype)
    corner = first * table.shape[1] + second
    value = jnp.zeros_like(x)
    for k, row in enumerate(in_row):
        at = corner + k * table.shape[1]
        value += row * sum(column * flat[at + n] for n, column in enumerate(in_column))
    return value


def _read(x: jax.Array, y: jax.Array) -> jax.Array:
    """Read the table as `_interpolate`, between four nodes by straight lines."""
    values = _values()
    first, f = _place(x, SHAPES)
    second, g = _place(y, SADDLES)
    flat = jnp.asarray(values.reshape(-1), f.dtype)
    corner = first * values.shape[1] + second
    low, high = (
        (1 - g) * flat[corner + k] + g * flat[corner + k + 1] for k in (0, values.shape[1])
    )
    return (1 - f) * low + f * high


def _place(x: jax.Array, grid: tuple[float, float, int]) -> tuple[jax.Array, jax.Array]:
    """Find the node of a grid below each x, and how far x is from there to the next."""
    low, high, n = grid
    at = (jnp.clip(x, low, high) - low) * ((n - 1) / (high - low))
    index = jnp.clip(jax.lax.stop_gradient(at).astype(jnp.int32), 0, n - 2)
    return index, at - index


def _basis(f: jax.Array) -> list[jax.Array]:
    """Give cubic basis splines at f in [0, 1] of the nodes around it."""
    g = 1 - f
    inner = [(4 - 6 * f**2 + 3 * f**3) / 6, (4 - 6 * g**2 + 3 * g**3) / 6]
    return [g**3 / 6, *inner, f**3 / 6]


@functools.cache
def _table() -> np.ndarray:
    """Make the coefficients of the cubic spline [shape + 2, saddle + 2], one more at each end."""
    return _coefficients(_coefficients(_values()).T).T


@functools.cache
def _values() -> np.ndarray:
    """Make the table [shape, saddle] itself."""
    log_a, s = (np.linspace(*grid) for grid in (SHAPES, SADDLES))
    return np.stack([_remainder(a, BEND * np.sinh(s) * np.sqrt(1 + a)) for a in np.exp(log_a)])


def _coefficients(values: np.ndarray) -> np.ndarray:
    """Find the cubic spline [node + 2, ...] through values [node, ...] of an even grid, straight at
    its ends.
    """
    bands = np.tile([[1 / 6], [2 / 3], [1 / 6]], len(values))
    bands[:, [0, -1]] = [[1 / 6, 1 / 6], [1, 1], [1 / 6, 1 / 6]]
    bands[0, 1] = bands[2, -2] = 0
    inner = linalg.solve_banded((1, 1), bands, values)
    return np.concatenate([2 * inner[:1] - inner[1:2], inner, 2 * inner[-1:] - inner[-2:-1]])


def _remainder(a: float, z: np.ndarray) -> np.ndarray:
    """Give the logarithm of I over its approximation, for one shape and all z.

    The integral is over u = log y by trapezoids. Where the saddle stands high above y = 0, they are
    put around it. Elsewhere, for a < 1, the integral with exp(-k y), which is known, is taken out,
    so that the integrand vanishes quickly to the left.
    """
    root = np.sqrt(z**2 + 4 * a)
    saddle = np.where(z < 0, (root - z) / 2, 2 * a / (root + np.abs(z)))
    top = a * np.log(saddle) - saddle**2 / 2 - z * saddle  # exponent at the saddle
    width = 1 / np.sqrt(saddle**2 + a)
    ratio = np.empty_like(z)  # of the integral to exp(top)
    far = z < -12
    u = np.log(saddle[far])[:, None] + width[far][:, None] * np.linspace(-14, 14, 81)
    y = np.exp(u)
    exponent = a * u - y**2 / 2 - z[far][:, None] * y - top[far][:, None]
    ratio[far] = np.exp(exponent).sum(1) * width[far] * 28 / 80
    step = 0.8 / (14 + np.sqrt(a))
    u = np.arange(-8 - 40 / max(a, 1.0), 5.0, step)
    y, near, peak = np.exp(u), z[~far][:, None], top[~far]
    power = a * u - peak[:, None]
    total = np.exp(power - y**2 / 2 - near * y).sum(1) * step
    if a < 1:
        k = np.maximum(near, 1.0)
        known = special.gammaln(a) - a * np.log(k[:, 0]) - peak
        total = total - np.exp(power - k * y).sum(1) * step + np.exp(known)
    ratio[~far] = total
    scale = special.gammaln(a) - a * np.log(a) + a  # Gamma against Stirling's formula
    return np.log(ratio) - np.log(width) - np.log(a) / 2 - scale
