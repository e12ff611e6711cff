"""The exact posterior: areas are right, and ranks of the truth even."""

import jax
import numpy as np
import pytest
from scipy import stats

from hepjax.neutrino import coordinates, exact, simulation


def on_sphere(flat):
    """Directions about the pole by the stereographic map, in rad."""
    half = np.asarray(flat) / 2
    rho2 = (half**2).sum(-1, keepdims=True)
    return np.concatenate([2 * half, 1 - rho2], -1) / (1 + rho2)


@pytest.mark.parametrize("content", [0.5, 0.9])
@pytest.mark.parametrize("stretch", [1.0, 8.0])
def test_areas_of_gaussians(content, stretch):
    rng = np.random.default_rng(0)
    sigma = np.array([0.01, 0.01 * stretch])
    expected = -2 * np.pi * np.log(1 - content) * np.prod(sigma) * np.degrees(1) ** 2
    found = [exact.area(on_sphere(sigma * rng.normal(size=(2000, 2))), content) for _ in range(4)]
    assert np.mean(found) == pytest.approx(expected, rel=0.04)
    assert np.std(found) < 0.06 * expected


def test_areas_of_bananas_and_of_two_modes():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 2))
    banana = np.stack([x[:, 0], 0.5 * x[:, 1] + 0.4 * (x[:, 0] ** 2 - 1)], -1)
    expected = -2 * np.pi * np.log(0.1) * 0.5 * (0.01 * np.degrees(1)) ** 2
    assert exact.area(on_sphere(0.01 * banana), 0.9) == pytest.approx(expected, rel=0.1)
    two = 0.5 * x + 2 * np.where(rng.random((2000, 1)) < 0.5, 1, -1) * np.array([1.0, 0])
    assert exact.area(on_sphere(0.01 * two), 0.9) == pytest.approx(expected, rel=0.1)


def test_areas_do_not_turn():
    rng = np.random.default_rng(2)
    n = on_sphere(rng.normal(size=(500, 2)) * np.array([0.02, 0.05]))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    a, b = exact.area(n, 0.9), exact.area(n @ turn, 0.9)
    assert a == pytest.approx(b, rel=0.01)


def test_ranks_are_shares():
    assert exact.rank(np.arange(10.0)[:, None], np.array([3.5])).tolist() == [0.4]


def test_wrong_settings_are_named(small, small_events):
    with pytest.raises(ValueError, match="0 components, 1000 draws, expected 1"):
        exact.posterior(None, small, None, None, exact.Settings(n_components=0))
    with pytest.raises(ValueError, match=r"direction: \(5, 2\), content: 0.9"):
        exact.area(np.zeros((5, 2)), 0.9)


@pytest.mark.slow
def test_ranks_of_the_truth_are_even(small):
    """Simulation, likelihood, prior, coordinates and sampler agree (arXiv:1804.06788)."""
    n = 200
    pulses, truth = jax.jit(lambda key: simulation.events(key, small, n))(jax.random.key(0))
    draw = jax.jit(lambda key, pulses: exact.posteriors(key, small, pulses)[0])
    drawn = draw(jax.random.key(1), pulses)
    at = jax.vmap(lambda c, t: coordinates.from_truth("track", small.prior, c, t))(
        drawn.chart, truth
    )
    ranks = np.array([exact.rank(x, y) for x, y in zip(drawn.x, at)])
    for k in range(9):
        assert stats.kstest(ranks[:, k], "uniform").pvalue > 1e-3, k
    assert np.median(drawn.effective) > 1000
