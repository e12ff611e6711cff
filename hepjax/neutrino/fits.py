"""Likelihood fits of directions, many starts at once: what telescopes do without a network.

`line` is the seed of old, a plane wave through the pulses. `fit` starts from directions all over
the sphere, makes first guesses that are not alike (`first_guess`), and goes on from the best few
with the exact likelihood, by Newton's method with the Hessian made positive, each step taken only
where it is a gain. All is of fixed shape: vmap over events, or `fits` for a batch in parts.

Nuisances stay at the centre of their prior, or are fitted too under it (`profiled`), as the energy
is, in its coordinate: faint light leaves it open. Errors are those of the inverse Hessian: of the
direction a 2 x 2 covariance on the sphere.

>>> from hepjax.neutrino import detectors, media, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> pulses = simulation.events(jax.random.key(0), telescope, 1)[0]
>>> direction, speed = jax.vmap(line)(pulses)
>>> direction.shape, bool((speed > 0).all())
((1, 3), True)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax import matrices
from hepjax.neutrino import coordinates, first_guess, frames, likelihood, prior
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup

STEP = 0.05
"""Of the differences of gradients that make a Hessian, in units of the coordinates."""


class Settings(NamedTuple):
    """How a fit goes: n_starts directions, n_climb steps up each of the blurred likelihoods for the
    best first guesses from them (`first_guess`), of which n_kept go on for n_newton steps;
    n_modules are asked what they expect; profiled: fit nuisances too.
    """

    n_starts: int = 20
    n_climb: int = 16
    n_kept: int = 3
    n_newton: int = 15
    n_modules: int = 512
    profiled: bool = False


DEFAULT = Settings()


class Fit(NamedTuple):
    """What a fit found, of each kept start, the best first.

    value: [start] log L and the priors of what has one; chart: coordinates about each
    start; x: [start, dim] in it; hessian: [start, dim, dim] of minus the value, fixed coordinates
    those of their prior alone; truth: [start] the event there; covariance: [start, 2, 2] rad^2 of
    the direction, along chart.first and chart.second; modules: [start, module] that were asked.
    """

    value: Any
    chart: Chart
    x: Any
    hessian: Any
    truth: Truth
    covariance: Any
    modules: Any


def line(pulses: Pulses) -> tuple[jax.Array, jax.Array]:
    """Fit a plane wave to the pulses of one event: direction [3], and speed, m/ns, weighted with
    their charges (astro-ph/0407044, section 3.2).
    """
    weight = jnp.where(pulses.mask, pulses.charge, 0)
    weight = weight / jnp.maximum(weight.sum(), 1e-9)
    place, time = weight @ pulses.position, weight @ pulses.time
    late = pulses.time - time
    velocity = (weight * late) @ (pulses.position - place) / ((weight * late) @ late + 1e-9)
    speed = jnp.sqrt((velocity**2).sum() + 1e-18)
    return velocity / speed, speed


def fits(setup: Setup, pulses: Pulses, settings: Settings = DEFAULT, *, chunk: int = 8) -> Fit:
    """Fit events, fields of pulses [event, ...], in parts of `chunk`; see `fit`."""
    each = lambda one: fit(setup, one, settings)  # noqa: E731
    return jax.lax.map(each, pulses, batch_size=min(chunk, len(pulses.mask)))


def fit(setup: Setup, pulses: Pulses, settings: Settings = DEFAULT) -> Fit:
    """Fit one event, fields of pulses [pulse, ...]; ValueError for settings without sense."""
    if not 0 < settings.n_kept <= settings.n_starts:
        raise ValueError(f"n_kept: {settings.n_kept}, expected 1 to {settings.n_starts} starts")
    guessing = first_guess.Settings(
        n_starts=settings.n_starts,
        n_kept=min(2 * settings.n_kept, settings.n_starts),
        n_climb=settings.n_climb,
        n_modes=settings.n_kept,
        n_tries=3 * settings.n_kept,
        n_steps=settings.n_climb,
    )
    found = frames.line(*(x[None] for x in (pulses.position, pulses.time, pulses.mask)))
    charts, x, _ = first_guess.modes(setup, pulses, found.direction[0], guessing)
    if not settings.profiled:
        x = x.at[:, -3:].set(0)
    events = jax.vmap(lambda c, x: coordinates.truth(setup.kind, setup.prior, c, x))(charts, x)
    modules = jax.vmap(lambda t: likelihood.asked(setup, t, settings.n_modules))(events)
    newton = jax.vmap(lambda c, x, m: _newton(setup, pulses, c, x, m, settings))
    x, value, hessian = newton(charts, x, modules)
    order = jnp.argsort(-value)
    charts, x, value, hessian = jax.tree.map(lambda a: a[order], (charts, x, value, hessian))
    events = jax.vmap(lambda c, x: coordinates.truth(setup.kind, setup.prior, c, x))(charts, x)
    covariance = jax.vmap(lambda h: positive(h)[1])(hessian)[:, :2, :2] * coordinates.ANGLE**2
    modules = jax.tree.map(lambda a: a[order], modules)
    return Fit(value, charts, x, hessian, events, covariance, modules)


def positive(hessian: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Make a Hessian [dim, dim] positive, by the size of its eigenvalues; also its inverse."""
    value, vector = matrices.eigh((hessian + hessian.T) / 2)
    size = jnp.maximum(jnp.abs(value), 1e-2)
    return (vector * size) @ vector.T, (vector / size) @ vector.T


def _newton(
    setup: Setup,
    pulses: Pulses,
    chart: Chart,
    x: jax.Array,
    modules: likelihood.Asked,
    settings: Settings,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Climb the exact likelihood; give coordinates, value and Hessian of minus the value."""
    spread = jnp.array([getattr(setup.prior, name)[1] for name in prior.NUISANCES])
    nuisance = jnp.arange(len(x)) >= coordinates.n_event(setup.kind)
    free = ~nuisance | (settings.profiled & jnp.concatenate([nuisance[:-3], spread > 0]))

    def loss(x: jax.Array) -> jax.Array:
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        value = likelihood.all_photons(setup, pulses, event, modules)
        value -= (jnp.where(spread > 0, x[-3:] / jnp.maximum(spread, 1e-3), 0) ** 2).sum() / 2
        return -value - coordinates.log_energy_prior(x)

    both = free[:, None] & free[None]
    rest = jnp.diag(jnp.concatenate([jnp.ones(len(x) - 3), 1 / jnp.maximum(spread, 1e-3) ** 2]))
    around = jnp.concatenate([jnp.zeros((1, len(x))), STEP * jnp.eye(len(x))])

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        x, value, damping = state[:3]
        slopes = jax.vmap(jax.grad(loss))(x + around)
        slope = jnp.where(free, slopes[0], 0)
        bend = (slopes[1:] - slopes[0]) / STEP
        curvature = jnp.where(both, (bend + bend.T) / 2, rest)
        hessian = positive(curvature)[0]
        trials = damping * jnp.array([0.1, 1.0, 10.0, 100.0])
        scale = jnp.diag(jnp.diag(hessian))
        ahead = jax.vmap(lambda d: x - matrices.solve(hessian + d * scale, slope))(trials)
        ahead = jnp.concatenate([x[None], ahead])
        values = jax.vmap(loss)(ahead)
        values = jnp.where(jnp.isfinite(values), values, jnp.inf)
        best = jnp.argmin(values[1:]) + 1
        better = values[best] < values[0]
        damping = jnp.clip(jnp.where(better, trials[best - 1], 100 * damping), 1e-4, 1e4)
        x, value = jnp.where(better, ahead[best], x), jnp.where(better, values[best], values[0])
        return (x, value, damping, curvature), None

    start = (x, jnp.float32(0), jnp.float32(0.1), rest)
    (x, value, _, curvature), _ = jax.lax.scan(step, start, None, settings.n_newton)
    return x, -value, curvature
