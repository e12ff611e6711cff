"""Temperatures and calibration errors against what toys say."""

import numpy as np
import pytest
from scipy import special

from hepjax import calibration


def events(rng, n, n_classes=4, scale=1.5):
    """Logits whose softmax is the truth."""
    logits = scale * rng.normal(size=(n, n_classes))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


@pytest.mark.parametrize("true", [0.5, 1.0, 4.0])
def test_the_temperature_is_found_within_its_error(true):
    rng = np.random.default_rng(0)
    pulls = []
    for _ in range(60):
        logits, label = events(rng, 1500)
        found = calibration.temperature(true * logits, label)
        pulls.append((found.value - true) / found.error)
    assert np.std(pulls) == pytest.approx(1, abs=0.3)
    assert abs(np.mean(pulls)) < 0.6


def test_the_temperature_makes_cross_entropy_least():
    logits, label = events(np.random.default_rng(1), 3000)
    best = calibration.temperature(2 * logits, label).value

    def entropy(t):
        return -special.log_softmax(2 * logits / t, axis=1)[np.arange(3000), label].mean()

    assert entropy(best) < min(entropy(best * 1.02), entropy(best / 1.02))


def test_weights_count_as_copies_for_the_value():
    rng = np.random.default_rng(2)
    logits, label = events(rng, 800)
    weight = rng.integers(0, 3, 800)
    rows = np.repeat(np.arange(800), weight)
    a = calibration.temperature(logits, label, weight)
    b = calibration.temperature(logits[rows], label[rows])
    assert a.value == pytest.approx(b.value, rel=1e-9)
    c = calibration.temperature(logits, label, 7.0 * weight)
    assert c.error == pytest.approx(a.error)


def test_labels_that_are_all_right_have_no_temperature():
    logits = np.array([[3.0, 0], [0, 2]])
    with pytest.raises(ValueError, match="no temperature"):
        calibration.temperature(logits, [0, 1])
    with pytest.raises(ValueError, match="no temperature"):
        calibration.temperature(logits, [1, 0])


def test_a_perfect_classifier_has_noise_only():
    rng = np.random.default_rng(3)
    found = [calibration.reliability(*events(rng, 2000), n_toys=60) for _ in range(30)]
    values = np.array([f.calibration_error.value for f in found])
    assert values.mean() == pytest.approx(np.mean([f.noise for f in found]), rel=0.15)
    gaps = np.concatenate([(f.said - f.true) / f.error for f in found])
    assert np.std(gaps) == pytest.approx(1, abs=0.15)


def test_too_sure_a_network_is_seen_and_mended():
    rng = np.random.default_rng(4)
    logits, label = events(rng, 20_000)
    before = calibration.reliability(3 * logits, label, n_toys=50)
    t = calibration.temperature(3 * logits[:10_000], label[:10_000]).value
    after = calibration.reliability(3 * logits[10_000:] / t, label[10_000:], n_toys=50)
    assert before.calibration_error.value > 0.1
    assert (before.said > before.true)[5:].all()
    gap = after.calibration_error.value - after.noise
    assert gap < 5 * after.calibration_error.error
    assert after.calibration_error.value < 0.1 * before.calibration_error.value


def test_the_error_is_that_of_toys():
    rng = np.random.default_rng(5)
    found = [
        calibration.reliability(2 * x, y, n_toys=50).calibration_error
        for x, y in (events(rng, 1500) for _ in range(60))
    ]
    values, errors = np.array(found).T
    assert np.std(values) == pytest.approx(errors.mean(), rel=0.35)


def test_one_class_by_hand():
    logits = np.log(np.array([[0.2, 0.8], [0.2, 0.8], [0.6, 0.4], [0.6, 0.4]]))
    found = calibration.reliability(logits, [1, 1, 0, 1], n_bins=2, of_class=1, n_toys=10)
    np.testing.assert_allclose(found.said, [0.4, 0.8])
    np.testing.assert_allclose(found.true, [0.5, 1.0])
    assert found.calibration_error.value == pytest.approx((0.1 + 0.2) / 2)
    assert found.n.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0], [2.0]], [0, 0]), "two classes"),
        (([[1.0, np.nan]], [0]), "logits"),
        (([[1.0, 2.0]], [2]), "label"),
        (([[1.0, 2.0]], [0], [-1.0]), "weight"),
    ],
)
def test_bad_input_is_named(arguments, message):
    for function in (calibration.temperature, calibration.reliability):
        with pytest.raises(ValueError, match=message):
            function(*arguments)
    with pytest.raises(ValueError, match="of_class"):
        calibration.reliability([[1.0, 2.0], [0, 1]], [0, 1], of_class=2)
