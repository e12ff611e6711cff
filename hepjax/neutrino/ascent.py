"""Up the likelihood of one event, to where it is largest.

Light that is hardly scattered is timed to nanoseconds, so that the likelihood of an event is full
of wrinkles, in which steps by slopes are caught, 10 or 30 below what is nearby. `climb` goes up one
of smeared times first, as if modules had more jitter, and then sharper ones. Its steps are those of
Broyden, Fletcher, Goldfarb and Shanno, whose first metric is the Fisher information of a Poisson
process: the outer products of what each pulse says of the coordinates (Berndt, Hall, Hall and
Hausman, 1974), which alone is off by factors in wrinkled places.

`look` tells how the likelihood bends at a place, `value` how high it is, with the priors of energy
and nuisances.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> blurred(telescope, 8.0).jitter / telescope.jitter
8.0
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax import matrices
from hepjax.neutrino import coordinates, light, likelihood, prior, surrogate
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses
from hepjax.neutrino.simulation import Setup

FARTHEST = 4.0
"""Longest step, in the errors that the metric gives."""
SHORTER, SHORTEST = 0.3, 0.02
"""Factor on a step that was no gain, and after which it is tried whole again."""
MOST_LOGIT, MOST_PULL = 8.0, 3.0
"""Largest size of the coordinate of the energy, and of nuisances in standard deviations."""
LEAST, ROUNDING = 1e-3, 1e-5
"""Added to the information of a coordinate: what is known without pulses (1 rad, 300 m, 1000 ns),
and a share of what there is, without which float32 finds directions of none.
"""
CURVED, BENT = 1e-3, 50.0
"""Least cosine of a step and the change of the slope, and largest change of the metric, of which
the metric learns.
"""


class State(NamedTuple):
    """Of one event: value; log_rate: [pulse]; slopes: [pulse, dim] of it, slope: [dim] of all, and
    information: [dim, dim].
    """

    value: Any
    log_rate: Any
    slopes: Any
    slope: Any
    information: Any


class Top(NamedTuple):
    """Where a climb ended: coordinates x [dim], and value."""

    x: Any
    value: Any


def blurred(setup: Setup, factor: float | jax.Array) -> Setup:
    """Give a setup whose modules have so many times the jitter."""
    return setup._replace(jitter=setup.jitter * factor)


def value(
    setup: Setup,
    pulses: Pulses,
    chart: Chart,
    x: jax.Array,
    modules: likelihood.Asked,
    *,
    linear: bool = False,
) -> jax.Array:
    """Give log L of one event at coordinates x [dim], with the priors of energy and nuisances;
    linear: see `arrival.log_density`.
    """
    event = coordinates.truth(setup.kind, setup.prior, chart, x)
    seen = likelihood.at_pulses(setup, pulses, event)
    found = likelihood.log_rate(setup, pulses, seen, linear=linear).sum()
    found += coordinates.log_energy_prior(x) - (_stiff(setup, len(x)) * x**2).sum() / 2
    return found - likelihood.total(setup, event, modules)


def look(
    setup: Setup, pulses: Pulses, chart: Chart, x: jax.Array, modules: likelihood.Asked
) -> State:
    """Look at the likelihood of one event around coordinates x [dim]."""
    stiff = _stiff(setup, len(x))

    def seen(x: jax.Array) -> tuple[light.Light, light.Light]:
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        found = likelihood.at_pulses(setup, pulses, event)
        return found, found

    def log_rate(seen: light.Light) -> tuple[jax.Array, jax.Array]:
        found = likelihood.log_rate(setup, pulses, seen)
        return found.sum(), found

    def rest(x: jax.Array) -> jax.Array:
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        return likelihood.total(setup, event, modules) - coordinates.log_energy_prior(x)

    by_x, there = jax.jacfwd(seen, has_aux=True)(x)
    (_, found), by_light = jax.value_and_grad(log_rate, has_aux=True)(there)  # of its own pulse
    each = jax.tree.map(lambda a, b: jnp.einsum("spi,sp->pi", a, b), by_x, by_light)
    slopes = sum(jax.tree.leaves(each), jnp.zeros((len(found), len(x))))
    taken, its_slope = jax.value_and_grad(rest)(x)
    whole = found.sum() - taken - (stiff * x**2).sum() / 2
    whole = jnp.where(jnp.isfinite(whole), whole, -jnp.inf)
    least = jnp.where(stiff > 0, stiff, LEAST).at[-4].set(0.1)  # an energy has a logistic prior
    information = slopes.T @ slopes + jnp.diag(least)
    diagonal = jnp.diag(information)  # where a muon stops, slopes are steep
    information += jnp.diag(ROUNDING * diagonal)
    return State(whole, found, slopes, slopes.sum(0) - its_slope - stiff * x, information)


def climb(
    setup: Setup,
    pulses: Pulses,
    chart: Chart,
    x: jax.Array,
    n_steps: int,
    blurs: tuple[float, ...] = (1.0,),
    *,
    among: likelihood.Asked | None = None,
) -> Top:
    """Climb the likelihood of one event from coordinates x [dim], n_steps at each blur, one after
    the other; each step only where it is a gain. Coordinates that have a prior stay where that is
    not negligible. among: modules of which some are asked, for all.
    """

    def one(x: jax.Array, blur: jax.Array) -> tuple[jax.Array, jax.Array]:
        near = surrogate.near(setup, pulses, chart, x, among=among)
        top = _climb(blurred(setup, blur), pulses, chart, x, near, n_steps)
        return top.x, top.value

    x, value = jax.lax.scan(one, x, jnp.array(blurs))
    return Top(x, value[-1])


def _climb(
    setup: Setup, pulses: Pulses, chart: Chart, x: jax.Array, near: surrogate.Near, n_steps: int
) -> Top:
    spread = [getattr(setup.prior, name)[1] for name in prior.NUISANCES]
    most = jnp.array([jnp.inf] * (len(x) - 4) + [MOST_LOGIT, *(MOST_PULL * s for s in spread)])
    stiff = _stiff(setup, len(x))

    def depth(x: jax.Array) -> jax.Array:
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        log_l = surrogate.log_l(setup, pulses, near, event)
        return (stiff * x**2).sum() / 2 - coordinates.log_energy_prior(x) - log_l

    at = jax.value_and_grad(depth)

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        x, height, slope, metric, share = state
        change = -metric @ slope
        errors = jnp.sqrt(jnp.maximum(-change @ slope, 1e-12))
        ahead = jnp.clip(x + share * jnp.minimum(1, FARTHEST / errors) * change, -most, most)
        its_height, its_slope = at(ahead)
        there = jnp.isfinite(its_height) & jnp.isfinite(its_slope).all()
        better = there & (its_height < height)
        bent = _bent(metric, ahead - x, its_slope - slope)
        metric = jnp.where(there & jnp.isfinite(bent).all(), bent, metric)
        x, height, slope = jax.tree.map(
            lambda new, old: jnp.where(better, new, old),
            (ahead, its_height, its_slope),
            (x, height, slope),
        )
        share = jnp.where(better | (share < SHORTEST), 1.0, SHORTER * share)
        return (x, height, slope, metric, share), None

    metric = matrices.inverse(look(setup, pulses, chart, x, near.modules).information)
    height, slope = at(x)
    height = jnp.where(jnp.isfinite(height), height, jnp.inf)
    slope = jnp.where(jnp.isfinite(slope), slope, 0)
    start = x, height, slope, metric, jnp.float32(1)
    (x, height, *_), _ = jax.lax.scan(step, start, None, n_steps)
    return Top(x, -height)


def _bent(metric: jax.Array, change: jax.Array, turn: jax.Array) -> jax.Array:
    """Teach a metric [dim, dim] that a change [dim] turns the slope so, unless it is no hill."""
    across = change @ turn
    seen = metric @ turn
    fine = across > CURVED * jnp.sqrt((change @ change) * (turn @ turn))
    across = jnp.where(fine, across, 1)
    both = jnp.outer(seen, change)
    new = (1 + turn @ seen / across) * jnp.outer(change, change) - both - both.T
    fine &= turn @ seen < BENT * across
    return jnp.where(fine, metric + new / across, metric)


def _stiff(setup: Setup, dim: int) -> jax.Array:
    """Give the curvatures [dim] of the priors of nuisances."""
    spread = jnp.array([getattr(setup.prior, name)[1] for name in prior.NUISANCES])
    return jnp.concatenate([jnp.zeros(dim - 3), 1 / jnp.maximum(spread, 1e-3) ** 2])
