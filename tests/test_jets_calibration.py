"""The calibration experiment on a run of jets_top with toys: keys, files, and what it refuses."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy

from hepjax.io import root, scale_factors
from hepjax.jets import data
from hepjax.plot import style


@pytest.fixture
def toy_run(tiny_run, tmp_path):
    """A run folder of jets_top whose test jets are enough for quarters."""
    folder = tmp_path / "top"
    shutil.copytree(tiny_run, folder)
    root.write_jetclass(tmp_path / "many.root", toy.jets(n=16_000, seed=3)[0])
    stored = json.loads((folder / "config.json").read_text())
    stored["data"] = [str(tmp_path / "many.root")]
    (folder / "config.json").write_text(json.dumps(stored))
    jets = data.select(
        data.from_columns(root.read_jetclass(tmp_path / "many.root")), ("QCD", "Tbqq")
    )
    test = data.split(jets, (0.7, 0.1, 0.2), stored["data_seed"])[2]
    np.savez(folder / "scores.npz", event=test.event)
    return folder


def test_jets_calibration(load_experiment, toy_run, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "FORMATS", ("png",))
    experiment = load_experiment("jets_calibration")
    few = {"efficiencies": (0.7,), "pt_bins": 2, "eta_bins": 1}
    config = experiment.Config(from_run=toy_run, out=tmp_path / "run", lost=0.3, **few)
    results = experiment.main(config)
    assert results["n_calibration"] + results["n_held_out"] == pytest.approx(3200, abs=30)
    for name in ("before", "after"):
        assert 0 <= results[f"calibration_error_{name}"] < 1
        assert results[f"calibration_error_{name}_error"] > 0
        assert 0 <= results[f"sf_chi2_{name}_p"] <= 1
    assert 6 in results["sf_flavours"]
    table = scale_factors.read(config.out / "scale_factors.json", "tagger")
    assert table.working_points == ("fixed_70", "flat_70")
    assert {p.stem for p in (config.out / "plots").iterdir()} == {"reliability", "working_points"}
    assert json.loads((config.out / "metrics.json").read_text()) == results


def test_other_jets_than_those_of_the_run_are_refused(load_experiment, toy_run, tmp_path):
    experiment = load_experiment("jets_calibration")
    np.savez(toy_run / "scores.npz", event=np.arange(7))
    with pytest.raises(ValueError, match="are not those that it was tested on"):
        experiment.main(experiment.Config(from_run=toy_run, out=tmp_path / "run"))


@pytest.mark.slow
def test_jets_calibration_of_a_flavour_tagger(load_experiment, tmp_path):
    path = Path(__file__).parent / "jets" / "flavour" / "conftest.py"
    spec = importlib.util.spec_from_file_location("flavour_toys_of_calibration", path)
    toys = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toys)
    root.write_jetclass(tmp_path / "toys.root", toys.columns(n=6000, seed=2))
    flavour = load_experiment("jets_flavour")
    trained = flavour.Config(
        out=tmp_path / "flavour",
        data=(tmp_path / "toys.root",),
        models=("dips",),
        n_seeds=1,
        n_epochs=1,
        test_fraction=0.7,
        workers=1,
    )
    flavour.main(trained)
    experiment = load_experiment("jets_calibration")
    config = experiment.Config(
        from_run=trained.out, out=tmp_path / "run", tagger="dips", efficiencies=(0.7,), pt_bins=2
    )
    results = experiment.main(config)
    assert results["n_calibration"] + results["n_held_out"] == pytest.approx(4200, abs=60)
    assert 5 in results["sf_flavours"]
    assert abs(results["fixed_70_efficiency"] - 0.7) < 0.08
