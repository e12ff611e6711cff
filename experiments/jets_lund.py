"""Simulation corrected by its Lund planes: does a top tagger then tag as it does in data?

Paper:    CMS' correction of multiprong jets by the Lund plane, arXiv:2507.07775
Command:  uv run --extra generators experiments/jets_lund.py --out runs/lund
Cost:     --quick about 10 minutes on two CPU cores; default about an hour; --full many cores
Expected: the bias of the efficiency falls several times, pulls have mean 0 and a width up to 1

Data are Pythia jets with another shower. Their Lund planes are measured on W jets, in data and in
simulation; the ratio weighs simulated tops, emission by emission, and the efficiencies of a network
that was trained on simulation, and of N-subjettiness, are compared with those of data. Training,
control and signal jets are disjoint, and so are the trials of one shower; those of another share
simulated jets.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import lorentz, runs
from hepjax.io import root, scale_factors
from hepjax.jets import data, lund_report, reweighting, taggers
from hepjax.jets.simulation import generator, recipes

sys.path.insert(0, str(Path(__file__).parent))

import jets_top

QUARKS = {"wqq": 2, "top": 3}
TAGGERS = {"pfn": "Particle flow network", "tau32": r"$-\tau_3/\tau_2$"}
PT_EDGES = np.array([550.0, 580.0, 615.0, 650.0])


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/jets_lund")  # run folder
    showers: tuple[str, ...] = ("soft", "hard")  # of recipes.SHOWERS, each taken for data once
    seed: int = 0  # of the network, its training and the resamplings
    data_seed: int = 100  # of the first generated sample, the others follow
    n_trials: int = 8  # of each shower
    n_jets: int = 6000  # control jets a trial, and signal jets, of data and of simulation
    n_train: int = 24_000  # tops and QCD jets for the tagger
    n_epochs: int = 4
    efficiencies: tuple[int, ...] = (30, 50, 70, 90)  # percent of simulated tops
    samples: Path = Path("runs/samples")  # where generated jets are kept


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"showers": ("soft",), "n_trials": 2, "n_jets": 3000, "n_train": 12_000},
    "full": {"showers": ("soft", "hard", "vincia"), "n_trials": 40, "n_train": 400_000},
}


def main(config: Config) -> dict[str, Any]:
    """Train, correct and compare; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config)
    network = training(config)
    samples = {
        (shower, process): sample(config, network, shower, process)
        for shower in ("nominal", *config.showers)
        for process in QUARKS
    }
    results: dict[str, Any] = {}
    for tagger in TAGGERS:
        trials = compare(config, {k: s._replace(score=x[tagger]) for k, (s, x) in samples.items()})
        about = f"{TAGGERS[tagger]} on tops, corrected by W jets, {config.n_jets:,} of each a trial"
        lund_report.draw(run.path / "plots" / tagger, trials, PT_EDGES, about)
        results |= {f"{tagger}_{k}": v for k, v in lund_report.summary(trials).items()}
        first = trials[:: config.n_trials]
        eta_max = recipes.TOP_LANDSCAPE.eta_max
        tables = [lund_report.table(trial, PT_EDGES, eta_max) for trial in first]
        scale_factors.write(run.path / f"scale_factors_{tagger}.json", *tables)
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def compare(
    config: Config, samples: dict[tuple[str, str], lund_report.Sample]
) -> list[lund_report.Trial]:
    """Do all trials of all showers with one tagger's scores."""
    score = samples["nominal", "top"].score
    cuts = {f"{e}": float(np.quantile(score, 1 - e / 100)) for e in config.efficiencies}
    trials: list[lund_report.Trial] = []
    with runs.progress(len(config.showers) * config.n_trials, "trials") as advance:
        for shower in config.showers:
            for k in range(config.n_trials):
                control, signal = (
                    tuple(
                        lund_report.part(samples[s, process], k, config.n_trials)
                        for s in (shower, "nominal")
                    )
                    for process in QUARKS
                )
                seed = config.seed + len(trials)
                trials.append(lund_report.trial(shower, control, signal, cuts, PT_EDGES, seed=seed))
                advance(1)
    return trials


def training(config: Config) -> taggers.Tagger:
    """Train a particle flow network on simulated jets of its own."""
    out = config.out / "training"
    one = jets_top.Config(
        out=out,
        model="pfn",
        seed=config.seed,
        n_jets=config.n_train,
        data_seed=config.data_seed,
        n_epochs=config.n_epochs,
        samples=config.samples,
    )
    jets_top.main(one)
    return taggers.restore(out)


def sample(
    config: Config, network: taggers.Tagger, shower: str, process: str
) -> tuple[lund_report.Sample, dict[str, np.ndarray]]:
    """Generate jets of all trials, unless they are kept, draw their planes, and score them."""
    order = 2 * list(recipes.SHOWERS).index(shower) + list(QUARKS).index(process)
    n, seed = config.n_trials * config.n_jets, config.data_seed + 1 + order
    path = config.samples / f"{process}_{shower}_{n}_{seed}.root"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        space = recipes.TOP_LANDSCAPE._replace(shower=recipes.SHOWERS[shower])
        made = generator.generate(process, n, seed, phase_space=space)
        root.write_jetclass(path, made)
    jets = data.from_columns(root.read_jetclass(path))
    logits = taggers.score(network, jets)
    tau = [np.asarray(jets.observers[f"jet_tau{k}"], np.float64) for k in (2, 3)]
    scores = {"pfn": logits[:, 1] - logits[:, 0], "tau32": -tau[1] / np.maximum(tau[0], 1e-9)}
    planes: reweighting.Planes = {}
    if process == "wqq" or shower == "nominal":  # of tops in data only the scores are looked at
        p4, offsets = jets.particles.values.p4, jets.particles.offsets
        planes = reweighting.draw(p4, offsets, QUARKS[process], control=process == "wqq")
    return lund_report.Sample(planes, scores["pfn"], lorentz.pt(jets.p4)), scores


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
