"""The likelihood of one event close to another one: rough, and an order of magnitude quicker.

Draws and climbs ask the likelihood hundreds of times close by. `near` looks once at what stays much
the same there: the ice between track and modules, and the light of modules that expect little,
whose sum is taken to change exponentially. What is left to `log_l` are the times and amounts of
light at the pulses and at the brightest modules. Where an event has moved by more than tens of
metres, make another one.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> pulses, truth = simulation.events(jax.random.key(0), telescope, 1)
>>> one, event = (jax.tree.map(lambda x: x[0], fields) for fields in (pulses, truth))
>>> chart = coordinates.around("track", event, event.position)
>>> x = coordinates.from_truth("track", telescope.prior, chart, event)
>>> modules = coordinates.nearest(telescope, event, 100)
>>> rough = log_l(telescope, one, near(telescope, one, chart, x, modules, 50), x, event)
>>> exact = likelihood.all_photons(telescope, one, event, modules)
>>> bool(abs(rough - exact) < 0.1)
True
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.neutrino import coordinates, light, likelihood
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup

N_MODULES = 96
"""Modules that are asked one by one."""
CHANGE = (-20.0, 6.0)
"""Bounds of the logarithm of the change of the light of the others."""


class Near(NamedTuple):
    """What stays much the same close to coordinates x [dim].

    modules: that are asked one by one; at_pulses, at_modules: the ice between these and the event;
    log_dim: logarithm of the light of the others, and slope [dim] of it.
    """

    x: Any
    modules: Any
    at_pulses: light.Optics
    at_modules: light.Optics
    log_dim: Any
    slope: Any


def near(
    setup: Setup,
    pulses: Pulses,
    chart: Chart,
    x: jax.Array,
    modules: jax.Array,
    n_modules: int = N_MODULES,
) -> Near:
    """Look around coordinates x [dim] of one event; modules: that see light, of which the brightest
    n_modules are asked each time.
    """
    nearby = coordinates.truth(setup.kind, setup.prior, chart, x)
    position, efficiency = (jnp.asarray(a) for a in setup.detector[:2])

    def signal(x: jax.Array) -> jax.Array:
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        seen = light.expected(setup.kind, setup.medium, event, position[modules], area=setup.area)
        return seen.mean.sum(0) * efficiency[modules] * event.efficiency

    _, bright = jax.lax.top_k(signal(x), min(n_modules, len(modules)))
    dim = jnp.ones(len(modules)).at[bright].set(0)
    log_dim, slope = jax.value_and_grad(lambda x: jnp.log(signal(x) @ dim + 1e-6))(x)
    asked = modules[bright]
    where = jnp.concatenate([pulses.position, position[asked]])
    optics = light.optics(setup.kind, setup.medium, nearby, where)
    n = len(pulses.time)
    at_pulses = light.Optics(*(a[:, :n] for a in optics))
    at_modules = light.Optics(*(a[:, n:] for a in optics))
    return Near(x, asked, at_pulses, at_modules, log_dim, slope)


def log_l(
    setup: Setup, pulses: Pulses, one: Near, y: jax.Array, event: Truth, *, linear: bool = False
) -> jax.Array:
    """Give log L of one event at coordinates y [dim], where it is `event` (`coordinates.truth`), as
    `likelihood.all_photons` has it; linear: see `arrival.log_density`.
    """
    position, efficiency = (jnp.asarray(a)[one.modules] for a in setup.detector[:2])
    low, high = setup.window
    noise = setup.noise * len(setup.detector.efficiency) * (high - low)
    seen = likelihood.at_pulses(setup, pulses, event, one.at_pulses)
    rate = likelihood.log_rate(setup, pulses, seen, linear=linear).sum()
    given = {"area": setup.area, "optics": one.at_modules}
    seen = light.expected(setup.kind, setup.medium, event, position, **given)
    total = (seen.mean * efficiency).sum() * event.efficiency
    total += jnp.exp(jnp.clip(one.log_dim + (y - one.x) @ one.slope, *CHANGE))
    return rate - total - noise
