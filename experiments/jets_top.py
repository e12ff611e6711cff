"""Top tagging, from Pythia jets to the ROC curve: a neural tagger beside boosted trees.

Paper:    Particle Transformer, arXiv:2202.03772; ParticleNet, arXiv:1902.08570; PFN, 1810.05165
Command:  uv run --extra generators experiments/jets_top.py --quick --out runs/quick
Cost:     --quick less than 6 minutes on two CPU cores; default about 20 minutes; --full a GPU
Expected: --quick AUC about 0.99 (boosted trees about 0.98); the numbers are in the README

Without --data it generates top and QCD jets and keeps them under --samples; with it, it reads ROOT
files in the JetClass layout. --predict FILES --from RUN scores files with a run that is done.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro

from hepjax import batch, parallel, runs
from hepjax.io import root
from hepjax.jets import batches, boosted_trees, data, report, taggers, training
from hepjax.jets.simulation import generator

CLASSES = ("QCD", "Tbqq")


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/jets_top")  # run folder
    data: tuple[Path, ...] = ()  # ROOT files or folders (JetClass layout); none: generate
    model: taggers.Name = "part"
    size: taggers.Size = "small"
    features: data.FeatureSet = "full"
    seed: int = 0  # of the network and the order of its data
    phase_space: Literal["top_landscape", "jetclass"] = "top_landscape"
    n_jets: int = 72_000  # to generate
    data_seed: int = 1  # of the generated sample and its split
    samples: Path = Path("runs/samples")  # where generated jets are kept
    n_epochs: int = 4
    budget: int = 2048  # padded particles a batch
    buckets: tuple[int, ...] = (64,)  # padded lengths; jets are cut at the last, the hardest kept
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    decay: float = 0.998  # of the average of parameters, a step
    steps_per_call: int = 1
    patience: int | None = None  # epochs
    devices: int | None = 1  # None: all
    mode: parallel.Mode = "jit"
    skip_bad: bool = False  # leave out damaged files, and say so
    resume: bool = False  # go on from the latest checkpoint
    predict: tuple[Path, ...] = ()  # files to score instead of training, with --from
    from_run: Annotated[Path | None, tyro.conf.arg(name="from")] = None


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_jets": 29_000, "n_epochs": 2, "decay": 0.99},
    "full": {"n_jets": 2_000_000, "size": "full", "n_epochs": 20, "devices": None}
    | {"budget": 65536, "buckets": batch.BUCKETS},
}


def main(config: Config) -> dict[str, Any]:
    """Train and evaluate, or predict; returns what metrics.json holds."""
    began = time.monotonic()
    if config.predict:
        return predict(config)
    run = runs.create(
        config.out, config, resume=config.resume, ignore=("resume", "devices", "mode")
    )
    files = config.data or generator.cached(
        config.samples, config.n_jets, config.data_seed, name=config.phase_space
    )
    columns = root.read_jetclass(files, skip_bad=config.skip_bad)
    jets = data.select(data.from_columns(columns), CLASSES)
    parts = data.split(jets, (0.7, 0.1, 0.2), config.data_seed)
    fit(config, run, *parts[:2])
    tagger, test = taggers.restore(run.path), parts[2]
    logits = taggers.score(tagger, test)
    trees = boosted_trees.reference(*parts, seed=config.data_seed)
    scores = {report.NAMES[config.model]: logits[:, 1] - logits[:, 0], "boosted trees": trees}
    results = report.binary(run, test, scores, sample="Pythia 8" if not config.data else "")
    return runs.finish(
        run,
        {
            **results,
            "n_train": len(parts[0].label),
            "n_skipped_files": len(columns.skipped),
            "n_parameters": sum(x.size for x in jax.tree.leaves(tagger.variables["params"])),
            "seconds": time.monotonic() - began,
        },
    )


def fit(config: Config, run: runs.Run, jets: data.RaggedJets, validation: data.RaggedJets) -> None:
    """Train the network; checkpoints and metrics go to the run folder."""
    layout = parallel.layout(config.devices, config.mode)
    axis = parallel.axis_name(layout)
    model = taggers.build(config.model, config.size, n_classes=len(CLASSES), axis_name=axis)
    serve = {"buckets": config.buckets, "budget": config.budget}
    served = batches.of_sample(jets, seed=config.seed, group=config.steps_per_call, **serve)
    keys = jax.random.split(jax.random.key(config.seed))
    variables = jax.jit(model.init)(keys[0], data.inputs(served.get(0, 0), config.features))
    about = (config.model, config.size, config.features, CLASSES, config.buckets, config.decay)
    training.fit(
        run,
        variables,
        taggers.objective(model, config.features, config.decay),
        served,
        batches.of_sample(validation, shuffle=False, **serve),
        training.Plan(config.n_epochs, config.learning_rate, config.weight_decay, config.decay),
        key=keys[1],
        meta=taggers.meta(*about),
        layout=layout,
        settings={"steps_per_call": config.steps_per_call, "patience": config.patience},
        resume=config.resume,
    )


def predict(config: Config) -> dict[str, Any]:
    """Write the scores of files, with all their observers, to ROOT files in the folder `out`."""
    if config.from_run is None:
        raise ValueError("--predict needs --from RUN, a run folder to take the network from")
    tagger = taggers.restore(config.from_run)
    written = [taggers.score_file(tagger, p, config.out) for p in root.expand(config.predict)]
    return {"written": [str(path) for path in written]}


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
