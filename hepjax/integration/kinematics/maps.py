"""Maps from a number of the unit interval to an invariant, dense where an integrand is large.

Each takes u [...] and limits and gives a value with the logarithm of its slope; `..._inverse` takes
the value back. Differentiable in limits, masses and widths; narrow peaks need float64.

>>> s, log_slope = breit_wigner(np.array([0.0, 1.0]), 80.0**2, 100.0**2, 91.2, 2.5)
>>> np.asarray(s).round(1).tolist()
[6400.0, 10000.0]
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Mapped = tuple[jax.Array, jax.Array]


def power(u: Any, low: Any, high: Any, exponent: float) -> Mapped:
    """Spread values like x^-exponent, 1 is the logarithm; 0 < low < high."""
    if exponent == 1:
        ratio = jnp.log(high / low)
        x = low * jnp.exp(u * ratio)
        return x, jnp.log(x * ratio)
    k = 1 - exponent
    x = (u * high**k + (1 - u) * low**k) ** (1 / k)
    return x, jnp.log((high**k - low**k) / k) + exponent * jnp.log(x)


def power_inverse(x: Any, low: Any, high: Any, exponent: float) -> Mapped:
    """Take `power` back."""
    if exponent == 1:
        ratio = jnp.log(high / low)
        return jnp.log(x / low) / ratio, -jnp.log(x * ratio)
    k = 1 - exponent
    u = (x**k - low**k) / (high**k - low**k)
    return u, -jnp.log((high**k - low**k) / k) - exponent * jnp.log(x)


def breit_wigner(u: Any, low: Any, high: Any, mass: Any, width: Any) -> Mapped:
    """Spread squared masses like 1 / ((s - M^2)^2 + M^2 width^2), GeV^2."""
    size = mass * width
    first, last = (jnp.arctan((x - mass**2) / size) for x in (low, high))
    angle = first + u * (last - first)
    s = mass**2 + size * jnp.tan(angle)
    return s, jnp.log((last - first) * size) - 2 * jnp.log(jnp.cos(angle))


def breit_wigner_inverse(s: Any, low: Any, high: Any, mass: Any, width: Any) -> Mapped:
    """Take `breit_wigner` back."""
    size = mass * width
    first, last = (jnp.arctan((x - mass**2) / size) for x in (low, high))
    angle = jnp.arctan((s - mass**2) / size)
    return (angle - first) / (last - first), 2 * jnp.log(jnp.cos(angle)) - jnp.log(
        (last - first) * size
    )


def partons(u: Any, s: Any, energy: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Share a partonic s [...] GeV^2 between two hadrons of a collision energy [...] GeV, by the
    rapidity of the pair, evenly: shares x1, x2 and the logarithm of dx1 dx2 / (du ds).
    """
    tau = s / energy**2
    room = -jnp.log(tau)
    y = (u - 0.5) * room
    first, second = jnp.sqrt(tau) * jnp.exp(y), jnp.sqrt(tau) * jnp.exp(-y)
    return first, second, jnp.log(room) - 2 * np.log(energy)


def transfer_limits(s: Any, squares: tuple[Any, Any, Any, Any]) -> tuple[jax.Array, jax.Array]:
    """Give the limits of t = (p_a - p_1)^2, GeV^2, of a b -> 1 2, the backward one first.

    s: [...] GeV^2; squares: of the masses of a, b, 1 and 2, GeV^2, below 0 for what is exchanged.
    """
    a, b, one, two = squares
    size = [_momentum_squared(s, *pair) for pair in ((a, b), (one, two))]
    energies = (s + a - b) * (s + one - two) / (4 * s)
    reach = 2 * jnp.sqrt(size[0] * size[1])
    middle = a + one - 2 * energies
    return middle - reach, middle + reach


def _momentum_squared(s: Any, one: Any, other: Any) -> jax.Array:
    inside = (s - one - other) ** 2 - 4 * one * other
    return jnp.maximum(inside, 0) / (4 * s)


def transfer(
    u: Any, s: Any, squares: tuple[Any, Any, Any, Any], mass: Any, exponent: float
) -> Mapped:
    """Spread t of a b -> 1 2 like (M^2 - t)^-exponent, M being the mass of what is exchanged, GeV.

    s, squares: as for `transfer_limits`; M = 0 needs an exponent below 1, or masses that keep t
    below 0.
    """
    low, high = transfer_limits(s, squares)
    x, log_slope = power(1 - u, mass**2 - high, mass**2 - low, exponent)
    return mass**2 - x, log_slope


def transfer_inverse(
    t: Any, s: Any, squares: tuple[Any, Any, Any, Any], mass: Any, exponent: float
) -> Mapped:
    """Take `transfer` back."""
    low, high = transfer_limits(s, squares)
    u, log_slope = power_inverse(mass**2 - t, mass**2 - high, mass**2 - low, exponent)
    return 1 - u, log_slope
