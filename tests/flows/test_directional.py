"""Densities with names: values, norms, moments, fits, and float32 from nearly even to kappa 1e8."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

from hepjax import batch, sphere, train
from hepjax.flows import directional
from hepjax.flows import sphere as flow
from hepjax.train import loss
from hepjax.train import step as steps

FAMILIES = {
    "vmf": directional.VMF,
    "mixture": directional.mixture(3),
    "esag": directional.ESAG,
    "flow": directional.of_flow(flow.Plan(1, 2)),
}
each_family = pytest.mark.parametrize("name", FAMILIES)
UP = np.array([0, 0, 1.0])


def wild(name, n=(), scale=0.5, seed=0):
    shape = (*n, FAMILIES[name].size)
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def about(mean, log_kappa, n, seed=0):
    """Float64 directions [n, 3] of a von Mises-Fisher density."""
    with jax.enable_x64(True):
        return np.asarray(
            directional.vmf_sample(jax.random.key(seed), jnp.asarray(mean), log_kappa, n)
        )


@pytest.mark.smoke
@each_family
def test_it_has_norm_one_and_zeros_are_nearly_even(name):
    log_prob = jax.jit(FAMILIES[name].log_prob)
    grid = sphere.fibonacci(20_000).astype(np.float32)
    even = log_prob(np.zeros(FAMILIES[name].size, np.float32), grid)
    np.testing.assert_allclose(even, -np.log(4 * np.pi), atol=0.15)
    for seed in range(3):
        params = wild(name, seed=seed)
        params[3 if name in ("vmf", "mixture") else 4] = 5.0
        density = np.exp(log_prob(params, grid))
        assert 4 * np.pi * density.mean() == pytest.approx(1, abs=1e-3)


@each_family
def test_samples_have_the_density_that_is_said(name):
    family, params = FAMILIES[name], wild(name, (2,), 1.0)
    draw = jax.jit(family.sample, static_argnums=2)
    n, log_p = draw(jax.random.key(0), params, 30_000)
    assert (n.shape, log_p.shape) == ((30_000, 2, 3), (30_000, 2))
    np.testing.assert_allclose(family.log_prob(params, n), log_p, atol=1e-4)
    grid = sphere.fibonacci(20_000).astype(np.float32)
    for k in range(2):
        density = np.exp(family.log_prob(params[k], grid))
        expected = (density[:, None] * grid).mean(0) / density.mean()
        np.testing.assert_allclose(n[:, k].mean(0), expected, atol=4 / 30_000**0.5)


@each_family
@pytest.mark.parametrize("log_kappa", [-30.0, 0.0, 15.0, 60.0])
def test_gradients_hold_everywhere(name, log_kappa):
    """At poles, mean and its opposite, far below and above the bounds of kappa."""
    family, params = FAMILIES[name], wild(name)
    params[3 if name in ("vmf", "mixture") else 4] = log_kappa
    drawn, _ = family.sample(jax.random.key(0), params, 3)
    n = np.concatenate([drawn, -drawn, [[0, 0, 1], [0, 0, -1]]]).astype(np.float32)
    slopes = jax.jit(jax.jacrev(family.log_prob, argnums=(0, 1)))(params, n)
    assert all(np.isfinite(x).all() for x in slopes)


@pytest.mark.parametrize("kappa", [1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6, 1e8])
def test_von_mises_fisher_holds_in_float32(kappa):
    """99 % within 2e-6 of float64, at the same points."""
    log_kappa = np.float32(np.log(kappa))
    mean = np.asarray(sphere.unit(np.array([0.3, -0.5, 0.6]))).astype(np.float32)
    n = about(mean.astype(float), float(log_kappa), 4096).astype(np.float32)
    found = jax.jit(directional.vmf_log_prob)(mean, log_kappa, n)
    assert found.dtype == np.float32
    kappa = np.exp(log_kappa.astype(float))
    chord = ((n.astype(float) - mean.astype(float)) ** 2).sum(-1)
    exact = np.log(kappa) - np.log(2 * np.pi) - np.log(-np.expm1(-2 * kappa)) - kappa * chord / 2
    assert np.quantile(np.abs(found - exact), 0.99) < 2e-6


@pytest.mark.parametrize("kappa", [1.0, 10.0, 100.0])
def test_von_mises_fisher_against_scipy(kappa):
    n = sphere.fibonacci(50)
    found = directional.vmf_log_prob(UP, np.log(kappa), n)
    np.testing.assert_allclose(found, stats.vonmises_fisher(UP, kappa).logpdf(n), atol=2e-4)


@pytest.mark.parametrize("kappa", [1e-3, 1.0, 50.0, 1e4, 1e7])
def test_heights_of_samples_have_their_mean(kappa):
    """The mean of cos is coth k - 1 / k, seen from the other end."""
    n = about(UP, np.log(kappa), 100_000)
    low = np.asarray(sphere.height(n, UP))
    expected = (1 - 1 / np.tanh(kappa) + 1 / kappa) / 2 if kappa < 50 else 1 / (2 * kappa)
    assert low.mean() == pytest.approx(expected, abs=4 * low.std() / 100_000**0.5)


def test_the_moment_of_a_normal_density():
    with jax.enable_x64(True):
        x = np.array([-30.0, -8.0, -2.001, -1.999, -0.5, 0.0, 3.0])
        found = jax.jit(directional.log_moment)(x)
    for at, value in zip(x, found):
        size = max(1.0, -at)
        integral, _ = integrate.quad(
            lambda s, at=at, size=size: (
                (s / size) ** 2 / size * np.exp(-((s / size) ** 2) / 2 + at * s / size)
            ),
            0,
            60,
            epsabs=0,
            epsrel=1e-11,
        )
        expected = np.log(integral) - at**2 / 2 - np.log(2 * np.pi) / 2
        assert float(value) == pytest.approx(expected, abs=1e-9)
    single = directional.log_moment(x.astype(np.float32))
    np.testing.assert_allclose(single, found, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("kappa", [1e2, 1e6, 5e7])
def test_an_ellipse_holds_in_float32(kappa):
    """And has variances of 10 and 1 / 10 over kappa, ten to one in width."""
    params = np.array([0.5, 0.2, -0.4, 0.3, np.log(kappa), np.log(10)], np.float32)
    params[4] -= directional.layers.START + directional.ROOT_START
    kappa = float(directional._esag_parts(params)[1] ** 2)  # as bounded
    n, _ = jax.jit(directional.ESAG.sample, static_argnums=2)(jax.random.key(0), params, 20_000)
    found = jax.jit(directional.ESAG.log_prob)(params, n)
    first, second, mean = sphere.frame(params[:4] + np.array([1.0, 0, 0, 0], np.float32))
    with jax.enable_x64(True):
        exact = np.asarray(
            directional.ESAG.log_prob(params.astype(float), np.asarray(n).astype(float))
        )
    assert np.quantile(np.abs(found - exact), 0.99) < max(3e-6 * kappa**0.5, 2e-5)
    if kappa > 1e3:
        off = np.asarray(n - mean)
        assert (off @ first).var() * kappa == pytest.approx(10, rel=0.05)
        assert (off @ second).var() * kappa == pytest.approx(0.1, rel=0.05 if kappa < 1e7 else 0.2)


@pytest.mark.parametrize("kappa", [10, 100, 300, 3e3, 1e5])
def test_kappa_is_recovered_by_a_fit(kappa):
    """Within 3 %, by this package's own training in float32 (graphnet's issue 900)."""
    mean = np.array([0.6, 0.0, 0.8])
    n = about(mean, np.log(kappa), 50_000).astype(np.float32)
    likelihood = loss.mean_loss(
        lambda params, n, key: batch.mean(-directional.VMF.log_prob(params, n))
    )
    optimiser = optax.adam(optax.exponential_decay(0.3, 100, 0.3))
    step = train.gradient_step(likelihood, optimiser)
    start = steps.init(jnp.zeros(4), optimiser, jax.random.key(0))
    fit = jax.jit(lambda s, n: jax.lax.scan(lambda s, _: (step(s, n)[0], None), s, None, 700)[0])
    found, log_kappa = directional._vmf_parts(fit(start, n).params)
    assert float(np.exp(log_kappa)) == pytest.approx(kappa, rel=0.03)
    assert float(sphere.angle(found, mean.astype(np.float32))) < 5 * (kappa * len(n)) ** -0.5


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"params: \(3,\), expected \[..., 4\]"):
        directional.VMF.log_prob(np.zeros(3), UP)
    with pytest.raises(ValueError, match="n_components: 0"):
        directional.mixture(0)


def test_one_component_is_no_mixture():
    one, params = directional.mixture(1), wild("vmf")
    home = np.asarray(sphere.fibonacci(1)[0] - UP, np.float32)
    same = np.concatenate([params - np.append(home, 0), [0.7]]).astype(np.float32)
    n = sphere.fibonacci(20).astype(np.float32)
    expected = functools.partial(directional.VMF.log_prob, params)(n)
    np.testing.assert_allclose(one.log_prob(same, n), expected, atol=1e-5)
