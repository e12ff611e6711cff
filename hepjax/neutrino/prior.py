"""What events there are before one looks: the density that the simulation draws from.

Directions are even over the sphere. A track passes the detector's centre at a point that is even in
a disc across it; cascades and starting tracks begin anywhere in an upright cylinder. Energies
follow a power law between two ends, times are even in a window. Nuisances, the factors on
scattering and absorption lengths and on the efficiency of modules, are log-normal about a centre.

`draw` draws, `log_density` is its density, per steradian, m^2 (tracks) or m^3, ns, log10 GeV and
logarithm of each nuisance; an exact posterior needs both to agree.

>>> truth = draw(jax.random.key(0), Prior(), "track", 1000)
>>> bool((jnp.abs((truth.position * truth.direction).sum(-1)) < 1e-3).all())
True
>>> jax.vmap(lambda one: log_density(Prior(), "track", one))(truth).shape
(1000,)
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hepjax.neutrino.data import Truth
from hepjax.neutrino.light import KINDS

NUISANCES = ("scattering", "absorption", "efficiency")


class Prior(NamedTuple):
    """What may be.

    centre: m, of disc and cylinder; radius, half_height: m; log_energy: both ends, log10 GeV;
    index: of the spectrum, events fall as E^-index; time: ns, half of the window, about 0;
    scattering, absorption, efficiency: centre of the factor, and standard deviation of its
    logarithm, 0 if it is known.
    """

    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 500.0
    half_height: float = 500.0
    log_energy: tuple[float, float] = (2.0, 4.0)
    index: float = 2.0
    time: float = 500.0
    scattering: tuple[float, float] = (1.0, 0.3)
    absorption: tuple[float, float] = (1.0, 0.3)
    efficiency: tuple[float, float] = (1.0, 0.1)


def frame(direction: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give two unit vectors [..., 3] across a direction [..., 3], which turn over at one pole alone
    (z < 0 is mirrored); fit for draws and for a neighbourhood, not for what must be smooth
    everywhere.
    """
    x, y, z = direction[..., 0], direction[..., 1], direction[..., 2]
    sign = jnp.where(z < 0, -1.0, 1.0)
    a = -1 / (sign + z)
    b = x * y * a
    first = jnp.stack([1 + sign * x**2 * a, sign * b, -sign * x], -1)
    return first, jnp.stack([b, sign + y**2 * a, -y], -1)


def draw(key: jax.Array, prior: Prior, kind: str, n: int) -> Truth:
    """Draw n events; fields [event, ...]. Raises ValueError for an unknown kind."""
    _check(kind)
    keys = jax.random.split(key, 8)
    direction = jax.random.normal(keys[0], (n, 3))
    direction = direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)
    radius = prior.radius * jnp.sqrt(jax.random.uniform(keys[1], (n,)))
    angle = jax.random.uniform(keys[2], (n,), maxval=2 * jnp.pi)
    across = radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
    if kind == "track":
        first, second = frame(direction)
        place = across[:, :1] * first + across[:, 1:] * second
    else:
        height = jax.random.uniform(keys[3], (n, 1), minval=-1.0) * prior.half_height
        place = jnp.concatenate([across, height], -1)
    log_energy = _quantile(prior, jax.random.uniform(keys[4], (n,)))
    time = jax.random.uniform(keys[5], (n,), minval=-prior.time, maxval=prior.time)
    normal = jax.random.normal(keys[6], (3, n))
    factors = [
        centre * jnp.exp(spread * x) for (centre, spread), x in zip(_nuisances(prior), normal)
    ]
    position = jnp.asarray(prior.centre) + place
    return Truth(position, direction, time, log_energy, *factors)


def log_density(prior: Prior, kind: str, truth: Truth) -> jax.Array:
    """Give the logarithm of the density of one event, minus infinity where there is none.

    Nuisances that are known (spread 0) are not looked at. Raises ValueError for an unknown kind.
    """
    _check(kind)
    value = jnp.where(inside(prior, kind, truth), 0.0, -jnp.inf)
    area = jnp.pi * prior.radius**2
    if kind != "track":
        area = area * 2 * prior.half_height
    low, high = prior.log_energy
    slope = -(prior.index - 1) * math.log(10)
    size = high - low if abs(slope) < 1e-6 else math.expm1(slope * (high - low)) / slope
    value += slope * (truth.log_energy - low) - math.log(size)
    value -= jnp.log(area) + math.log(4 * math.pi) + math.log(2 * prior.time)
    for name, (centre, spread) in zip(NUISANCES, _nuisances(prior)):
        if spread > 0:
            pull = jnp.log(getattr(truth, name) / centre) / spread
            value += -(pull**2) / 2 - math.log(spread * math.sqrt(2 * math.pi))
    return value


def inside(prior: Prior, kind: str, truth: Truth) -> jax.Array:
    """Tell whether one event is where there are any: disc or cylinder, energies, times."""
    place = truth.position - jnp.asarray(prior.centre)
    low, high = prior.log_energy
    there = (truth.log_energy >= low) & (truth.log_energy <= high)
    there &= jnp.abs(truth.time) <= prior.time
    if kind == "track":
        return there & ((place**2).sum(-1) <= prior.radius**2)
    there &= (place[..., :2] ** 2).sum(-1) <= prior.radius**2
    return there & (jnp.abs(place[..., 2]) <= prior.half_height)


def _quantile(prior: Prior, u: jax.Array) -> jax.Array:
    """Map [0, 1] to log10 E."""
    low, high = prior.log_energy
    slope = -(prior.index - 1) * math.log(10)
    if abs(slope) < 1e-6:
        return low + (high - low) * u
    return low + jnp.log1p(u * math.expm1(slope * (high - low))) / slope


def _nuisances(prior: Prior) -> tuple[tuple[float, float], ...]:
    return tuple(getattr(prior, name) for name in NUISANCES)


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r}, expected one of {', '.join(KINDS)}")
