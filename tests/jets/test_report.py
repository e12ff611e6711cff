"""The report of a binary tagger: keys, plots, scores."""

import numpy as np
import pytest

from hepjax import runs
from hepjax.jets import data, report


def test_numbers_plots_and_scores(tmp_path, toy_columns):
    jets = data.select(data.from_columns(toy_columns(n=400)[0]), ("QCD", "Tbqq"))
    noise = np.random.default_rng(0).normal(size=400)
    scores = {"good": jets.label + 0.5 * noise, "boosted trees": jets.label + noise}
    run = runs.create(tmp_path / "run", {})
    found = report.binary(run, jets, scores, sample="toys")
    assert found["auc"] > found["auc_bdt"] > 0.6
    assert found["auc_above_bdt"] == found["auc"] - found["auc_bdt"]
    assert found["n_test"] == 400
    assert (run.path / "plots" / "roc.png").exists()
    stored = np.load(run.path / "scores.npz")
    np.testing.assert_array_equal(stored["good"], scores["good"])
    np.testing.assert_array_equal(stored["event"], jets.event)


def test_one_seed_has_no_spread():
    assert report.over_seeds("x", [(2.0, 0.1)]) == {"x": 2.0, "x_error": 0.1}
    several = report.over_seeds("x", [(2.0, 0.1), (4.0, 0.1)])
    assert several["x"] == 3
    assert several["x_spread"] == pytest.approx(2**0.5)
    assert several["x_error"] == pytest.approx(np.hypot(1, 0.1))


def test_a_rejection_over_seeds_says_whether_it_is_a_limit():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 1000)
    fair, perfect = label + rng.normal(size=2000), label + 0.1 * rng.random(2000)
    found = report.rejection_over_seeds("x", [fair, fair], label, 0.5)
    passed = np.mean(fair[label == 0] >= np.quantile(fair[label == 1], 0.5))
    assert found["x"] == pytest.approx(1 / passed, rel=0.01)
    assert found["x_spread"] == 0
    assert not found["x_is_lower_limit"]
    assert report.rejection_over_seeds("x", [fair, perfect], label, 0.5)["x_is_lower_limit"]
