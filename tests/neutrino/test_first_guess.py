"""The first guess: close to the truth, as close as it says, and blind to order and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.neutrino import coordinates, first_guess, frames, likelihood, simulation


@pytest.fixture(scope="module")
def guessed(small, small_events):
    pulses, _ = small_events

    def both(pulses):
        found = first_guess.guess(small, pulses)
        return found, first_guess.scores(small, pulses, found)

    return jax.jit(both)(pulses)


def degrees(a, b):
    return np.degrees(sphere.angle(np.asarray(a, float), np.asarray(b, float)))


@pytest.mark.smoke
def test_a_guess_is_closer_than_a_line(small_events, guessed):
    truth = small_events[1].direction
    line, guess = (
        np.median(degrees(n, truth))
        for n in (guessed[0].line.direction, guessed[0].chart.direction)
    )
    assert guess < 0.6 * line
    assert guess < 3


def test_it_is_as_close_as_it_says(small_events, guessed):
    """The scale is about the error: half of the events are within it, few far beyond."""
    found, scored = guessed
    away = np.radians(degrees(found.chart.direction, small_events[1].direction))
    pull = away / np.asarray(first_guess.scale(scored))
    assert 0.4 < np.median(pull) < 1.4
    assert np.quantile(pull, 0.9) < 6


def test_slopes_are_those_of_the_likelihood(small, small_events, guessed):
    """In units of the errors: total and step agree with the gradient of log L by jax.grad."""
    pulses, found, scored = jax.tree.map(lambda x: x[:4], (small_events[0], *guessed))

    def value(x, pulses, chart, modules):
        event = coordinates.truth("track", small.prior, chart, x)
        spread = jnp.array([0.3, 0.3, 0.1])
        at = likelihood.all_photons(small, pulses, event, modules)
        return at + coordinates.log_energy_prior(x) - ((x[-3:] / spread) ** 2).sum() / 2

    slope = jax.vmap(jax.grad(value))(found.x, pulses, found.chart, found.modules)
    gain = (scored.step * slope).sum(-1)  # g F^-1 g, both ways
    np.testing.assert_allclose((scored.total**2).sum(-1), gain, rtol=2e-2, atol=1e-2)
    each = np.asarray(scored.pulse) * np.asarray(pulses.mask)[..., None]
    information = np.einsum("epi,epj->eij", each, each)
    assert (np.linalg.eigvalsh(information) < 1 + 1e-3).all()  # with the prior it is 1


def test_nothing_is_left_of_the_slope_after_many_steps(small, small_events):
    pulses = jax.tree.map(lambda x: x[:32], small_events[0])
    many = first_guess.Settings(n_steps=60)
    found = first_guess.guess(small, pulses, many)
    left = np.asarray(first_guess.scores(small, pulses, found).total)
    assert np.median((left**2).sum(-1)) < 0.05


def test_order_and_padding_do_not_matter(small, small_events, shuffled):
    pulses = jax.tree.map(lambda x: x[:8], small_events[0])
    other, _ = shuffled(pulses)
    a, b = (first_guess.guess(small, x) for x in (pulses, other))
    away = degrees(a.chart.direction, b.chart.direction)
    assert np.median(away) < 0.01
    assert np.quantile(away, 0.8) < 0.3  # rounding may lead to another step being refused


def test_the_vertex_of_a_cascade_is_near(small):
    setup = simulation.setup(small.detector, small.medium, "cascade", cap=48)
    pulses, truth = jax.jit(lambda key: simulation.events(key, setup, 64))(jax.random.key(1))
    found = jax.jit(lambda p: first_guess.guess(setup, p))(pulses)
    middle = (pulses.mask[..., None] * pulses.position).sum(1) / pulses.mask.sum(1)[:, None]
    far, near = (
        np.median(np.linalg.norm(np.asarray(x - truth.position), axis=-1))
        for x in (middle, found.chart.anchor)
    )
    assert near < 0.7 * far


def test_a_starting_track_has_a_direction(small):
    setup = simulation.setup(small.detector, small.medium, "starting", cap=48)
    pulses, truth = jax.jit(lambda key: simulation.events(key, setup, 64))(jax.random.key(1))
    found = jax.jit(lambda p: first_guess.guess(setup, p))(pulses)
    line, guess = (
        np.median(degrees(n, truth.direction))
        for n in (found.line.direction, found.chart.direction)
    )
    assert guess < 45
    assert guess < line


def test_features_are_finite_and_none_without_pulses(small, small_events, guessed):
    pulses = small_events[0]
    features = first_guess.features(small, pulses, *guessed)
    assert features.pulse.shape == (256, 48, frames.N_PULSE + 10)
    assert features.whole.shape == (256, frames.N_WHOLE + 24)
    assert all(np.isfinite(x).all() for x in features)
    assert (np.abs(features.whole) < 20).all()
    empty = jax.tree.map(lambda x: jnp.zeros_like(x[:2]), pulses)
    found = first_guess.guess(small, empty)
    scored = first_guess.scores(small, empty, found)
    features = first_guess.features(small, empty, found, scored)
    assert all(np.isfinite(x).all() for x in features)
    assert (features.pulse == 0).all()
    np.testing.assert_allclose(first_guess.scale(scored), 0.95, atol=0.05)
