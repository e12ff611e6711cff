"""The history of top taggers on one sample: trees, images, sentences, sets, graphs, attention.

Paper:    the taggers of jets.history_report.LINE; a comparison of most of them: arXiv:1902.09914
Command:  uv run --extra generators experiments/jets_history.py --out runs/history
Cost:     --quick some minutes on two CPU cores; default less than two hours; --full a GPU
Expected: the rejection of QCD jets at 30 % efficiency for tops rises along the line

Without --data it generates jets and keeps them under --samples; more QCD jets, for the test alone,
make rejections of a thousand measurable. Each training is a run folder below --out/trainings, and
one that is done is kept with --resume. Trees do not depend on a seed.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import batch, runs
from hepjax.io import root
from hepjax.jets import boosted_trees, data, history_report, processes, taggers
from hepjax.jets.simulation import generator

sys.path.insert(0, str(Path(__file__).parent))

import jets_top

GROWING = ("resume", "models", "n_seeds", "workers")  # what may differ when a run goes on
RECIPES: dict[str, dict[str, Any]] = {
    "cnn": {"learning_rate": 2e-3},
    "lstm": {"n_epochs": 8, "budget": 4096},
    "deepjet": {"n_epochs": 8, "budget": 4096},
    "deepak8": {"n_epochs": 8, "budget": 4096},
    "pfn": {"n_epochs": 8},
}
"""Where a training differs from those of jets_top: cheap networks can see the jets more often."""


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
    workers: int = 2  # trainings side by side, of one thread each; 1: one on all of the machine
    resume: bool = False  # keep the trainings that are done


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_jets": 12_000, "n_background": 2_000, "n_seeds": 1, "epochs": 0.5},
    "full": {"n_jets": 2_000_000, "n_background": 1_000_000, "size": "full", "epochs": 5.0}
    | {"buckets": batch.BUCKETS, "workers": 1},
}


def main(config: Config) -> dict[str, Any]:
    """Train and measure all taggers with all seeds; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume, ignore=GROWING)
    wanted = [
        (name, config.seed + k)
        for k, name in itertools.product(range(config.n_seeds), reversed(config.models))
        if k == 0 or name != "trees"
    ]
    files(config)  # before two processes generate them
    left = [one for one in wanted if not (folder(config, *one) / "scores.npz").exists()]
    if config.workers == 1:
        for one in left:
            work((dataclasses.asdict(config), *one))
    elif left:
        cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(run.path.absolute() / "compiled"))
        own = {"NPROC": "1", "JAX_COMPILATION_CACHE_DIR": cache}
        with processes.pool("jets_history", "work", config.workers, own) as submit:
            for done in [submit((dataclasses.asdict(config), *one)) for one in left]:
                done.result()
    found = {one: np.load(folder(config, *one) / "scores.npz") for one in wanted}
    by_name = {k: [found[one]["score"] for one in wanted if one[0] == k] for k in config.models}
    about = "" if config.data else "Pythia 8, tops against QCD jets"
    label = found[wanted[0]]["label"]
    results = history_report.history(run.path / "plots", by_name, label, sample=about)
    results |= {"n_train": int(found[wanted[0]]["n_train"]), "n_seeds": config.n_seeds}
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def files(config: Config) -> tuple[list[Path], list[Path]]:
    """Give the files of all jets, and of more QCD jets for the test, generated if need be."""
    if config.data:
        return list(config.data), []
    more = config.samples / f"qcd_{config.n_background}_{config.data_seed + 1}.root"
    if config.n_background and not more.exists():
        columns = generator.generate("qcd", config.n_background, config.data_seed + 1)
        root.write_jetclass(more, columns)
    both = generator.cached(config.samples, config.n_jets, config.data_seed)
    return [both], [more] if config.n_background else []


@functools.lru_cache(maxsize=1)
def samples(config: Config) -> list[data.RaggedJets]:
    """Read jets for training, validation and test."""
    read = [data.from_columns(root.read_jetclass(found)) for found in files(config) if found]
    *parts, test = data.split(
        data.select(read[0], jets_top.CLASSES), config.fractions, config.data_seed
    )
    background = [data.select(more, jets_top.CLASSES[:1]) for more in read[1:]]
    return [*parts, data.join([test, *(x._replace(classes=jets_top.CLASSES) for x in background)])]


def folder(config: Config, name: str, seed: int) -> Path:
    """Name the run folder of one training."""
    return config.out / "trainings" / f"{name}_{seed}"


def work(task: tuple[dict[str, Any], str, int]) -> None:
    """Train one tagger, or go on with it, and keep its scores of the test jets."""
    config, name, seed = Config(**task[0]), *task[1:]
    parts, out = samples(config), folder(config, name, seed)
    if name == "trees":
        score = boosted_trees.reference(*parts, seed=seed)
    else:
        recipe = {"n_epochs": jets_top.Config.n_epochs, **RECIPES.get(name, {})}
        recipe["n_epochs"] = max(1, round(recipe["n_epochs"] * config.epochs))
        common: dict[str, Any] = {"size": config.size, "seed": seed, "buckets": config.buckets}
        one = jets_top.Config(out=out, model=name, resume=True, **common, **recipe)
        jets_top.fit(one, runs.create(out, one, resume=True), *parts[:2])
        score = np.diff(taggers.score(taggers.restore(out), parts[2]))[:, 0]
    kept = {"score": score, "label": parts[2].label, "n_train": len(parts[0].label)}
    runs.write_atomically(out / "scores.npz", lambda path: np.savez(path, **kept))


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
