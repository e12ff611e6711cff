"""The exact likelihood of simulated events, of all photons and of the first of each module.

Pulses of an event are a Poisson process over modules and times. With mu(t) the rate that the truth
makes a module expect, its noise included, the density of all pulses is

    log L = sum over pulses of log mu(t) - sum over modules of the integral of mu,

and what `first_photon` keeps of it, the time of a module's first pulse and the number of them, has
density mu(t) S(t)^(N-1) / (N-1)! instead of the product, where S is the integral of mu after t
(the multi-photoelectron likelihood of astro-ph/0407044, extended by the numbers). That is exact
too, and would hold for pulses that a module has merged.

Both take one event, fields of pulses [pulse, ...] and truth without axis: batch with vmap.
Gradients are finite everywhere, also in float32.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.icecube86(), media.south_pole())
>>> pulses, truth = simulation.events(jax.random.key(0), telescope, 4)
>>> at_truth = jax.vmap(lambda p, t: all_photons(telescope, p, t))(pulses, truth)
>>> later = truth._replace(time=truth.time + 300)
>>> bool((at_truth > jax.vmap(lambda p, t: all_photons(telescope, p, t))(pulses, later)).all())
True
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hepjax.neutrino import arrival, light
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup

SATURATING = 8
"""Steps by which the modules are found that are sure to be asked."""


class Asked(NamedTuple):
    """rows: [module] of the detector, modules that are asked what they expect; weight: [module] as
    how many modules each counts.
    """

    rows: jax.Array
    weight: jax.Array


def all_photons(
    setup: Setup,
    pulses: Pulses,
    truth: Truth,
    modules: Asked | None = None,
    *,
    linear: bool = False,
) -> jax.Array:
    """Give log L of one event by all its pulses.

    modules: those whose expectations are added up, for all (see `asked`); linear: see
    `arrival.log_density`. Charges are not looked at: those of single photons tell nothing. Padding
    counts for nothing.
    """
    seen = at_pulses(setup, pulses, truth)
    rate = log_rate(setup, pulses, seen, linear=linear).sum()
    return rate - total(setup, truth, modules)


def first_photon(setup: Setup, pulses: Pulses, truth: Truth) -> jax.Array:
    """Give log L of one event by the first pulse of each module and the numbers of pulses.

    pulses: of `data.first_of_module`, charge = number of pulses of that module.
    """
    seen = at_pulses(setup, pulses, truth)
    time, number = pulses.time, jnp.where(pulses.mask, pulses.charge, 1.0)
    value = log_rate(setup, pulses, seen)
    jitter = jnp.full_like(seen.time, setup.jitter)
    after = arrival.survival(time - seen.time, seen.shape, seen.rate, jitter)
    low, high = setup.window
    left = (seen.mean * after).sum(0) + setup.noise * (high - jnp.clip(time, low, high))
    more = jnp.where(number > 1, (number - 1) * jnp.log(jnp.maximum(left, 1e-30)), 0)
    value += more - jax.scipy.special.gammaln(number)
    return jnp.where(pulses.mask, value, 0).sum() - total(setup, truth)


def total(setup: Setup, truth: Truth, modules: Asked | None = None) -> jax.Array:
    """Give the number of pulses that one event is expected to have, noise included; modules: that
    are asked for all (see `asked`).
    """
    position, efficiency = (jnp.asarray(x) for x in setup.detector[:2])
    if modules is not None:
        position, efficiency = position[modules.rows], efficiency[modules.rows]
        efficiency = efficiency * modules.weight
    seen = light.expected(setup.kind, setup.medium, truth, position, area=setup.area)
    signal = (seen.mean * efficiency).sum() * truth.efficiency
    low, high = setup.window
    return signal + setup.noise * len(setup.detector.efficiency) * (high - low)


def asked(setup: Setup, truth: Truth, n: int, among: Asked | None = None) -> Asked:
    """Choose n modules that speak for all when the number of pulses of one event, or of others
    close by, is asked: the bright ones, and of the dim ones some, with weights.

    They are chosen evenly along the rows of the detector, with a probability in proportion to what
    they expect (systematic sampling), so that where they are chosen the sum is that of all, and
    nearby it is off by little. Of several events [event, ...] the mean speaks for each. among:
    those that speak for all already, instead of all.
    """
    position, efficiency = (jnp.asarray(x) for x in setup.detector[:2])
    if among is None:
        among = Asked(jnp.arange(len(efficiency)), jnp.ones(len(efficiency)))
    else:
        position, efficiency = position[among.rows], efficiency[among.rows]
    if n >= len(among.rows):
        return among

    def signal(truth: Truth) -> jax.Array:
        seen = light.expected(setup.kind, setup.medium, truth, position, area=setup.area)
        return seen.mean.sum(0)

    several = truth.time.ndim > 0
    mean = jax.vmap(signal)(truth).mean(0) if several else signal(truth)
    mean = mean * efficiency * among.weight + 1e-12

    def saturate(_: int, scale: jax.Array) -> jax.Array:
        sure = scale * mean >= 1
        return (n - sure.sum()) / jnp.maximum(jnp.where(sure, 0, mean).sum(), 1e-12)

    scale = jax.lax.fori_loop(0, SATURATING, saturate, n / mean.sum())
    share = jnp.minimum(scale * mean, 1)
    until = jnp.cumsum(share)
    step = until[-1] / n
    at = jnp.searchsorted(until, (jnp.arange(n) + 0.5) * step)
    at = jnp.minimum(at, len(mean) - 1)
    return Asked(among.rows[at], among.weight[at] * step / share[at])


def at_pulses(
    setup: Setup, pulses: Pulses, truth: Truth, optics: light.Optics | None = None
) -> light.Light:
    """Give what modules of pulses expect of one event, fields [source, pulse], with their means for
    their own efficiency; optics: of an event nearby.
    """
    where = {"area": setup.area, "optics": optics}
    seen = light.expected(setup.kind, setup.medium, truth, pulses.position, **where)
    efficiency = jnp.asarray(setup.detector.efficiency)[pulses.module]
    return seen._replace(mean=seen.mean * efficiency * truth.efficiency)


def log_rate(setup: Setup, pulses: Pulses, seen: light.Light, *, linear: bool = False) -> jax.Array:
    """Give the logarithm of mu(t) [pulse], 1 / ns, at each pulse of one event, 0 of padding; seen:
    of `at_pulses`; linear: see `arrival.log_density`.
    """
    given = pulses.time - seen.time, seen.shape, seen.rate, setup.jitter
    density = arrival.log_density(*given, linear=linear)
    signal = jax.nn.logsumexp(jnp.log(seen.mean + 1e-30) + density, axis=0)
    low, high = setup.window
    floor = math.log(setup.noise) if setup.noise > 0 else -math.inf
    noise = jnp.where((pulses.time >= low) & (pulses.time <= high), floor, -1e4)
    value = jnp.logaddexp(signal, jnp.maximum(noise, -1e4))
    return jnp.where(pulses.mask, value, 0)
