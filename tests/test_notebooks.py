"""Each notebook runs from top to bottom on a small run, and shows what it says."""

import importlib.util
import re
from pathlib import Path

import jax
import pytest

from hepjax import runs
from hepjax.tracking import data, edge_filter, finder, scorers, training, triplets
from hepjax.tracking.simulation import velo

FOLDER = Path(__file__).parent.parent / "notebooks"


def executed(path, environment, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(path, as_version=4)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own shows pictures in cells
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": FOLDER}}
    )
    client.execute()
    return notebook


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jets_top(tiny_run, monkeypatch):
    notebook = executed(FOLDER / "jets_top.ipynb", {"HEPJAX_RUN": tiny_run}, monkeypatch)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    text = "".join(out.get("text", "") for out in outputs)
    assert len(pictures) >= 5
    assert "auc_bdt" in text
    assert "QCD jets pass" in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tracking_velo(tmp_path, monkeypatch):
    beam = velo.Beam(n_collisions=1.5, n_prompt=40.0)
    events = [velo.event(jax.random.key(k), beam) for k in range(10)]
    small = scorers.Settings(16, 2048, 1e-2, 60)
    settings = finder.Settings(
        edge_filter.Settings(small, n_edges=1500),
        n_filter=6,
        n_tuning=2,
        width=8,
        n_rounds=2,
        plan=training.Plan(3),
        judge=triplets.Settings(network=small),
    )
    sample = [data.Labelled(event, data.true_edges(event)) for event in events]
    run = runs.create(tmp_path / "run", {})
    finder.fit(run, sample, settings)
    found = executed(FOLDER / "tracking_velo.ipynb", {"HEPJAX_RUN": run.path}, monkeypatch)
    outputs = [out for cell in found.cells for out in cell.get("outputs", [])]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    text = "".join(out.get("text", "") for out in outputs)
    assert len(pictures) == 4
    assert "with partners" in text
    assert "walkthrough" in text


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pythia8mc", "pylhe")),
    reason="pythia8mc, whose parton densities are used, and pylhe come with the extra `generators`",
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_madnis_zprime(monkeypatch):
    found = executed(FOLDER / "madnis_zprime.ipynb", {"HEPJAX_QUICK": 1}, monkeypatch)
    outputs = [out for cell in found.cells for out in cell.get("outputs", [])]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    text = "".join(out.get("text", "") for out in outputs)
    assert len(pictures) == 7
    rows = re.findall(r"^(\D+?) +([\d.]+) \+- +([\d.]+) pb +(\S+) +(\S+) +(\S+)", text, re.M)
    table = {name: tuple(map(float, numbers)) for name, *numbers in rows}
    assert len(table) == 6
    for name, (sigma, error, *_) in table.items():
        assert abs(sigma - 1760.7) < 5 * error, name  # by midpoints in the cube
        assert error < 10, name
    rsd = {name: row[2] for name, row in table.items()}
    assert rsd["flows, learned weights"] < rsd["VEGAS, one channel"] / 2
    assert rsd["flows, learned from that"] < rsd["flows, a third each"]
    assert "500 events" in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_icecube_event(load_experiment, tmp_path, monkeypatch):
    experiment = load_experiment("icecube_posterior")
    small = {"detector": "pone", "log_energy": (3.0, 4.0), "width": 16, "n_layers": 1}
    few = {"n_steps": 20, "n_events": 32, "n_fresh": 64, "n_test": 200, "n_exact": 0}
    config = experiment.Config(out=tmp_path / "run", **small, **few)
    experiment.main(config)
    found = executed(FOLDER / "icecube_event.ipynb", {"HEPJAX_RUN": config.out}, monkeypatch)
    outputs = [out for cell in found.cells for out in cell.get("outputs", [])]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    text = "".join(out.get("text", "") for out in outputs)
    assert len(pictures) == 4
    total = float(re.search(r"integral ([\d.]+)", text).group(1))
    assert total == pytest.approx(1, abs=0.02)
    areas = {
        name: float(area)
        for name, area in re.findall(r"^(flow|exact) .*90 %: +([\d.e+]+) deg", text, re.M)
    }
    assert areas["flow"] > 0.5 * areas["exact"]  # hardly trained, it cannot be narrower and right
