"""Splines of two bins whose second derivative is continuous too, of an interval and of a circle.

A density that a spline makes has the spline's slope in it: to be smooth it needs a spline that is
twice differentiable. A rational-quadratic one (Gregory and Delbourgo, IMA J. Numer. Anal. 2 (1982)
123; `spline` here) is, if the slopes at its inner knots solve quadratic equations. With one inner
knot there is one equation, with exactly one positive root for any positive slopes at the ends; on
a circle with two knots both slopes are the same root. So all is in closed form both ways, and
monotonic; several such splines, one after the other, make as many bins as are wanted.

Points of the interval are given as x and 1 - x: both ends keep their relative precision, also in
float32. Parameters without bounds come on the first axis; zeros are the identity, and so are
widths and heights that agree.

>>> parameters = jnp.array([0.3, 0.5, 1.0, -1.0])
>>> low, high, ratio, log_slope = forward(parameters, 0.2, 0.8)
>>> again, *_ = inverse(parameters, low, high)
>>> round(float(low), 3), round(float(again), 6), round(float(low + high), 6)
(0.359, 0.2, 1.0)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

MIN = 0.01
"""Smallest width and height of a bin."""
STEEPEST = 5.0
"""Largest logarithm of a slope at an end."""
N_INTERVAL, N_CIRCLE = 4, 2
"""Numbers of parameters."""


class Bent(NamedTuple):
    """What a spline makes of x and 1 - x: both, the product of both over what it was, and the
    logarithm of the slope.
    """

    low: jax.Array
    high: jax.Array
    ratio: jax.Array
    log_slope: jax.Array


class _Knot(NamedTuple):
    """The inner knot: where, how high, and the slopes at the lower end, there, at the upper end."""

    width: jax.Array
    height: jax.Array
    first: jax.Array
    middle: jax.Array
    last: jax.Array


def forward(parameters: Any, low: Any, high: Any) -> Bent:
    """Bend an interval: parameters [4, ...], low = x [...] in [0, 1], high = 1 - x.

    They say where the knot is, how high above there, and the slopes at both ends. Raises ValueError
    for another number of parameters.
    """
    return _forward(_interval(parameters), low, high)


def inverse(parameters: Any, low: Any, high: Any) -> Bent:
    """Undo `forward`."""
    return _inverse(_interval(parameters), low, high)


def circle_forward(parameters: Any, turn: Any) -> tuple[jax.Array, jax.Array]:
    """Bend a circle: parameters [2, ...], turn [...] in [0, 1]; gives it and log slope [...].

    They say where the second knot is (the first one is at 0), and how high above there. Raises
    ValueError for another number of parameters.
    """
    bent = _forward(_circle(parameters), turn, 1 - turn)
    return bent.low, bent.log_slope


def circle_inverse(parameters: Any, turn: Any) -> tuple[jax.Array, jax.Array]:
    """Undo `circle_forward`."""
    bent = _inverse(_circle(parameters), turn, 1 - turn)
    return bent.low, bent.log_slope


def _interval(parameters: Any) -> _Knot:
    """Solve d^2 + b d = c for the slope d at the knot."""
    width, height = _sizes(parameters, N_INTERVAL)
    first, last = (jnp.exp(STEEPEST * jnp.tanh(x / STEEPEST)) for x in parameters[2:])
    inside, c = _curvature(width, height)
    b = last * height + first * (1 - height) - inside
    root = jnp.sqrt(b * b + 4 * c)
    up = b > 0
    middle = jnp.where(up, 2 * c / (root + jnp.abs(b)), (root - b) / 2)
    return _Knot(width, height, first, middle, last)


def _circle(parameters: Any) -> _Knot:
    """Solve 2 d^2 - q d = c for the slope at both knots."""
    width, height = _sizes(parameters, N_CIRCLE)
    inside, c = _curvature(width, height)
    slope = (inside + jnp.sqrt(inside * inside + 8 * c)) / 4
    return _Knot(width, height, slope, slope, slope)


def _sizes(parameters: Any, n: int) -> tuple[jax.Array, jax.Array]:
    if len(parameters) != n:
        raise ValueError(f"parameters: {len(parameters)} a spline, expected {n}")
    odds = parameters[0], parameters[0] + parameters[1]
    width, height = (MIN + (1 - 2 * MIN) * jax.nn.sigmoid(x) for x in odds)
    return width, height


def _curvature(width: jax.Array, height: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give what the equations of both have in common."""
    of_height, rest = height * (1 - height), 1 - width
    squares = (1 - height) / (rest * rest) + height / (width * width)
    return of_height / (width * rest), of_height * squares


def _forward(knot: _Knot, low: Any, high: Any) -> Bent:
    near = low < knot.width
    width, height, slope = _side(knot, near)
    at, mean = jnp.where(near, low, high), height / width
    share = at / width
    rest = 1 - share
    below = mean + (slope + knot.middle - 2 * mean) * share * rest
    stretch = mean * (mean * share + slope * rest) / below  # of the distance from the end
    found = at * stretch
    other = (1 - found) / jnp.where(near, high, low)
    return Bent(
        jnp.where(near, found, 1 - found),
        jnp.where(near, 1 - found, found),
        stretch * other,
        _log_slope(knot, mean, slope, share),
    )


def _inverse(knot: _Knot, low: Any, high: Any) -> Bent:
    near = low < knot.height
    width, height, slope = _side(knot, near)
    at, mean = jnp.where(near, low, high), height / width
    bend = at * (slope + knot.middle - 2 * mean)
    a, b = height * (mean - slope) + bend, height * slope - bend
    root = jnp.sqrt(jnp.maximum(b * b + 4 * a * mean * at, 1e-30))
    stretch = 2 * height / (b + root)
    found = at * stretch
    other = (1 - found) / jnp.where(near, high, low)
    return Bent(
        jnp.where(near, found, 1 - found),
        jnp.where(near, 1 - found, found),
        stretch * other,
        -_log_slope(knot, mean, slope, found / width),
    )


def _side(knot: _Knot, near: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Give width, height and slope at its end of the bin below (near) or above the knot."""
    width = jnp.where(near, knot.width, 1 - knot.width)
    height = jnp.where(near, knot.height, 1 - knot.height)
    return width, height, jnp.where(near, knot.first, knot.last)


def _log_slope(knot: _Knot, mean: jax.Array, slope: jax.Array, share: jax.Array) -> jax.Array:
    rest = 1 - share
    both = share * rest
    below = mean + (slope + knot.middle - 2 * mean) * both
    above = knot.middle * share * share + 2 * mean * both + slope * rest * rest
    return jnp.log(above * (mean / below) ** 2)
