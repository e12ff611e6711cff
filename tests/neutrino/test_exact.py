"""The exact posterior: known densities are sampled, areas and diagnostics are right, ranks even."""

import jax
import jax.numpy as jnp
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


def test_diagnostics_know_chains_that_differ_and_that_are_slow():
    rng = np.random.default_rng(3)
    good = jnp.asarray(rng.normal(size=(16, 100, 2)))
    r_hat, effective = jax.jit(exact.diagnose)(good)
    assert (np.abs(r_hat - 1) < 0.02).all()
    assert (effective > 1000).all()
    assert (effective < 3000).all()
    apart = good + jnp.asarray(rng.normal(size=(16, 1, 2)))
    assert (exact.diagnose(apart)[0] > 1.2).all()
    slow = np.zeros((16, 400))
    for k in range(1, 400):
        slow[:, k] = 0.9 * slow[:, k - 1] + rng.normal(size=16)
    effective = float(exact.diagnose(jnp.asarray(slow[:, 50:, None]))[1][0])
    assert effective == pytest.approx(16 * 350 * 0.1 / 1.9, rel=0.35)


def test_ranks_are_shares():
    assert exact.rank(np.arange(10.0)[:, None], np.array([3.5])).tolist() == [0.4]


def test_chains_sample_a_density_that_is_known():
    """A Gaussian with a strong correlation, by its mean, covariance and acceptance."""
    covariance = np.array([[1.0, 1.8], [1.8, 4.0]])
    inverse = jnp.asarray(np.linalg.inv(covariance), jnp.float32)
    shift = jnp.array([0.5, -1.0])

    def log_p(x):
        return -(x - shift) @ inverse @ (x - shift) / 2

    settings = exact.Settings(n_chains=32, n_burn=40, n_draws=150)
    start = jax.random.normal(jax.random.key(1), (32, 2))
    start = start, *jax.vmap(jax.value_and_grad(log_p))(start)
    run = jax.jit(lambda key, start: exact._chains(key, log_p, start, jnp.eye(2), settings))
    x, value, accepted = run(jax.random.key(0), start)
    assert x.shape == (32, 150, 2)
    assert 0.5 < accepted < 0.98
    flat = np.asarray(x.reshape(-1, 2))
    r_hat, effective = exact.diagnose(x)
    assert (r_hat < 1.05).all()
    error = np.sqrt(np.diag(covariance) / np.asarray(effective))
    assert (np.abs(flat.mean(0) - shift) < 4 * error).all()
    np.testing.assert_allclose(np.cov(flat.T), covariance, rtol=0.15)
    np.testing.assert_allclose(value, jax.vmap(jax.vmap(log_p))(x), atol=1e-3)


def test_wrong_settings_are_named(small, small_events):
    with pytest.raises(ValueError, match="2 chains of 60, expected 4 or more"):
        exact.posterior(None, small, None, None, exact.Settings(n_chains=2))
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
    ranks = np.array([exact.rank(x.reshape(-1, 9), y) for x, y in zip(drawn.x, at)])
    for k in range(9):
        assert stats.kstest(ranks[:, k], "uniform").pvalue > 1e-3, k
    assert np.median(drawn.effective) > 500
    assert np.mean(drawn.r_hat < 1.1) > 0.9
