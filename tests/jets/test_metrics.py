"""Jet metrics: class against background, cuts along pt, mass sculpting."""

import numpy as np
import pytest
from scipy import special

from hepjax import metrics as general
from hepjax.jets import metrics

NAMES = ("QCD", "W", "top")


def three_classes(n=900, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    return rng.normal(0, 1, (n, 3)) + 1.5 * np.eye(3)[label], label


def top_and_qcd(n=4000, seed=1, pull=0.0):
    """Score, label and mass [GeV]; the score of QCD jets rises with mass by `pull` a GeV."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    mass = np.where(label == 1, rng.normal(172, 15, n), rng.gamma(3, 35, n))
    score = rng.normal(1.5 * label, 1) + np.where(label == 0, pull * (mass - 100), 0)
    return score, label, mass


def test_discriminant_is_the_ratio_of_probabilities():
    logits, _ = three_classes()
    p = special.softmax(logits, axis=1)
    found = metrics.discriminant(logits, 2, 0)
    np.testing.assert_allclose(found, p[:, 2] / (p[:, 2] + p[:, 0]), rtol=1e-12)
    np.testing.assert_allclose(special.logit(found), metrics.log_odds(logits, 2, 0), rtol=1e-9)


def test_sums_of_classes_add_their_probabilities():
    logits, _ = three_classes()
    p = special.softmax(logits, axis=1)
    found = metrics.discriminant(logits, [1, 2], [0])
    np.testing.assert_allclose(found, p[:, 1] + p[:, 2], rtol=1e-12)


def test_a_common_shift_of_the_logits_changes_nothing():
    logits, _ = three_classes()
    shifted = logits + np.arange(len(logits))[:, None]
    a, b = metrics.log_odds(logits, 1, 0), metrics.log_odds(shifted, 1, 0)
    np.testing.assert_allclose(a, b, atol=1e-10)


def test_log_odds_do_not_saturate_where_float32_probabilities_do():
    logits = np.stack([np.zeros(100), np.linspace(20, 80, 100)], 1).astype(np.float32)
    p = special.softmax(logits, axis=1)
    assert len(np.unique(p[:, 1] / (p[:, 0] + p[:, 1]))) < 50
    assert len(np.unique(metrics.log_odds(logits, 1, 0))) == 100


def test_nan_of_padding_passes_through():
    found = metrics.log_odds([[np.nan, 0, 1], [0, 1, 2], [-np.inf, -np.inf, 0]], 1, 0)
    np.testing.assert_array_equal(found, [np.nan, 1, np.nan])


@pytest.mark.parametrize(
    ("signal", "background", "names"),
    [
        (3, 0, r"signal: found \[3\]"),
        (1, -1, r"background: found \[-1\]"),
        ([], 0, "signal: found"),
        ([0, 1], [1, 2], "no class in both"),
    ],
)
def test_bad_classes_are_named(signal, background, names):
    with pytest.raises(ValueError, match=names):
        metrics.log_odds(np.zeros((4, 3)), signal, background)


def test_pairwise_auc_is_symmetric_and_equals_the_auc_of_each_pair():
    logits, label = three_classes()
    value, error = metrics.pairwise_auc(logits, label)
    np.testing.assert_array_equal(value, value.T)
    np.testing.assert_array_equal(error, error.T)
    np.testing.assert_array_equal(np.diag(value), 0.5)
    pair = label != 1
    expected = general.auc(metrics.log_odds(logits, 2, 0)[pair], label[pair] == 2)
    assert (value[2, 0], error[2, 0]) == pytest.approx(tuple(expected))
    # the logits are Gaussian: their difference separates two classes by 2 * 1.5 / sqrt 2
    np.testing.assert_allclose(value[~np.eye(3, dtype=bool)], special.ndtr(1.5), atol=0.03)


def test_report_holds_every_class_but_the_background():
    logits, label = three_classes()
    report = metrics.against_background(logits, label, names=NAMES)
    assert list(report) == ["W", "top"]
    pair = label != 1
    score = metrics.discriminant(logits, 2, 0)[pair]
    expected = general.rejection(score, label[pair] == 2, 0.5)
    found = report["top"].rejection
    assert (found.value, found.error) == pytest.approx((expected.value, expected.error))
    assert special.expit(found.threshold) == pytest.approx(expected.threshold)
    assert report["top"].signal_efficiency == 0.5


def test_leptonic_classes_are_reported_at_99_and_99_5_percent():
    rng = np.random.default_rng(2)
    label = np.arange(1000) % 10
    logits = rng.normal(0, 1, (1000, 10)) + 3 * np.eye(10)[label]
    report = metrics.against_background(logits, label)
    assert tuple(report) == metrics.JETCLASS[1:]
    eps = {name: r.signal_efficiency for name, r in report.items()}
    assert (eps.pop("Hqql"), eps.pop("Tbl")) == (0.99, 0.995)
    assert set(eps.values()) == {0.5}
    assert report["Tbl"].rejection.signal_efficiency >= 0.995


def test_report_ignores_padding_and_takes_weights():
    logits, label = three_classes(300)
    padded = np.concatenate([logits, np.full((5, 3), np.nan)]), np.append(label, [-1] * 5)
    weight = np.append(np.ones(300), np.zeros(5))
    plain = metrics.against_background(logits, label, names=NAMES)
    assert metrics.against_background(*padded, weight, names=NAMES) == plain
    heavy = metrics.against_background(logits, label, np.full(300, 3.0), names=NAMES)
    assert heavy["top"].auc == pytest.approx(plain["top"].auc)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"names": ("QCD", "W")}, "names: found 2 names"),
        ({"names": NAMES, "background": "Z"}, "background"),
        ({"names": NAMES, "signal_efficiency": {"tops": 0.3}}, "signal_efficiency"),
    ],
)
def test_bad_reports_are_named(options, names):
    with pytest.raises(ValueError, match=names):
        metrics.against_background(*three_classes(30), **options)


def test_a_fixed_cut_along_pt_keeps_the_total_efficiency():
    score, label, _ = top_and_qcd()
    pt, edges = np.random.default_rng(3).uniform(550, 650, 4000), np.linspace(550, 650, 6)
    found = metrics.efficiency_against(pt, score, label, edges, signal_efficiency=0.6)
    assert found.threshold == general.threshold_at(score, label, 0.6)
    n = found.signal.n
    assert np.sum(found.signal.value * n) / n.sum() == pytest.approx(0.6, abs=1e-3)
    expected = np.mean(score[label == 0] >= found.threshold)
    assert np.average(found.background.value, weights=found.background.n) == pytest.approx(expected)
    pulls = (found.signal.value - 0.6) / np.sqrt(0.24 / n)
    assert np.abs(pulls).max() < 3.5


def test_the_cut_is_set_by_all_signal_inside_the_edges_or_not():
    score, label, mass = top_and_qcd()
    found = metrics.efficiency_against(mass, score, label, [150, 200])
    assert found.threshold == general.threshold_at(score, label, 0.5)
    assert found.signal.outside == np.sum((label == 1) & ((mass < 150) | (mass > 200)))


def test_a_score_that_does_not_know_the_mass_sculpts_as_noise_does():
    score, label, mass = top_and_qcd()
    found = metrics.mass_sculpting(mass, score, label, np.linspace(0, 300, 13))
    assert found.divergence.value < 3 * found.divergence.noise
    np.testing.assert_array_equal(found.passed, score >= found.threshold)


def test_sculpting_grows_with_what_the_score_knows_of_the_mass():
    edges, values = np.linspace(0, 300, 13), []
    for pull in (0.0, 0.01, 0.03):
        score, label, mass = top_and_qcd(pull=pull)
        values.append(metrics.mass_sculpting(mass, score, label, edges).divergence)
    assert values[0].value < values[1].value < values[2].value < 1
    assert values[1].value - values[0].value > 2 * np.hypot(values[0].error, values[1].error)


def test_sculpting_takes_weights_and_refuses_a_cut_that_keeps_no_background():
    score, label, mass = top_and_qcd(pull=0.02)
    edges, weight = np.linspace(0, 300, 7), np.full(4000, 2.0)
    a = metrics.mass_sculpting(mass, score, label, edges)
    b = metrics.mass_sculpting(mass, score, label, edges, weight=weight, n_bootstrap=50)
    assert a.divergence.value == pytest.approx(b.divergence.value)
    assert a.divergence.error == pytest.approx(b.divergence.error, rel=0.4)
    with pytest.raises(ValueError, match="score: found 0 background jets that pass"):
        metrics.mass_sculpting(mass, np.where(label, 1, 0), label, edges)
    with pytest.raises(ValueError, match="mass: found shape"):
        metrics.mass_sculpting(mass[:5], score, label, edges)


def test_official_particlenet_on_reference_tops(hepjax_data):
    folder = hepjax_data / "jets"
    logits = np.load(folder / "ParticleNet_kin_tl_logits.npy")
    label = np.load(folder / "tl_labels.npy").ravel().astype(int)
    b, s = metrics.JETCLASS.index("QCD"), metrics.JETCLASS.index("Tbqq")
    found = general.auc(metrics.log_odds(logits, s, b), label)
    assert found.value == pytest.approx(0.9866, abs=1e-4)
    assert 0.001 < found.error < 0.006
