"""A trained tagger as a file that others run: ONNX or StableHLO, checked against JAX.

Paper:    Particle Transformer, arXiv:2202.03772; GN2, arXiv:2505.19689
Command:  uv run experiments/jets_export.py --from RUN --out tagger.onnx
Cost:     a minute on a CPU, and a minute more for the first ONNX file: it installs the converter
Expected: differences of 1e-6 in all outputs; above 1e-5 it is an error and there is no file

RUN is a run folder of jets_top.py, or one training of jets_flavour.py (RUN/trainings/NAME_SEED).
The jets to check with are those of the run, or --data. A name that ends in .zip gives StableHLO.
What was found stands in a run folder beside the file, named as it is without the ending.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import tyro

from hepjax import plot, runs
from hepjax.io import export, onnx, root
from hepjax.jets import data, deployment, taggers
from hepjax.jets.flavour import data as flavour_data
from hepjax.jets.flavour import deployment as flavour_deployment
from hepjax.jets.flavour import dl1
from hepjax.jets.flavour import generator as flavour_generator
from hepjax.jets.flavour import taggers as flavour_taggers
from hepjax.jets.simulation import generator


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the experiment."""

    from_run: Annotated[Path, tyro.conf.arg(name="from")] = Path("runs/jets_top")
    out: Path = Path("runs/export/tagger.onnx")  # the file
    data: tuple[Path, ...] = ()  # ROOT files of jets to check with; none: those of the run
    seed: int = 0  # of the choice of jets
    n_jets: int = 2000  # to compare and to time
    length: int | None = None  # constituents or tracks a jet; None: the largest of the training
    opset: int = onnx.OPSET
    tolerance: float = 1e-5
    batch: int = 64  # jets a call, when timed
    repeats: int = 10


PRESETS: dict[str, dict[str, Any]] = {"quick": {"n_jets": 200, "repeats": 3}, "full": {}}


class Ready(NamedTuple):
    """A tagger of either kind, with jets to check it on."""

    tagger: Any
    function: export.Function
    events: Callable[..., dict[str, np.ndarray]]  # of rows [jet]
    write: Callable[..., dict[str, float]]
    jets: data.RaggedJets


def main(config: Config) -> dict[str, Any]:
    """Write the file; returns what metrics.json holds."""
    run = runs.create(config.out.with_suffix(""), config)
    settings = json.loads((config.from_run / "config.json").read_text())
    ready = flavour(config, settings) if "models" in settings else top(config, settings)
    options = {"length": config.length, "opset": config.opset, "tolerance": config.tolerance}
    gaps = ready.write(config.out, ready.tagger, ready.jets, config=settings, **options)
    results: dict[str, Any] = {f"difference_{name}": gap for name, gap in gaps.items()}
    rows = np.random.default_rng(config.seed).permutation(len(ready.jets.label))[: config.n_jets]
    artefact, apply = deployment.read(config.out), jax.jit(ready.function)
    inputs = ready.events(rows)
    one, other = artefact.call(inputs), {k: np.asarray(x) for k, x in apply(inputs).items()}
    differences = {name: np.abs(one[name] - x).ravel() for name, x in other.items()}
    results |= {f"largest_{name}": float(x.max()) for name, x in differences.items()}
    with plot.figure(run.path / "plots" / "differences") as ax:
        for name, x in differences.items():
            ax.hist(np.maximum(x, 2e-9), np.geomspace(1e-9, 1e-3, 49), histtype="step", label=name)
        ax.axvline(config.tolerance, color="grey", linestyle="--")
        ax.set(xscale="log", yscale="log", xlabel="Difference from JAX", ylabel="Numbers")
        ax.legend()
    results |= speed(config, ready.events(np.resize(rows, config.batch)), apply, artefact)
    size = config.out.stat().st_size
    n_bytes = sum(np.asarray(x).nbytes for x in jax.tree.leaves(ready.tagger.variables))
    counted = {"n_jets": len(rows), "file_bytes": size, "file_over_weights": size / n_bytes}
    return runs.finish(run, {**results, **counted})


def top(config: Config, settings: dict[str, Any]) -> Ready:
    """Make a tagger of jets_top ready."""
    tagger = taggers.restore(config.from_run)
    files = config.data or tuple(map(Path, settings["data"]))
    files = files or (generator.cached(*sample(settings), name=settings["phase_space"]),)
    jets = data.select(data.from_columns(root.read_jetclass(files)), tagger.classes)
    length = config.length or tagger.buckets[-1]
    events = functools.partial(deployment.events, jets, length=length, features=tagger.features)
    return Ready(tagger, deployment.function(tagger), events, deployment.write, jets)


def flavour(config: Config, settings: dict[str, Any]) -> Ready:
    """Make a tagger of jets_flavour ready; DL1 is checked on numbers like those it reads."""
    trained = sorted((config.from_run / "trainings").glob("*_*"))
    if trained:
        raise ValueError(f"--from: choose one training, of {[str(path) for path in trained]}")
    tagger = flavour_taggers.restore(config.from_run)
    files = config.data or tuple(map(Path, settings["data"]))
    folder, *rest = sample(settings)
    files = files or (flavour_generator.cached(folder, "ttbar", *rest),)
    jets = flavour_data.from_columns(root.read_jetclass(files))
    if tagger.inputs is dl1.inputs:
        shape = len(jets.label), len(tagger.variables["params"]["norm"]["scale"])
        jets = dl1.sample(jets, np.random.default_rng(config.seed).normal(size=shape))
    length = config.length or tagger.buckets[-1]
    events = functools.partial(flavour_deployment.events, jets, length=length)
    apply = flavour_deployment.function(tagger)
    return Ready(tagger, apply, events, flavour_deployment.write, jets)


def sample(settings: dict[str, Any]) -> tuple[Path, int, int]:
    """Name the generated sample of a run."""
    return Path(settings["samples"]), settings["n_jets"], settings["data_seed"]


def speed(config: Config, inputs: Any, apply: Any, artefact: export.Artefact) -> dict[str, float]:
    """Jets a second of the file and of JAX, compiled, in batches: medians and quartiles."""
    seconds: dict[str, list[float]] = {"jax": [], "file": []}
    jax.block_until_ready(apply(inputs))
    if config.out.suffix == ".onnx":
        seconds["file"] = onnx.seconds(config.out, inputs, repeats=config.repeats, threads=0)
    functions = {"jax": apply} | ({} if seconds["file"] else {"file": artefact.call})
    for name, call in functions.items():
        for _ in range(config.repeats):
            began = time.perf_counter()
            jax.block_until_ready(call(inputs))
            seconds[name].append(time.perf_counter() - began)
    found = {}
    for name, times in seconds.items():
        low, middle, high = config.batch / np.quantile(times, [0.75, 0.5, 0.25])
        key = f"jets_per_second_{name}"
        found |= {key: middle, f"{key}_low": low, f"{key}_high": high}
    return found


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
