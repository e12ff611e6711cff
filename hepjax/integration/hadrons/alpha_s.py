"""The strong coupling at any scale, from its value at one.

`running` takes the value at a scale and finds those at the thresholds, where the number of quark
flavours changes; `alpha_s` goes on from the nearest one. In between stands the equation of the
renormalization group with one, two or three terms (d a / d log mu^2 = -a^2 (b0 + b1 a + b2 a^2)),
solved in numbers, with no expansion in logarithms, so that it is the same from wherever one begins.
With three terms the coupling has a step at a threshold, -11/72 (a / pi)^2 of it for masses in the
scheme MSbar at their own scale, 7/24 (a / pi)^2 for those of poles (hep-ph/9706430); with one or
two it has none. All in float64, differentiable in the value, the scales and the thresholds.

>>> with jax.enable_x64(True):
...     print(alpha_s(running(0.118, loops=2), np.array([10.0, 91.188, 1000.0]) ** 2).round(4))
[0.1779 0.118  0.0868]
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

N_STEPS = 24
"""Steps of Runge and Kutta along one stretch, in 1 / a, which is nearly a straight line."""
N_TURNS = 8
"""Turns that take the step at a threshold back, each of which is nearer by a hundred times."""


class Running(NamedTuple):
    """A coupling that runs.

    log_from: [flavours] where each number of flavours is gone on from, log GeV^2; value: [flavours]
    the coupling there; log_thresholds: [threshold]; beta: [flavours, 3] b0, b1 and b2, 0 for those
    that are left out.
    """

    log_from: Any
    value: Any
    log_thresholds: Any
    beta: Any


def coefficients(flavours: int, loops: int = 3) -> np.ndarray:
    """Give b0, b1, b2 [3] for a number of flavours; raises ValueError for other than 1 to 3 loops.

    arXiv:hep-ph/9701390, in the scheme MSbar.
    """
    if loops not in (1, 2, 3):
        raise ValueError(f"loops: {loops}, expected 1, 2 or 3")
    n = flavours
    b0 = (33 - 2 * n) / (12 * np.pi)
    b1 = (153 - 19 * n) / (24 * np.pi**2)
    b2 = (2857 - 5033 / 9 * n + 325 / 27 * n**2) / (128 * np.pi**3)
    return np.array([b0, b1, b2]) * (np.arange(3) < loops)


def running(
    value: Any = 0.118,
    scale: Any = 91.188,
    *,
    loops: int = 2,
    thresholds: Sequence[Any] = (1.5, 4.7),
    flavours: int = 5,
    poles: bool = False,
) -> Running:
    """Prepare the coupling that has a value at a scale, GeV.

    thresholds: masses of charm, bottom and, if it is named, top, GeV, at which a flavour comes to
    the three; flavours: number of which the value is; poles: the masses are those of poles. Raises
    ValueError for a number of flavours that these thresholds do not reach, and without float64.
    """
    if not jax.config.jax_enable_x64:  # type: ignore
        raise ValueError("alpha_s: expected float64, which is off: jax_enable_x64")
    n = len(thresholds)
    if not 3 <= flavours <= 3 + n:
        raise ValueError(f"flavours: {flavours}, expected 3 to {3 + n} with {n} thresholds")
    beta = jnp.stack([jnp.asarray(coefficients(3 + k, loops)) for k in range(n + 1)])
    logs = 2 * jnp.log(jnp.array([jnp.asarray(m, float) for m in thresholds]))
    step = 0.0 if loops < 3 else (7 / 24 if poles else -11 / 72) / np.pi**2
    at = {flavours - 3: (2 * jnp.log(jnp.asarray(scale, float)), jnp.asarray(value, float))}
    for k in range(flavours - 3, n):  # up
        log_from, known = at[k]
        below = _go(beta[k], known, log_from, logs[k])
        at[k + 1] = logs[k], below * (1 + step * below**2)  # type: ignore
    for k in range(flavours - 3, 0, -1):  # down
        log_from, known = at[k]
        above = _go(beta[k], known, log_from, logs[k - 1])
        below = above
        for _ in range(N_TURNS):
            below = above / (1 + step * below**2)  # type: ignore
        at[k - 1] = logs[k - 1], below
    starts, values = (jnp.stack([at[k][i] for k in range(n + 1)]) for i in (0, 1))
    return Running(starts, values, logs, beta)


def alpha_s(coupling: Running, scale2: Any) -> jax.Array:
    """Give the coupling [...] at squared scales [...] GeV^2; NaN where it has no value any more."""
    log_to = jnp.log(jnp.asarray(scale2, float))
    k = jnp.searchsorted(coupling.log_thresholds, log_to, side="right")
    return _go(coupling.beta[k], coupling.value[k], coupling.log_from[k], log_to)


@jax.jit
def _go(beta: Any, value: Any, log_from: Any, log_to: Any) -> jax.Array:
    """Take the coupling from one scale to another, at a fixed number of flavours."""
    b0, b1, b2 = beta[..., 0], beta[..., 1], beta[..., 2]
    step = (log_to - log_from) / N_STEPS

    def slope(inverse: Any) -> Any:
        return b0 + (b1 + b2 / inverse) / inverse

    def turn(_: Any, at: Any) -> Any:
        one = slope(at)
        two = slope(at + step / 2 * one)
        three = slope(at + step / 2 * two)
        four = slope(at + step * three)
        return at + step / 6 * (one + 2 * two + 2 * three + four)

    start = jnp.broadcast_to(1 / value, jnp.shape(step))
    inverse = jax.lax.fori_loop(0, N_STEPS, turn, start)
    return jnp.where(inverse > 0, 1 / inverse, jnp.nan)
