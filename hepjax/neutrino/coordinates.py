"""Numbers of order one around an event, and its posterior in them: what fits and samplers move in.

A chart has an anchor near the pulses and a direction. Its coordinates are: two of the direction,
stereographic, which leaves out the opposite direction alone; where the track passes the anchor,
across the new direction (vertices: two and a third number along the old one); the time there;
the logit of the share of the prior's energies that are below, so that there is no wall where the
spectrum, and most events, begin; and the logarithms of the three nuisances. The anchor takes away
most of the correlation that a far-off centre would bring between direction and place.

Volumes: place and time keep theirs; the direction has 1 / (1 + r^2 / 4)^2 steradian a unit of area.
`log_posterior` knows that, so that draws in these coordinates are draws of the posterior under the
prior of the simulation.

>>> one = chart(jnp.zeros(3), 0.0, jnp.array([0.0, 0.6, 0.8]))
>>> around = truth("track", prior.Prior(), one, jnp.zeros(9))
>>> bool(jnp.allclose(around.direction, one.direction)), float(around.scattering)
(True, 1.0)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.neutrino import likelihood, prior
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.media import LIGHT
from hepjax.neutrino.simulation import Setup

ANGLE, LENGTH, TIME = 0.03, 10.0, 30.0
"""Units of the coordinates: rad, m, ns."""


class Chart(NamedTuple):
    """Where coordinates are zero: anchor [3] m, time ns there, direction [3], and the frame."""

    anchor: jax.Array
    time: jax.Array
    direction: jax.Array
    first: jax.Array
    second: jax.Array


def chart(anchor: jax.Array, time: jax.Array | float, direction: jax.Array) -> Chart:
    """Make a chart; batch with vmap."""
    return Chart(anchor, jnp.asarray(time), direction, *prior.frame(direction))


def around(kind: str, event: Truth, near: jax.Array) -> Chart:
    """Put a chart on one event: at a vertex, or where its track is closest to a point [3] near."""
    if kind != "track":
        return chart(event.position, event.time, event.direction)
    along = (near - event.position) @ event.direction
    anchor = event.position + along * event.direction
    return chart(anchor, event.time + along / LIGHT, event.direction)


def transported(one: Chart, other: Chart) -> Chart:
    """Give the other chart the axes of one, turned by the smallest angle to its direction: to first
    order, what is said in coordinates of one holds in those of the other.
    """
    first, second = _turned(one, other.direction)
    return other._replace(first=first, second=second)


def _turned(one: Chart, n: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Turn both axes of a chart with its direction to n [3]."""
    turn = (one.direction + n) / (1 + one.direction @ n)
    return one.first - (one.first @ n) * turn, one.second - (one.second @ n) * turn


def dim(kind: str) -> int:
    """Count the coordinates: 9 of tracks, 10 of vertices."""
    return 9 if kind == "track" else 10


def n_event(kind: str) -> int:
    """Count those of the event itself, which stand first; the last three are nuisances."""
    return dim(kind) - 3


def direction(one: Chart, x: jax.Array) -> jax.Array:
    """Give the direction [..., 3] at coordinates x [..., 2 or more]."""
    half = x[..., :2] * (ANGLE / 2)
    rho2 = (half**2).sum(-1, keepdims=True)
    across = half[..., :1] * one.first + half[..., 1:2] * one.second
    return ((1 - rho2) * one.direction + 2 * across) / (1 + rho2)


def half_squared(x: jax.Array) -> jax.Array:
    """Give the square of the tangent of half the angle to the chart's direction, of coordinates x
    [..., 2 or more]: lengths on the sphere are those of coordinates over 1 + it.
    """
    return ((x[..., :2] * (ANGLE / 2)) ** 2).sum(-1)


def tangents(one: Chart, n: jax.Array) -> jax.Array:
    """Give the two coordinates [..., 2] of directions n [..., 3], in units of ANGLE."""
    along = n @ one.direction
    both = jnp.stack([n @ one.first, n @ one.second], -1)
    return 2 * both / (1 + along)[..., None] / ANGLE


def truth(kind: str, before: prior.Prior, one: Chart, x: jax.Array) -> Truth:
    """Give the event at coordinates x [dim]; nuisances are relative to their centres."""
    n = direction(one, x)
    factors = jnp.exp(x[-3:])
    centres = [getattr(before, name)[0] for name in prior.NUISANCES]
    nuisances = [centre * factor for centre, factor in zip(centres, factors)]
    place, log_energy = x[2:-5] * LENGTH, prior.energy_quantile(before, jax.nn.sigmoid(x[-4]))
    time = one.time + x[-5] * TIME
    if kind != "track":
        axes = jnp.stack([one.first, one.second, one.direction])
        return Truth(one.anchor + place @ axes, n, time, log_energy, *nuisances)
    first, second = _turned(one, n)
    passing = one.anchor + place[0] * first + place[1] * second - jnp.asarray(before.centre)
    along = passing @ n
    position = passing - along * n + jnp.asarray(before.centre)
    return Truth(position, n, time - along / LIGHT, log_energy, *nuisances)


def from_truth(kind: str, before: prior.Prior, one: Chart, event: Truth) -> jax.Array:
    """Give the coordinates [dim] of an event, the inverse of `truth`."""
    n = event.direction
    relative = event.position - one.anchor
    time = event.time
    if kind == "track":
        axes = jnp.stack(_turned(one, n))
        time = time - relative @ n / LIGHT
    else:
        axes = jnp.stack([one.first, one.second, one.direction])
    share = jnp.clip(prior.energy_share(before, event.log_energy), 1e-5, 1 - 1e-5)
    log_energy = jnp.log(share) - jnp.log1p(-share)
    factors = [getattr(event, name) / getattr(before, name)[0] for name in prior.NUISANCES]
    rest = jnp.stack([(time - one.time) / TIME, log_energy])
    nuisances = jnp.log(jnp.stack([jnp.asarray(x) for x in factors]))
    return jnp.concatenate([tangents(one, n), axes @ relative / LENGTH, rest, nuisances])


def log_posterior(
    setup: Setup,
    pulses: Pulses,
    one: Chart,
    x: jax.Array,
    modules: likelihood.Asked | None = None,
    *,
    linear: bool = False,
) -> jax.Array:
    """Give the logarithm of the posterior density at coordinates x [dim], up to a constant; minus
    infinity outside the prior. Nuisances that are known (spread 0) should be held at 0; linear: see
    `arrival.log_density`.
    """
    event = truth(setup.kind, setup.prior, one, x)
    value = likelihood.all_photons(setup, pulses, event, modules, linear=linear)
    return value + log_prior(setup, x, event)


def log_prior(setup: Setup, x: jax.Array, event: Truth) -> jax.Array:
    """Give the logarithm of the prior density of coordinates x [dim], where `truth` is event."""
    rho2 = half_squared(x)
    value = log_energy_prior(x) - prior.energy_density(setup.prior, event.log_energy)
    return value + prior.log_density(setup.prior, setup.kind, event) - 2 * jnp.log1p(rho2)


def log_energy_prior(x: jax.Array) -> jax.Array:
    """Give the logarithm of the prior density of the coordinate of the energy in x [dim]."""
    return jax.nn.log_sigmoid(x[-4]) + jax.nn.log_sigmoid(-x[-4])


def degrees(angle: float) -> float:
    """Turn coordinates of a direction into degrees."""
    return float(np.degrees(angle * ANGLE))
