"""The calibration experiment on a run of jets_top with toys: keys, files, and what it refuses."""

import json
import shutil

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
    root.write_jetclass(tmp_path / "many.root", toy.jets(n=12_000, seed=3)[0])
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
    config = experiment.Config(
        from_run=toy_run, out=tmp_path / "run", lost=0.3, efficiencies=(0.85,)
    )
    results = experiment.main(config)
    assert results["n_calibration"] + results["n_held_out"] == pytest.approx(2400, abs=30)
    for name in ("before", "after"):
        assert 0 <= results[f"calibration_error_{name}"] < 1
        assert results[f"calibration_error_{name}_error"] > 0
        assert 0 <= results[f"sf_chi2_{name}_p"] <= 1
    assert 6 in results["sf_flavours"]
    table = scale_factors.read(config.out / "scale_factors.json", "tagger")
    assert table.working_points == ("fixed_85", "flat_85")
    assert {p.stem for p in (config.out / "plots").iterdir()} == {"reliability", "working_points"}
    assert json.loads((config.out / "metrics.json").read_text()) == results


def test_other_jets_than_those_of_the_run_are_refused(load_experiment, toy_run, tmp_path):
    experiment = load_experiment("jets_calibration")
    np.savez(toy_run / "scores.npz", event=np.arange(7))
    with pytest.raises(ValueError, match="are not those that it was tested on"):
        experiment.main(experiment.Config(from_run=toy_run, out=tmp_path / "run"))
