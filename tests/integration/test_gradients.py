"""Slopes of integrals: closed forms, finite differences, both parts, bins, and fits by them."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import coupling
from hepjax.integration import gradients, integrator, sampling
from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.hadrons import pdf, processes
from hepjax.integration.integrator import Integrand, Values

ONE, THREE = Integrand(None, 1), Integrand(None, 3)
MASS, S, LAST = 172.5, 500.0**2, 2000.0**2


def drawn(n, dim, seed=0, n_channels=1):
    """Even points of the cube."""
    rng = np.random.default_rng(seed)
    none = np.zeros(n)
    channel = rng.integers(0, n_channels, n)
    return sampling.Sampled(rng.uniform(size=(n, dim)), channel, None, none, none == 0)


def gluons(x, channel, path, theta):
    """Two gluons to top quarks at one energy, by the cosine."""
    return Values(2 * closed_forms.top_pair_of_gluons(S, 2 * x[:, 0] - 1, theta[0], 0.118))


def gluon_total(mass):
    """Its integral (Nason, Dawson, Ellis, Nucl. Phys. B 303, 607, eq. 10)."""
    rho = 4 * mass**2 / S
    beta = jnp.sqrt(1 - rho)
    log = jnp.log((1 + beta) / (1 - beta))
    shape = (1 + rho + rho**2 / 16) * log - beta * (7 / 4 + 31 / 16 * rho)
    return np.pi * 0.118**2 / (3 * S) * shape


def threshold(x, channel, path, theta):
    """beta(s) / s^2 from a threshold that moves with the mass: ends with a root."""
    low = 4 * path[0] ** 2
    s = low + (LAST - low) * x[:, 0]
    beta = jnp.sqrt(jnp.maximum(1 - 4 * theta[0] ** 2 / s, 1e-12))
    return Values((LAST - low) * beta / s**2)


def threshold_total(mass):
    return jnp.sqrt(1 - 4 * mass**2 / LAST) ** 3 / (6 * mass**2)


@pytest.mark.parametrize(("family", "exact"), [(gluons, gluon_total), (threshold, threshold_total)])
def test_slopes_are_those_of_closed_forms(family, exact):
    found = gradients.total(gradients.slopes(family, ONE, None, drawn(40_000, 1), [MASS]))
    assert abs(found.value - exact(MASS)) < 4 * found.error
    assert found.error < 0.02 * found.value
    assert abs(found.slope[0] - jax.grad(exact)(MASS)) < 4 * found.slope_error[0]
    assert found.slope_error[0] < 0.02 * abs(found.slope[0])
    assert found.slope[0] == pytest.approx(found.score[0] + found.path[0], rel=1e-9)


@pytest.mark.parametrize("family", [gluons, threshold])
def test_finite_differences_of_the_same_points_agree(family):
    points = drawn(2000, 1, seed=1)
    found = gradients.total(gradients.slopes(family, ONE, None, points, [MASS]))
    h = 1e-3
    up, down = (
        gradients.slopes(family, ONE, None, points, [MASS + sign * h]).weight.mean()
        for sign in (1, -1)
    )
    assert found.slope[0] == pytest.approx((up - down) / (2 * h), rel=1e-5)


def test_momenta_that_stay_have_the_same_slope_and_a_worse_error():
    """The score part alone, with points at fixed s, and with a map that moves with the limit."""
    points, exact = drawn(100_000, 1, seed=2), float(jax.grad(threshold_total)(MASS))

    def fixed(x, channel, path, theta):
        return threshold(x, channel, jnp.array([MASS]), theta)

    moves, stays = (
        gradients.total(gradients.slopes(family, ONE, None, points, [MASS]))
        for family in (threshold, fixed)
    )
    assert stays.path[0] == 0
    assert stays.slope[0] == pytest.approx(moves.score[0], rel=1e-12)
    assert stays.slope[0] == pytest.approx(exact, rel=0.1)
    assert stays.slope_error[0] > 2 * moves.slope_error[0]
    assert abs(moves.path[0]) < 4 * moves.path_error[0]  # for the integrand ends at 0


def mixture(x, channel, path, theta):
    """theta (3 x^2) + 1 in two channels, with weights that depend on x."""
    log_prior = jnp.log(jnp.stack([x[:, 0], 1 - x[:, 0]], -1))
    return Values(theta[0] * 3 * x[:, 0] ** 2 + jnp.exp(theta[1]), x, log_prior)


@pytest.fixture(scope="module")
def two_channels():
    like = Integrand(None, 1, n_channels=2, n_features=1)
    integrand = gradients.at(mixture, like, jnp.array([2.0, 0.0]))
    settings = integrator.Settings(n_points=64, flow=coupling.Settings(3, 4, 1))
    with jax.enable_x64(True):
        state = integrator.init(integrand, settings, jax.random.key(0))
        state = state._replace(
            params=jax.tree.map(lambda x: x + 0.1, state.params)
        )  # no longer the identity and the prior
        sample = sampling.sample(
            integrand, settings, state, jax.random.key(1), 20_000, chunk=20_000
        )
    return integrand, state, sample


def test_channels_add_up_and_many_parameters_have_slopes(two_channels):
    integrand, state, sample = two_channels
    found = gradients.slopes(mixture, integrand, state, sample, [2.0, 0.0])
    np.testing.assert_allclose(found.weight, sample.weight, rtol=1e-9)
    whole = gradients.total(found, state.extra.active)
    estimate = sampling.estimate(sample, state.extra.active)
    assert whole.value == pytest.approx(estimate.value, rel=1e-9)
    assert whole.error == pytest.approx(estimate.error, rel=1e-3)
    assert abs(whole.value - 3) < 4 * whole.error
    assert (np.abs(whole.slope - [1.0, 1.0]) < 4 * whole.slope_error).all()


def test_bins_add_up_and_have_slopes_of_their_own(two_channels):
    integrand, state, sample = two_channels
    found = gradients.slopes(mixture, integrand, state, sample, [2.0, 0.0])
    place = (sample.x[:, 0] * 4).astype(int)
    edges = np.linspace(0, 1, 5)
    binned = gradients.binned(found, place, 4, state.extra.active)
    for exact, value, error in (
        (2 * np.diff(edges**3) + 0.25, binned.value, binned.error),
        (np.diff(edges**3), binned.slope[:, 0], binned.slope_error[:, 0]),
        (np.full(4, 0.25), binned.slope[:, 1], binned.slope_error[:, 1]),
    ):
        assert (np.abs(value - exact) < 4 * error + 1e-12).all()
    whole = gradients.total(found, state.extra.active)
    np.testing.assert_allclose(binned.slope.sum(0), whole.slope, rtol=1e-9)
    outside = gradients.binned(found, np.where(place == 3, -1, place), 4, state.extra.active)
    assert outside.value[3] == 0
    np.testing.assert_array_equal(outside.value[:3], binned.value[:3])


@pytest.mark.skipif(importlib.util.find_spec("pythia8mc") is None, reason="needs its densities")
def test_hadronic_top_pairs_whose_limits_move_with_the_mass():
    """Against finite differences of the same points, and of another quadrature, of midpoints."""
    densities = pdf.load(processes.PROTON)

    def family(u, channel, path, theta):
        where = processes.kinematics(processes.top_pair(path[0]), u, channel)
        pair = processes.top_pair(theta[0])
        q2 = pair.scale2(where.s)
        flux = [pdf.xf(densities, x, q2) / x[:, None] for x in (where.first, where.second)]
        columns = np.array([[pdf.column(pid) for pid in both] for both in pair.partons])
        both = flux[0][:, columns[:, 0]] * flux[1][:, columns[:, 1]]
        sigma = (both * pair.partonic(where.s, where.cos)).sum(-1) * closed_forms.PICOBARN
        return Values(sigma * jnp.exp(where.log_jacobian))

    points = drawn(4000, 3, seed=3)
    found = gradients.total(gradients.slopes(family, THREE, None, points, [MASS], chunk=4000))
    up, down = (
        gradients.slopes(family, THREE, None, points, [MASS + h], chunk=4000).weight.mean()
        for h in (0.01, -0.01)
    )
    assert found.slope[0] == pytest.approx((up - down) / 0.02, rel=1e-5)
    assert abs(found.value - 566.3) < 4 * found.error
    assert found.slope_error[0] < found.score_error[0]
    grid = (np.arange(20) + 0.5) / 20
    x = np.stack(np.meshgrid(grid**2, grid, grid, indexing="ij"), -1).reshape(-1, 3)
    even = sampling.Sampled(x, np.zeros(8000, int), None, -np.log(2 * np.sqrt(x[:, 0])), None)
    whole = gradients.total(gradients.slopes(family, THREE, None, even, [MASS], chunk=4000))
    assert whole.value == pytest.approx(566.3, rel=0.01)
    assert abs(found.slope[0] - whole.slope[0]) < 4 * found.slope_error[0]


def expectation(theta=(1.0, 0.2), n_bins=12):
    at = np.linspace(-1, 1, n_bins)
    value = 300 * np.exp(theta[0] + theta[1] * at)
    slope = value[:, None] * np.stack([np.ones(n_bins), at], 1)
    return gradients.Histogram(value, 0 * value, slope, 0 * slope)


def test_fits_find_what_was_put_in():
    """Without noise to rounding, and with noise scattered by the covariance."""
    start, truth = (1.0, 0.2), (1.05, 0.1)
    exact = gradients.fit(expectation(truth).value, expectation(start), start)
    np.testing.assert_allclose(exact.theta, truth, atol=1e-9)
    info = gradients.fisher(expectation(truth).value, expectation(truth).slope)
    np.testing.assert_allclose(np.linalg.inv(exact.covariance), info, rtol=1e-9)
    rng = np.random.default_rng(0)
    counts = rng.poisson(expectation(truth).value, (400, 12))
    found = gradients.fit(counts, expectation(start), start)
    pull = (found.theta - truth) / np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))
    assert (np.abs(pull.mean(0)) < 0.2).all()
    assert (np.abs(pull.std(0) - 1) < 0.15).all()


def test_errors_of_the_expectation_are_in_the_covariance():
    plain = expectation()
    noisy = plain._replace(error=np.sqrt(3 * plain.value))
    one, two = (gradients.fit(plain.value, x, (1.0, 0.2)).covariance for x in (plain, noisy))
    np.testing.assert_allclose(two, 4 * one, rtol=1e-9)


def test_bad_input_is_named():
    def broken(x, channel, path, theta):
        return Values(jnp.where(x[:, 0] < 0.5, jnp.nan, theta[0]))

    points = drawn(100, 1)
    points = points._replace(x=np.linspace(0, 0.99, 100)[:, None])
    found = gradients.slopes(gluons, ONE, None, points, [MASS])
    second = found._replace(channel=np.ones(100, int))
    with pytest.raises(ValueError, match="active: 1 channels, expected 2"):
        gradients.total(second)
    with pytest.raises(ValueError, match="channel 1: 0 points, expected at least 2"):
        gradients.total(found, (True, True))
    with pytest.raises(ValueError, match="50 of 100 values or slopes are no finite numbers"):
        gradients.slopes(broken, ONE, None, points, [1.0])
    with pytest.raises(ValueError, match="expected: 1 bins of no counts"):
        gradients.fit(np.ones(2), gradients.Histogram(np.array([1.0, 0]), 0, 0, 0), [1.0])
    same = expectation()._replace(slope=np.ones((12, 2)) * expectation().value[:, None])
    with pytest.raises(ValueError, match="12 bins do not tell 2 parameters"):
        gradients.fit(same.value, same, [1.0, 1.0])
