"""Layers of silicon: where hits are, how many, and what a missing first one costs."""

import numpy as np

from hepjax.jets.simulation import silicon

PERFECT = silicon.ATLAS_LIKE._replace(efficiency=1.0)


def at_radius(rho):
    return np.stack([np.zeros_like(rho), rho, np.full_like(rho, 900.0)], -1)


def test_layers_inside_the_vertex_see_nothing():
    rho = np.array([0.0, 33.0, 34.0, 130.0, 600.0])
    hit = silicon.crossed(at_radius(rho), PERFECT, np.random.default_rng(0))
    np.testing.assert_array_equal(hit.sum(1), [8, 8, 7, 4, 0])
    counts = silicon.count(hit, PERFECT)
    np.testing.assert_array_equal(counts[:, 0], [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(counts[:, 1], [4, 4, 3, 0, 0])
    np.testing.assert_array_equal(counts[:, 2], [8, 8, 8, 8, 0])


def test_errors_grow_with_the_radius_of_the_first_hit():
    rho = np.array([0.0, 40.0, 60.0, 100.0, 600.0])
    hit = silicon.crossed(at_radius(rho), PERFECT, np.random.default_rng(0))
    lever = silicon.lever(hit, PERFECT)
    np.testing.assert_allclose(lever[:4], np.array(PERFECT.radii[:4]) / PERFECT.radii[0])
    assert np.isfinite(lever[4])


def test_layers_miss_at_their_inefficiency():
    n = 20_000
    vertex = np.zeros((n, 3))
    hit = silicon.crossed(vertex, silicon.ATLAS_LIKE, np.random.default_rng(1))
    error = np.sqrt(0.98 * 0.02 / n)
    np.testing.assert_allclose(hit.mean(0), 0.98, atol=5 * error)
    again = silicon.crossed(vertex, silicon.ATLAS_LIKE, np.random.default_rng(1))
    np.testing.assert_array_equal(hit, again)
