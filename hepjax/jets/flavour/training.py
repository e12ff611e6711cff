"""Trainings of flavour taggers, side by side: each in a run folder of its own, on the same jets.

A `Task` is a line of taggers that need each other (DIPS, then DL1d, which holds its answer), with
one seed; `tasks` lists those of a study, `run` does them in as many processes as are wanted, one
thread each: on a CPU two small networks side by side train faster than one after the other on two
threads. A training that is done is kept: its folder holds the logits of the test jets of each
source, and what vertices it found among them. `outcome` reads them.

>>> [task.names for task in tasks(("gn2", "dips", "dl1d"), 1, Path("out"), None, None)]
[('gn2',), ('dips', 'dl1d')]
"""

import functools
import json
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hepjax import runs
from hepjax.io import root
from hepjax.jets import batches, data, processes
from hepjax.jets import training as jet_training
from hepjax.jets.flavour import data as flavour_data
from hepjax.jets.flavour import dl1, taggers, vertices
from hepjax.nn import norm

VALIDATION = 0.03  # share of the jets that chooses the best checkpoint


class Sample(NamedTuple):
    """Jets of one or more files of jets.flavour.generator, shared out by event.

    files: source -> ROOT files; all sources are trained on together, and tested one by one;
    test_fraction: of each; seed: of the split.
    """

    files: dict[str, tuple[Path, ...]]
    test_fraction: float
    seed: int


class Plan(NamedTuple):
    """How a tagger is trained: budget in padded tracks a batch, decay of the average a step."""

    size: taggers.Size
    n_epochs: int
    budget: int
    learning_rate: float
    weight_decay: float
    decay: float


class Task(NamedTuple):
    """Taggers to be trained one after the other with one seed, and where they are kept."""

    out: Path
    names: tuple[taggers.Name, ...]
    seed: int
    sample: Sample
    plan: Plan


class Parts(NamedTuple):
    """Training and validation jets, and test jets by source."""

    training: data.RaggedJets
    validation: data.RaggedJets
    test: dict[str, data.RaggedJets]


@functools.lru_cache(maxsize=1)
def _read(sample_key: tuple) -> Parts:
    files, test_fraction, seed = sample_key
    shares = (1 - VALIDATION - test_fraction, VALIDATION, test_fraction)
    found = [
        data.split(flavour_data.from_columns(root.read_jetclass(paths)), shares, seed)
        for _, paths in files
    ]
    training, validation = (data.join([parts[i] for parts in found]) for i in (0, 1))
    return Parts(training, validation, {name: parts[2] for (name, _), parts in zip(files, found)})


def parts(sample: Sample) -> Parts:
    """Read and split a sample; the last one stays in memory."""
    return _read((tuple(sample.files.items()), sample.test_fraction, sample.seed))


def tasks(
    names: Sequence[taggers.Name], n_seeds: int, out: Path, sample: Any, plan: Any, first: int = 0
) -> list[Task]:
    """List the trainings of a study: seeds `first`, `first` + 1 ... of each tagger, the seed of all
    taggers before the next.
    """
    inside = {taggers.INSIDE[name] for name in names if name in taggers.INSIDE}
    lines = [_line(name) for name in names if name not in inside]
    return [Task(out, line, first + k, sample, plan) for k in range(n_seeds) for line in lines]


def _line(name: taggers.Name) -> tuple[taggers.Name, ...]:
    return (*_line(taggers.INSIDE[name]), name) if name in taggers.INSIDE else (name,)


def run(tasks: Sequence[Task], workers: int = 1) -> None:
    """Do the tasks that are not done, in this process (1) or in others, each of one thread.

    Raises RuntimeError where a worker fails; trainings that were done are kept, and one that was
    not goes on from its last checkpoint.
    """
    left = [task for task in tasks if not all(_is_done(task, name) for name in task.names)]
    if workers == 1 or len(left) < 2:
        for task in left:
            work(task)
        return
    if any(taggers.is_table(name) for task in left for name in task.names):
        _variables(left[0])  # before two processes write them
    with (
        processes.pool(__name__, "work", workers, {"NPROC": "1"}) as submit,
        runs.progress(len(left), "trainings") as advance,
    ):
        for done in futures.as_completed([submit(task) for task in left]):
            done.result()
            advance(1)


def work(task: Task) -> None:
    """Train the taggers of a task that are not done, and keep what they say of the test jets."""
    for name in task.names:
        if _is_done(task, name):
            continue
        found = parts(task.sample)
        if taggers.is_table(name):
            found = _tables(task, name, found)
        _fit(task, name, found)
        tagger, out = taggers.restore(folder(task, name)), folder(task, name)
        for source, jets in found.test.items():
            if taggers.has_vertices(name):
                report = vertices.performance(tagger, jets)
                runs.write_json(out / f"vertices_{source}.json", report)
            logits = taggers.logits(tagger, jets)
            runs.write_atomically(_logits(out, source), functools.partial(_save, logits))


def outcome(task: Task, name: taggers.Name, source: str) -> tuple[np.ndarray, dict[str, float]]:
    """Give the logits [jet, class] of a trained tagger on the test jets of a source, and the
    numbers of vertices.performance, none for a tagger without auxiliary tasks.
    """
    out = folder(task, name)
    found = out / f"vertices_{source}.json"
    return np.load(_logits(out, source)), json.loads(found.read_text()) if found.exists() else {}


def folder(task: Task, name: taggers.Name) -> Path:
    """Name the run folder of one training."""
    return task.out / f"{name}_{task.seed}"


def _logits(out: Path, source: str) -> Path:
    return out / f"logits_{source}.npy"


def _save(logits: np.ndarray, path: Path) -> None:
    np.save(path, logits)


def _is_done(task: Task, name: taggers.Name) -> bool:
    return all(_logits(folder(task, name), source).exists() for source in task.sample.files)


def _variables(task: Task) -> list[np.ndarray]:
    found = parts(task.sample)
    samples = [found.training, found.validation, *found.test.values()]
    return dl1.tables(samples, task.out / "variables.npz")


def _tables(task: Task, name: taggers.Name, found: Parts) -> Parts:
    """Make the variables of DL1, with the answer of the tagger inside it, if there is one."""
    samples = [found.training, found.validation, *found.test.values()]
    made = _variables(task)
    if name in taggers.INSIDE:
        inside = taggers.restore(folder(task, taggers.INSIDE[name]))
        made = [dl1.beside(x, taggers.logits(inside, p)) for x, p in zip(made, samples)]
    training, validation, *test = (dl1.sample(p, x) for p, x in zip(samples, made))
    return Parts(training, validation, dict(zip(found.test, test)))


def _fit(task: Task, name: taggers.Name, found: Parts) -> None:
    """Train one network; checkpoints and metrics go to its run folder."""
    plan, about = task.plan, {"name": name, "seed": task.seed, **task._asdict()}
    del about["names"], about["out"]
    run = runs.create(folder(task, name), about, resume=True)
    model = taggers.build(name, plan.size)
    inputs, buckets = taggers.reading(name)
    budget = plan.budget * buckets[0] // flavour_data.BUCKETS[0]  # as many jets a batch
    serve: dict[str, Any] = {"buckets": buckets, "budget": budget}
    served = batches.of_sample(found.training, seed=task.seed, **serve)
    keys, example = jax.random.split(jax.random.key(task.seed)), inputs(served.get(0, 0))
    jet_training.fit(
        run,
        jax.jit(model.init)(keys[0], example),
        taggers.objective(model, inputs, plan.decay),
        served,
        batches.of_sample(found.validation, shuffle=False, **serve),
        jet_training.Plan(
            n_epochs=plan.n_epochs,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            decay=plan.decay,
            warm=0.1,
            momentum=norm.MOMENTUM,
        ),
        key=keys[1],
        meta=taggers.meta(name, plan.size, plan.decay, example.tracks.shape[-1]),
        resume=True,
    )
