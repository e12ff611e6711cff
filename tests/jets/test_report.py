"""The report of a binary tagger: keys, plots, scores."""

import numpy as np

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
