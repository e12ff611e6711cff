"""Maps of the sphere onto itself that a flow is made of, each in closed form both ways.

A point is seen from an axis: across it x and y, and `low` and `high`, the fractions of the sphere
that are closer to the axis, and to its other end, than the point is. As low + high = 1 and x^2 +
y^2 = 4 low high there is too much of it, but so all keep their relative precision, also in float32
and a thousandth of a degree from the axis. The area is d(low) times the azimuth's: maps of low have
no sines in their Jacobian.

`ZOOM` takes even points to those of a von Mises-Fisher density about the axis; `VERTICAL` bends
low, `CIRCULAR` the azimuth by splines (`nn.smooth_spline`), the latter less and less towards the
poles, so that densities are smooth there; `BOOST` is the aberration of light, and `LINEAR` takes a
vector n to A n / |A n|: neither knows of poles. Each has `size(bins)` and two functions (parameters
[size, ...], bins, point) -> (point, log |Jacobian| [...]): `forward` towards the data, `inverse`
back. Parameters without bounds; zeros are the identity, of a zoom nearly.

>>> point = of_vector(0.6, 0.0, 0.8)
>>> near, log_det = ZOOM.forward(jnp.array([8.0]), 3, point)
>>> round(float(near.low), 6), round(float(log_det), 3)
(0.000355, -5.588)
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.nn import smooth_spline

LOG_KAPPA = (-6.0, 18.0)
"""Bounds of the logarithm of a zoom's kappa."""
START = -3.0
"""Its value for a parameter of zero: a density even to 5 %."""
LARGEST = 3.0
"""Largest velocity times gamma of a boost, and logarithm of a diagonal element."""


class Point(NamedTuple):
    """A point as seen from an axis, see the module; each [...]."""

    x: jax.Array
    y: jax.Array
    low: jax.Array
    high: jax.Array


class Kind(NamedTuple):
    """A kind of map: number of its parameters for so many bins, and both ways through it."""

    name: str
    size: Callable[[int], int]
    forward: Callable[[Any, int, Point], tuple[Point, jax.Array]]
    inverse: Callable[[Any, int, Point], tuple[Point, jax.Array]]


def of_vector(x: Any, y: Any, z: Any) -> Point:
    """Make a point of a unit vector whose x and y keep their precision near both poles."""
    up = z > 0
    far = (1 + jnp.abs(z)) / 2
    near = (x * x + y * y) / (4 * far)
    return Point(x, y, jnp.where(up, near, far), jnp.where(up, far, near))


def log_kappa(parameter: Any) -> jax.Array:
    """Give log kappa: the parameter and START, bent softly where it would leave LOG_KAPPA."""
    least, most = LOG_KAPPA
    x = parameter + START
    return least + jax.nn.softplus(x - least) - jax.nn.softplus(x - most)


def _zoom_out(parameters: Any, bins: int, point: Point) -> tuple[Point, jax.Array]:
    """Spread a von Mises-Fisher density evenly: low' = (1 - e^(-2 k low)) / (1 - e^(-2 k))."""
    del bins
    log_k = log_kappa(parameters[0])
    twice = 2 * jnp.exp(log_k)
    all_of_it, fall = -jnp.expm1(-twice), jnp.exp(-twice * point.low)
    low = -jnp.expm1(-twice * point.low) / all_of_it
    high = fall * -jnp.expm1(-twice * point.high) / all_of_it
    of_low, of_high, of_all = (_expm1_over(-twice * x) for x in (point.low, point.high, 1.0))
    half_fall = jnp.exp(-twice * point.low / 2)  # and not a root, whose slope at 0 is infinite
    across = half_fall * jnp.sqrt(of_low * of_high) / of_all
    log_det = log_k + math.log(2) - twice * point.low - jnp.log(all_of_it)
    return Point(across * point.x, across * point.y, low, high), log_det


def _zoom_in(parameters: Any, bins: int, point: Point) -> tuple[Point, jax.Array]:
    """Undo `_zoom_out`."""
    del bins
    log_k = log_kappa(parameters[0])
    twice = 2 * jnp.exp(log_k)
    all_of_it = -jnp.expm1(-twice)
    part = point.low * all_of_it
    upper = part > 0.5
    rest = jnp.maximum(point.high + point.low * jnp.exp(-twice), 1e-30)  # 1 - part
    exact = -jnp.log1p(-jnp.where(upper, 0.5, part)) / twice
    low = jnp.where(upper, -jnp.log(jnp.where(upper, rest, 1.0)) / twice, exact)
    mild = twice < 16.0  # beyond, no point comes so close to the other end that it matters
    tame = jnp.where(mild, twice, 1.0)
    high = jnp.where(mild, jnp.log1p(point.high * jnp.expm1(tame)) / tame, 1 - low)
    of_low, of_high, of_all = (_expm1_over(-twice * x) for x in (low, high, 1.0))
    across = of_all / (jnp.exp(-twice * low / 2) * jnp.sqrt(of_low * of_high))
    log_det = twice * low + jnp.log(all_of_it) - log_k - math.log(2)
    return Point(across * point.x, across * point.y, low, high), log_det


def _expm1_over(x: jax.Array) -> jax.Array:
    """Compute (e^x - 1) / x, 1 at 0."""
    small = jnp.abs(x) < 1e-5
    away = jnp.where(small, 1.0, x)
    return jnp.where(small, 1 + x / 2, jnp.expm1(away) / away)


def _vertical(bend: Callable, way: int) -> Callable:
    def through(parameters: Any, bins: int, point: Point) -> tuple[Point, jax.Array]:
        n, (x, y, low, high) = smooth_spline.N_INTERVAL, point
        log_det, ratio = jnp.zeros_like(low), jnp.ones_like(low)
        for k in list(range(bins - 1))[::way]:
            place, *others = (parameters[n * k + j] for j in range(n))
            start = math.log((k + 1) / (bins - 1 - k))  # knots at 1 / bins, 2 / bins, ...
            bent = bend([place + start, *others], low, high)
            low, high, ratio = bent.low, bent.high, ratio * bent.ratio
            log_det = log_det + bent.log_slope
        across = jnp.sqrt(ratio)
        return Point(across * x, across * y, low, high), log_det

    return through


def _circular(bend: Callable, way: int) -> Callable:
    def through(parameters: Any, bins: int, point: Point) -> tuple[Point, jax.Array]:
        x, y, low, high = point
        share = 2 * jnp.minimum(low, high)
        damping = share**3 * (10 + share * (6 * share - 15))
        away = low * high > 1e-10  # closer to a pole nothing turns, and there is no azimuth
        start = jnp.arctan2(jnp.where(away, y, 0.0), jnp.where(away, x, 1.0)) / (2 * math.pi)
        turn, log_det = start, jnp.zeros_like(low)
        for k in list(range(bins - 1))[::way]:
            phase = parameters[3 * k] / (2 * math.pi) + k / (2 * bins - 2)
            at = turn + phase
            at = at - jnp.floor(at)
            found, log_slope = bend([parameters[3 * k + 1], damping * parameters[3 * k + 2]], at)
            turn, log_det = turn + (found - at), log_det + log_slope
        by = 2 * math.pi * (turn - start)
        cos, sin = jnp.cos(by), jnp.sin(by)
        return Point(cos * x - sin * y, sin * x + cos * y, low, high), log_det

    return through


def _boost(sign: int) -> Callable:
    def through(parameters: Any, bins: int, point: Point) -> tuple[Point, jax.Array]:
        """Boost light along a velocity: Doppler's factor to the power of -2 is the Jacobian."""
        del bins
        squared = sum(p * p for p in parameters)
        scale = sign / jnp.sqrt(1 + squared / LARGEST**2)
        a, b, c = (scale * p for p in parameters)
        gamma = jnp.sqrt(1 + a * a + b * b + c * c)
        z = point.high - point.low
        along = a * point.x + b * point.y + c * z
        doppler, push = gamma + along, 1 + along / (gamma + 1)
        x, y, z = ((n + push * w) / doppler for n, w in ((point.x, a), (point.y, b), (z, c)))
        return of_vector(x, y, z), -2 * jnp.log(doppler)

    return through


def _matrix(parameters: Any) -> list[jax.Array]:
    """Give the six elements of a lower triangular matrix of determinant 1, rows in order."""
    first, second = (LARGEST * jnp.tanh(p / LARGEST) for p in parameters[:2])
    a, c, f = jnp.exp(first), jnp.exp(second), jnp.exp(-first - second)
    return [a, parameters[2], c, parameters[3], parameters[4], f]


def _linear_in(parameters: Any, bins: int, point: Point) -> tuple[Point, jax.Array]:
    del bins
    a, b, c, d, e, f = _matrix(parameters)
    x, y = a * point.x, b * point.x + c * point.y
    return _scaled(x, y, d * point.x + e * point.y + f * (point.high - point.low))


def _linear_out(parameters: Any, bins: int, point: Point) -> tuple[Point, jax.Array]:
    del bins
    a, b, c, d, e, f = _matrix(parameters)
    x = point.x / a
    y = (point.y - b * x) / c
    return _scaled(x, y, (point.high - point.low - d * x - e * y) / f)


def _scaled(x: jax.Array, y: jax.Array, z: jax.Array) -> tuple[Point, jax.Array]:
    squared = x * x + y * y + z * z
    over = jax.lax.rsqrt(squared)
    return of_vector(x * over, y * over, z * over), -1.5 * jnp.log(squared)


ZOOM = Kind("zoom", lambda bins: 1, _zoom_in, _zoom_out)
VERTICAL = Kind(
    "vertical",
    lambda bins: smooth_spline.N_INTERVAL * (bins - 1),
    _vertical(smooth_spline.forward, 1),
    _vertical(smooth_spline.inverse, -1),
)
CIRCULAR = Kind(
    "circular",
    lambda bins: (1 + smooth_spline.N_CIRCLE) * (bins - 1),
    _circular(smooth_spline.circle_forward, 1),
    _circular(smooth_spline.circle_inverse, -1),
)
BOOST = Kind("boost", lambda bins: 3, _boost(1), _boost(-1))
LINEAR = Kind("linear", lambda bins: 5, _linear_in, _linear_out)
