"""Fits of arrival times: of light that comes when it should, and in spite of noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.neutrino import data, light, simulation, time_fit


@pytest.fixture(scope="module")
def unscattered(small):
    """Eight tracks and pulses at the 16 modules nearest to each, as early as can be."""
    keys = jax.random.split(jax.random.key(0))
    n = sphere.uniform(keys[0], (8,), jnp.float32)
    place = 50 * jax.random.normal(keys[1], (8, 3))
    zero = jnp.zeros(8)
    truth = data.Truth(place, n, zero + 40, zero + 3, zero + 1, zero + 1, zero + 1)
    position = jnp.asarray(small.detector.position)

    def one(truth):
        away = position - truth.position
        away = away - (away @ truth.direction)[:, None] * truth.direction
        at = jnp.argsort((away**2).sum(-1))[:16]
        seen = light.expected("track", small.medium, truth, position[at])
        return data.Pulses(position[at], seen.time[0], jnp.ones(16), at, jnp.ones(16, bool))

    return jax.vmap(one)(truth), truth


def degrees(a, b):
    return np.degrees(sphere.angle(np.asarray(a, float), np.asarray(b, float)))


@pytest.mark.smoke
def test_times_without_scattering_give_the_track(small, unscattered):
    """Pulses pull the track a little towards them, so that it is not met exactly."""
    pulses, truth = unscattered
    near = truth.direction + 0.1 * jnp.roll(truth.direction, 1, -1)
    near = near / jnp.linalg.norm(near, axis=-1, keepdims=True)
    fit = jax.jit(jax.vmap(lambda p, n: time_fit.fit(small, p, n, 30)))
    assert np.median(degrees(fit(pulses, near).direction, truth.direction)) < 1
    noisy = pulses._replace(time=pulses.time.at[:, 0].add(3000.0))
    assert np.median(degrees(fit(noisy, near).direction, truth.direction)) < 2


def test_directions_of_cascades_stay(small, small_events):
    setup = simulation.setup(small.detector, small.medium, "cascade", cap=48)
    pulses = jax.tree.map(lambda x: x[0], small_events[0])
    n = jnp.array([0.6, 0.0, 0.8])
    found = time_fit.fit(setup, pulses, n, 5)
    np.testing.assert_allclose(found.direction, n, atol=1e-6)


def test_axes_are_those_of_the_event(small, small_events):
    pulses = jax.tree.map(lambda x: x[0], small_events[0])
    found = time_fit.fit(small, pulses, jnp.array([0.6, 0.0, 0.8]), 5)
    axes = np.stack([found.first, found.second, found.direction])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-5)
    assert axes[2, 2] == pytest.approx(found.direction[2])
