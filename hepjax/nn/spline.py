"""Monotonic rational-quadratic splines of the unit interval onto itself (arXiv:1906.04032).

A spline has K bins, each a ratio of two quadratic polynomials, with free slopes at all K + 1 knots.
Its parameters come as numbers without bounds: K for the widths and K for the heights of the bins,
which a softmax makes add up to one, and K + 1 for the slopes, which a softplus makes positive.
Zeros are the identity. What one point needs of its bin is summed over bins with a mask, not
gathered: the gradient of a gather is a scatter. The axis of the parameters is the first one, so
that on a CPU the points, which come last, are worked on side by side.

>>> x = jnp.linspace(0, 1, 5)
>>> y, log_det = forward(jnp.zeros((31, 5)), x)
>>> bool(jnp.allclose(x, y)), bool(jnp.allclose(log_det, 0, atol=1e-5))
(True, True)
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MIN = 1e-3
"""Smallest width and height of a bin, and smallest slope before it is scaled."""


class Bin(NamedTuple):
    """What a point needs of its bin: left edge and width, lower edge and height, both slopes."""

    left: jax.Array
    width: jax.Array
    low: jax.Array
    height: jax.Array
    first: jax.Array
    last: jax.Array


def n_parameters(n_bins: int) -> int:
    """Count the parameters of a spline."""
    return 3 * n_bins + 1


def forward(parameters: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Map x [...] in [0, 1] by splines [3 K + 1, ...] (eq. 4), and give log dy/dx [...] (eq. 5).

    What lies outside of the interval is treated as its nearer end. Raises ValueError for a number
    of parameters that no spline has.
    """
    one = _bin_of(parameters, x, by_height=False)
    share = jnp.clip((x - one.left) / one.width, 0, 1)
    mean, both = one.height / one.width, share * (1 - share)
    below = mean + (one.first + one.last - 2 * mean) * both
    y = one.low + one.height * (mean * share**2 + one.first * both) / below
    return jnp.clip(y, 0, 1), _log_slope(one, share)


def inverse(parameters: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Map y [...] in [0, 1] back (eq. 6 to 8), and give log dx/dy [...]; otherwise as `forward`."""
    one = _bin_of(parameters, y, by_height=True)
    mean = one.height / one.width
    above = jnp.clip(y - one.low, 0, one.height)
    bend = above * (one.first + one.last - 2 * mean)
    a, b = one.height * (mean - one.first) + bend, one.height * one.first - bend
    c = -mean * above
    root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 1e-30))  # and not 0, which has no slope
    share = jnp.clip(2 * c / (-b - root), 0, 1)
    return jnp.clip(one.left + share * one.width, 0, 1), -_log_slope(one, share)


def forward_tails(parameters: jax.Array, x: jax.Array, bound: float) -> tuple[jax.Array, jax.Array]:
    """Map x [...] by splines [3 K - 1, ...] of [-bound, bound], and give log dy/dx [...].

    Outside x stays what it is; the slopes at both ends are 1, so that the whole is smooth.
    """
    return _with_tails(forward, parameters, x, bound)


def inverse_tails(parameters: jax.Array, y: jax.Array, bound: float) -> tuple[jax.Array, jax.Array]:
    """Undo `forward_tails`."""
    return _with_tails(inverse, parameters, y, bound)


def _with_tails(
    bend: Callable, parameters: jax.Array, x: jax.Array, bound: float
) -> tuple[jax.Array, jax.Array]:
    n = (len(parameters) + 1) // 3
    end = jnp.zeros_like(parameters[:1])
    whole = jnp.concatenate([parameters[: 2 * n], end, parameters[2 * n :], end])
    inside = jnp.abs(x) < bound
    y, log_slope = bend(whole, jnp.where(inside, x, 0.0) / (2 * bound) + 0.5)
    return jnp.where(inside, (2 * y - 1) * bound, x), jnp.where(inside, log_slope, 0.0)


def _log_slope(one: Bin, share: jax.Array) -> jax.Array:
    mean, rest = one.height / one.width, 1 - share
    both = share * rest
    below = mean + (one.first + one.last - 2 * mean) * both
    above = one.last * share**2 + 2 * mean * both + one.first * rest**2
    return jnp.log(mean**2 * above / below**2)


def _bin_of(parameters: jax.Array, at: jax.Array, *, by_height: bool) -> Bin:
    """Find the bin of each point, by its x or by its y."""
    n, left_over = divmod(len(parameters) - 1, 3)
    if left_over or n < 1:
        raise ValueError(f"parameters: {len(parameters)} a spline, expected 3 K + 1 for K bins")
    shares = [
        MIN + (1 - n * MIN) * jax.nn.softmax(x, axis=0)
        for x in (parameters[:n], parameters[n : 2 * n])
    ]
    slopes = (MIN + jax.nn.softplus(parameters[2 * n :])) / (MIN + math.log(2))
    edges = [_before(share) for share in shares]
    behind = jnp.concatenate([at[None] >= edges[by_height][1:], jnp.zeros((1, *at.shape), bool)])
    inside = jnp.concatenate([~behind[:1], behind[:-1] & ~behind[1:]])

    def pick(values: jax.Array) -> jax.Array:
        return jnp.where(inside, values, 0).sum(0)

    of = edges[0], shares[0], edges[1], shares[1], slopes[:-1], slopes[1:]
    return Bin(*map(pick, of))


def _before(sizes: jax.Array) -> jax.Array:
    """Add up what stands before each bin [bin, ...]; as a product, which is fast both ways, and
    exact: bins must meet.
    """
    n = len(sizes)
    lower = jnp.asarray(np.tril(np.ones((n, n)), -1), sizes.dtype)
    return jnp.tensordot(lower, sizes, 1, precision=jax.lax.Precision.HIGHEST)
