"""Twice differentiable splines: inverse, slopes, curvature across knots, ends, circles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.nn import smooth_spline

CIRCLE = (smooth_spline.circle_forward, smooth_spline.circle_inverse)


def drawn(n_parameters, scale=1.0, n=500, dtype=float):
    rng = np.random.default_rng(0)
    parameters = scale * rng.normal(size=(n_parameters, n))
    return parameters.astype(dtype), rng.uniform(size=n).astype(dtype)


@pytest.mark.smoke
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
def test_there_and_back(scale):
    with jax.enable_x64(True):
        parameters, x = drawn(4, scale)
        bent = jax.jit(smooth_spline.forward)(parameters, x, 1 - x)
        back = jax.jit(smooth_spline.inverse)(parameters, bent.low, bent.high)
        np.testing.assert_allclose(back.low, x, atol=1e-9)
        np.testing.assert_allclose(back.log_slope, -bent.log_slope, atol=1e-6)
        np.testing.assert_allclose(bent.ratio, bent.low * bent.high / (x * (1 - x)), rtol=1e-9)
        np.testing.assert_allclose(back.ratio * bent.ratio, 1, rtol=1e-6)
        if not scale:
            np.testing.assert_allclose(bent.low, x, atol=1e-12)


@pytest.mark.parametrize("way", [smooth_spline.forward, smooth_spline.inverse])
def test_the_slope_is_that_of_the_map(way):
    with jax.enable_x64(True):
        parameters, x = drawn(4)
        slope = jax.jit(jax.grad(lambda x: way(parameters, x, 1 - x).low.sum()))(x)
        np.testing.assert_allclose(np.exp(way(parameters, x, 1 - x).log_slope), slope, rtol=1e-9)


def knot(parameters):
    inside = 1 - 2 * smooth_spline.MIN
    return smooth_spline.MIN + inside * np.asarray(jax.nn.sigmoid(parameters[0]))


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_the_second_derivative_is_continuous_at_the_knot(scale):
    with jax.enable_x64(True):
        parameters, _ = drawn(4, scale)
        first = jax.grad(lambda x: smooth_spline.forward(parameters, x, 1 - x).low.sum())
        second = jax.jit(jax.grad(lambda x: first(x).sum()))
        at = knot(parameters)
        below, above = second(at - 1e-10), second(at + 1e-10)
        size = 1 + np.abs(below)
        assert np.abs(below / size).max() > 0.5  # there is something to be continuous
        assert (np.abs(below - above) / size).max() < 1e-4


def test_slopes_at_the_ends_are_those_that_the_parameters_name():
    with jax.enable_x64(True):
        parameters, _ = drawn(4)
        for x, row in ((0.0, 2), (1.0, 3)):
            found = smooth_spline.forward(parameters, np.full(500, x), 1 - x).log_slope
            np.testing.assert_allclose(found, 5 * np.tanh(parameters[row] / 5), atol=1e-9)


def test_it_rises_from_end_to_end():
    parameters, _ = drawn(4, 2.0, 50, np.float32)
    x = np.linspace(0, 1, 301, dtype=np.float32)[:, None]
    low = jax.jit(smooth_spline.forward)(parameters, x, 1 - x).low
    assert (np.diff(low, axis=0) >= -1e-7).all()
    assert (low[0] == 0).all()
    np.testing.assert_allclose(low[-1], 1, atol=1e-6)


@pytest.mark.parametrize("tiny", [1e-6, 1e-12, 1e-20])
def test_both_ends_keep_their_relative_precision(tiny):
    parameters, _ = drawn(4, 1.0, 50, np.float32)
    one, tiny = np.float32(1), np.float32(tiny)
    for low, high, row in ((tiny, one, 2), (one, tiny, 3)):
        bent = smooth_spline.forward(parameters, low, high)
        slope = np.exp(5 * np.tanh(parameters[row] / 5))
        np.testing.assert_allclose((bent.low if row == 2 else bent.high) / tiny, slope, rtol=1e-4)
        back = smooth_spline.inverse(parameters, bent.low, bent.high)
        np.testing.assert_allclose(back.low if row == 2 else back.high, tiny, rtol=1e-5)


def test_gradients_hold_at_the_ends_and_for_wild_parameters():
    parameters, _ = drawn(4, 30.0, 3, np.float32)

    def everything(parameters, x):
        both = [way(parameters, x, 1 - x) for way in (smooth_spline.forward, smooth_spline.inverse)]
        return sum(a.sum() for bent in both for a in bent)

    x = jnp.array([0.0, 0.5, 1.0], jnp.float32)
    slopes = jax.grad(everything, argnums=(0, 1))(parameters, x)
    assert all(np.isfinite(a).all() for a in slopes)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_around_the_circle_and_back(scale):
    with jax.enable_x64(True):
        parameters, x = drawn(2, scale)
        y, log_slope = jax.jit(CIRCLE[0])(parameters, x)
        again, back = jax.jit(CIRCLE[1])(parameters, y)
        np.testing.assert_allclose(again, x, atol=1e-9)
        np.testing.assert_allclose(back, -log_slope, atol=1e-6)
        slope = jax.grad(lambda x: CIRCLE[0](parameters, x)[0].sum())(x)
        np.testing.assert_allclose(np.exp(log_slope), slope, rtol=1e-9)


def test_the_circle_has_no_seam():
    """Slope and curvature agree on both sides of both knots, one of which is at a whole turn."""
    with jax.enable_x64(True):
        parameters, _ = drawn(2, 1.5)
        slope = jax.grad(lambda x: CIRCLE[0](parameters, x)[0].sum())
        curvature = jax.jit(jax.grad(lambda x: slope(x).sum()))
        at = knot(parameters)
        for below, above in ((at - 1e-9, at + 1e-9), (np.full(500, 1 - 1e-9), np.full(500, 1e-9))):
            np.testing.assert_allclose(slope(below), slope(above), rtol=1e-6)
            size = 1 + np.abs(curvature(below))
            assert (np.abs(curvature(below) - curvature(above)) / size).max() < 1e-4


def test_a_wrong_number_of_parameters_is_named():
    with pytest.raises(ValueError, match="parameters: 3 a spline, expected 4"):
        smooth_spline.forward(np.zeros((3, 2)), np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="parameters: 4 a spline, expected 2"):
        smooth_spline.circle_inverse(np.zeros((4, 2)), np.zeros(2))
