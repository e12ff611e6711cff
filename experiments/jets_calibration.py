"""A trained tagger made ready for an analysis: temperature, working points, scale factors.

Paper:    temperature scaling, arXiv:1706.04599; scale factors as in correctionlib's schema
Command:  uv run --extra generators experiments/jets_calibration.py --from runs/quick
Cost:     seconds to minutes, a pass of the tagger over its test jets
Expected: a smaller calibration error after the temperature; closure of scale factors, p above 1 %

--from names a run of jets_top or jets_flavour (with --tagger gn2, say). Its test jets, of which
training and validation knew nothing, are halved by event: one half for what is fitted, the other
for what is said. For scale factors each half is halved again; jets of the second quarter lose some
of their particles and play data.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from hepjax import lorentz, runs
from hepjax.io import root, scale_factors
from hepjax.jets import calibration_report as report
from hepjax.jets import data, taggers
from hepjax.jets import working_points as points
from hepjax.jets.flavour import metrics as flavour_metrics
from hepjax.jets.flavour import taggers as flavour_taggers
from hepjax.jets.flavour import training
from hepjax.jets.simulation import generator

sys.path.insert(0, str(Path(__file__).parent))

import jets_flavour
import jets_top

PDG = {"QCD": 0, "Tbqq": 6, "b": 5, "c": 4, "u": 0, "tau": 15}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options."""

    from_run: Annotated[Path, tyro.conf.arg(name="from")] = Path("runs/jets_top")
    out: Path = Path("runs/jets_calibration")  # run folder
    tagger: str = "gn2"  # of a run of jets_flavour, with tracks as inputs
    tagger_seed: int = 0
    seed: int = 0  # of the halves, and of what data lose
    lost: float = 0.05  # share of the particles that data lose
    efficiencies: tuple[float, ...] = (0.7, 0.85)  # of the signal
    pt_bins: int = 3  # with as many signal jets each, for flat cuts and scale factors
    eta_bins: int = 2  # of abs(eta), likewise


PRESETS: dict[str, dict[str, Any]] = {"quick": {}, "full": {"efficiencies": (0.5, 0.7, 0.85)}}


def main(config: Config) -> dict[str, Any]:
    """Calibrate and test; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config)
    stored = json.loads((config.from_run / "config.json").read_text())
    top = "model" in stored
    jets = top_jets(config.from_run, stored) if top else flavour_jets(stored)
    quarters = data.split(jets, (0.25,) * 4, config.seed)
    plays_data = [data.lose(x, config.lost, config.seed + k) for k, x in enumerate(quarters)]
    score = scorer(config, top)
    nominal, worse = ([score(x) for x in sample] for sample in (quarters, plays_data))
    fitted, held = (joined(nominal[k : k + 2]) for k in (0, 2))
    plots, about = run.path / "plots", f"Test jets of {config.from_run.name}, held out"
    results = report.temperature(plots / "reliability", fitted[:2], held[:2], about)
    signal = jets.classes.index("Tbqq" if top else "b")
    pt_edges = np.quantile(fitted.pt[fitted.label == signal], np.linspace(0, 1, config.pt_bins + 1))
    options = (signal, config.efficiencies, pt_edges, about)
    found, numbers = report.working_points(plots, fitted, held, *options)
    results |= numbers
    eta_edges = np.quantile(np.abs(fitted.eta), np.linspace(0, 1, config.eta_bins + 1))
    flavours = {i: PDG[name] for i, name in enumerate(jets.classes)}
    sorted_jets = [
        report.by_flavour(sample[k], found, flavours)
        for sample, k in ((worse, 1), (nominal, 0), (worse, 3), (nominal, 2))
    ]
    kept = report.measurable(sorted_jets[1], pt_edges, eta_edges)
    a, b, c, d = ({f: x[f] for f in kept} for x in sorted_jets)
    measured = points.measure("tagger", a, b, pt_edges.tolist(), eta_edges.tolist())
    own = points.efficiencies("efficiency", b, pt_edges.tolist(), eta_edges.tolist())
    path = run.path / "scale_factors.json"
    scale_factors.write(path, measured, own)
    tables = (scale_factors.read(path, name) for name in ("tagger", "efficiency"))
    numbers, pulls = report.closure(*tables, c, d)
    results |= {**numbers, "sf_flavours": kept, "sf_left_out": len(flavours) - len(kept)}
    np.save(run.path / "pulls.npy", pulls)
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def top_jets(folder: Path, stored: dict[str, Any]) -> data.RaggedJets:
    """Read the test jets of a run of jets_top again."""
    files = [Path(name) for name in stored["data"]] or generator.cached(
        Path(stored["samples"]), stored["n_jets"], stored["data_seed"], name=stored["phase_space"]
    )
    columns = root.read_jetclass(files, skip_bad=stored["skip_bad"])
    jets = data.select(data.from_columns(columns), jets_top.CLASSES)
    test = data.split(jets, (0.7, 0.1, 0.2), stored["data_seed"])[2]
    if not np.array_equal(test.event, np.load(folder / "scores.npz")["event"]):
        raise ValueError(f"{folder}: the jets of {files} are not those that it was tested on")
    return test


def flavour_jets(stored: dict[str, Any]) -> data.RaggedJets:
    """Read the test jets of top pairs of a run of jets_flavour again."""
    paths = {
        "data": tuple(Path(name) for name in stored["data"]),
        "samples": Path(stored["samples"]),
    }
    sizes = {k: stored[k] for k in ("n_jets", "n_zprime_jets", "data_seed", "test_fraction")}
    config = jets_flavour.Config(**paths, **sizes)
    sample = training.Sample(jets_flavour.files(config), config.test_fraction, config.data_seed)
    return training.parts(sample).test["ttbar"]


def scorer(config: Config, top: bool) -> Any:
    """Build the function from jets to their Scored."""
    name = f"{config.tagger}_{config.tagger_seed}"
    folder = config.from_run if top else config.from_run / "trainings" / name
    tagger: Any = taggers.restore(folder) if top else flavour_taggers.restore(folder)

    def score(jets: data.RaggedJets) -> report.Scored:
        logits = (taggers.score if top else flavour_taggers.logits)(tagger, jets)
        one = logits[:, 1] - logits[:, 0] if top else flavour_metrics.discriminant(logits)
        return report.Scored(logits, jets.label, one, lorentz.pt(jets.p4), lorentz.eta(jets.p4))

    return score


def joined(parts: list[report.Scored]) -> report.Scored:
    """Join samples."""
    return report.Scored(*(np.concatenate(columns) for columns in zip(*parts)))


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
