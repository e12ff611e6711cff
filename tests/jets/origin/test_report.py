"""Numbers and plots of a tagger of origins."""

import json

import numpy as np
import pytest

from hepjax import plot, runs
from hepjax.jets.origin import data, generator, report


@pytest.fixture(scope="module")
def sample(make_columns):
    return data.from_columns(make_columns(2200, seed=3))


@pytest.fixture(autouse=True)
def half_of_the_files(monkeypatch):
    monkeypatch.setattr(plot.style, "FORMATS", ("png",))


def test_numbers_and_plots(sample, tmp_path):
    rng = np.random.default_rng(0)
    label = sample.label
    logits = rng.normal(size=(len(label), 11))
    logits[np.arange(len(label)), label] += 2.5
    heavy = label < 2
    logits[heavy, 1 - label[heavy]] += 2.5  # the flavour b is sure, its charge unknown
    kappas = dict.fromkeys(generator.FLAVOURS, 0.5)
    results = report.evaluate(tmp_path, logits, sample, kappas, sample="Toys")
    assert results["efficiency_b"] > results["efficiency_c"] > 0.5
    flip, error = results["charge_flip_b"], results["charge_flip_b_error"]
    assert flip == pytest.approx(0.5, abs=5 * error)
    assert results["charge_flip_c"] < 0.2
    assert 0 < results["charge_flip_all_c"] < 0.3
    assert 0 < results["jet_charge_flip_u"] < 0.4
    assert results["jet_charge_flip_u_error"] > 0
    assert results["auc_b"] > 0.9
    assert results["n_test"] == 2200
    np.testing.assert_allclose(np.sum(results["matrix"], 1), 1)
    block = np.asarray(results["matrix"])[:2, :2].sum(1).mean()
    assert results["efficiency_b"] == pytest.approx(block)
    plots = {"matrix", "efficiency", "charge_flip", "roc"}
    assert {f"{name}.png" for name in plots} <= {path.name for path in tmp_path.iterdir()}
    runs.write_json(tmp_path / "metrics.json", results)
    assert json.loads((tmp_path / "metrics.json").read_text())["classes"][1] == "bbar"


@pytest.mark.slow
def test_a_sample_without_gluons(sample, tmp_path):
    """Jets of Z bosons: the row of the gluon stays empty."""
    from hepjax.jets import data as jets_data

    quarks = jets_data.take(sample, np.flatnonzero(sample.label != 10))
    logits = np.eye(11)[quarks.label] * 3
    kappas = dict.fromkeys(generator.FLAVOURS, 0.5)
    results = report.evaluate(tmp_path, logits, quarks, kappas)
    assert "efficiency_g" not in results
    assert results["accuracy"] == 1
    assert np.isnan(results["matrix"][10]).all()
    assert (tmp_path / "matrix.png").exists()
