"""Efficiencies: values by hand, intervals that cover, errors that toys confirm, weights."""

import numpy as np
import pytest
from scipy import stats

from hepjax import counting


@pytest.mark.parametrize("confidence", [counting.ONE_SIGMA, 0.95])
@pytest.mark.parametrize("n", [3, 20, 150])
def test_clopper_pearson_covers_at_least_its_confidence(n, confidence):
    k, truth = np.arange(n + 1), np.linspace(0.003, 0.997, 120)
    found = counting.efficiency(k, n, confidence=confidence)
    inside = (found.low <= truth[:, None]) & (truth[:, None] <= found.high)
    coverage = (stats.binom.pmf(k, n, truth[:, None]) * inside).sum(1)
    assert coverage.min() >= confidence


def test_wilson_covers_on_average_and_is_shorter():
    n, truth = 40, np.linspace(0.02, 0.98, 400)
    k = np.arange(n + 1)
    wilson = counting.efficiency(k, n, interval="wilson")
    exact = counting.efficiency(k, n)
    inside = (wilson.low <= truth[:, None]) & (truth[:, None] <= wilson.high)
    coverage = (stats.binom.pmf(k, n, truth[:, None]) * inside).sum(1)
    assert coverage.mean() == pytest.approx(counting.ONE_SIGMA, abs=0.015)
    assert np.mean(wilson.high - wilson.low) < np.mean(exact.high - exact.low)


@pytest.mark.parametrize(
    ("interval", "method"), [("clopper-pearson", "exact"), ("wilson", "wilson")]
)
@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (37, 1000)])
def test_interval_agrees_with_scipy(k, n, interval, method):
    found = counting.efficiency(k, n, confidence=0.9, interval=interval)
    expected = stats.binomtest(k, n).proportion_ci(0.9, method)
    np.testing.assert_allclose((found.low, found.high), expected, atol=1e-12)
    assert found.value == k / n


def test_interval_ends_are_analytic_at_none_and_all():
    found = counting.efficiency([0, 25], [25, 25], confidence=0.9)
    np.testing.assert_allclose(found.high, [1 - 0.05 ** (1 / 25), 1], rtol=1e-12)
    np.testing.assert_allclose(found.low, [0, 0.05 ** (1 / 25)], rtol=1e-12)


def test_no_event_leaves_the_efficiency_open():
    for interval in ("clopper-pearson", "wilson"):
        found = counting.efficiency(0, 0, interval=interval)
        assert np.isnan(found.value)
        assert (found.low, found.high) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "options", "names"),
    [
        ((3, 2), {}, "passed, total"),
        ((-1, 2), {}, "passed, total"),
        ((np.nan, 2), {}, "passed, total"),
        ((1, np.inf), {}, "passed, total"),
        ((1, 2), {"confidence": 1.0}, "confidence"),
        ((1, 2), {"interval": "wald"}, "interval"),
    ],
)
def test_efficiency_refuses(arguments, options, names):
    with pytest.raises(ValueError, match=names):
        counting.efficiency(*arguments, **options)


def test_binomial_error_for_unit_weights():
    eps, n = 0.3, 1000
    error = counting.efficiency_error(eps, eps * n, n, n)
    assert error == pytest.approx(np.sqrt(eps * (1 - eps) / n), rel=1e-12)


def test_weighted_binomial_error_is_confirmed_by_toys():
    rng, n = np.random.default_rng(1), 400
    pulls = []
    for _ in range(1500):
        x = rng.random(rng.poisson(n))
        w = np.where(rng.random(len(x)) < 0.15, -0.7, 1.3)
        passed = x < 0.2
        value = w[passed].sum() / w.sum()
        error = counting.efficiency_error(value, (w[passed] ** 2).sum(), w.sum(), (w**2).sum())
        pulls.append((value - 0.2) / error)
    assert np.std(pulls) == pytest.approx(1, abs=0.06)
    assert abs(np.mean(pulls)) < 0.12


def test_efficiency_in_bins_by_hand():
    x, passed = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, -1.0, np.float64(2)], [1, 0, 1, 1, 0, 1, 1, 1]
    curve = counting.efficiency_against(x, passed, [0, 1, 2])
    np.testing.assert_array_equal(curve.value, [1 / 2, 3 / 4])  # 2.0 is in the last bin
    np.testing.assert_array_equal(curve.n, [2, 4])
    assert curve.outside == 2
    expected = counting.efficiency([1, 3], [2, 4])
    np.testing.assert_allclose(curve.low, expected.low)
    np.testing.assert_allclose(curve.high, expected.high)


def test_an_empty_bin_is_nan_with_the_whole_interval():
    curve = counting.efficiency_against([0.5, 0.6], [True, False], [0, 1, 2])
    assert np.isnan(curve.value[1])
    assert (curve.low[1], curve.high[1], curve.n[1]) == (0, 1, 0)


def test_a_common_factor_of_the_weights_changes_nothing():
    rng = np.random.default_rng(2)
    x, passed, edges = rng.random(300), rng.random(300) < 0.4, np.linspace(0, 1, 5)
    plain = counting.efficiency_against(x, passed, edges)
    scaled = counting.efficiency_against(x, passed, edges, np.full(300, 7.0))
    for a, b in zip(plain, scaled):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_padding_is_never_looked_at():
    x, passed = [0.2, 0.7, np.nan, 0.1], [1, 0, -5, np.nan]
    curve = counting.efficiency_against(x, passed, [0, 1], [1, 1, 0, 0])
    assert (curve.value[0], curve.n[0], curve.outside) == (0.5, 2, 0)
    assert counting.accuracy([0, 1, -1], [0, 0, np.nan], [1, 1, 0]).value == 0.5
    assert counting.confusion([0, 1, -1], [0, 0, 99], 2, [1, 1, 0]).total.sum() == 2


def test_negative_weights_keep_the_value_and_give_an_interval_around_it():
    x, passed = np.full(6, 0.5), np.array([1, 1, 1, 0, 0, 0])
    weight = np.array([1.0, 1, 1, 1, -1, -1])  # 3 of 2: an efficiency of 1.5
    curve = counting.efficiency_against(x, passed, [0, 1], weight)
    assert curve.value[0] == 1.5
    assert curve.low[0] < 1.5 < curve.high[0]
    assert curve.high[0] - 1.5 == pytest.approx(1.5 - curve.low[0])


def test_accuracy_value_and_error():
    label = np.arange(1000) % 4
    predicted = np.where(np.arange(1000) < 800, label, (label + 1) % 4)
    found = counting.accuracy(label, predicted)
    assert found.value == 0.8
    assert found.error == pytest.approx(np.sqrt(0.8 * 0.2 / 1000), rel=1e-12)


def test_confusion_rows_are_probabilities_and_agree_with_scikit_learn():
    from sklearn.metrics import confusion_matrix

    rng = np.random.default_rng(3)
    label, weight = rng.integers(0, 4, 500), rng.uniform(0.1, 2, 500)
    predicted = np.where(rng.random(500) < 0.7, label, rng.integers(0, 4, 500))
    found = counting.confusion(label, predicted, 4, weight)
    expected = confusion_matrix(label, predicted, normalize="true", sample_weight=weight)
    np.testing.assert_allclose(found.value, expected, rtol=1e-12)
    np.testing.assert_allclose(found.value.sum(1), 1)
    np.testing.assert_allclose(found.total.sum(), weight.sum())
    assert ((found.error > 0) & (found.error < 0.1)).all()


def test_confusion_of_an_absent_class_is_nan():
    found = counting.confusion([0, 0, 2], [0, 1, 2], 3)
    np.testing.assert_array_equal(np.isnan(found.value), [[False] * 3, [True] * 3, [False] * 3])
    np.testing.assert_array_equal(found.value[0], [0.5, 0.5, 0])
    np.testing.assert_allclose(found.error[0], [np.sqrt(0.125), np.sqrt(0.125), 0])


def test_effective_number():
    assert counting.effective_number(np.full(50, 3.0)) == pytest.approx(50)
    assert counting.effective_number(np.array([1.0, 1, -1])) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: counting.efficiency_against([1.0], [2], [0, 1]), "passed: found 2"),
        (lambda: counting.efficiency_against([np.nan], [1], [0, 1]), "x: found nan"),
        (lambda: counting.efficiency_against([1.0], [1], [1, 0]), "edges"),
        (lambda: counting.efficiency_against([1.0], [1], [1]), "edges"),
        (lambda: counting.efficiency_against([1.0, 2.0], [1], [0, 1]), "passed: found shape"),
        (lambda: counting.confusion([0, 3], [0, 1], 3), "label: found 3.0"),
        (lambda: counting.confusion([0, 1], [0, -1], 3), "predicted: found -1"),
        (lambda: counting.confusion([0, 0.5], [0, 1], 3), "label: found 0.5"),
        (lambda: counting.accuracy([0, 1], [0, 1, 1]), "predicted: found shape"),
        (lambda: counting.accuracy([0, 1], [0, 1], [np.nan, 1]), "weight: found nan"),
        (lambda: counting.accuracy([0, 1], [0, 1], [1, -1]), "weight: found a sum"),
        (lambda: counting.accuracy([[0, 1]], [0, 1]), r"label: found shape \(1, 2\)"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
