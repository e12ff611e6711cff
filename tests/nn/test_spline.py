"""Splines: from end to end of the interval, inverse, slopes by differentiation, narrow bins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.nn import spline

N_BINS = 7


def drawn(scale, n=400, seed=0):
    rng = np.random.default_rng(seed)
    parameters = scale * rng.normal(size=(spline.n_parameters(N_BINS), n))
    return parameters.astype(np.float32), rng.uniform(size=n).astype(np.float32)


@pytest.mark.smoke
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_there_and_back(scale):
    parameters, x = drawn(scale)
    y, log_slope = jax.jit(spline.forward)(parameters, x)
    again, back = jax.jit(spline.inverse)(parameters, y)
    rounding = 2e-6 / np.minimum(np.exp(log_slope), 1)  # of y, seen from x
    assert (np.abs(again - x) < rounding).all()
    assert np.median(np.abs(back + log_slope)) < 1e-5
    steep = log_slope > -7  # elsewhere all of the bin is rounded to a few values of y
    np.testing.assert_allclose(back[steep], -log_slope[steep], atol=0.05)
    if not scale:
        np.testing.assert_allclose(y, x, atol=1e-6)
        np.testing.assert_allclose(log_slope, 0, atol=1e-5)


@pytest.mark.parametrize("way", [spline.forward, spline.inverse])
def test_the_slope_is_that_of_the_map(way):
    with jax.enable_x64(True):
        parameters, x = (jnp.asarray(a, float) for a in drawn(1.0))
        slope = jax.jit(jax.grad(lambda x: way(parameters, x)[0].sum()))(x)
        np.testing.assert_allclose(np.exp(way(parameters, x)[1]), slope, rtol=1e-9)


def test_it_rises_from_corner_to_corner_and_stays_inside():
    parameters, _ = drawn(2.0, n=1)
    x = np.linspace(-0.1, 1.1, 2001, dtype=np.float32)
    y, log_slope = spline.forward(np.repeat(parameters, len(x), 1), x)
    assert (np.diff(y) >= -1e-7).all()
    assert (y[x <= 0] == 0).all()
    np.testing.assert_allclose(y[x >= 1], 1, atol=1e-6)
    assert np.isfinite(log_slope).all()


def test_the_slope_is_continuous_at_the_knots():
    """Slopes at the knots are those that the parameters name."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        parameters = rng.normal(size=(spline.n_parameters(3), 1))
        width = spline.MIN + (1 - 3 * spline.MIN) * np.asarray(jax.nn.softmax(parameters[:3, 0]))
        knots = np.array([0, width[0], width[:2].sum(), 1])
        slope = (spline.MIN + np.log1p(np.exp(parameters[6:, 0]))) / (spline.MIN + np.log(2))
        for step in (-1e-9, 1e-9):
            x = np.clip(knots + step, 0, 1)
            found = np.exp(spline.forward(np.repeat(parameters, 4, 1), x)[1])
            np.testing.assert_allclose(found, slope, rtol=1e-6)


def test_gradients_hold_at_the_edges_and_for_wild_parameters():
    parameters, _ = drawn(30.0, n=3)
    x = np.array([0.0, 0.5, 1.0], np.float32)

    def everything(parameters, x):
        y, log_slope = spline.forward(parameters, x)
        z, back = spline.inverse(parameters, x)
        return (y + log_slope + z + back).sum()

    slopes = jax.grad(everything, argnums=(0, 1))(parameters, x)
    assert all(np.isfinite(a).all() for a in slopes)


def test_a_wrong_number_of_parameters_is_named():
    with pytest.raises(ValueError, match="parameters: 6 a spline, expected 3 K"):
        spline.forward(np.zeros((6, 2)), np.zeros(2))


@pytest.mark.parametrize("way", [spline.forward_tails, spline.inverse_tails])
def test_beyond_its_bounds_it_is_the_identity_and_smooth(way):
    with jax.enable_x64(True):
        parameters = np.random.default_rng(0).normal(size=(3 * N_BINS - 1, 6))
        x = np.array([-7.0, -3 - 1e-9, -3 + 1e-9, 3 - 1e-9, 3 + 1e-9, 9])
        y, log_slope = jax.jit(way, static_argnums=2)(parameters, x, 3.0)
        np.testing.assert_allclose(y, x, atol=1e-8)
        np.testing.assert_allclose(log_slope, 0, atol=1e-6)


def test_with_tails_there_and_back():
    with jax.enable_x64(True):
        parameters = np.random.default_rng(0).normal(size=(3 * N_BINS - 1, 300))
        x = np.random.default_rng(1).uniform(-3, 3, 300)
        y, log_slope = spline.forward_tails(parameters, x, 2.0)
        again, back = spline.inverse_tails(parameters, y, 2.0)
        assert np.abs(y - x).max() > 0.1
        np.testing.assert_allclose(again, x, atol=1e-9)
        np.testing.assert_allclose(back, -log_slope, atol=1e-7)
