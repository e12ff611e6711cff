"""The line of taggers: numbers by hand, errors of seeds, paired ratios, and a plot."""

import numpy as np
import pytest

from hepjax import metrics
from hepjax.jets import history_report, taggers

LABEL = np.repeat([1, 0], [600, 3000])


def scores(gain, n_seeds):
    """Scores that share the jets and differ by what a seed adds."""
    common = np.random.default_rng(0).normal(size=len(LABEL))
    rngs = [np.random.default_rng(k + 1) for k in range(n_seeds)]
    return [gain * LABEL + common + 0.2 * rng.normal(size=len(LABEL)) for rng in rngs]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    given = {"part": scores(2.0, 3), "trees": scores(1.0, 1), "pfn": scores(1.5, 3)}
    return given, folder, history_report.history(folder, given, LABEL, sample="toys")


def test_numbers_are_those_of_metrics(found):
    given, _, results = found
    one = metrics.rejection(given["trees"][0], LABEL, 0.3)
    assert results["trees_rejection_30"] == one.value
    assert results["trees_rejection_30_error"] == np.hypot(one.error, one.threshold_error)
    assert "trees_rejection_30_spread" not in results
    three = [metrics.rejection(s, LABEL, 0.3).value for s in given["pfn"]]
    assert results["pfn_rejection_30"] == pytest.approx(np.mean(three))
    assert results["pfn_rejection_30_spread"] == pytest.approx(np.std(three, ddof=1))
    ratios = [metrics.rejection_ratio(a, b, LABEL, 0.3).value for a, b in zip(*_pair(given))]
    assert results["part_over_pfn_rejection_30"] == pytest.approx(np.mean(ratios))
    gap = results["part_auc"] - results["pfn_auc"]
    assert results["part_above_pfn_auc"] == pytest.approx(gap)
    assert results["part_above_pfn_auc_error"] < results["part_auc_error"] + 0.01
    assert (results["n_signal"], results["n_background"]) == (600, 3000)
    order = [results[f"{k}_rejection_30"] for k in ("trees", "pfn", "part")]
    assert order == sorted(order)


def _pair(given):
    return given["part"], given["pfn"]


def test_plots_are_written(found):
    assert {"history.png", "roc.png"} <= {path.name for path in found[1].iterdir()}


def test_a_rejection_beyond_the_sample_is_a_limit(tmp_path):
    perfect = LABEL + 0.01 * np.random.default_rng(0).random(len(LABEL))
    given = {"trees": scores(1.0, 1), "part": [perfect, perfect]}
    results = history_report.history(tmp_path, given, LABEL, sample="toys")
    assert results["part_rejection_30_is_lower_limit"]
    assert results["part_rejection_30"] == pytest.approx(3000 / 3, rel=0.1)
    assert "part_over_trees_rejection_30" not in results


def test_bad_names(tmp_path):
    with pytest.raises(ValueError, match="found \\['gnn'\\]"):
        history_report.history(tmp_path, {"gnn": scores(1.0, 1)}, LABEL, sample="")


def test_the_line_is_in_order_and_can_be_built():
    years = [step.year for step in history_report.LINE.values()]
    assert years == sorted(years)
    assert set(history_report.LINE) - {"trees"} <= set(taggers.Name.__args__)
