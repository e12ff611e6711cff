"""The likelihood of one event close to another one: rough, and an order of magnitude quicker.

Draws and climbs ask the likelihood hundreds of times close by. `near` looks once at what stays much
the same there: the ice between track and modules, and the light of modules that expect little,
whose sum is taken to change exponentially. What is left at each call are the times and amounts of
light at the pulses and at the brightest modules. Where an event has moved by more than tens of
metres, make another one.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> pulses, truth = simulation.events(jax.random.key(0), telescope, 1)
>>> one, event = (jax.tree.map(lambda x: x[0], fields) for fields in (pulses, truth))
>>> chart = coordinates.around("track", event, event.position)
>>> x = coordinates.from_truth("track", telescope.prior, chart, event)
>>> modules = coordinates.nearest(telescope, event, 100)
>>> log_l = near(telescope, one, chart, x, modules, 50)
>>> exact = likelihood.all_photons(telescope, one, event, modules)
>>> bool(abs(log_l(x, event) - exact) < 0.1)
True
"""

from collections.abc import Callable

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


def near(
    setup: Setup,
    pulses: Pulses,
    chart: Chart,
    x: jax.Array,
    modules: jax.Array,
    n_modules: int = N_MODULES,
    *,
    linear: bool = False,
) -> Callable[[jax.Array, Truth], jax.Array]:
    """Make log L of one event close to coordinates x [dim]: a function of coordinates y [dim] and
    the event there (`coordinates.truth`), as `likelihood.all_photons` has it.

    modules: that see light, of which the brightest n_modules are asked each time; linear: see
    `arrival.log_density`.
    """
    nearby = coordinates.truth(setup.kind, setup.prior, chart, x)
    position, efficiency = (jnp.asarray(a) for a in setup.detector[:2])
    low, high = setup.window
    noise = setup.noise * len(setup.detector.efficiency) * (high - low)

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

    def log_l(y: jax.Array, event: Truth) -> jax.Array:
        seen = likelihood.at_pulses(setup, pulses, event, at_pulses)
        rate = likelihood.log_rate(setup, pulses, seen, linear=linear).sum()
        given = {"area": setup.area, "optics": at_modules}
        seen = light.expected(setup.kind, setup.medium, event, position[asked], **given)
        total = (seen.mean * efficiency[asked]).sum() * event.efficiency
        total += jnp.exp(jnp.clip(log_dim + (y - x) @ slope, *CHANGE))
        return rate - total - noise

    return log_l
