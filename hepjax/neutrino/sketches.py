"""Sketches of an event's posterior: some thousand draws about first guesses, and their looks.

Where the likelihood is largest is not where its weight lies: arrival times of light that is hardly
scattered make it steep and wrinkled, and there may be several places. `sketch` goes on from first
guesses (`first_guess`) with draws in all that is not known, direction, place, time, energy and
nuisances (`population.recycled`), from a mixture of one component a guess, and takes the means,
covariances and shares of what belongs to each for better ones: its modes, of which several may be
parts of one place. It is quick and rough: the likelihood is that of `surrogate`, arrival times are
read from a coarser table, draws are few, and where they would all be worth one or two the weights
are tempered. So it is no posterior yet; it is what a network looks at (`features`)
to make one, through lenses (`lens`) that take out means and widths.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> pulses, truth = simulation.events(jax.random.key(0), telescope, 2)
>>> found = jax.eval_shape(lambda p: sketch(telescope, p), pulses)
>>> found.looks.covariance.shape, found.guess.chart.direction.shape
((2, 4, 9, 9), (2, 4, 3))
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import matrices
from hepjax.neutrino import (
    ascent,
    coordinates,
    first_guess,
    frames,
    likelihood,
    population,
    surrogate,
)
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses
from hepjax.neutrino.simulation import Setup

WIDTHS = (1e-2, 30.0)
"""Bounds of the width of the direction, in units of its coordinates: 0.02 and 50 degrees."""
THINNEST = 0.05
"""Smallest ratio of its two widths."""
ENOUGH = 20.0
"""Draws that should count, or weights are tempered."""
LEAST_EVIDENCE = -12.0
"""Of a mode, against the likeliest."""


class Settings(NamedTuple):
    """guess: where it begins; n_rounds of n_draws, of each mode; n_modules: that speak for
    all.
    """

    guess: first_guess.Settings = first_guess.DEFAULT
    n_rounds: int = 10
    n_draws: int = 288
    n_modules: int = surrogate.N_MODULES


DEFAULT = Settings()


class Looks(NamedTuple):
    """What draws that belong to a mode look like, fields [event, mode, ...].

    covariance: [.., dim, dim] in coordinates of the guess's chart; power: to which all weights of
    the event were raised, 1 if they were enough; effective: draws that those of the mode are worth
    without; evidence: logarithm of its part of the mean weight; offset: [.., 2] from the mean to
    that without powers, in widths, and moments: [.., 9] third and fourth ones of the direction,
    where its covariance is 1.
    """

    covariance: Any
    power: Any
    effective: Any
    evidence: Any
    offset: Any
    moments: Any


class Sketch(NamedTuple):
    """guess: at the means of the draws; looks: of them; the likeliest mode first."""

    guess: first_guess.Guess
    looks: Looks


def sketch(setup: Setup, pulses: Pulses, settings: Settings = DEFAULT) -> Sketch:
    """Sketch posteriors of events, fields of pulses [event, pulse, ...]; pure."""
    return about(setup, pulses, first_guess.guess(setup, pulses, settings.guess), settings)


def about(
    setup: Setup, pulses: Pulses, found: first_guess.Guess, settings: Settings = DEFAULT
) -> Sketch:
    """Sketch posteriors of events about guesses that are there already."""
    given = pulses, found.chart, found.x, found.modules

    def each(given: tuple) -> tuple:
        pulses, charts, x, modules = given
        return _one(setup, pulses, charts, x, modules, settings)

    (chart, x, modules), looks = first_guess.mapped(each, given, 1)
    return Sketch(first_guess.Guess(chart, x, modules, found.line), looks)


def lens(looks: Looks) -> jax.Array:
    """Give the lower triangular factors [event, mode, 2, 2] of covariances of directions, rad."""
    return coordinates.ANGLE * _factor(looks.covariance[..., :2, :2])


def shares(looks: Looks) -> jax.Array:
    """Give the logarithm of the share of each mode [event, mode] by its evidence alone; it may be
    twice the same mode.
    """
    return jax.nn.log_softmax(jnp.maximum(looks.evidence - looks.evidence[:, :1], LEAST_EVIDENCE))


def features(setup: Setup, pulses: Pulses, found: Sketch) -> frames.Features:
    """Look at pulses from the mean of the first mode (as `first_guess.features`), at what each of
    them says of the other modes, and at all modes.
    """
    looks = found.looks
    n_modes = looks.power.shape[1]
    guesses = [first_guess.mode(found.guess, k) for k in range(n_modes)]
    seen = [first_guess.scores(setup, pulses, one) for one in guesses]
    plain = first_guess.features(setup, pulses, guesses[0], seen[0])
    better = [(seen[0].log_rate - other.log_rate) / 5 for other in seen[1:]]
    each = [plain.pulse, *(jnp.clip(x, -4, 4)[..., None] for x in better)]
    axes = first_guess.frame(guesses[0]).axes
    whole = [plain.whole]
    for k, one in enumerate(guesses):
        whole += _looks(jax.tree.map(lambda a, k=k: a[:, k], looks))
        whole += [one.x[:, -4:-3] / 3, one.x[:, -3:] * 3, shares(looks)[:, k, None] / 5]
        if k:
            local = jnp.einsum("eij,ej->ei", axes, one.chart.direction, precision="highest")
            flat = local[:, :2] / (1 + jnp.abs(local[:, 2:]))
            away = jnp.einsum("eij,ej->ei", matrices.inverse(lens(looks)[:, 0]), flat)
            whole += [jnp.arcsinh(flat * 20), local[:, 2:], jnp.arcsinh(2 * away)]
    pulse = jnp.where(pulses.mask[..., None], jnp.concatenate(each, -1), 0)
    return frames.Features(pulse, jnp.concatenate(whole, -1), pulses.mask)


def _looks(one: Looks) -> list[jax.Array]:
    """Give numbers [event, ...] of one mode."""
    factor = lens(one)
    return [
        jnp.log(factor[:, 0, :1]) + 5,
        jnp.log(factor[:, 1, 1:]) + 5,
        jnp.arcsinh(factor[:, 1, :1] / factor[:, 1, 1:]),
        jnp.log(jnp.diagonal(one.covariance, axis1=-2, axis2=-1) + 1e-6) / 2 + 1,
        jnp.log(one.power)[:, None],
        jnp.log(one.effective)[:, None] / 2 - 1,
        jnp.arcsinh(one.offset),
        jnp.arcsinh(one.moments),
    ]


def _factor(covariance: jax.Array) -> jax.Array:
    """Give the factor [..., 2, 2] of a covariance of directions, kept in bounds."""
    low, high = WIDTHS
    first = jnp.sqrt(jnp.maximum(covariance[..., 0, 0], low**2))
    across = covariance[..., 0, 1] / first
    left = jnp.maximum(covariance[..., 1, 1] - across**2, 0)
    first = jnp.minimum(first, high)
    second = jnp.clip(jnp.sqrt(left), jnp.maximum(THINNEST * first, low), high)
    across = jnp.clip(across, -second / THINNEST, second / THINNEST)
    rows = [jnp.stack([first, jnp.zeros_like(first)], -1), jnp.stack([across, second], -1)]
    return jnp.stack(rows, -2)


def _one(
    setup: Setup,
    pulses: Pulses,
    charts: Chart,
    x: jax.Array,
    modules: likelihood.Asked,
    settings: Settings,
) -> tuple:
    """Sketch one event, whose guesses are [mode, ...]; gives charts, x and modules, and looks."""
    chart = jax.tree.map(lambda a: a[0], charts)
    rest = jnp.arange(x.shape[-1]) >= x.shape[-1] - 4

    def around(its: Chart, x: jax.Array, modules: likelihood.Asked) -> tuple:
        event = coordinates.truth(setup.kind, setup.prior, its, x)
        x = jnp.where(rest, x, coordinates.from_truth(setup.kind, setup.prior, chart, event))
        near = surrogate.near(setup, pulses, chart, x, settings.n_modules)
        return x, matrices.inverse(ascent.look(setup, pulses, chart, x, modules).information), near

    begin, covariance, nears = jax.vmap(around)(charts, x, modules)

    def log_p(y: jax.Array, k: jax.Array) -> jax.Array:
        event = coordinates.truth(setup.kind, setup.prior, chart, y)
        near = jax.tree.map(lambda a: a[k], nears)
        log_l = surrogate.log_l(setup, pulses, near, event, linear=True)
        return log_l + coordinates.log_prior(setup, y, event)

    start = population.around(begin, covariance, len(x))
    size = {"n_rounds": settings.n_rounds, "n_draws": settings.n_draws}
    draws = population.recycled(log_p, start, **size, least=ENOUGH)
    plain = jax.nn.softmax(draws.log_weight) / jnp.maximum(draws.weight, 1e-30)
    total = jax.nn.logsumexp(draws.log_weight) - np.log(len(draws.weight))
    fine = pulses.mask.any() & (total > population.NOTHING / 2)  # or draws have gone astray
    for a in draws.mixture:
        fine &= jnp.isfinite(a).all()

    def mode(k: jax.Array) -> tuple:
        log_share, mean, covariance = jax.tree.map(lambda a: a[k], draws.mixture)
        mean = jnp.where(fine, mean, begin[0])
        wide = WIDTHS[1] ** 2 * jnp.eye(len(mean))
        covariance = jnp.where(fine, covariance, wide)
        inverse = matrices.inverse(_factor(covariance[:2, :2]))
        away = (draws.x - mean)[:, :2] @ inverse.T
        part = draws.belongs[k] / (draws.belongs[k].sum() + 1e-30)
        sharp = part * plain
        sharp = sharp / (sharp.sum() + 1e-30)
        numbers = sharp @ away, _moments(away, part)
        numbers = jax.tree.map(lambda a: jnp.where(fine, a, 0), numbers)
        worth = jnp.where(fine, 1 / jnp.maximum((sharp**2).sum(), 1e-30), 1)
        evidence = jnp.where(fine, log_share + total, population.NOTHING)
        shrunk = jnp.ones(len(mean)).at[:2].set(1 / (1 + coordinates.half_squared(mean)))
        covariance = covariance * shrunk[:, None] * shrunk
        looks = Looks(covariance, draws.power, worth, evidence, *numbers)
        event = coordinates.truth(setup.kind, setup.prior, chart, mean)
        there = coordinates.around(setup.kind, event, chart.anchor)
        asked = likelihood.asked(setup, event, modules.weight.shape[-1])
        there = coordinates.transported(chart, there)
        return (there, jnp.where(rest, mean, 0), asked), looks

    return jax.vmap(mode)(jnp.argsort(-draws.mixture.log_share))


def _moments(z: jax.Array, weight: jax.Array) -> jax.Array:
    """Give the four third and five fourth moments of z [draw, 2], less those of a Gaussian."""
    powers = [z ** np.array(k) for k in _ORDERS]
    each = jnp.stack([p[:, 0] * p[:, 1] for p in powers], -1)
    return weight @ each - jnp.array(_GAUSSIAN)


_ORDERS = [(3, 0), (2, 1), (1, 2), (0, 3), (4, 0), (3, 1), (2, 2), (1, 3), (0, 4)]
_GAUSSIAN = [0.0, 0, 0, 0, 3, 0, 1, 0, 3]
