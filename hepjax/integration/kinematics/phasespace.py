"""Momenta of n outgoing particles by 3n - 4 numbers of the unit cube, and back.

The measure is that of Lorentz-invariant phase space without factors of 2 pi, prod d^3p / (2E)
delta^4(P - sum p), GeV^(2n - 4). `rambo` fills it evenly for massless particles: one after the
other is split off what is left, whose mass has a closed distribution (RAMBO on diet,
arXiv:1308.2922); masses are put in by a common factor on the momenta, with a weight (Kleiss,
Stirling, Ellis, Comput. Phys. Commun. 40, 359). `rambo_inverse` gives the numbers back. `volume` is
what the massless measure adds up to. All in float64, differentiable in numbers, energy and masses.

>>> with jax.enable_x64(True):
...     p, log_weight = rambo(np.full((1, 5), 0.3), 100.0, (0.0, 0.0, 0.0))
>>> np.asarray(p).sum(1).round(9).tolist()
[[100.0, 0.0, 0.0, 0.0]]
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import lorentz

N_STEPS = 60
"""Halvings that find a mass."""

N_NEWTON = 12
"""Newton steps that find the common factor of massive momenta."""


def volume(n: int, energy: Any) -> Any:
    """Give the volume of the phase space of n massless particles, GeV^(2n - 4)."""
    factors = math.factorial(n - 1) * math.factorial(n - 2)
    return (np.pi / 2) ** (n - 1) * energy ** (2 * n - 4) / factors


def rambo(numbers: Any, energy: Any, masses: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    """Make momenta in their rest frame [..., particle, 4] and the logarithm of d Phi / d numbers.

    numbers: [..., 3n - 4] from 0 to 1; energy: [...] GeV, above the sum of masses; masses:
    [particle] GeV. Raises ValueError for fewer than two particles, another number of numbers, and
    without float64.
    """
    numbers, n = _checked(numbers, masses)
    energy = jnp.broadcast_to(jnp.asarray(energy, float), numbers.shape[:-1])
    left, mass, made = _at_rest(energy), energy, []
    for k in range(n - 1):
        size = n - k - 1  # particles that are left
        if size > 1:
            share = _share(numbers[..., k], size)
            smaller = mass * jnp.sqrt(share)
        else:
            share, smaller = jnp.zeros_like(mass), jnp.zeros_like(mass)
        cos = 2 * numbers[..., n - 2 + 2 * k] - 1
        phi = 2 * np.pi * numbers[..., n - 1 + 2 * k]
        sin = jnp.sqrt(jnp.maximum(1 - cos**2, 0))
        way = jnp.stack([sin * jnp.cos(phi), sin * jnp.sin(phi), cos], -1)
        p = mass * (1 - share) / 2
        first = jnp.concatenate([p[..., None], p[..., None] * way], -1)
        made.append(boost(first, left, mass))
        left, mass = left - made[-1], smaller
    momenta = jnp.stack([*made, left], -2)
    momenta, log_weight = _massive(
        momenta, energy, jnp.stack([jnp.asarray(m, float) for m in masses])
    )
    return momenta, log_weight + jnp.log(volume(n, energy))


def rambo_inverse(momenta: Any, masses: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    """Give the numbers [..., 3n - 4] of momenta in their rest frame, and the logarithm of d numbers
    / d Phi.

    momenta: [..., particle, 4] GeV; masses: [particle]. Raises ValueError as `rambo` does.
    """
    momenta, n = jnp.asarray(momenta, float), len(masses)
    _checked(np.zeros(3 * n - 4), masses)
    energy = momenta[..., 0].sum(-1)
    size = jnp.sqrt((momenta[..., 1:] ** 2).sum(-1))
    factor = size.sum(-1) / energy
    log_weight = _log_weight(momenta[..., 0], size, energy)
    way = momenta[..., 1:] / factor[..., None, None]
    massless = jnp.concatenate([size[..., None] / factor[..., None, None], way], -1)
    shares, angles = [], []
    mass = energy
    for k in range(n - 1):
        left = massless[..., k:, :].sum(-2)
        rest = massless[..., k + 1 :, :].sum(-2)
        smaller = jnp.zeros_like(mass)
        if k < n - 2:
            smaller = jnp.sqrt(jnp.maximum(lorentz.mass_squared(rest), 0))
            shares.append(_fraction((smaller / mass) ** 2, n - k - 1))
        first = boost(massless[..., k, :], left * jnp.array([1, -1, -1, -1.0]), mass)
        angles.append((first[..., 3] / first[..., 0] + 1) / 2)
        angles.append(jnp.arctan2(first[..., 2], first[..., 1]) / (2 * np.pi) % 1)
        mass = smaller
    return jnp.stack([*shares, *angles], -1), -log_weight - jnp.log(volume(n, energy))


def _checked(numbers: Any, masses: Sequence[Any]) -> tuple[jax.Array, int]:
    n = len(masses)
    if not jax.config.jax_enable_x64:  # type: ignore
        raise ValueError("phase space: expected float64, which is off: jax_enable_x64")
    if n < 2:
        raise ValueError(f"masses: {n} particles, expected at least 2")
    numbers = jnp.asarray(numbers, float)
    if numbers.shape[-1] != 3 * n - 4:
        raise ValueError(f"numbers: {numbers.shape[-1]}, expected {3 * n - 4} for {n} particles")
    return numbers, n


def _at_rest(energy: jax.Array) -> jax.Array:
    return jnp.stack([energy, *[jnp.zeros_like(energy)] * 3], -1)


def boost(p: jax.Array, by: jax.Array, mass: jax.Array) -> jax.Array:
    """Take p [..., 4] out of the rest frame of a momentum [..., 4] of known mass [...], which its
    velocity would lose (`lorentz.boost`) where it is small.
    """
    along = (p[..., 1:] * by[..., 1:]).sum(-1)
    energy = (p[..., 0] * by[..., 0] + along) / mass
    share = (along / (by[..., 0] + mass) + p[..., 0]) / mass
    return jnp.concatenate([energy[..., None], p[..., 1:] + share[..., None] * by[..., 1:]], -1)


def _fraction(share: Any, size: int) -> Any:
    """Give how often a system of `size` massless particles has less than a share of the squared
    mass of what it came from.
    """
    return share ** (size - 1) * (size - (size - 1) * share)


def _share(fraction: jax.Array, size: int) -> jax.Array:
    """Find the share of a fraction, by halving; the last step is Newton's, which has the slope."""

    def halve(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        above = _fraction(middle, size) > target
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    target = jax.lax.stop_gradient(fraction)
    ends = jnp.zeros_like(target), jnp.ones_like(target)
    found = sum(jax.lax.fori_loop(0, N_STEPS, halve, ends)) / 2
    slope = size * (size - 1) * found ** (size - 2) * (1 - found)
    steep = slope > 1e-12
    step = (fraction - _fraction(found, size)) / jnp.where(steep, slope, 1.0)
    return jnp.clip(found + jnp.where(steep, step, 0.0), 0.0, 1.0)


def _massive(
    momenta: jax.Array, energy: jax.Array, masses: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Give massless momenta their masses, at the same total energy, and the logarithm of the
    weight of it.
    """
    size = momenta[..., 0]

    def too_much(factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        energies = jnp.sqrt(masses**2 + (factor[..., None] * size) ** 2)
        slope = (factor[..., None] * size**2 / energies).sum(-1)
        return energies.sum(-1) - energy, slope

    def newton(_: Any, factor: jax.Array) -> jax.Array:
        excess, slope = too_much(factor)
        return factor - excess / slope

    start = jnp.sqrt(jnp.maximum(1 - (masses.sum() / energy) ** 2, 1e-12))
    factor = jax.lax.stop_gradient(jax.lax.fori_loop(0, N_NEWTON, newton, start))
    factor = newton(0, factor)  # which has the slopes in energy and masses
    space = factor[..., None, None] * momenta[..., 1:]
    energies = jnp.sqrt(masses**2 + (space**2).sum(-1))
    found = jnp.concatenate([energies[..., None], space], -1)
    return found, _log_weight(energies, factor[..., None] * size, energy)


def _log_weight(energies: jax.Array, size: jax.Array, energy: jax.Array) -> jax.Array:
    """Give the logarithm of the weight of massive momenta, by energies, sizes [..., particle]."""
    n = energies.shape[-1]
    return (
        (2 * n - 3) * jnp.log(size.sum(-1) / energy)
        + jnp.log(size / energies).sum(-1)
        - jnp.log((size**2 / energies).sum(-1) / energy)
    )
