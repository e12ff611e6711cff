"""Climbing: up, to the top where it is smooth, and past wrinkles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import ascent, coordinates, first_guess, likelihood


@pytest.fixture(scope="module")
def starts(small, small_events):
    """Of 32 tracks: pulses, charts at the truth, its coordinates, modules, and others 2 degrees and
    some metres off.
    """
    pulses, truth = jax.tree.map(lambda x: x[:32], small_events)

    def one(truth):
        chart = coordinates.around("track", truth, jnp.zeros(3))
        x = coordinates.from_truth("track", small.prior, chart, truth)
        return chart, x, likelihood.asked(small, truth, 200)

    chart, x, modules = jax.jit(jax.vmap(one))(truth)
    move = jnp.array([1.0, -0.8, 0.5, -0.5, 0.3, 0.5, 0.1, 0.1, 0.0])
    return pulses, chart, x, modules, x + move


@pytest.fixture(scope="module")
def climb(small):
    """The function climb(blurs)(*starts) -> value at the truth, at the start, and tops."""

    @functools.cache
    def climb(blurs):
        def one(pulses, chart, x, modules, off):
            first, then = (ascent.value(small, pulses, chart, y, modules) for y in (x, off))
            return first, then, ascent.climb(small, pulses, chart, off, 16, blurs)

        return jax.jit(jax.vmap(one))

    return climb


@pytest.fixture(scope="module")
def climbed(climb, starts):
    return climb(first_guess.BLURS)(*starts)


@pytest.mark.smoke
def test_tops_are_above_the_truth(climbed):
    truth, start, top = climbed
    assert (np.asarray(start) < np.asarray(truth)).mean() > 0.8
    assert (np.asarray(top.value) > np.asarray(truth)).mean() > 0.85
    assert (top.value > start).all()


def test_blurs_lead_past_wrinkles(climb, climbed, starts):
    at_once = np.asarray(climb((1.0,))(*starts)[2].value)
    assert np.mean(np.asarray(climbed[2].value) - at_once) > 0.5


def test_slopes_are_those_of_the_value(small, starts):
    pulses, chart, x, modules, _ = jax.tree.map(lambda x: x[:4], starts)

    def both(pulses, chart, x, modules):
        value = lambda x: ascent.value(small, pulses, chart, x, modules)  # noqa: E731
        at = ascent.look(small, pulses, chart, x, modules)
        return (value(x), jax.grad(value)(x)), (at.value, at.slope), at.information

    plain, looked, information = jax.jit(jax.vmap(both))(pulses, chart, x, modules)
    np.testing.assert_allclose(plain[0], looked[0], rtol=1e-4)
    np.testing.assert_allclose(plain[1], looked[1], rtol=2e-2, atol=0.2)
    assert (np.linalg.eigvalsh(information) > 0).all()


def test_a_metric_learns_a_quadratic():
    """After as many steps as it has dimensions, whatever it was."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3))
    hessian = jnp.asarray(root @ root.T + np.eye(3), jnp.float32)
    metric, x = jnp.eye(3), jnp.array([1.0, -2.0, 0.5])
    for _ in range(12):
        slope = hessian @ x
        change = -metric @ slope
        change = change * (slope @ -change) / (change @ hessian @ change + 1e-12)  # to the lowest
        metric, x = ascent._bent(metric, change, hessian @ change), x + change
    assert jnp.abs(x).max() < 1e-3
    up = ascent._bent(jnp.eye(3), jnp.array([1.0, 0, 0]), jnp.array([-1.0, 0, 0]))
    np.testing.assert_array_equal(up, np.eye(3))  # of a hill it learns nothing


def test_nuisances_stay_where_their_prior_is(climbed):
    x = np.asarray(climbed[2].x)
    assert (np.abs(x[:, -4]) <= ascent.MOST_LOGIT).all()
    assert (np.abs(x[:, -3:]) <= ascent.MOST_PULL * np.array([0.3, 0.3, 0.1]) + 1e-6).all()


def test_events_without_pulses_stay_finite(climb, starts):
    empty = jax.tree.map(jnp.zeros_like, starts[0])
    top = climb(first_guess.BLURS)(empty, *starts[1:])[2]
    assert jnp.isfinite(top.x).all()
    assert jnp.isfinite(top.value).all()
