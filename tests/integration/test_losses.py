"""Losses against what they estimate, on discrete densities that are summed in full."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration import losses

N = 200_000


@pytest.fixture(scope="module")
def points():
    """Two channels on the unit interval: f = 3 x^2 and 2 x with a part that is negative; drawn
    evenly, densities now p x^(p - 1).
    """
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(2, N))
    return x, np.array([3 * x[0] ** 2, 2 * x[1] - 0.5])


def sums(points, power, **options):
    x, value = points
    log_now = jnp.log(power) + (power - 1) * jnp.log(x)
    real = np.ones(x.shape, bool)
    return losses.sums(value, np.zeros_like(x), log_now, np.array([0, 1]), real, 2, **options)


def test_variances_are_those_of_weights_drawn_now(points):
    """Of f / p for p = 1.5 x^0.5: in closed form."""
    found = losses.spread(sums(points, 1.5))
    first = 9 / 1.5 / 4.5 - 1
    second = (4 / 2.5 - 2 / 1.5 + 0.25 / 0.5) / 1.5 - 0.25
    np.testing.assert_allclose(found, [first, second], rtol=0.02)
    total = (np.sqrt(first) + np.sqrt(second)) ** 2
    size = 1 + (1 / 16 + 9 / 16)
    whole = losses.stratified_variance(sums(points, 1.5))
    assert whole == pytest.approx(total / size**2, rel=0.02)
    assert losses.variance(sums(points, 1.5)) == pytest.approx((first + second) / size**2, rel=0.02)


def test_divergences(points):
    """KL is least, and the reverse is zero, where the flow is the integrand."""
    only = points[0][:1], points[1][:1]

    def both(power):
        x, value = only
        log_now = jnp.log(power) + (power - 1) * jnp.log(x)
        one = losses.sums(
            value, np.zeros_like(x), log_now, np.array([0]), np.ones(x.shape, bool), 1
        )
        return jnp.stack([losses.kullback_leibler(one), losses.reverse_kullback_leibler(one)])

    values = np.array([both(power) for power in (2.5, 3.0, 3.5)])
    assert values[1, 0] < values[[0, 2], 0].min()
    assert values[1, 1] == pytest.approx(0, abs=1e-9)
    assert values[[0, 2], 1].min() > 0
    entropy = -(np.log(3) - 2 / 3)  # of 3 x^2, minus the mean logarithm
    assert values[1, 0] == pytest.approx(entropy, abs=0.01)


def test_slopes_of_the_channel_weights_see_the_mean(points):
    """Weights that only rescale a channel rescale its standard deviation."""

    def loss(factor):
        x, value = points
        weighted = value * jnp.array([factor, 1.0])[:, None]
        one = losses.sums(
            weighted,
            np.zeros_like(x),
            np.zeros_like(x),
            np.array([0, 1]),
            np.ones(x.shape, bool),
            2,
        )
        return jnp.sqrt(losses.spread(one)[0])

    assert jax.grad(loss)(1.0) == pytest.approx(float(loss(1.0)), rel=1e-6)


def test_a_soft_clip_has_a_threshold_that_works(points):
    plain = sums(points, 1.0)
    far = sums(points, 1.0, softclip=1e6)
    near = sums(points, 1.0, softclip=1.0)
    np.testing.assert_allclose(far.second, plain.second, rtol=1e-6)
    assert (near.second < 0.8 * plain.second).all()
    np.testing.assert_array_equal(near.size, plain.size)
    x = points[0][:1]
    one = losses.sums(
        np.ones_like(x),
        np.zeros_like(x),
        np.log(1.5) + 0.5 * np.log(x),
        np.array([0]),
        x > -1,
        1,
        1.0,
    )
    assert losses.spread(one) > 0.01  # clipped weights have a spread of their own


@pytest.mark.parametrize("threshold", [0.3, 1.0, 5.0])
def test_thresholds_are_in_units_of_the_mean_size(threshold):
    """Each gives its own value, that of the formula."""
    weight = np.array([[1.0, 2.0, 30.0, 0.0]])
    none, real = np.zeros((1, 4)), np.ones((1, 4), bool)
    found = losses.sums(weight, none, none, np.array([0]), real, 1, threshold)
    room = threshold * 33 / 4
    clipped = room * np.log(weight / room + np.sqrt((weight / room) ** 2 + 1))
    assert found.first[0] == pytest.approx(clipped.sum())
    assert found.second[0] == pytest.approx((clipped**2).sum())
    assert clipped.max() < 30 * min(1, 0.9 * threshold)
    assert found.size[0] == 33


def test_zeros_and_empty_places_have_finite_slopes():
    x = np.array([[0.2, 0.7, 0.9]])
    value, real = np.array([[0.0, 2.0, 5.0]]), np.array([[True, True, False]])

    def every(power):
        log_now = jnp.log(power) + (power - 1) * jnp.log(x)
        one = losses.sums(value, np.zeros_like(x), log_now, np.array([0]), real, 2, 3.0)
        names = ("stratified_variance", "variance", "kullback_leibler", "reverse_kullback_leibler")
        return jnp.stack([getattr(losses, name)(one) for name in names])

    assert np.isfinite(every(2.0)).all()
    assert np.isfinite(jax.jacfwd(every)(2.0)).all()
    empty = losses.sums(
        np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 3)), np.array([0]), real & False, 1
    )
    assert losses.stratified_variance(empty) < 1e-6


@pytest.mark.parametrize("loss", [losses.variance, losses.kullback_leibler])
def test_equal_weights_have_no_slope(loss):
    """Where the flow is the integrand nothing is left to learn, at any points: no noise."""
    rng = np.random.default_rng(0)
    log_drawn = jnp.asarray(rng.normal(size=(3, 16)))
    direction = jnp.asarray(rng.normal(size=(3, 16)))
    real = jnp.asarray(rng.uniform(size=(3, 16)) < 0.9)
    channel = jnp.array([0, 1, 1])

    def at(step):
        now = log_drawn + step * direction
        return loss(losses.sums(2 * jnp.exp(log_drawn), log_drawn, now, channel, real, 2))

    assert abs(float(jax.grad(at)(0.0))) < 1e-6


def test_squares_of_points_drawn_from_another_density():
    """Even points, a flow of density x + 1/2, f = 1: the second moment is log 3."""
    x = jnp.asarray(np.random.default_rng(1).uniform(size=(1, N)))
    one = jnp.array([0])
    given = jnp.ones_like(x), jnp.zeros_like(x), jnp.log(x + 0.5), one, x > -1
    found = losses.sums(*given, 1)
    error = float(np.std(1 / (x + 0.5) + x)) / N**0.5
    assert float(found.second[0]) / N == pytest.approx(np.log(3), abs=4 * error)
    assert error < 0.002
