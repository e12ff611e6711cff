"""Pre-training on ten classes of jets, then top tagging with few labels.

Paper:    ParT pre-trained on JetClass, arXiv:2202.03772, table 5; Sophon, arXiv:2405.12972
Command:  uv run --extra generators experiments/jets_finetune.py --out runs/finetune
Cost:     --quick some minutes on two CPU cores; default less than two hours; --full a GPU
Expected: at 1000 labels the pre-trained network stands above one from scratch by many errors

Jets of the ten classes of JetClass (13 TeV, 500 to 1000 GeV, another detector) teach the network,
or --teacher RUN did; top landscape jets are the task. With each seed all starts get the same
labelled jets, drawn from a pool; what is kept is best on validation jets, the same for all.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hepjax import batch, runs
from hepjax.io import root
from hepjax.jets import data, finetuning, taggers, transfer_report
from hepjax.jets.finetuning import Plan
from hepjax.jets.simulation import generator

CLASSES = ("QCD", "Tbqq")
PRETRAIN = Plan(3, 4e-3)
FINETUNE = Plan(20, 2e-3, 0.5), Plan(8, 2e-3, 0.5), Plan(4, 2e-3, 0.5)  # a number of labels each
FROZEN = Plan(20, 1e-2, 0.0), Plan(5, 1e-2, 0.0), Plan(2, 1e-2, 0.0)
SCRATCH = Plan(40, 4e-3), Plan(15, 4e-3), Plan(6, 4e-3)
GROWING = ("resume", "n_seeds", "starts", "labels")  # what may differ when a run goes on


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/jets_finetune")  # run folder
    many: tuple[Path, ...] = ()  # ROOT files of ten classes; none: generate
    tops: tuple[Path, ...] = ()  # ROOT files of tops and QCD; none: generate
    n_many: int = 150_000  # jets of ten classes, to generate
    n_tops: int = 30_000  # top landscape jets, to generate
    pool: float = 0.35  # share of these, from which each seed draws its labelled jets
    teacher: Path | None = None  # run folder of a pre-training to start from; none: pre-train
    data_seed: int = 1  # of the generated samples and their splits
    samples: Path = Path("runs/samples")  # where generated jets are kept
    model: taggers.Name = "part"
    size: taggers.Size = "small"
    seed: int = 0  # the first of the networks' seeds, and that of the pre-training
    n_seeds: int = 3
    labels: tuple[int, ...] = (1000, 10_000)
    starts: tuple[str, ...] = ("finetune", "frozen", "scratch")
    pretrain: Plan = PRETRAIN
    finetune: tuple[Plan, ...] = FINETUNE
    frozen: tuple[Plan, ...] = FROZEN
    scratch: tuple[Plan, ...] = SCRATCH
    budget: int = 2048  # padded particles a batch of the pre-training,
    few_budget: int = 2048  # and of labelled ones
    buckets: tuple[int, ...] = (64,)  # padded lengths; jets are cut at the last, the hardest kept
    weight_decay: float = 0.01
    resume: bool = False  # keep the trainings that are done


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_many": 12_000, "n_tops": 6000, "n_seeds": 1, "labels": (1000,)},
    "full": {"n_many": 2_000_000, "n_tops": 500_000, "labels": (1000, 10_000, 100_000)}
    | {"size": "full", "budget": 65536, "buckets": batch.BUCKETS, "pretrain": Plan(10, 1e-3)},
}


def main(config: Config) -> dict[str, Any]:
    """Pre-train, then train with few labels from all starts; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume, ignore=GROWING)
    if jax.config.jax_compilation_cache_dir is None:  # seeds share what is compiled
        jax.config.update("jax_compilation_cache_dir", str(run.path.absolute() / "compiled"))
    many = sample(config, config.many, config.n_many, "ten_classes", data.CLASSES)
    parts = data.split(many, (0.87, 0.03, 0.1), config.data_seed)
    teacher = taggers.restore(config.teacher) if config.teacher else None
    if teacher is None:
        teacher = trained(config, "pretrain", fresh(config, data.CLASSES), parts, config.pretrain)
    heated = taggers.score(teacher, parts[1]), parts[1].label
    plots, answers = run.path / "plots", taggers.score(teacher, parts[2])
    results = transfer_report.many_classes(plots, answers, parts[2], validation=heated)
    tops = sample(config, config.tops, config.n_tops, "top_landscape", CLASSES)
    jets = data.split(tops, (config.pool, 0.06, 0.94 - config.pool), config.data_seed)
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    numbers = range(config.seed, config.seed + config.n_seeds), enumerate(config.labels)
    for seed, (i, n), start in itertools.product(*numbers, config.starts):
        order = batch.generator(seed, n).permutation(len(jets[0].label))[:n]
        few = data.take(jets[0], np.sort(order)), *jets[1:]
        plan = getattr(config, start)[i]
        found.setdefault((start, n), []).append(scores(config, teacher, few, start, seed, plan))
    results |= transfer_report.label_curve(plots, found, jets[2].label)
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def sample(config: Config, files: Any, n_jets: int, name: str, classes: Any) -> data.RaggedJets:
    """Read jets, generated ones if there are no files."""
    found = files or generator.cached(config.samples, n_jets, config.data_seed, name=name)
    return data.select(data.from_columns(root.read_jetclass(found)), classes)


def scores(
    config: Config, teacher: taggers.Tagger, jets: Any, start: str, seed: int, plan: Plan
) -> np.ndarray:
    """Give the logits [jet, 2] of one training on the test jets, done unless they are there."""
    name = f"{start}_{len(jets[0].label)}_{seed}"
    kept = config.out / "trainings" / name / "logits.npy"
    if not kept.exists():
        tagger = fresh(config, CLASSES, seed)
        if start != "scratch":
            tagger, report = taggers.graft(teacher, tagger.model, CLASSES, jax.random.key(seed))
            (config.out / "graft.txt").write_text(f"{report}\n")
            print(f"{name}: {report}")
        logits = taggers.score(trained(config, name, tagger, jets, plan, seed), jets[2])
        runs.write_atomically(kept, lambda path: np.save(path, logits))
    return np.load(kept)


def fresh(config: Config, classes: tuple[str, ...], seed: int = 0) -> taggers.Tagger:
    """Set up a network that has learned nothing."""
    network = taggers.build(config.model, config.size, n_classes=len(classes))
    return taggers.start(network, classes, jax.random.key(seed), buckets=config.buckets)


def trained(
    config: Config, name: str, tagger: taggers.Tagger, jets: Any, plan: Plan, seed: int = 0
) -> taggers.Tagger:
    """Train one network in its own run folder, or take up where that stands."""
    return finetuning.fit(
        runs.create(config.out / "trainings" / name, config, resume=config.resume, ignore=GROWING),
        tagger,
        (config.model, config.size),
        *jets[:2],
        plan,
        seed=seed,
        known=not (name == "pretrain" or name.startswith("scratch")),
        budget=config.budget if name == "pretrain" else config.few_budget,
        weight_decay=config.weight_decay,
        resume=config.resume,
    )


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
