"""First guesses of an event, and how its likelihood bends there: what a network looks at first.

A line through the pulses (`frames.line`) is some degrees off, and one in eight events could well
be another one: strings of modules are mirrors, and light that passed them on one side looks much as
on the other. `guess` goes on from many directions in two strides. The first fits when light
arrives, from a track at the Cherenkov angle or from a vertex evenly, by Gauss-Newton steps under a
loss that noise and scattered light cannot pull far, stiff at the end and soft at the start, and
that prefers what is close to the pulses. The second climbs the likelihood itself (`ascent`), of all
pulses and of the modules around, of times that are smeared less and less. In between those that are
much alike are dropped, most of the unlikely too, and mirror images of the best are tried
(`mirrors`). The sharp likelihood may have several tops where the smeared one has one: it is climbed
from there, from some draws around, and from where the best passes strings on their other sides. All
is of fixed shape and costs 15 milliseconds of a CPU.

`scores` tells what is known there: the slope of each pulse's log-rate and of all of log L, in units
of the errors. To first order these are all that the likelihood has to say (score compression,
arXiv:1712.00012), and a network that sees them need not find the fit, only what is wrong with it:
far-off guesses, other modes, ice that is not as it was taken to be.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> pulses, truth = simulation.events(jax.random.key(0), telescope, 2)
>>> found = jax.eval_shape(lambda p: guess(telescope, p), pulses)
>>> found.x.shape, found.chart.direction.shape
((2, 4, 9), (2, 4, 3))
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from hepjax import matrices, sphere
from hepjax.neutrino import ascent, coordinates, frames, likelihood, mirrors, prior, time_fit
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup

BLURS = (8.0, 3.0, 1.0)
"""Factors on the jitter of modules, of the likelihoods that are climbed one after the other."""
CHUNK, MODES_CHUNK, WIDE_CHUNK = 32, 4, 2048
"""Events that are worked on at once on a CPU, with one start and many, and on an accelerator."""
AROUND = 0.2
"""Distance of starts around the line fit from it, rad."""
N_AROUND = 1280
"""Modules that speak for all, of which fewer are asked by each start."""
APART, WORST = 0.02, 1e6
"""Distance of starts and of blurred modes from each other, rad, and what others lose of log L."""
WIDTHS_APART, BETWEEN = 3.0, (1e-3, 5e-2)
"""Distance of modes, in widths of the likeliest, and its bounds, rad."""


class Settings(NamedTuple):
    """n_starts: directions; n_turns: Gauss-Newton steps on times, from each; n_kept: that go on
    for n_climb steps up each blurred likelihood, two of them as mirror images of the best; n_tries:
    places at and about the best of these that go on for n_steps on the sharp one; n_modes: that are
    left of them; n_modules: that speak for all (`likelihood.asked`); n_sides: of the best of the
    blurred likelihood, those that are tried on other sides of strings too.
    """

    n_starts: int = 16
    n_turns: int = 12
    n_kept: int = 7
    n_climb: int = 12
    n_modes: int = 4
    n_tries: int = 4
    n_steps: int = 24
    n_modules: int = 192
    n_sides: int = 1


DEFAULT = Settings()


class Guess(NamedTuple):
    """chart: [event, mode] around the guess, the likeliest first, its axes those of the event
    (`frames.axes`); x: [event, mode, dim] coordinates there, of which only energy and nuisances are
    not zero; modules: [event, mode, module] that are asked; line: [event] the robust line fit.
    """

    chart: Chart
    x: Any
    modules: Any
    line: frames.Line


class Scores(NamedTuple):
    """What is known at a guess; directions last, so that theirs are slopes where all else is
    fitted.

    log_rate: [event, pulse]; pulse: [event, pulse, dim] slopes of it, and total: [event, dim] of
    log L, in units of the errors; step: [event, dim] to where the likelihood is largest, to first
    order, in coordinates; factor: [event, 3] lower triangle (11, 21, 22) of the Cholesky factor of
    the direction's information matrix.
    """

    log_rate: Any
    pulse: Any
    total: Any
    step: Any
    factor: Any


def guess(setup: Setup, pulses: Pulses, settings: Settings = DEFAULT) -> Guess:
    """Guess events, fields of pulses [event, pulse, ...]; pure. Errors as `modes`."""
    found = frames.line(pulses.position, pulses.time, pulses.mask)

    def one(given: tuple) -> tuple:
        pulses, direction = given
        return modes(setup, pulses, direction, settings)

    return Guess(*mapped(one, (pulses, found.direction), MODES_CHUNK), line=found)


def mode(found: Guess, k: int) -> Guess:
    """Give the k-th mode alone, fields [event, ...]."""
    one = jax.tree.map(lambda a: a[:, k], found._replace(line=None))
    return one._replace(line=found.line)


def modes(
    setup: Setup, pulses: Pulses, direction: jax.Array, settings: Settings = DEFAULT
) -> tuple[Chart, jax.Array, likelihood.Asked]:
    """Guess one event, fields of pulses [pulse, ...], from a direction [3] and others on: charts,
    coordinates and modules [mode, ...], the likeliest first, and last what comes twice.

    Raises ValueError for more modes than are kept, and more of them than there are.
    """
    n_mirrors = min(2, settings.n_kept - 1)
    if not 0 < settings.n_modes <= settings.n_kept <= settings.n_starts + n_mirrors:
        raise ValueError(
            f"n_modes: {settings.n_modes}, n_kept: {settings.n_kept}, n_starts: "
            f"{settings.n_starts}, expected to ascend from 1"
        )
    if settings.n_tries < settings.n_modes:
        raise ValueError(
            f"n_tries: {settings.n_tries}, expected at least n_modes: {settings.n_modes}"
        )
    if not 0 <= settings.n_sides <= settings.n_modes:
        raise ValueError(f"n_sides: {settings.n_sides}, expected 0 to n_modes: {settings.n_modes}")

    blurred = ascent.blurred(setup, BLURS[0])

    def begin(direction: jax.Array) -> tuple:
        chart, x, modules = _begin(setup, pulses, direction, settings)
        value = ascent.value(blurred, pulses, chart, x, modules, linear=True)
        return chart, x, modules, value

    def climb(given: tuple, n_steps: int, blurs: tuple[float, ...]) -> tuple:
        chart, x, modules, _ = given
        top = ascent.climb(setup, pulses, chart, x, n_steps, blurs, among=around)
        event = coordinates.truth(setup.kind, setup.prior, chart, top.x)
        chart = time_fit.aligned(coordinates.around(setup.kind, event, chart.anchor))
        modules = likelihood.asked(setup, event, len(modules.weight), around)
        return chart, jnp.where(jnp.arange(len(x)) >= len(x) - 4, top.x, 0), modules, top.value

    begun = jax.vmap(begin)(_directions(pulses, direction, settings.n_starts))
    kept = _distinct(begun, settings.n_kept - n_mirrors, APART)
    mirrored = jax.vmap(begin)(mirrors.planes(pulses, kept[0].direction[0])[:n_mirrors])
    kept = jax.tree.map(lambda *a: jnp.concatenate(a), kept, mirrored)
    events = jax.vmap(lambda c, x: coordinates.truth(setup.kind, setup.prior, c, x))(*kept[:2])
    around = likelihood.asked(setup, events, N_AROUND)
    kept = jax.vmap(lambda one: climb(one, settings.n_climb, BLURS[:-1]))(kept)
    tops = _distinct(kept, settings.n_modes, APART)
    tried = _around(setup, pulses, tops, settings.n_tries)
    if settings.n_sides:
        other = _passing(setup, pulses, tops, settings.n_sides)
        tried = jax.tree.map(lambda *a: jnp.concatenate(a), tried, other)
    tried = jax.vmap(lambda one: climb(one, settings.n_steps, BLURS[-1:]))(tried)
    exact = jax.vmap(lambda c, x, m: ascent.value(setup, pulses, c, x, m, linear=True))(*tried[:3])
    best = jax.tree.map(lambda a: a[jnp.argmax(_finite(exact))], tried[:3])
    apart = jnp.clip(WIDTHS_APART * _width(setup, pulses, *best), *BETWEEN)
    return _distinct((*tried[:3], exact), settings.n_modes, apart)[:3]


def scores(setup: Setup, pulses: Pulses, found: Guess) -> Scores:
    """Look at the likelihood around guesses, one mode of each event; pure."""

    def one(given: tuple) -> Scores:
        pulses, chart, x, modules = given
        at = ascent.look(setup, pulses, chart, x, modules)
        last = np.arange(len(x))[::-1]
        factor = jnp.linalg.cholesky(at.information[last][:, last])
        inverse = matrices.inverse(factor)
        each, total = at.slopes[:, last] @ inverse.T, inverse @ at.slope[last]
        step = (total @ inverse)[last]
        corner = jnp.stack([factor[-2, -2], factor[-1, -2], factor[-1, -1]])
        return Scores(at.log_rate, each, total, step, corner)

    return mapped(one, (pulses, found.chart, found.x, found.modules))


def frame(found: Guess) -> frames.Frame:
    """Give the frame of guesses, one mode of each event: its line is the guess, at the speed of the
    line fit.
    """
    chart = found.chart
    axes = jnp.stack([chart.first, chart.second, chart.direction], -2)
    return frames.Frame(
        axes, frames.Line(chart.direction, chart.anchor, chart.time, found.line.speed)
    )


def features(setup: Setup, pulses: Pulses, found: Guess, scored: Scores) -> frames.Features:
    """Look at pulses from the guess, with what they and all of the event say of it; pulse: [event,
    pulse, frames.N_PULSE + dim + 1], whole: [event, frames.N_WHOLE + 2 dim + 5].
    """
    plain = frames.features(pulses, frame(found), setup.medium)
    each = [plain.pulse, jnp.arcsinh(2 * scored.pulse), scored.log_rate[..., None] / 5]
    pulse = jnp.where(pulses.mask[..., None], jnp.concatenate(each, -1), 0)
    diagonal = jnp.log(scored.factor[:, 0::2])
    numbers = [
        diagonal,
        jnp.arcsinh(scored.factor[:, 1:2] / scored.factor[:, 2:]),
        found.x[:, -4:-3] / 3,
        scored.log_rate.sum(-1, keepdims=True) / 100,
    ]
    whole = [plain.whole, jnp.arcsinh(scored.total), jnp.arcsinh(scored.step), *numbers]
    return frames.Features(pulse, jnp.concatenate(whole, -1), pulses.mask)


def mapped(function: Any, given: Any, chunk: int = CHUNK) -> Any:
    """Map over events, `chunk` at once on a CPU."""
    n = len(jax.tree.leaves(given)[0])
    chunk = chunk if jax.default_backend() == "cpu" else WIDE_CHUNK
    return jax.lax.map(function, given, batch_size=min(chunk, n))


def _zeros(setup: Setup) -> jax.Array:
    return jnp.zeros(coordinates.dim(setup.kind))


def _begin(
    setup: Setup, pulses: Pulses, direction: jax.Array, settings: Settings
) -> tuple[Chart, jax.Array, likelihood.Asked]:
    """Fit times of one event, and guess its energy."""
    chart = time_fit.fit(setup, pulses, direction, settings.n_turns)
    event = coordinates.truth(setup.kind, setup.prior, chart, _zeros(setup))
    modules = likelihood.asked(setup, event, settings.n_modules)
    x = _zeros(setup).at[-4].set(_energy(setup, pulses, event, modules))
    return chart, x, modules


def _directions(pulses: Pulses, direction: jax.Array, n: int) -> jax.Array:
    """Give directions to start from [start, 3]: a given one, half of the others around it, and half
    even over the sphere.
    """
    first, second, _ = frames.axes(direction)
    n_near = (n - 1) // 2
    turn = 2 * np.pi * np.arange(n_near) / max(n_near, 1)
    flat = np.stack([np.cos(turn), np.sin(turn)], -1) * AROUND
    near = direction + jnp.asarray(flat, jnp.float32) @ jnp.stack([first, second])
    near = near / jnp.sqrt((near**2).sum(-1, keepdims=True))
    even = -sphere.fibonacci(n - 1 - n_near) if n - 1 > n_near else np.zeros((0, 3))
    return jnp.concatenate([direction[None], near, jnp.asarray(even, jnp.float32)])


def _around(setup: Setup, pulses: Pulses, tops: tuple, n: int) -> tuple:
    """Go on with tops of a blurred likelihood, and with draws about them, more about the likelier
    ones: n in all. What comes twice is a draw too.
    """
    chart, x, _, value = tops
    n_tops, dim = x.shape
    blurred = ascent.blurred(setup, BLURS[-2])
    look = jax.vmap(lambda c, x, m: ascent.look(blurred, pulses, c, x, m).information)
    factor = jnp.linalg.cholesky(look(*tops[:3]))
    near = ((chart.direction[:, None] - chart.direction) ** 2).sum(-1) < APART**2
    again = (near & (np.arange(n_tops) < np.arange(n_tops)[:, None])).any(1)
    share = jnp.cumsum(jax.nn.softmax(jnp.where(again, -WORST, _finite(value))))
    at = jnp.searchsorted(share, jnp.linspace(0, 1, 2 * (n - n_tops) + 1)[1::2])
    own = jnp.where(again, 0, jnp.arange(n_tops))
    which = jnp.append(own, jnp.minimum(at, n_tops - 1))
    moved = jnp.append(again, jnp.ones(n - n_tops, bool))
    inverse = matrices.inverse(factor)
    moves = jax.vmap(lambda k, z: z @ inverse[k])(which, jnp.asarray(_even(n, dim)))
    tried = jax.tree.map(lambda a: a[which], tops)
    return tried[0], tried[1] + jnp.where(moved[:, None], moves, 0), *tried[2:]


def _passing(setup: Setup, pulses: Pulses, tops: tuple, n: int) -> tuple:
    """Take the first n tops to other sides of strings; a cascade has but its mirror image."""
    chart, x, modules, value = jax.tree.map(lambda a: a[:n], tops)
    n_ways = 1 if setup.kind == "cascade" else 3

    def one(chart: Chart, x: jax.Array) -> tuple[Chart, likelihood.Asked]:
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        others = jax.tree.map(lambda a: a[:n_ways], mirrors.sides(pulses, event))
        around = jax.vmap(lambda e: coordinates.around(setup.kind, e, chart.anchor))(others)
        asked = jax.vmap(lambda e: likelihood.asked(setup, e, modules.weight.shape[-1]))(others)
        return jax.vmap(time_fit.aligned)(around), asked

    charts, asked = jax.vmap(one)(chart, x)
    charts, asked = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), (charts, asked))
    return charts, jnp.repeat(x, n_ways, 0), asked, jnp.repeat(value, n_ways)


@functools.cache
def _even(n: int, dim: int) -> np.ndarray:
    """Give numbers [n, dim] of a normal distribution, spread evenly (a Sobol sequence)."""
    u = stats.qmc.Sobol(dim, rng=1).random_base2(math.ceil(math.log2(n)))[:n]
    return stats.norm.ppf(np.clip(u, 1e-3, 1 - 1e-3)).astype(np.float32)


def _width(
    setup: Setup, pulses: Pulses, chart: Chart, x: jax.Array, modules: likelihood.Asked
) -> Any:
    """Give the width of the direction by the information at a place, rad, over both axes."""
    covariance = matrices.inverse(ascent.look(setup, pulses, chart, x, modules).information)
    size = jnp.linalg.det(covariance[:2, :2])
    return coordinates.ANGLE * jnp.where(size > 0, size, 0) ** 0.25


def _finite(value: jax.Array) -> jax.Array:
    return jnp.where(jnp.isfinite(value), value, -2 * WORST)


def _distinct(given: tuple, n: int, apart: float | jax.Array) -> tuple:
    """Choose n of the starts (chart, x, modules, value), the likeliest first, that are at least
    so far apart, rad, from each other; where there are fewer, the likeliest of the others.
    """
    chart, value = given[0], given[-1]
    left = _finite(value)
    chosen = []
    for _ in range(n):
        best = jnp.argmax(left)
        chosen.append(best)
        near = ((chart.direction - chart.direction[best]) ** 2).sum(-1) < apart**2
        left = jnp.where(near, left - WORST, left).at[best].set(-jnp.inf)
    return jax.tree.map(lambda a: a[jnp.stack(chosen)], given)


def _energy(setup: Setup, pulses: Pulses, event: Truth, modules: likelihood.Asked) -> jax.Array:
    """Guess the coordinate of the energy, at which as much light is expected as there is."""
    low, high = setup.prior.log_energy
    share = jnp.linspace(0.02, 0.98, 7)
    tried = prior.energy_quantile(setup.prior, share)
    noise = setup.noise * len(setup.detector.efficiency) * (setup.window[1] - setup.window[0])
    expected = jax.vmap(
        lambda e: likelihood.total(setup, event._replace(log_energy=e), modules) - noise
    )(jnp.clip(tried, low, high))
    there = jnp.maximum(pulses.mask.sum() - noise, 0.5)
    share = jnp.interp(jnp.log(there), jnp.log(expected + 1e-6), share)
    return jnp.log(share) - jnp.log1p(-share)
