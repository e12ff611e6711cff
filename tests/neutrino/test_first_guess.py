"""First guesses: close to the truth, apart from each other, and blind to order and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.neutrino import coordinates, first_guess, frames, likelihood, simulation


@pytest.fixture(scope="module")
def score(small):
    """Scores of the likeliest of 96 guesses, compiled once."""
    return jax.jit(lambda pulses, best: first_guess.scores(small, pulses, best))


@pytest.fixture(scope="module")
def best(guessed):
    return first_guess.mode(guessed, 0)


def degrees(a, b):
    return np.degrees(sphere.angle(np.asarray(a, float), np.asarray(b, float)))


def test_a_guess_is_closer_than_a_line(few_events, best):
    truth = few_events[1].direction
    line, guess = (
        np.median(degrees(n, truth)) for n in (best.line.direction, best.chart.direction)
    )
    assert guess < 0.6 * line
    assert guess < 3


def test_modes_are_apart_and_the_likeliest_is_first(small, few_events, guessed):
    found, truth = guessed, few_events[1]
    assert found.chart.direction.shape == (96, 4, 3)
    value = jax.jit(jax.vmap(lambda p, c, x: jax.vmap(lambda c, x: level(small, p, c, x))(c, x)))(
        few_events[0], found.chart, found.x
    )
    value = np.asarray(value)
    assert (value[:, 0] > value[:, 1:].max(1) - 0.1).mean() > 0.95  # modules: the nearest
    away = degrees(found.chart.direction[:, 0], found.chart.direction[:, 1])
    assert (away > 0.5).mean() > 0.8  # some meet when they climb
    off = degrees(found.chart.direction, truth.direction[:, None])
    assert (off.min(1) < 5).mean() > (off[:, 0] < 5).mean() + 0.03


def level(setup, pulses, chart, x):
    event = coordinates.truth(setup.kind, setup.prior, chart, x)
    spread = jnp.array([0.3, 0.3, 0.1])
    at = likelihood.all_photons(setup, pulses, event)
    return at + coordinates.log_energy_prior(x) - ((x[-3:] / spread) ** 2).sum() / 2


def test_numbers_of_modes_that_make_no_sense_are_named(small, few_events):
    with pytest.raises(ValueError, match="n_modes: 4, n_kept: 3, n_starts: 16, expected to asc"):
        first_guess.guess(small, few_events[0], first_guess.Settings(n_modes=4, n_kept=3))
    with pytest.raises(ValueError, match="n_tries: 3, expected at least n_modes: 4"):
        first_guess.guess(small, few_events[0], first_guess.Settings(n_tries=3))
    with pytest.raises(ValueError, match="n_sides: 5, expected 0 to n_modes: 4"):
        first_guess.guess(small, few_events[0], first_guess.Settings(n_sides=5))


def test_slopes_are_those_of_the_likelihood(small, few_events, best, score):
    """In units of the errors: total and step agree with the gradient of log L by jax.grad."""
    pulses = few_events[0]
    pulses, found, scored = jax.tree.map(lambda x: x[:4], (pulses, best, score(pulses, best)))

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


@pytest.mark.slow
def test_nothing_is_left_of_the_slope_after_many_steps(small, few_events):
    pulses = jax.tree.map(lambda x: x[:32], few_events[0])
    many = first_guess.Settings(n_starts=4, n_kept=3, n_modes=1, n_steps=60)
    found = first_guess.mode(first_guess.guess(small, pulses, many), 0)
    left = np.asarray(first_guess.scores(small, pulses, found).total)
    assert np.median((left**2).sum(-1)) < 0.05


def test_order_and_padding_do_not_matter(few_events, shuffled, guess):
    """Of the first 45 pulses, with three places of padding at the end, and shuffled among them."""
    short = jax.tree.map(lambda x: x[:, :45], few_events[0])
    other, _ = shuffled(short)
    plain = few_events[0]._replace(mask=jnp.pad(short.mask, ((0, 0), (0, 3))))
    one, two = (guess(p).chart.direction[:, 0] for p in (plain, other))
    away = degrees(one, two)
    assert np.median(away) < 0.01
    assert np.quantile(away, 0.8) < 0.3  # rounding may lead to another step being refused


def test_the_vertex_of_a_cascade_is_near(small):
    setup = simulation.setup(small.detector, small.medium, "cascade", cap=48)
    pulses, truth = jax.jit(lambda key: simulation.events(key, setup, 64))(jax.random.key(1))
    found = jax.jit(lambda p: first_guess.mode(first_guess.guess(setup, p), 0))(pulses)
    middle = (pulses.mask[..., None] * pulses.position).sum(1) / pulses.mask.sum(1)[:, None]
    far, near = (
        np.median(np.linalg.norm(np.asarray(x - truth.position), axis=-1))
        for x in (middle, found.chart.anchor)
    )
    assert near < 0.7 * far


def test_a_starting_track_has_a_direction(small):
    setup = simulation.setup(small.detector, small.medium, "starting", cap=48)
    pulses, truth = jax.jit(lambda key: simulation.events(key, setup, 64))(jax.random.key(1))
    found = jax.jit(lambda p: first_guess.mode(first_guess.guess(setup, p), 0))(pulses)
    line, guess = (
        np.median(degrees(n, truth.direction))
        for n in (found.line.direction, found.chart.direction)
    )
    assert guess < 45
    assert guess < line


def test_features_are_finite_and_none_without_pulses(small, few_events, empty, best, score):
    pulses = few_events[0]
    features = first_guess.features(small, pulses, best, score(pulses, best))
    assert features.pulse.shape == (96, 48, frames.N_PULSE + 10)
    assert features.whole.shape == (96, frames.N_WHOLE + 23)
    assert all(np.isfinite(x).all() for x in features)
    assert (np.abs(features.whole) < 20).all()
    pulses, found = empty
    best = first_guess.mode(found, 0)
    features = first_guess.features(small, pulses, best, score(pulses, best))
    assert all(np.isfinite(x).all() for x in features)
    assert (features.pulse == 0).all()
