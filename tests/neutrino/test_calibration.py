"""Posteriors of known width on the sphere: the right one looks right, and wrong ones do not."""

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import coverage, resolution, sphere
from hepjax.neutrino import calibration

KAPPA = 400.0
POLE = np.array([[0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def posterior(fisher):
    """Function of kappa that is believed: truth, samples and log-densities of 6000 events."""

    def draw(believed, n=6000, n_samples=60, seed=0):
        rng = np.random.default_rng(seed)
        centre = sphere.fibonacci(n)
        true = fisher(rng, centre, KAPPA)
        samples = fisher(rng, centre, believed, n_samples)
        logs = [-believed * 2 * sphere.height(x, centre) for x in (true, samples)]
        return true, samples, *logs

    return draw


@pytest.mark.smoke
def test_a_right_posterior_is_uniform_in_all_ways(posterior):
    found = calibration.judge(*posterior(KAPPA))
    for place in (found.density, found.distance, *found.coordinates):
        assert coverage.probability_curve(place).p_value > 0.01


@pytest.mark.parametrize("ratio", [0.6, 1.7])
def test_a_wrong_width_has_the_coverage_it_must(posterior, ratio):
    """A region of p at kappa' holds 1 - (1 - p)^(kappa / kappa') of the truth at kappa."""
    found = calibration.judge(*posterior(KAPPA * ratio, n_samples=200))
    counted = coverage.coverage(found.density)
    expected = 1 - (1 - counted.nominal) ** (1 / ratio)
    assert (np.abs(counted.value - expected) < 4 * counted.error).all()
    assert (np.abs(counted.value - counted.nominal) > 8 * counted.error).all()
    for place in (found.distance, *found.coordinates):
        assert coverage.probability_curve(place).p_value < 1e-3


def test_a_shifted_posterior_is_seen_by_distance_and_coordinates(posterior):
    true, samples, log_prob, sampled = posterior(KAPPA)
    moved = sphere.unit(true + np.array([0.0, 0.0, 0.03]))
    found = calibration.judge(moved, samples, log_prob, sampled)
    assert coverage.probability_curve(found.density).p_value > 0.01  # told nothing of it
    assert coverage.probability_curve(found.coordinates[2]).p_value < 1e-6
    assert coverage.probability_curve(found.coordinates[0]).p_value > 1e-3
    below = calibration.tarp(moved, samples, np.tile(-POLE, (len(true), 1)))
    assert coverage.probability_curve(below).p_value < 1e-6


def test_distance_does_not_depend_on_the_frame(posterior):
    true, samples, *_ = posterior(KAPPA, n=50)
    reference = sphere.fibonacci(50)[::-1]
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    plain = calibration.tarp(true, samples, reference)
    np.testing.assert_allclose(
        calibration.tarp(true @ turn, samples @ turn, reference @ turn), plain
    )


def test_float32_samples_of_a_narrow_posterior_are_judged_alike(fisher):
    rng = np.random.default_rng(4)
    centre = sphere.fibonacci(3000)
    true, samples = fisher(rng, centre, 1e6), fisher(rng, centre, 1e6, 50)
    exact = calibration.tarp(true, samples)
    rounded = calibration.tarp(jnp.asarray(true, jnp.float32), jnp.asarray(samples, jnp.float32))
    assert np.abs(exact - rounded).mean() < 0.01
    assert coverage.probability_curve(rounded).p_value > 0.01


@pytest.mark.parametrize("distance", ["chord", "angle"])
def test_the_right_posterior_has_the_least_energy_score(posterior, distance):
    scores = [
        calibration.energy_score(*posterior(KAPPA * r, n=3000)[:2], distance=distance)
        for r in (0.3, 1.0, 3.0)
    ]
    assert scores[1].value < min(scores[0].value, scores[2].value) - 2 * scores[1].error / 3
    assert all(s.error > 0 for s in scores)


def test_the_energy_score_by_hand_and_by_all_pairs(posterior):
    opposite = np.stack([POLE, -POLE])
    found = calibration.energy_score(POLE, opposite)
    assert found.value == pytest.approx(1.0 - 1.0)  # (0 + 2) / 2 - 2 / 2
    assert calibration.energy_score(POLE, opposite, distance="angle").value == pytest.approx(0)
    true, samples, *_ = posterior(KAPPA, n=40, n_samples=9)
    pairs = [np.linalg.norm(a - b, axis=-1) for i, a in enumerate(samples) for b in samples[:i]]
    expected = np.linalg.norm(samples - true, axis=-1).mean(0) - np.mean(pairs, 0) / 2
    found = calibration.energy_score(true, samples)
    assert found.value == pytest.approx(expected.mean())
    assert found.error == pytest.approx(expected.std() / np.sqrt(40))
    weighted = calibration.energy_score(true, samples, np.arange(40) < 10)
    assert weighted.value == pytest.approx(expected[:10].mean())


def test_mean_mode_and_median_of_two_peaks():
    """70 samples at the pole and 30 at the equator: the mean lies between, the others do not."""
    rng = np.random.default_rng(5)
    centres = np.repeat([[0.0, 0, 1], [1.0, 0, 0]], [70, 30], 0)
    samples = sphere.unit(centres + 1e-4 * rng.normal(size=(100, 3)))[:, None]
    sampled = np.where(np.arange(100) < 99, -1.0, 2.0)[:, None]
    mean = calibration.mean_direction(samples)
    assert calibration.angular_error(POLE, mean)[0] == pytest.approx(np.arctan(3 / 7), abs=1e-3)
    np.testing.assert_allclose(calibration.mode_direction(samples, sampled), samples[99])
    median = calibration.median_direction(samples)
    assert calibration.angular_error(POLE, median)[0] < 1e-3


def test_the_median_has_the_least_mean_angle(fisher):
    rng = np.random.default_rng(6)
    centre = sphere.fibonacci(6)
    near = [fisher(rng, centre, k, 40) for k in (3.0, 1e6)]
    for samples in near:
        found = calibration.median_direction(samples)
        np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1)
        best = sphere.angle(samples, found).mean(0)
        for size in (1e-1, 1e-3, 1e-5):
            for _ in range(20):
                other = sphere.unit(found + size * rng.normal(size=found.shape))
                assert (sphere.angle(samples, other).mean(0) > best * (1 - 1e-9)).all()


def test_of_one_peak_all_three_are_near(posterior):
    true, samples, _, sampled = posterior(KAPPA, n=300)
    points = [
        calibration.mean_direction(samples),
        calibration.median_direction(samples),
        calibration.mode_direction(samples, sampled),
    ]
    for point in points:
        error = calibration.angular_error(sphere.fibonacci(300), point)
        assert np.median(error) < 0.5 / np.sqrt(KAPPA)
    # the truth is 1.177 sigma away in the median of events
    found = resolution.quantiles(calibration.angular_error(true, points[0]), [0.5])
    assert found.value[0] == pytest.approx(1.177 / np.sqrt(KAPPA), rel=0.15)


def test_small_and_large_angles_are_exact():
    turn = np.array([1e-8, 1e-4, 1.0, np.pi - 1e-8, np.pi])
    other = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], -1)
    found = calibration.angular_error(np.repeat(POLE, 5, 0), other)
    np.testing.assert_allclose(found, turn, rtol=1e-7)


ONES = np.repeat(POLE, 2, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration.tarp(ONES, ONES), "samples: found shape"),
        (lambda: calibration.tarp(ONES, POLE[None]), "samples: found 1 events, expected 2"),
        (lambda: calibration.tarp(2 * ONES, ONES[None]), "true: found a length of 2"),
        (lambda: calibration.tarp(ONES * np.nan, ONES[None]), "true: found nan"),
        (lambda: calibration.tarp(ONES, ONES[None], POLE), "samples: found 2 events, expected 1"),
        (lambda: calibration.energy_score(ONES, ONES[None]), "samples: found 1 a event"),
        (lambda: calibration.energy_score(ONES, np.stack([ONES] * 2), [0, 0]), "weight"),
        (lambda: calibration.mode_direction(ONES[None], [[np.nan, 0]]), "sampled"),
        (lambda: calibration.angular_error(ONES, POLE), "estimate"),
        (lambda: calibration.mean_direction(np.zeros((0, 2, 3))), "samples"),
        (
            lambda: calibration.energy_score(ONES, np.stack([ONES] * 2), distance="arc"),  # type: ignore
            "distance",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_samples_that_cancel_have_no_mean():
    assert np.isnan(calibration.mean_direction(np.stack([POLE, -POLE]))).all()
    assert np.isfinite(calibration.median_direction(np.stack([POLE, -POLE]))).all()
