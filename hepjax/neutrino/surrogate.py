"""The likelihood of one event close to another one: rough, and an order of magnitude quicker.

Draws and climbs ask the likelihood hundreds of times close by. `near` looks once at what stays much
the same there: the ice between track and modules, and which of these speak for all
(`likelihood.asked`). What is left to `log_l` are the times and amounts of light at the pulses and
at some modules. Where an event has moved by more than tens of metres, make another one.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> pulses, truth = simulation.events(jax.random.key(0), telescope, 1)
>>> one, event = (jax.tree.map(lambda x: x[0], fields) for fields in (pulses, truth))
>>> chart = coordinates.around("track", event, event.position)
>>> x = coordinates.from_truth("track", telescope.prior, chart, event)
>>> rough = log_l(telescope, one, near(telescope, one, chart, x, 50), event)
>>> exact = likelihood.all_photons(telescope, one, event)
>>> bool(abs(rough - exact) < 0.1)
True
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hepjax.neutrino import coordinates, light, likelihood
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup

N_MODULES = 96
"""Modules that are asked."""


class Near(NamedTuple):
    """What stays much the same: modules that are asked, and the ice between pulses, or these, and
    the event.
    """

    modules: likelihood.Asked
    at_pulses: light.Optics
    at_modules: light.Optics


def near(
    setup: Setup,
    pulses: Pulses,
    chart: Chart,
    x: jax.Array,
    n_modules: int = N_MODULES,
    among: likelihood.Asked | None = None,
) -> Near:
    """Look around coordinates x [dim] of one event, where n_modules among others speak for all."""
    nearby = coordinates.truth(setup.kind, setup.prior, chart, x)
    asked = likelihood.asked(setup, nearby, n_modules, among)
    where = jnp.concatenate([pulses.position, jnp.asarray(setup.detector.position)[asked.rows]])
    optics = light.optics(setup.kind, setup.medium, nearby, where)
    n = len(pulses.time)
    at_pulses = light.Optics(*(a[:, :n] for a in optics))
    at_modules = light.Optics(*(a[:, n:] for a in optics))
    return Near(asked, at_pulses, at_modules)


def log_l(
    setup: Setup, pulses: Pulses, one: Near, event: Truth, *, linear: bool = False
) -> jax.Array:
    """Give log L of one event close by, as `likelihood.all_photons` has it; linear: see
    `arrival.log_density`.
    """
    position, efficiency = (jnp.asarray(a)[one.modules.rows] for a in setup.detector[:2])
    low, high = setup.window
    noise = setup.noise * len(setup.detector.efficiency) * (high - low)
    seen = likelihood.at_pulses(setup, pulses, event, one.at_pulses)
    rate = likelihood.log_rate(setup, pulses, seen, linear=linear).sum()
    given = {"area": setup.area, "optics": one.at_modules}
    seen = light.expected(setup.kind, setup.medium, event, position, **given)
    total = (seen.mean * efficiency * one.modules.weight).sum() * event.efficiency
    return rate - total - noise
