"""ROC, AUC, rejection, divergences, seeds: analytic values, toys for every error, weights."""

import json

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import roc_auc_score, roc_curve

from hepjax import metrics


def gaussians(rng, n_signal, n_background, distance=1.5):
    """Two unit Gaussians, the signal `distance` above: AUC = Phi(distance / sqrt 2)."""
    score = np.concatenate([rng.normal(distance, 1, n_signal), rng.normal(0, 1, n_background)])
    return score, np.repeat([1, 0], [n_signal, n_background])


def tied(rng, n=400):
    score, label = gaussians(rng, n, n)
    return np.round(score, 1), label


def test_roc_by_hand_with_ties():
    curve = metrics.roc([3, 2, 2, 1, 0], [1, 1, 0, 0, 1])
    np.testing.assert_array_equal(curve.threshold, [np.inf, 3, 2, 1, 0])
    np.testing.assert_allclose(curve.signal_efficiency, [0, 1 / 3, 2 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.background_efficiency, [0, 0, 1 / 2, 1, 1])
    np.testing.assert_allclose(curve.signal_error[2], np.sqrt(2 / 3 * 1 / 3 / 3))
    assert (curve.n_signal, curve.n_background) == (3, 2)


def test_roc_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    score, label = tied(rng)
    weight = rng.uniform(0.1, 2, len(score))
    curve = metrics.roc(score, label, weight)
    expected = roc_curve(label, score, sample_weight=weight, drop_intermediate=False)
    np.testing.assert_allclose(curve.background_efficiency, expected[0], atol=1e-13)
    np.testing.assert_allclose(curve.signal_efficiency, expected[1], atol=1e-13)
    np.testing.assert_array_equal(curve.threshold, expected[2])


@pytest.mark.parametrize("weighted", [False, True])
def test_auc_is_the_area_under_the_roc(weighted):
    rng = np.random.default_rng(1)
    score, label = tied(rng)
    weight = rng.choice([1.0, 2.0, -0.5], len(score), p=[0.6, 0.2, 0.2]) if weighted else None
    curve = metrics.roc(score, label, weight)
    area = np.trapezoid(curve.signal_efficiency, curve.background_efficiency)
    assert metrics.auc(score, label, weight).value == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.5])
def test_auc_of_two_gaussians(distance):
    score, label = gaussians(np.random.default_rng(2), 20_000, 30_000, distance)
    found, expected = metrics.auc(score, label), special.ndtr(distance / np.sqrt(2))
    assert abs(found.value - expected) < 3 * found.error
    assert found.error < 0.003


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_auc_agrees_with_scikit_learn_to_1e_12(decimals):
    rng = np.random.default_rng(3)
    score, label = gaussians(rng, 700, 1100)
    score, weight = np.round(score, decimals), rng.uniform(0, 3, 1800)
    assert abs(metrics.auc(score, label).value - roc_auc_score(label, score)) < 1e-12
    expected = roc_auc_score(label, score, sample_weight=weight)
    assert abs(metrics.auc(score, label, weight).value - expected) < 1e-12


def test_delong_error_is_that_of_all_pairs():
    score, label = tied(np.random.default_rng(4), 60)
    s, b = score[label == 1], score[label == 0]
    psi = (s[:, None] > b) + 0.5 * (s[:, None] == b)
    expected = np.var(psi.mean(1), ddof=1) / len(s) + np.var(psi.mean(0), ddof=1) / len(b)
    assert metrics.auc(score, label).error == pytest.approx(np.sqrt(expected), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_auc_error_is_confirmed_by_toys(weighted):
    rng, pulls = np.random.default_rng(5), []
    for _ in range(1500):
        score, label = gaussians(rng, 250, 350)
        weight = rng.choice([-0.5, 0.4, 1.7], 600, p=[0.15, 0.5, 0.35]) if weighted else None
        found = metrics.auc(score, label, weight)
        pulls.append((found.value - special.ndtr(1.5 / np.sqrt(2))) / found.error)
    assert np.std(pulls) == pytest.approx(1, abs=0.1)
    assert abs(np.mean(pulls)) < 0.15


def test_auc_error_shrinks_with_events_but_not_with_a_factor_on_the_weights():
    score, label = tied(np.random.default_rng(6))
    weight = np.where(label == 1, 2.0, 5.0)
    once, scaled = metrics.auc(score, label), metrics.auc(score, label, weight)
    twice = metrics.auc(np.tile(score, 2), np.tile(label, 2))
    np.testing.assert_allclose(scaled, once, rtol=1e-12)
    assert twice.value == pytest.approx(once.value, abs=1e-12)
    assert twice.error == pytest.approx(once.error / np.sqrt(2), rel=0.01)


def test_integer_weights_move_values_as_replicated_events_do():
    rng = np.random.default_rng(7)
    score, label = tied(rng)
    weight = rng.integers(0, 4, len(score))
    copies = np.repeat(score, weight), np.repeat(label, weight)
    weighted, replicated = metrics.roc(score, label, weight), metrics.roc(*copies)
    for name in ("threshold", "signal_efficiency", "background_efficiency"):
        a, b = getattr(weighted, name), getattr(replicated, name)
        np.testing.assert_allclose(a, b, atol=1e-12)
    assert metrics.auc(score, label, weight).value == pytest.approx(metrics.auc(*copies).value)
    assert metrics.auc(score, label, weight).error > metrics.auc(*copies).error
    a, b = metrics.rejection(score, label, 0.3, weight), metrics.rejection(*copies, 0.3)
    assert (a.value, a.threshold) == pytest.approx((b.value, b.threshold))


def test_weight_zero_is_padding():
    score, label = tied(np.random.default_rng(8), 50)
    padded = np.append(score, [np.nan, 1e9]), np.append(label, [-1, 1])
    weight = np.append(np.ones(100), [0, 0])
    for f in (metrics.roc, metrics.auc, lambda *x: metrics.rejection(*x[:2], 0.5, *x[2:])):
        for a, b in zip(f(score, label), f(*padded, weight)):
            np.testing.assert_array_equal(a, b)


def test_order_of_events_does_not_matter():
    rng = np.random.default_rng(9)
    score, label = tied(rng)
    weight, order = rng.normal(1, 0.7, len(score)), rng.permutation(len(score))
    shuffled = score[order], label[order], weight[order]
    for f in (metrics.roc, metrics.auc):
        for a, b in zip(f(score, label, weight), f(*shuffled)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_rising_function_of_the_score_changes_nothing_but_thresholds():
    score, label = tied(np.random.default_rng(10))
    a, b = metrics.roc(score, label), metrics.roc(special.expit(score), label)
    np.testing.assert_array_equal(a.background_efficiency, b.background_efficiency)
    assert metrics.auc(score, label) == metrics.auc(special.expit(score), label)


def test_difference_of_a_classifier_and_itself_is_nothing():
    score, label = tied(np.random.default_rng(11))
    assert metrics.auc_difference(score, score, label) == (0, 0, 0)


def test_difference_is_antisymmetric_and_smaller_in_error_than_unpaired():
    rng = np.random.default_rng(12)
    score, label = gaussians(rng, 500, 500)
    other = score + rng.normal(0, 0.3, 1000)
    there, back = (metrics.auc_difference(*x, label) for x in ((score, other), (other, score)))
    assert there.value == pytest.approx(-back.value)
    assert there.error == pytest.approx(back.error)
    assert there.significance == pytest.approx(there.value / there.error)
    a, b = metrics.auc(score, label), metrics.auc(other, label)
    assert there.value == pytest.approx(a.value - b.value)
    assert there.error < 0.5 * np.hypot(a.error, b.error)


def test_error_of_a_difference_is_confirmed_by_toys():
    rng, found = np.random.default_rng(13), []
    for _ in range(800):
        score, label = gaussians(rng, 200, 200)
        other = 0.8 * score + 0.6 * rng.normal(0.6 * label, 1)
        found.append(metrics.auc_difference(score, other, label))
    values, errors = np.array([d[:2] for d in found]).T
    truth = special.ndtr(1.5 / np.sqrt(2)) - special.ndtr((0.8 * 1.5 + 0.36) / np.sqrt(2))
    assert np.std((values - truth) / errors) == pytest.approx(1, abs=0.1)
    assert abs(np.mean((values - truth) / errors)) < 0.15


def test_rejection_by_hand():
    score, label = np.arange(1000.0), np.repeat([0, 1], 500)
    score[[10, 20, 30, 40]] += 800.5  # four background events among the signal, above 800
    found = metrics.rejection(score, label, 0.4)  # the upper 200 of 500 signal events
    assert found.value == 500 / 4
    assert found.error == pytest.approx(125 * np.sqrt((1 - 4 / 500) / 4), rel=1e-12)
    assert (found.signal_efficiency, found.threshold) == (0.4, 800)
    assert not found.lower_limit
    assert metrics.threshold_at(score, label, 0.4) == 800


def test_tied_scores_reach_more_signal_and_say_so():
    score, label = [1, 1, 1, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]
    found = metrics.rejection(score, label, 0.5)
    assert (found.signal_efficiency, found.value, found.threshold) == (0.75, 4, 1)


@pytest.mark.parametrize("weighted", [False, True])
def test_rejection_error_is_confirmed_by_toys(weighted):
    rng, pulls, binomial = np.random.default_rng(14), [], []
    truth = 1 / special.ndtr(-2)  # eps_S = 1/2 cuts at the signal's mean
    for _ in range(400):
        score, label = gaussians(rng, 2_000, 10_000, 2.0)
        weight = rng.choice([1.2, -0.3], len(score), p=[0.9, 0.1]) if weighted else None
        found = metrics.rejection(score, label, 0.5, weight)
        pulls.append((found.value - truth) / np.hypot(found.error, found.threshold_error))
        binomial.append((found.value - truth) / found.error)
    assert np.std(pulls) == pytest.approx(1, abs=0.1)
    assert abs(np.mean(pulls)) < 0.2
    assert np.std(binomial) > 1.2  # so few signal events do not fix the cut


def test_binomial_rejection_error_is_confirmed_at_a_fixed_cut():
    rng, n = np.random.default_rng(15), 5_000
    signal = np.linspace(0, 1, 2001) + 1.0  # always the same
    truth, pulls = 1 / special.ndtr(-1.5), []
    for _ in range(600):
        tail = -special.ndtri(rng.random(n))
        score = np.concatenate([signal, tail])
        found = metrics.rejection(score, np.repeat([1, 0], [2001, n]), 0.5)
        assert found.threshold == pytest.approx(1.5)
        pulls.append((found.value - truth) / found.error)
    assert np.std(pulls) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("confidence", [0.68, 0.95])
def test_no_background_gives_a_lower_limit(confidence):
    score, label = np.concatenate([np.ones(50), np.zeros(300)]), np.repeat([1, 0], [50, 300])
    found = metrics.rejection(score, label, 0.5, confidence=confidence)
    assert found.lower_limit
    # were this the truth, no background would pass in a fraction 1 - confidence of all samples
    assert (1 - 1 / found.value) ** 300 == pytest.approx(1 - confidence, rel=1e-9)
    assert found.error == 0
    json.dumps(found, allow_nan=False)


def test_negative_weights_that_cancel_give_a_limit_too():
    score = np.concatenate([np.ones(20), [1, 1, 1, 1], np.zeros(400)])
    label, weight = np.repeat([1, 0], [20, 404]), np.ones(424)
    weight[20:24] = [1, -1, 1, -1]
    found = metrics.rejection(score, label, 0.5, weight)
    assert found.lower_limit
    assert 0 < found.value < 400 / 3  # weaker than from no event at all
    weight[20:24] = -1
    assert metrics.rejection(score, label, 0.5, weight).lower_limit


@pytest.mark.parametrize("f", [metrics.roc, metrics.auc])
@pytest.mark.parametrize(
    ("score", "label", "weight", "names"),
    [
        ([1, np.nan, 2, 0], [0, 1, 1, 0], None, r"score: found nan at \(1,\)"),
        ([1, np.inf, 2, 0], [0, 1, 1, 0], None, "score: found inf"),
        ([[1, 2]], [0, 1], None, r"score: found shape \(1, 2\)"),
        ([1, 2, 3], [0, 1], None, r"label: found shape \(2,\)"),
        ([1, 2], [0, 1], [1], "weight: found shape"),
        ([1, 2], [0, 1], [1, np.nan], "weight: found nan"),
        ([1, 2], [1, 1], None, "label: found a sum of weights 0.0 of class 0"),
        ([1, 2], [0, 0], None, "of class 1"),
        ([1, 2, 3], [0, 1, 2], None, "label: found 2.0"),
        ([1, 2, 3], [0, 1, 1], [1, 1, -1], "of class 1"),
        ([], [], None, "label"),
    ],
)
def test_bad_input_is_named(f, score, label, weight, names):
    with pytest.raises(ValueError, match=names):
        f(score, label, weight)


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, np.nan])
def test_signal_efficiency_outside_the_open_interval_is_refused(value):
    for f in (metrics.rejection, metrics.threshold_at):
        with pytest.raises(ValueError, match="signal_efficiency"):
            f([1, 2, 3], [0, 1, 1], value)
    with pytest.raises(ValueError, match="confidence"):
        metrics.rejection([1, 2, 3], [0, 1, 1], 0.5, confidence=1)


def test_auc_needs_two_events_a_class_and_equal_lengths():
    with pytest.raises(ValueError, match="two or more"):
        metrics.auc([1, 2, 3], [0, 1, 1])
    with pytest.raises(ValueError, match="score_b"):
        metrics.auc_difference([1, 2, 3, 4], [1, 2, 3], [0, 1, 0, 1])


def three_classes(rng, n=600):
    label = rng.integers(0, 3, n)
    return special.softmax(rng.normal(0, 1, (n, 3)) + 1.2 * np.eye(3)[label], axis=1), label


def test_one_vs_one_agrees_with_scikit_learn():
    score, label = three_classes(np.random.default_rng(17))
    found = metrics.one_vs_one(score, label)
    expected = roc_auc_score(label, score, multi_class="ovo", average="macro")
    assert abs(found.mean.value - expected) < 1e-12
    np.testing.assert_array_equal(np.diag(found.value), 0.5)
    assert (found.error[~np.eye(3, dtype=bool)] > 0).all()


def test_error_of_the_one_vs_one_mean_is_confirmed_by_toys():
    rng = np.random.default_rng(18)
    found = [metrics.one_vs_one(*three_classes(rng, 200)).mean for _ in range(300)]
    values, errors = np.array(found).T
    assert np.std(values) == pytest.approx(errors.mean(), rel=0.1)


def test_one_vs_one_of_two_classes_is_the_auc():
    score, label = tied(np.random.default_rng(19))
    p = special.expit(score)
    found = metrics.one_vs_one(np.stack([1 - p, p], 1), label)
    expected = metrics.auc(score, label)
    np.testing.assert_allclose([found.value[0, 1], found.value[1, 0]], expected.value)
    np.testing.assert_allclose(found.mean, expected)
    with pytest.raises(ValueError, match="two classes"):
        metrics.one_vs_one(score[:, None], label)
    with pytest.raises(ValueError, match="label"):
        metrics.one_vs_one(score[:, None] * [1, 1], label + 1)


def test_divergence_is_between_zero_and_one_and_symmetric():
    rng, edges = np.random.default_rng(20), np.linspace(0, 1, 11)
    a, b = rng.random(500), rng.random(700) ** 2
    there, back = metrics.jensen_shannon(a, b, edges), metrics.jensen_shannon(b, a, edges)
    assert 0 < there.value < 1
    assert there.value == pytest.approx(back.value)
    assert metrics.jensen_shannon(a, a, edges).value == 0
    assert metrics.jensen_shannon(a / 2, 0.5 + b / 2, edges).value == pytest.approx(1)


def test_divergence_by_hand():
    a, b = [0.5] * 3 + [1.5], [0.5] + [1.5] * 3
    m = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert metrics.jensen_shannon(a, b, [0, 1, 2]).value == pytest.approx(1 - m)
    weighted = metrics.jensen_shannon([0.5, 1.5], b, [0, 1, 2], [3, 1])
    assert weighted.value == pytest.approx(1 - m)


def test_divergence_error_and_noise_are_confirmed_by_toys():
    rng, edges = np.random.default_rng(21), np.linspace(0, 1, 9)

    def toys(power, weighted=False):
        for _ in range(150):
            a, b = rng.random(2000), rng.random(3000) ** power
            w = rng.choice([1.5, -0.5], 2000, p=[0.8, 0.2]) if weighted else None
            yield metrics.jensen_shannon(a, b, edges, w, n_bootstrap=50)

    same = np.array(list(toys(1)))
    assert same[:, 0].mean() == pytest.approx(same[0, 2], rel=0.15)
    for weighted in (False, True):
        apart = np.array(list(toys(1.6, weighted)))
        assert apart[:, 1].mean() == pytest.approx(apart[:, 0].std(), rel=0.2)


def test_divergence_refuses_what_has_no_shape():
    for a, w, names in (([5.0], None, "a: found bins"), ([0.5, 0.6, 1.5], [1, -2, 4], "a: found")):
        with pytest.raises(ValueError, match=names):
            metrics.jensen_shannon(a, [0.5], [0, 1, 2], w)
    with pytest.raises(ValueError, match="n_bootstrap"):
        metrics.jensen_shannon([0.5], [0.5], [0, 1], n_bootstrap=1)


def test_seeds_by_hand():
    found = metrics.combine_seeds([0.90, 0.92, 0.94], [0.01, 0.01, 0.01])
    assert found.mean == pytest.approx(0.92)
    assert found.spread == pytest.approx(0.02)
    assert found.statistical_error == pytest.approx(0.01)
    assert found.error == pytest.approx(np.hypot(0.02 / np.sqrt(3), 0.01))
    apart = metrics.combine_seeds([0.90, 0.92, 0.94], [0.01] * 3, same_test_set=False)
    assert apart.statistical_error == pytest.approx(0.01 / np.sqrt(3))
    assert apart.error == pytest.approx(0.02 / np.sqrt(3))


def test_one_seed_has_no_spread():
    for values, errors in (([0.9], [0.1]), ([0.9, np.nan], [0.1, 0.1]), ([1, 2], [0.1, -0.1])):
        with pytest.raises(ValueError, match="values"):
            metrics.combine_seeds(values, errors)


def test_results_are_plain_numbers_for_json():
    score, label = tied(np.random.default_rng(22))
    results = [metrics.auc(score, label), metrics.rejection(score, label, 0.3)]
    results.append(metrics.auc_difference(score, -score, label))
    results.append(metrics.combine_seeds([1, 2], [0.1, 0.1]))
    results.append(metrics.jensen_shannon(score, -score, [-3, 0, 3]))
    assert json.loads(json.dumps(results, allow_nan=False))


def test_ratio_of_rejections_by_hand_and_of_equals():
    rng = np.random.default_rng(0)
    score, label = gaussians(rng, 4000, 4000)
    one = metrics.rejection_ratio(score, score, label, 0.6)
    assert one == (1.0, 0.0)
    other = score + 0.5 * rng.normal(size=len(score))
    found = metrics.rejection_ratio(score, other, label, 0.6)
    values = [metrics.rejection(s, label, 0.6) for s in (score, other)]
    assert found.value == pytest.approx(values[0].value / values[1].value)
    apart = np.hypot(*(np.hypot(v.error, v.threshold_error) / v.value for v in values))
    assert 0 < found.error / found.value < apart
    back = metrics.rejection_ratio(other, score, label, 0.6)
    assert back.value == pytest.approx(1 / found.value)


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_error_of_a_ratio_of_rejections_is_confirmed_by_toys(noise):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        score, label = gaussians(rng, 1500, 3000)
        other = score + noise * rng.normal(size=len(score))
        found.append(metrics.rejection_ratio(score, other, label, 0.7))
    values, errors = np.array(found).T
    assert np.std(values) == pytest.approx(errors.mean(), rel=0.15)


def test_ratio_without_background_that_passes():
    with pytest.raises(ValueError, match="score: found no background"):
        metrics.rejection_ratio([0.0, 0, 1, 1], [0.0, 1, 1, 0], [0, 0, 1, 1], 0.5)
