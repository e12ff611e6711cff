"""What is reported of many classes and of few labels: keys, pairing, plots."""

import numpy as np
import pytest

from hepjax import metrics
from hepjax.jets import data, transfer_report


def logits_of(label, n_classes, signal, rng):
    found = rng.normal(size=(len(label), n_classes))
    found[np.arange(len(label)), label] += signal
    return found


def jets_of(label):
    p4 = np.tile([2.0, 1.0, 0.0, 1.0], (len(label), 1, 1))
    return data.from_arrays(p4, label=label)


def test_many_classes_with_and_without_a_temperature(tmp_path):
    rng = np.random.default_rng(0)
    label, other = rng.integers(0, 10, 3000), rng.integers(0, 10, 3000)
    honest, further = (logits_of(y, 10, 2.0, rng) * 2.0 for y in (label, other))
    too_sure = 3 * honest  # unit Gaussians 2 apart: 2 x is the log of the likelihood
    jets = jets_of(label)
    found = transfer_report.many_classes(tmp_path, too_sure, jets, validation=(3 * further, other))
    assert found["pretrain_accuracy"] == pytest.approx((honest.argmax(1) == label).mean())
    assert abs(found["pretrain_temperature"] - 3) < 4 * found["pretrain_temperature_error"]
    before, after, noise = (
        found[f"pretrain_calibration_{name}"]
        for name in ("error_before", "error_after", "error_after_noise")
    )
    assert before > 0.1
    assert after < 3 * noise
    for name in data.CLASSES[1:]:
        assert found[f"pretrain_auc_{name}"] > 0.9
        assert found[f"pretrain_rejection_{name}"] > 1
    assert 0.9 < found["pretrain_auc"] < 1
    names = {path.name for path in tmp_path.iterdir()}
    assert {"confusion_pretrain.png", "calibration_pretrain.png"} <= names
    plain = transfer_report.many_classes(tmp_path, honest, jets, name="official")
    assert plain["official_accuracy"] == found["pretrain_accuracy"]
    assert not any("calibration" in key for key in plain)


def test_gains_are_paired_by_seed_and_jet(tmp_path):
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 4000)
    hard = [logits_of(label, 2, 1.0, rng) for _ in range(2)]
    easy = [x + 0.2 * np.eye(2)[label] for x in hard]
    logits = {("finetune", 100): easy, ("scratch", 100): hard, ("scratch", 1000): easy}
    found = transfer_report.label_curve(tmp_path, logits, label)
    gap = found["finetune_100_auc"] - found["scratch_100_auc"]
    assert found["gain_100"] == found["finetune_gain_100"] == pytest.approx(gap)
    alone = np.hypot(found["finetune_100_auc_error"], found["scratch_100_auc_error"])
    assert 0 < found["gain_100_error"] < 0.3 * alone
    expected = metrics.auc(easy[0][:, 1] - easy[0][:, 0], label).value
    other = metrics.auc(easy[1][:, 1] - easy[1][:, 0], label).value
    assert found["finetune_100_auc"] == pytest.approx((expected + other) / 2)
    assert found["finetune_100_auc_spread"] == pytest.approx(abs(expected - other) / 2**0.5)
    ratio = found["finetune_100_rejection_50"] / found["scratch_100_rejection_50"]
    assert found["finetune_gain_rejection_50_100"] == pytest.approx(ratio, rel=0.02)
    assert not found["scratch_1000_rejection_30_is_lower_limit"]
    assert "gain_1000" not in found
    names = {path.name for path in tmp_path.iterdir()}
    assert {"labels_auc.png", "labels_rejection_50.png"} <= names
