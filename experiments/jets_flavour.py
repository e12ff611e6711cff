"""Flavour tagging: b, c, light and tau jets of top pairs and a Z', told apart by their tracks.

Paper:    GN2, arXiv:2505.19689; GN1, ATL-PHYS-PUB-2022-027
Command:  uv run --extra generators experiments/jets_flavour.py --out runs/flavour
Cost:     --quick a few minutes on two CPU cores; default less than two hours; --full a GPU
Expected: auxiliary tasks raise the rejection of light jets by more than the error

Without --data it generates jets and keeps them under --samples. All taggers train on the jets of
top pairs and of the Z' together and are measured on the same test jets, of each source apart. Each
training is a run folder below --out/trainings, and one that is done is kept with --resume. The
error of a mean over seeds holds the spread and the size of the test sample.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from hepjax import runs
from hepjax.jets.flavour import generator, report, taggers, training

GROWING = ("resume", "models", "n_seeds", "workers")  # what may differ when a run goes on


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/jets_flavour")  # run folder
    data: tuple[Path, ...] = ()  # ROOT files of jets.flavour.generator; none: generate
    models: tuple[taggers.Name, ...] = tuple(name for name in taggers.NAMES if name != "gn1_plain")
    size: taggers.Size = "small"
    n_seeds: int = 3
    seed: int = 0  # the first of the networks' seeds
    n_jets: int = 1_060_000  # of top pairs, to generate
    n_zprime_jets: int = 80_000  # of a Z', to generate; 0: top pairs only
    data_seed: int = 1  # of the generated sample and its split
    test_fraction: float = 0.77
    samples: Path = Path("runs/samples")  # where generated jets are kept
    n_epochs: int = 8
    budget: int = 2048  # padded tracks a batch
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-5
    decay: float = 0.999  # of the average of parameters, a step
    workers: int = 2  # trainings side by side, of one thread each; 1: one on all of the machine
    resume: bool = False  # keep the trainings that are done


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "n_jets": 40_000,
        "n_zprime_jets": 0,
        "n_seeds": 1,
        "n_epochs": 3,
        "decay": 0.99,
        "test_fraction": 0.4,
    },
    "full": {
        "models": tuple(taggers.NAMES),
        "test_fraction": 0.25,
        "n_jets": 4_000_000,
        "n_zprime_jets": 2_000_000,
        "size": "full",
        "n_epochs": 40,
        "budget": 65536,
        "workers": 1,
    },
}


def main(config: Config) -> dict[str, Any]:
    """Train and measure all taggers with all seeds; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume, ignore=GROWING)
    sample = training.Sample(files(config), config.test_fraction, config.data_seed)
    plan = training.Plan(
        size=config.size,
        n_epochs=config.n_epochs,
        budget=config.budget,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        decay=config.decay,
    )
    tasks = training.tasks(
        config.models, config.n_seeds, run.path / "trainings", sample, plan, config.seed
    )
    training.run(tasks, config.workers)
    found = training.parts(sample)
    results: dict[str, Any] = {"n_train": len(found.training.label), "n_seeds": config.n_seeds}
    for source, jets in found.test.items():
        plots = run.path / "plots" / source if source != "ttbar" else run.path / "plots"
        measured = {
            name: [training.outcome(task, name, source) for task in tasks if name in task.names]
            for name in config.models
        }
        numbers = report.compare(
            plots,
            {name: [logits for logits, _ in seeds] for name, seeds in measured.items()},
            jets.label,
            taggers.NAMES,
            taggers.STEPS,
        )
        grouped = {name: [v for _, v in seeds] for name, seeds in measured.items() if seeds[0][1]}
        numbers |= report.vertices(grouped)
        prefix = "" if source == "ttbar" else f"{source}_"
        results |= {prefix + key: value for key, value in numbers.items()}
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def files(config: Config) -> dict[str, tuple[Path, ...]]:
    """Give the files of each source, generating them unless they are there."""
    if config.data:
        return {"ttbar": config.data}
    sizes: dict[generator.Source, int] = {"ttbar": config.n_jets, "zprime": config.n_zprime_jets}
    return {
        source: (generator.cached(config.samples, source, n, config.data_seed),)
        for source, n in sizes.items()
        if n > 0
    }


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
