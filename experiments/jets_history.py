"""The history of top taggers on one sample: trees, images, sentences, sets, graphs, attention.

Paper:    the taggers of jets.history_report.LINE; a comparison of most of them: arXiv:1902.09914
Command:  uv run --extra generators experiments/jets_history.py --out runs/history
Cost:     --quick some minutes on two CPU cores; default less than two hours; --full a GPU
Expected: the rejection of QCD jets at 30 % efficiency for tops rises along the line

Without --data it generates jets and keeps them under --samples; more QCD jets, for the test alone,
make rejections of a thousand measurable. Each training is a run folder below --out/trainings, and
one that is done is kept with --resume. The same command with --resume, given twice, shares the
trainings: each is locked by the process that does it. Trees do not depend on a seed.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import batch, runs
from hepjax.io import root
from hepjax.jets import boosted_trees, data, generator, history_report, taggers

sys.path.insert(0, str(Path(__file__).parent))

import jets_top

Parts = list[data.RaggedJets]
GROWING = ("resume", "models", "n_seeds", "seed")  # what may differ when a run goes on
RECIPES: dict[str, dict[str, Any]] = {
    "cnn": {"learning_rate": 2e-3, "budget": 4096, "decay": 0.996},
    "lstm": {"budget": 4096, "n_epochs": 8},
    "deepjet": {"budget": 4096, "n_epochs": 8},
    "deepak8": {"budget": 4096, "n_epochs": 8},
    "pfn": {"n_epochs": 8},
}
"""Where a training differs from those of jets_top, chosen on validation jets."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/jets_history")  # run folder
    data: tuple[Path, ...] = ()  # ROOT files in the JetClass layout; none: generate
    models: tuple[str, ...] = tuple(history_report.LINE)
    size: taggers.Size = "small"
    n_seeds: int = 3
    seed: int = 0  # the first of the networks' seeds
    n_jets: int = 72_000  # to generate, half of them tops
    n_background: int = 80_000  # QCD jets to generate beside them, for the test
    fractions: tuple[float, float, float] = (0.7, 0.08, 0.22)  # training, validation, test
    data_seed: int = 1  # of the generated samples and the split
    samples: Path = Path("runs/samples")  # where generated jets are kept
    epochs: float = 1.0  # times those of the recipes
    buckets: tuple[int, ...] = jets_top.Config.buckets
    resume: bool = False  # keep the trainings that are done


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_jets": 12_000, "n_background": 2_000, "n_seeds": 1, "epochs": 0.5},
    "full": {"n_jets": 2_000_000, "n_background": 1_000_000, "size": "full", "epochs": 5}
    | {"buckets": batch.BUCKETS},
}


def main(config: Config) -> dict[str, Any]:
    """Train and measure all taggers with all seeds; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume, ignore=GROWING)
    parts = samples(config)
    wanted = [
        (name, config.seed + k)
        for k, name in itertools.product(range(config.n_seeds), config.models)
        if k == 0 or name != "trees"
    ]
    found: dict[tuple[str, int], np.ndarray] = {}
    while len(found) < len(wanted):
        missing = [one for one in wanted if one not in found]
        for one in missing:
            with runs.claimed(folder(config, *one)) as mine:
                if mine:
                    found[one] = scores(config, *one, parts)
        if all(one not in found for one in missing):
            time.sleep(5)  # another process is at work on what is left
    by_name = {name: [found[w] for w in wanted if w[0] == name] for name in config.models}
    about = "" if config.data else "Pythia 8, tops against QCD jets"
    results = history_report.history(run.path / "plots", by_name, parts[2].label, sample=about)
    results |= {"n_train": len(parts[0].label), "n_seeds": config.n_seeds}
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def samples(config: Config) -> Parts:
    """Read, or generate, jets for training, validation and test."""
    files, further = config.data, []
    with runs.claimed(config.samples, wait=True):
        if not files:
            files = generator.cached(config.samples, config.n_jets, config.data_seed)
        if not config.data and config.n_background:
            more = config.samples / f"qcd_{config.n_background}_{config.data_seed + 1}.root"
            if not more.exists():
                columns = generator.generate("qcd", config.n_background, config.data_seed + 1)
                root.write_jetclass(more, columns)
            further = [data.select(data.from_columns(root.read_jetclass(more)), jets_top.CLASSES)]
    jets = data.select(data.from_columns(root.read_jetclass(files)), jets_top.CLASSES)
    *parts, test = data.split(jets, config.fractions, config.data_seed)
    return [*parts, data.concatenate([test, *further])]


def folder(config: Config, name: str, seed: int) -> Path:
    """Name the run folder of one training."""
    return config.out / "trainings" / f"{name}_{seed}"


def scores(config: Config, name: str, seed: int, parts: Parts) -> np.ndarray:
    """Give the score [jet] of one tagger on the test jets, trained unless that is done."""
    out = folder(config, name, seed)
    kept = out / "scores.npy"
    if not kept.exists():
        found = trained(config, name, seed, parts)
        runs.write_atomically(kept, lambda path: np.save(path, found))
    return np.load(kept)


def trained(config: Config, name: str, seed: int, parts: Parts) -> np.ndarray:
    """Train one tagger, or go on with it, and score the test jets [jet]."""
    if name == "trees":
        return boosted_trees.reference(*parts, seed=seed)
    recipe = {"n_epochs": jets_top.Config.n_epochs, **RECIPES.get(name, {})}
    recipe["n_epochs"] = max(1, round(recipe["n_epochs"] * config.epochs))
    common: dict[str, Any] = {"size": config.size, "seed": seed, "buckets": config.buckets}
    out = folder(config, name, seed)
    one = jets_top.Config(out=out, model=name, resume=config.resume, **common, **recipe)
    jets_top.fit(one, runs.create(out, one, resume=config.resume), *parts[:2])
    logits = taggers.score(taggers.restore(out), parts[2])
    return logits[:, 1] - logits[:, 0]


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
