"""A first guess of an event, and how its likelihood bends there: what a network looks at first.

A line through the pulses (`frames.line`) is some degrees off. `guess` goes on from it in two
strides. The first fits when light arrives, from a track at the Cherenkov angle or from a vertex
evenly, by Gauss-Newton steps under a loss that noise and scattered light cannot pull far, stiff at
the end and soft at the start, and that prefers what is close to the pulses. The second climbs the
likelihood itself, of all pulses and of the modules around, by scoring: the outer products of what
each pulse says of the coordinates add up to the Fisher information of a Poisson process
(Berndt, Hall, Hall and Hausman, 1974). Both are of fixed shape and cost about a millisecond.

`scores` tells what is known there: the slope of each pulse's log-rate and of all of log L, in units
of the errors. To first order these are all that the likelihood has to say (score compression,
arXiv:1712.00012), and a network that sees them need not find the fit, only what is wrong with it:
far-off guesses, other modes, ice that is not as it was taken to be.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> pulses, truth = simulation.events(jax.random.key(0), telescope, 2)
>>> found = guess(telescope, pulses)
>>> found.x.shape, scores(telescope, pulses, found).pulse.shape
((2, 9), (2, 64, 9))
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.neutrino import coordinates, frames, light, likelihood, media, prior
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup

EARLY, LATE = 10.0, 0.7
"""Scale of the loss: ns for light that is early, and in mean delays for light that is late."""
REACH = 70.0
"""Distance, m, on which a pulse is less likely by e."""
SOFT = 4.0
"""Factor on the scale of the loss at the start."""
DAMPING, EASE, HARD = 0.3, 3.0, 10.0
"""Of scoring steps: share of the diagonal that is added, and factors after success and failure."""
FARTHEST = 5.0
"""Largest change of a coordinate in a step."""
MOST_LOGIT, MOST_PULL = 8.0, 3.0
"""Largest size of the coordinate of the energy, and of nuisances in standard deviations."""
BEFORE = 0.15
"""Share of pulses that may come from before the vertex of a starting track: noise, scattering."""
LEAST, ROUNDING = 1e-3, 1e-5
"""Added to the information of a coordinate: what is known without pulses (1 rad, 300 m, 1000 ns),
and a share of what there is, without which float32 finds directions of none.
"""
CHUNK, WIDE_CHUNK = 32, 2048
"""Events that are worked on at once on a CPU, and on an accelerator."""


SCALES = (1e-3, 1.0)
"""Bounds of the scale of a guess, rad."""


class Settings(NamedTuple):
    """n_turns: Gauss-Newton steps on times; n_steps: scoring steps on the likelihood, of pulses and
    of n_modules around the track or vertex.
    """

    n_turns: int = 12
    n_steps: int = 12
    n_modules: int = 192


DEFAULT = Settings()


class Guess(NamedTuple):
    """chart: [event] around the guess, its axes those of the event (`frames.axes`); x: [event, dim]
    coordinates there, of which only energy and nuisances are not zero; modules: [event, module]
    that are asked; line: the robust line fit, from which it began.
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
    """Guess events, fields of pulses [event, pulse, ...]; pure."""
    found = frames.line(pulses.position, pulses.time, pulses.mask)

    def one(given: tuple) -> tuple:
        pulses, direction = given
        return toward(setup, pulses, direction, settings)

    chart, x, modules = _mapped(one, (pulses, found.direction))
    return Guess(chart, x, modules, found)


def toward(
    setup: Setup, pulses: Pulses, direction: jax.Array, settings: Settings = DEFAULT
) -> tuple[Chart, jax.Array, jax.Array]:
    """Guess one event, fields of pulses [pulse, ...], from a direction [3] on: chart, coordinates
    and modules, as in Guess.
    """
    chart = _by_times(setup, pulses, _start(setup, pulses, direction), settings.n_turns)
    if setup.kind == "starting":
        chart = _beginning(setup, pulses, chart)
    event = coordinates.truth(setup.kind, setup.prior, chart, _zeros(setup))
    n = min(settings.n_modules, len(setup.detector.efficiency))
    modules = coordinates.nearest(setup, event, n)
    x = _zeros(setup).at[-4].set(_energy(setup, pulses, event, modules))
    x = _climb(setup, pulses, chart, x, modules, settings.n_steps)
    event = coordinates.truth(setup.kind, setup.prior, chart, x)
    around = _aligned(coordinates.around(setup.kind, event, chart.anchor))
    rest = jnp.arange(len(x)) >= len(x) - 4
    return around, jnp.where(rest, x, 0), modules


def scores(setup: Setup, pulses: Pulses, found: Guess) -> Scores:
    """Look at the likelihood around guesses; pure."""

    def one(given: tuple) -> Scores:
        pulses, chart, x, modules = given
        at = _state(setup, pulses, chart, x, modules)
        last = np.arange(len(x))[::-1]
        factor = jnp.linalg.cholesky(at.information[last][:, last])
        solve = jax.scipy.linalg.solve_triangular
        each = solve(factor, at.slopes[:, last].T, lower=True).T
        total = solve(factor, at.slope[last], lower=True)
        step = solve(factor.T, total)[last]
        corner = jnp.stack([factor[-2, -2], factor[-1, -2], factor[-1, -1]])
        return Scores(at.log_rate, each, total, step, corner)

    return _mapped(one, (pulses, found.chart, found.x, found.modules))


def frame(found: Guess) -> frames.Frame:
    """Give the frame of guesses: its line is the guess, at the speed of the line fit."""
    chart = found.chart
    axes = jnp.stack([chart.first, chart.second, chart.direction], -2)
    return frames.Frame(
        axes, frames.Line(chart.direction, chart.anchor, chart.time, found.line.speed)
    )


def scale(scored: Scores) -> jax.Array:
    """Tell how far directions may be from the guess [event], rad: the error, and half the step that
    is left.
    """
    variance = 1 / (scored.factor[:, 0] * scored.factor[:, 2])
    left = (scored.step[:, :2] ** 2).sum(-1) / 4
    return jnp.clip(coordinates.ANGLE * jnp.sqrt(variance + left), *SCALES)


def features(setup: Setup, pulses: Pulses, found: Guess, scored: Scores) -> frames.Features:
    """Look at pulses from the guess, with what they and all of the event say of it; pulse: [event,
    pulse, frames.N_PULSE + dim + 1], whole: [event, frames.N_WHOLE + 2 dim + 6].
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
        jnp.log(scale(scored))[:, None],
    ]
    whole = [plain.whole, jnp.arcsinh(scored.total), jnp.arcsinh(scored.step), *numbers]
    return frames.Features(pulse, jnp.concatenate(whole, -1), pulses.mask)


def _mapped(function: Any, given: Any) -> Any:
    """Map over events, some at once."""
    n = len(jax.tree.leaves(given)[0])
    chunk = CHUNK if jax.default_backend() == "cpu" else WIDE_CHUNK
    return jax.lax.map(function, given, batch_size=min(chunk, n))


def _zeros(setup: Setup) -> jax.Array:
    return jnp.zeros(coordinates.dim(setup.kind))


def _aligned(chart: Chart) -> Chart:
    """Give a chart the axes of the event's frame."""
    first, second, _ = frames.axes(chart.direction)
    return chart._replace(first=first, second=second)


def _start(setup: Setup, pulses: Pulses, direction: jax.Array) -> Chart:
    """Put a chart at the middle of the pulses; light needs a while to come."""
    weight = jnp.where(pulses.mask, 1.0, 0.0)
    anchor = weight @ pulses.position / jnp.maximum(weight.sum(), 1)
    along = (pulses.position - anchor) @ direction
    late = pulses.time - (0 if setup.kind == "cascade" else along / media.LIGHT)
    middle = jnp.nanmedian(jnp.where(pulses.mask, late, jnp.nan))
    return coordinates.chart(anchor, jnp.nan_to_num(middle) - 100, direction)


def _by_times(setup: Setup, pulses: Pulses, chart: Chart, n_turns: int) -> Chart:
    """Fit when light arrives, of one event; gives a chart there. A cascade's direction stays."""
    weight = jnp.where(pulses.mask, 1.0, 0.0)
    z = pulses.position[:, 2]
    scattering, absorption = media.coefficients(setup.medium, z, z)
    rate = 1 / setup.medium.delay + media.LIGHT / setup.medium.group_index * absorption
    delay = scattering / light.PANDEL / rate  # mean, of a metre of way
    n_fit = coordinates.n_event(setup.kind) - 1
    as_track = setup.kind != "cascade"

    def seen(x: jax.Array, chart: Chart) -> tuple:
        x = jnp.concatenate([x, jnp.zeros(4)])
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        time, across, way = _arrival(setup.medium, pulses, event, as_track)
        return (time, across), (time, across, way)

    def turn(chart: Chart, k: jax.Array) -> tuple[Chart, None]:
        zero = jnp.zeros(n_fit)
        (by_time, by_place), (time, across, way) = jax.jacfwd(seen, has_aux=True)(zero, chart)
        late = pulses.time - time
        scale = jnp.where(late < 0, EARLY, EARLY + LATE * delay * way)
        scale = scale * SOFT ** (1 - k / max(n_turns - 1, 1))
        pull = weight / (1 + (late / scale) ** 2 / 4) / scale**2
        near = weight / (REACH * jnp.sqrt((across**2).sum(-1) + light.FLOOR**2))
        by_place = jnp.where(pulses.mask[:, None, None], by_place, 0)
        bend = (by_time * pull[:, None]).T @ by_time
        bend += jnp.einsum("pai,p,paj->ij", by_place, near, by_place)
        slope = by_time.T @ (pull * late) - jnp.einsum("pai,p,pa->i", by_place, near, across)
        damping = jnp.diag(1e-2 * jnp.diag(bend) + 1e-3)
        step = jnp.linalg.solve(bend + damping, slope)
        step = step / jnp.maximum(jnp.abs(step).max() / FARTHEST, 1)
        x = jnp.concatenate([jnp.where(jnp.isfinite(step), step, 0), jnp.zeros(4)])
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        return _aligned(coordinates.around(setup.kind, event, chart.anchor)), None

    return jax.lax.scan(turn, _aligned(chart), jnp.arange(n_turns))[0]


def _beginning(setup: Setup, pulses: Pulses, chart: Chart) -> Chart:
    """Move the vertex of a track along it to where all but BEFORE of the pulses come from later."""
    event = coordinates.truth(setup.kind, setup.prior, chart, _zeros(setup))
    relative = pulses.position - event.position
    along = relative @ event.direction
    across = jnp.sqrt(jnp.maximum((relative**2).sum(-1) - along**2, 0))
    left = jnp.where(pulses.mask, along - across / media.tangent(setup.medium), jnp.nan)
    back = jnp.nan_to_num(jnp.nanquantile(left, BEFORE))
    anchor = chart.anchor + back * chart.direction
    return chart._replace(anchor=anchor, time=chart.time + back / media.LIGHT)


def _arrival(
    medium: media.Medium, pulses: Pulses, event: Truth, as_track: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Give the earliest time [pulse], the vector [pulse, 3] from track or vertex, and the way."""
    relative = pulses.position - event.position
    along = relative @ event.direction
    across = relative - along[:, None] * event.direction if as_track else relative
    distance = jnp.sqrt((across**2).sum(-1) + light.FLOOR**2)
    if not as_track:
        return event.time + medium.group_index * distance / media.LIGHT, across, distance
    tangent = media.tangent(medium)
    way = distance * np.hypot(1, tangent) / tangent
    time = along - distance / tangent + medium.group_index * way
    return event.time + time / media.LIGHT, across, way


def _energy(setup: Setup, pulses: Pulses, event: Truth, modules: jax.Array) -> jax.Array:
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


class _State(NamedTuple):
    """Of a climb: coordinates, log L and prior there, and what `_slopes` tells of them."""

    x: Any
    value: Any
    log_rate: Any
    slopes: Any
    slope: Any
    information: Any


def _state(setup: Setup, pulses: Pulses, chart: Chart, x: jax.Array, modules: jax.Array) -> _State:
    """Look at the likelihood of one event: its slopes by each pulse's log-rate [pulse, dim] and of
    all [dim], and the information [dim, dim].
    """
    spread = jnp.array([getattr(setup.prior, name)[1] for name in prior.NUISANCES])
    stiff = jnp.concatenate([_zeros(setup)[:-3], 1 / jnp.maximum(spread, 1e-3) ** 2])

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
    value = found.sum() - taken - (stiff * x**2).sum() / 2
    value = jnp.where(jnp.isfinite(value), value, -jnp.inf)
    least = jnp.where(stiff > 0, stiff, LEAST).at[-4].set(0.1)  # an energy has a logistic prior
    information = slopes.T @ slopes + jnp.diag(least)
    information += jnp.diag(
        ROUNDING * jnp.diag(information)
    )  # where a muon stops, slopes are steep
    return _State(x, value, found, slopes, slopes.sum(0) - its_slope - stiff * x, information)


def _climb(
    setup: Setup, pulses: Pulses, chart: Chart, x: jax.Array, modules: jax.Array, n_steps: int
) -> jax.Array:
    """Climb the likelihood of one event by scoring, each step only where it is a gain; coordinates
    that have a prior stay where that is not negligible.
    """
    spread = [getattr(setup.prior, name)[1] for name in prior.NUISANCES]
    most = jnp.array([jnp.inf] * (len(x) - 4) + [MOST_LOGIT, *(MOST_PULL * s for s in spread)])

    def step(given: tuple, _: None) -> tuple[tuple, None]:
        state, damping = given
        scale = jnp.diag(jnp.diag(state.information))
        change = jnp.linalg.solve(state.information + damping * scale, state.slope)
        ahead = jnp.clip(state.x + jnp.clip(change, -FARTHEST, FARTHEST), -most, most)
        new = _state(setup, pulses, chart, ahead, modules)
        better = new.value > state.value
        state = jax.tree.map(lambda new, old: jnp.where(better, new, old), new, state)
        return (state, jnp.where(better, damping / EASE, damping * HARD)), None

    start = _state(setup, pulses, chart, x, modules), jnp.float32(DAMPING)
    (state, _), _ = jax.lax.scan(step, start, None, n_steps)
    return state.x
