"""Flavour tagging: b, c, light and tau jets of top pairs, told apart by their tracks.

Paper:    GN2, arXiv:2505.19689; GN1, ATL-PHYS-PUB-2022-027
Command:  uv run --extra generators experiments/jets_flavour.py --out runs/flavour
Cost:     --quick a few minutes on two CPU cores; default less than two hours; --full a GPU
Expected: auxiliary tasks raise the rejection of light jets by more than the error

Without --data it generates jets and keeps them under --samples. Each training is a run folder below
--out/trainings, and one that is done is kept with --resume. All taggers are measured on the same
test jets; the error of a mean over seeds holds the spread and the size of the test sample.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from hepjax import checkpoint, runs, train
from hepjax.io import root
from hepjax.jets import batches, data
from hepjax.jets import loss as jet_loss
from hepjax.jets.flavour import data as flavour_data
from hepjax.jets.flavour import dl1, generator, loss, report, taggers

Parts = list[data.RaggedJets]
GROWING = ("resume", "models", "n_seeds")  # what may differ when a run goes on


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/jets_flavour")  # run folder
    data: tuple[Path, ...] = ()  # ROOT files of jets.flavour.generator; none: generate
    models: tuple[taggers.Name, ...] = tuple(taggers.NAMES)
    size: taggers.Size = "small"
    n_seeds: int = 3
    seed: int = 0  # the first of the networks' seeds
    n_jets: int = 440_000  # of top pairs, to generate
    data_seed: int = 1  # of the generated sample and its split
    test_fraction: float = 0.48
    samples: Path = Path("runs/samples")  # where generated jets are kept
    n_epochs: int = 8
    budget: int = 4096  # padded tracks a batch
    learning_rate: float = 2e-3
    weight_decay: float = 1e-5
    decay: float = 0.998  # of the average of parameters, a step
    resume: bool = False  # keep the trainings that are done


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_jets": 40_000, "n_seeds": 1, "n_epochs": 3, "decay": 0.99},
    "full": {"n_jets": 4_000_000, "size": "full", "n_epochs": 40, "budget": 65536},
}


def main(config: Config) -> dict[str, Any]:
    """Train and measure all taggers with all seeds; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume, ignore=GROWING)
    files = config.data or generator.cached(
        config.samples, "ttbar", config.n_jets, config.data_seed
    )
    jets = flavour_data.from_columns(root.read_jetclass(files))
    shares = (0.97 - config.test_fraction, 0.03, config.test_fraction)
    parts = data.split(jets, shares, config.data_seed)
    found: dict[str, list[np.ndarray]] = {}
    for seed, name in itertools.product(range(config.n_seeds), config.models):
        found.setdefault(name, []).append(scores(config, name, config.seed + seed, parts))
    results = report.compare(run.path / "plots", found, parts[2].label, taggers.NAMES)
    results |= {"n_train": len(parts[0].label), "n_seeds": config.n_seeds}
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def scores(config: Config, name: taggers.Name, seed: int, parts: Parts) -> np.ndarray:
    """Give the logits [jet, class] of one tagger on the test jets, trained unless that is done."""
    out = folder(config, name, seed)
    kept = out / "logits.npy"
    if not kept.exists():
        run = runs.create(out, config, resume=config.resume, ignore=GROWING)
        read = tables(config, name, seed, parts) if taggers.is_table(name) else parts
        fit(config, run, name, seed, *read[:2])
        np.save(out / "part.npy", taggers.logits(taggers.restore(out), read[2]))
        (out / "part.npy").rename(kept)
    return np.load(kept)


def folder(config: Config, name: str, seed: int) -> Path:
    """Name the run folder of one training."""
    return config.out / "trainings" / f"{name}_{seed}"


def tables(config: Config, name: taggers.Name, seed: int, parts: Parts) -> Parts:
    """Make the variables of DL1, with the answer of the tagger inside it, if there is one."""
    found = dl1.tables(parts, config.out / "variables.npz")
    if name in taggers.INSIDE:
        scores(config, taggers.INSIDE[name], seed, parts)
        inside = taggers.restore(folder(config, taggers.INSIDE[name], seed))
        found = [dl1.beside(x, taggers.logits(inside, p)) for x, p in zip(found, parts)]
    return [dl1.sample(p, x) for x, p in zip(found, parts)]


def fit(config: Config, run: runs.Run, name: taggers.Name, seed: int, *parts: Any) -> None:
    """Train one network; checkpoints and metrics go to its run folder."""
    model = taggers.build(name, config.size)
    inputs, buckets = taggers.reading(name)
    budget = config.budget * buckets[0] // flavour_data.BUCKETS[0]  # as many jets a batch
    serve: dict[str, Any] = {"buckets": buckets, "budget": budget}
    served = batches.of_sample(parts[0], seed=seed, **serve)
    n_steps = config.n_epochs * len(served.shapes(0))
    schedule = optax.cosine_onecycle_schedule(n_steps, config.learning_rate, 0.1)
    adamw = optax.adamw(schedule, weight_decay=config.weight_decay)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), adamw)
    keys, example = jax.random.split(jax.random.key(seed)), inputs(served.get(0, 0))
    variables = jax.jit(model.init)(keys[0], example)
    state = train.init(variables["params"], optimiser, keys[1], jet_loss.start(variables))
    objective = loss.multitask(model, inputs)
    step = train.gradient_step(
        lambda extra: loss.multitask(model, inputs, batch_stats=extra["batch_stats"]),
        optimiser,
        update=jet_loss.update(config.decay),
    )
    with checkpoint.open(run.path / "checkpoints") as checkpoints:
        train.fit(
            step,
            state,
            served,
            objective.finish,
            train.Settings(config.n_epochs),
            validation=train.Validation(
                loss.evaluation(model, config.decay, inputs),
                batches.of_sample(parts[1], shuffle=False, **serve),
                objective.finish,
            ),
            run=run,
            checkpoints=checkpoints,
            meta=taggers.meta(name, config.size, config.decay, example.tracks.shape[-1]),
            resume=config.resume,
        )


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
