"""Quantiles and their intervals against numpy's and against toys."""

import numpy as np
import pytest

from hepjax import resolution

RNG = np.random.default_rng(0)


@pytest.mark.smoke
def test_quantiles_are_those_of_numpy():
    x = RNG.exponential(size=777)
    found = resolution.quantiles(x, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(found.value, np.quantile(x, [0.1, 0.5, 0.9]))
    assert found.n == 777


def test_intervals_hold_the_truth_as_often_as_they_say():
    true = -np.log(1 - np.array([0.5, 0.9]))  # of an exponential
    found = [resolution.quantiles(RNG.exponential(size=500), [0.5, 0.9]) for _ in range(600)]
    held = np.mean([(f.low <= true) & (true <= f.high) for f in found], 0)
    np.testing.assert_allclose(held, 0.683, atol=0.06)


def test_weights_stand_for_events():
    x = RNG.normal(size=4000)
    weight = RNG.integers(0, 4, 4000)
    found = resolution.quantiles(x, [0.5], weight)
    repeated = np.median(np.repeat(x, weight))
    assert found.value[0] == pytest.approx(repeated, abs=2e-3)
    assert found.n < 4000
    x[weight == 0] = np.nan
    np.testing.assert_array_equal(resolution.quantiles(x, [0.5], weight).value, found.value)
    np.testing.assert_allclose(resolution.quantiles(x, [0.5], 3 * weight).low, found.low)


def test_one_event_is_its_own_quantile():
    found = resolution.quantiles([2.0], [0.5])
    assert found.low == found.value == found.high == 2


def test_bins_empty_and_outside():
    at, x = np.array([0.5, 0.6, 0.7, 2.5, 9.0]), np.array([1.0, 2, 3, 7, 100])
    found = resolution.quantiles_against(at, x, [0, 1, 2, 3], [0.5, 0.9])
    assert found.value.shape == (2, 3)
    np.testing.assert_array_equal(found.value[0], [2, np.nan, 7])
    assert found.n.tolist() == [3, 0, 1]
    assert found.outside == 1
    assert found.low[0, 0] < 2 < found.high[0, 0]


def test_a_bin_of_all_events_is_the_whole():
    x = RNG.normal(size=100)
    weight = RNG.random(100)
    whole = resolution.quantiles(x, weight=weight)
    binned = resolution.quantiles_against(np.zeros(100), x, [-1, 1], weight=weight)
    np.testing.assert_array_equal(binned.value[:, 0], whole.value)
    np.testing.assert_array_equal(binned.high[:, 0], whole.high)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resolution.quantiles([np.nan]), "x: found nan"),
        (lambda: resolution.quantiles([1.0], [1.0]), "share"),
        (lambda: resolution.quantiles([1.0], weight=[-1.0]), "weight: found -1"),
        (lambda: resolution.quantiles([1.0], weight=[0.0]), "weight: found no event"),
        (lambda: resolution.quantiles_against([1.0, 2], [1.0], [0, 1]), "at: found 2 events"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
