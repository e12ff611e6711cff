"""Numbers and plots of several taggers with several seeds."""

import numpy as np
import pytest

from hepjax.jets.flavour import report


def test_rejections_ratios_and_plots(tmp_path):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 6000)

    def logits(signal):
        found = rng.normal(size=(6000, 4))
        found[np.arange(6000), label] += signal
        return found

    taggers = {"good": [logits(2.5), logits(2.5)], "poor": [logits(1.5), logits(1.5)]}
    results = report.compare(tmp_path, taggers, label, {"good": "Good"}, [("poor", "good")])
    for name in ("light", "c", "tau"):
        assert results[f"good_{name}_rejection_70"] > results[f"poor_{name}_rejection_70"] > 1
        assert results[f"good_{name}_rejection_70_error"] > 0
        assert f"good_{name}_rejection_70_spread" in results
    ratio = results["poor_light_rejection_70"] / results["good_light_rejection_70"]
    assert results["poor_over_good_light"] == pytest.approx(ratio, rel=0.1)
    assert results["n_test_b"] == (label == 2).sum()
    plots = {"roc_light", "roc_c", "rejections", "fraction_scan", "discriminant"}
    assert {f"{name}.png" for name in plots} <= {p.name for p in tmp_path.iterdir()}


def test_vertices_are_averaged_over_seeds():
    one = {"vertex_efficiency_b": 0.6, "vertex_efficiency_b_error": 0.01}
    found = report.vertices({"gn2": [one, {**one, "vertex_efficiency_b": 0.8}]})
    assert found["gn2_vertex_efficiency_b"] == pytest.approx(0.7)
    assert found["gn2_vertex_efficiency_b_error"] == pytest.approx(np.hypot(0.1, 0.01))
