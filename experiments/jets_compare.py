"""Taggers and seeds side by side: the same jets, the same test sample, one table and one plot.

Paper:    ParT against ParticleNet and PFN, arXiv:2202.03772, table 2
Command:  uv run --extra generators experiments/jets_compare.py --n-jets 72000 --out runs/compare
Cost:     one training of jets_top a model and seed; a comparison that was stopped goes on
Expected: PFN below both others by 2 sigma, ParT level with ParticleNet or above

Each training is a run folder of jets_top below --out. The seeds differ in the network and the order
of its data, not in the jets, so that the differences between models are paired: their errors are
those of the scores' differences on the same test jets, and the spread over seeds beside it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hepjax import batch, metrics, plot, runs
from hepjax.jets import report, taggers

sys.path.insert(0, str(Path(__file__).parent))

import jets_top


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; those of a single training are the ones of jets_top."""

    out: Path = Path("runs/jets_compare")
    models: tuple[taggers.Name, ...] = ("part", "particlenet", "pfn")
    n_seeds: int = 3
    seed: int = 0  # the first one
    data: tuple[Path, ...] = ()  # ROOT files; none: generate
    n_jets: int = jets_top.Config.n_jets  # to generate; 70 % are for training
    n_epochs: int = jets_top.Config.n_epochs
    budget: int = jets_top.Config.budget
    buckets: tuple[int, ...] = jets_top.Config.buckets
    size: taggers.Size = "small"
    samples: Path = Path("runs/samples")  # where generated jets are kept
    resume: bool = False  # keep the trainings that are done


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_jets": 10_000, "n_epochs": 2, "n_seeds": 2},
    "full": {
        "n_jets": 2_000_000,
        "n_epochs": 20,
        "size": "full",
        "budget": 65536,
        "buckets": batch.BUCKETS,
    },
}


def main(config: Config) -> dict[str, Any]:
    """Train all models with all seeds; returns what metrics.json holds."""
    run = runs.create(config.out, config, resume=config.resume)
    if jax.config.jax_compilation_cache_dir is None:  # seeds share what is compiled
        jax.config.update("jax_compilation_cache_dir", str(run.path.absolute() / "compiled"))
    seeds = range(config.seed, config.seed + config.n_seeds)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in config.models}
    for seed, name in itertools.product(seeds, config.models):
        found[name].append(training(config, name, seed))
    results: dict[str, Any] = {
        "n_seeds": config.n_seeds,
        "n_test": found[config.models[0]][0]["n_test"],
    }
    for name, values in found.items():
        for key in ("auc", "auc_above_bdt"):
            pairs = [(v[key], v[f"{key}_error"]) for v in values]
            results |= report.over_seeds(f"{name}_{key}", pairs)
    for a, b in itertools.combinations(config.models, 2):
        gaps = [difference(config, a, b, seed) for seed in seeds]
        results |= report.over_seeds(f"{a}_above_{b}", gaps)
    results["auc_bdt"] = found[config.models[0]][0]["auc_bdt"]
    results["auc_bdt_error"] = found[config.models[0]][0]["auc_bdt_error"]
    with plot.figure(run.path / "plots" / "auc") as ax:
        for i, values in enumerate(found.values()):
            x = i + np.linspace(-0.15, 0.15, len(values))
            y, error = ([v[key] for v in values] for key in ("auc", "auc_error"))
            ax.errorbar(x, y, error, fmt="os^v"[i % 4], color="k", capsize=3)
        ax.axhline(results["auc_bdt"], color="grey", linestyle="--", label="boosted trees")
        ax.set_xticks(range(len(found)), [report.NAMES[name] for name in found], fontsize=10)
        ax.set_ylabel("AUC, a point a seed")
        ax.legend()
        plot.sample(ax, "Top against QCD jets", f"{results['n_test']} test jets")
    return runs.finish(run, results)


def folder(config: Config, name: str, seed: int) -> Path:
    """Name the run folder of one training."""
    return config.out / "trainings" / f"{name}_{seed}"


def training(config: Config, name: taggers.Name, seed: int) -> dict[str, Any]:
    """Train one model with one seed, unless that is done already."""
    out = folder(config, name, seed)
    if (out / "metrics.json").exists():
        return json.loads((out / "metrics.json").read_text())
    one = jets_top.Config(
        out=out,
        data=config.data,
        model=name,
        size=config.size,
        seed=seed,
        n_jets=config.n_jets,
        n_epochs=config.n_epochs,
        budget=config.budget,
        buckets=config.buckets,
        samples=config.samples,
        resume=(out / "config.json").exists(),
    )
    return jets_top.main(one)


def difference(config: Config, a: taggers.Name, b: taggers.Name, seed: int) -> tuple[float, float]:
    """Compare two trainings on the test jets that both have scored: the gap and its error."""
    files = [np.load(folder(config, name, seed) / "scores.npz") for name in (a, b)]
    scores = [file[report.NAMES[name]] for file, name in zip(files, (a, b))]
    gap = metrics.auc_difference(*scores, files[0]["label"], files[0]["weight"])
    return gap.value, gap.error


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
