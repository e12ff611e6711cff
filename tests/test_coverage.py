"""Ranks and coverage of posteriors that are right, and of ones that are wrong by a known amount."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from hepjax import coverage

RNG = np.random.default_rng(0)


def normal(n, width=1.0, n_samples=40, rng=None):
    """Levels of a normal posterior whose width is `width` times the right one."""
    rng = rng or np.random.default_rng(1)
    true, samples = rng.normal(size=n), width * rng.normal(size=(n_samples, n))
    return coverage.levels(-(true**2), -(samples**2))


@pytest.mark.smoke
def test_ranks_by_hand():
    samples = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])
    found = coverage.ranks([2.5, 4.0], samples)
    assert 2 / 4 < found[0] < 3 / 4
    assert 0 < found[1] < 1 / 4


@pytest.mark.parametrize("n_samples", [1, 7, 100])
def test_ranks_are_exactly_uniform_for_any_number_of_samples(n_samples):
    rng = np.random.default_rng(n_samples)
    true, samples = rng.normal(size=20_000), rng.normal(size=(n_samples, 20_000))
    assert stats.kstest(coverage.ranks(true, samples), "uniform").pvalue > 0.01


def test_ties_are_broken_evenly():
    rng = np.random.default_rng(2)
    true, samples = rng.integers(0, 3, 20_000), rng.integers(0, 3, (5, 20_000))
    assert stats.kstest(coverage.ranks(true, samples), "uniform").pvalue > 0.01
    constant = coverage.ranks(np.zeros(5000), np.zeros((9, 5000)))
    assert stats.kstest(constant, "uniform").pvalue > 0.01


def test_infinite_log_densities_are_outermost():
    assert coverage.levels([-np.inf], np.zeros((99, 1)))[0] > 0.99


@pytest.mark.parametrize("width", [0.7, 1.0, 1.4])
def test_coverage_of_a_wrong_width_is_the_analytic_one(width):
    """The p region of a normal of width w holds a share 2 Phi(w z_p) - 1 of the truth."""
    found = coverage.coverage(normal(20_000, width, n_samples=400))
    z = special.ndtri((1 + found.nominal) / 2)
    expected = 2 * special.ndtr(width * z) - 1
    assert (np.abs(found.value - expected) < 4 * found.error).all()
    right = np.abs(found.value - found.nominal) < 4 * found.error
    assert right.all() if width == 1 else not right.any()


def test_errors_are_those_of_toys():
    found = [coverage.coverage(normal(400, rng=RNG), [0.68]) for _ in range(200)]
    spread = np.std([f.value[0] for f in found])
    assert spread == pytest.approx(np.mean([f.error[0] for f in found]), rel=0.2)


def test_weights_stand_for_events():
    level, weight = np.array([0.1, 0.6, 0.95]), np.array([2.0, 1.0, 1.0])
    found = coverage.coverage(level, [0.5, 0.9], weight)
    assert found.value.tolist() == [0.5, 0.75]
    assert found.n == pytest.approx(16 / 6)
    padded = coverage.coverage([0.1, 0.6, 0.95, np.nan], [0.5, 0.9], [2.0, 1, 1, 0])
    np.testing.assert_array_equal(padded.value, found.value)
    twice = coverage.coverage(level, [0.5, 0.9], 2 * weight)
    np.testing.assert_allclose(twice.error, found.error)


def test_none_and_all_have_an_error():
    found = coverage.coverage(np.full(100, 0.3), [0.2, 0.9])
    assert found.value.tolist() == [0, 1]
    np.testing.assert_allclose(found.error, [0.04, 0.03])


def test_bins_show_what_the_average_hides():
    """Half of the events too narrow, half too wide: right at one level, wrong in each bin."""
    level = np.concatenate([normal(20_000, 0.6), normal(20_000, 2.2)])
    energy = np.repeat([1.5, 2.5], 20_000)
    curves = coverage.coverage_against(energy, level, [1, 2, 3], [0.5, 0.9])
    assert set(curves) == {0.5, 0.9}
    assert curves[0.5].high[0] < 0.4
    assert curves[0.5].low[1] > 0.8
    assert curves[0.9].n.tolist() == [20_000, 20_000]
    whole = coverage.coverage(level, [0.5])
    assert abs(whole.value[0] - np.mean(curves[0.5].value)) < 1e-9


def test_the_curve_knows_a_right_posterior_from_a_wrong_one():
    right, wrong = (coverage.probability_curve(normal(5000, w)) for w in (1.0, 0.9))
    assert right.p_value > 0.01
    assert wrong.p_value < 1e-6
    inside = (right.value >= right.low) & (right.value <= right.high)
    assert inside.mean() > 0.4
    assert (wrong.value < wrong.low).mean() > 0.7
    assert right.nominal[[0, -1]].tolist() == right.value[[0, -1]].tolist() == [0, 1]


@pytest.mark.parametrize("n", [300, 20_000])
def test_the_distance_is_that_of_scipy_and_the_band_holds_what_it_says(n):
    level = np.random.default_rng(n).random(n)
    found = coverage.probability_curve(level)
    expected = stats.kstest(level, "uniform")
    assert found.distance == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.02)
    toys = np.random.default_rng(5).random((300, n)) < 0.3
    held = (toys.mean(1) >= found.low[30]) & (toys.mean(1) <= found.high[30])
    assert held.mean() == pytest.approx(0.683, abs=0.1)


def test_arrays_of_jax_are_read():
    found = coverage.levels(jnp.zeros(3), jnp.ones((19, 3)))
    assert (found > 0.95).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coverage.ranks([0.0], np.zeros((3, 2))), "samples"),
        (lambda: coverage.ranks([0.0], np.zeros((0, 1))), "samples"),
        (lambda: coverage.ranks([np.nan], np.zeros((3, 1))), r"true: found nan at \(0,\)"),
        (lambda: coverage.levels([0.0], [[np.nan]]), r"samples: found nan at \(0, 0\)"),
        (lambda: coverage.coverage([1.5]), "level: found 1.5"),
        (lambda: coverage.coverage([0.5], [-0.1]), "nominal: found -0.1"),
        (lambda: coverage.coverage([0.5], weight=[0.0]), "weight"),
        (lambda: coverage.coverage_against([1.0, 2], [0.5], [0, 1]), "level"),
        (lambda: coverage.probability_curve([0.5], n_points=1), "n_points"),
        (lambda: coverage.probability_curve([0.5], confidence=1.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
