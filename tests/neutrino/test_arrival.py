"""Arrival times: the convolution by quadrature, its limits, probabilities, draws, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from hepjax.neutrino import arrival

SHAPES = (0.02, 0.1, 0.5, 1.0, 3.0, 12.0, 50.0)
CASES = [(0.0041, 3.0), (0.02, 2.0)]


def exact(t, shape, rate, sigma):
    """log p by trapezoids over the logarithm of the delay."""
    low, high = np.linspace(-30 / min(shape, 1), -12, 40_001)[:-1], np.linspace(-12, 9.2, 300_001)
    u = np.concatenate([low, high])
    delay = np.exp(u)
    power = shape * (np.log(rate) + u) - rate * delay - special.gammaln(shape)
    value = np.exp(power - ((t - delay) / sigma) ** 2 / 2)
    return np.log(np.trapezoid(value, u) / sigma / np.sqrt(2 * np.pi))


@pytest.mark.smoke
@pytest.mark.parametrize(("rate", "sigma"), CASES)
def test_the_density_is_the_convolution(rate, sigma):
    t = np.array([-5, -2, 0, 1, 4, 12]) * sigma
    t = np.concatenate([t, [100.0, 700.0, 2000.0, 5000.0]]).astype(np.float32)
    for shape in SHAPES:
        expected = np.array([exact(x, shape, rate, sigma) for x in t.astype(float)])
        found = jax.jit(arrival.log_density)(t, shape, rate, sigma)
        np.testing.assert_allclose(found, expected, atol=3e-5, err_msg=f"shape {shape}")
        with jax.enable_x64(True):
            found = arrival.log_density(t.astype(float), shape, rate, sigma)
            np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=f"shape {shape}")


def test_scipy_agrees():
    shape, rate, sigma = 0.7, 0.01, 3.0
    for t in (-4.0, 2.0, 60.0):

        def integrand(v, t=t):  # x = v^(1/shape) takes the pole away
            x = v ** (1 / shape)
            return np.exp(-rate * x) * stats.norm.pdf(t, x, sigma) / shape

        ends = [max(t + k * sigma, 0) ** shape for k in (-12, -4, -1, 0, 1, 4, 12)]
        value = integrate.quad(integrand, ends[0], ends[-1], points=ends[1:-1], limit=200)[0]
        expected = np.log(value * rate**shape / special.gamma(shape))
        found = arrival.log_density(t, shape, rate, sigma)
        assert float(found) == pytest.approx(expected, abs=1e-5)


def test_long_after_it_is_the_gamma_and_long_before_the_tail_of_the_jitter():
    t = jnp.array([300.0, 3000.0])
    for shape in (0.5, 4.0):
        gamma = stats.gamma.logpdf(np.asarray(t), shape, scale=1 / 0.004)
        np.testing.assert_allclose(
            arrival.log_density(t, shape, 0.004, 0.5), gamma, rtol=1e-5, atol=1e-4
        )
    early = arrival.log_density(-3000.0, 0.5, 0.004, 3.0)
    assert float(early) == pytest.approx(-5e5, rel=1e-2)
    narrow = arrival.log_density(1.0, 1e-3, 0.004, 3.0)
    assert float(narrow) == pytest.approx(stats.norm.logpdf(1.0, 0, 3.0), abs=0.01)


def test_recurrence_of_parabolic_cylinder_functions():
    """Integration by parts ties the shapes a, a + 1 and a + 2."""
    t, rate, sigma = jnp.linspace(-10.0, 20.0, 30), 0.01, 3.0
    with jax.enable_x64(True):
        for a in (0.3, 2.0, 20.0):
            zero, one, two = (jnp.exp(arrival.log_density(t, a + k, rate, sigma)) for k in range(3))
            beta, z = rate * sigma, rate * sigma - t / sigma
            left, right = zero, (a + 1) * two / beta**2 + z * one / beta
            np.testing.assert_allclose(left, right, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_survival_is_the_integral(shape):
    rate, sigma = CASES[0]
    edges = np.concatenate([np.linspace(-20, 60, 2001), np.linspace(60, 30_000, 20_001)[1:]])
    p = np.exp(np.asarray(arrival.log_density(edges, shape, rate, sigma), float))
    each = (p[1:] + p[:-1]) / 2 * np.diff(edges)
    after = np.concatenate([np.cumsum(each[::-1])[::-1], [0]])
    assert after[0] == pytest.approx(1, abs=1e-3)
    at = np.searchsorted(edges, [-9.0, -3.0, 0.0, 5.0, 20.0, 30.0, 200.0, 1500.0])
    found = jax.jit(arrival.survival)(edges[at].astype(np.float32), shape, rate, sigma)
    np.testing.assert_allclose(found, after[at], atol=2e-3)


def test_survival_falls_also_where_its_two_ways_meet():
    t = jnp.linspace(15.0, 35.0, 400)
    for shape in (0.02, 0.5, 3.0):
        after = arrival.survival(t, shape, 0.0041, 3.0)
        assert (jnp.diff(after) < 2e-5).all()
        assert (after >= 0).all()
        assert (after <= 1).all()


@pytest.mark.parametrize("shape", [0.05, 0.7, 5.0])
def test_draws_have_the_density(shape):
    rate, sigma, n = 0.0041, 3.0, 20_000
    draw = jax.jit(lambda key: arrival.sample(key, jnp.full(n, shape), rate, sigma))
    t = np.sort(draw(jax.random.key(1)))
    below = 1 - np.asarray(jax.jit(arrival.survival)(t, shape, rate, sigma))
    assert stats.kstest(below, "uniform").pvalue > 1e-3


def test_gradients_are_finite_and_right():
    f = jax.jit(jax.vmap(jax.grad(arrival.log_density, (0, 1, 2, 3))))
    t = jnp.array([-2000.0, -20.0, 0.0, 0.01, 10.0, 3000.0, 20_000.0])
    for shape in (1e-4, 0.02, 1.0, 50.0, 1e3):
        every = (t, jnp.full_like(t, shape), jnp.full_like(t, 0.004), jnp.full_like(t, 3.0))
        assert all(np.isfinite(x).all() for x in f(*every))
    with jax.enable_x64(True):
        at = jnp.array([6.0, 0.4, 0.004, 3.0])
        found = jnp.stack(jax.grad(lambda *x: arrival.log_density(*x), (0, 1, 2, 3))(*at))
        for k, slope in enumerate(found):
            step = jnp.zeros(4).at[k].set(1e-4 * at[k])
            up, down = (float(arrival.log_density(*(at + s * step))) for s in (1, -1))
            numeric = (up - down) / (2e-4 * float(at[k]))
            assert float(slope) == pytest.approx(numeric, rel=1e-4)
