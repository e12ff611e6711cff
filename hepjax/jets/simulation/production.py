"""Samples of a wanted size out of tasks of a size that nobody knows before.

A generator cuts its work into tasks, each with random numbers of its own, and a task gives as many
jets as it happens to find. `produce` runs them in other processes until each process (top, QCD ...)
has the jets that were asked for, and takes the first ones in the order of the tasks. So a sample
does not depend on how many workers shared it, and a smaller one is the beginning of a larger one.

>>> import math
>>> def task(name, index):
...     return name, index
>>> request = {"qcd": 5}  # produce(request, task, "hepjax.jets.simulation.generator", "make_jets")
"""

import contextlib
import importlib.util
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.jets import processes
from hepjax.jets.simulation.pythia import PhaseSpace

if TYPE_CHECKING:
    from hepjax.io.root import Columns

FRUITLESS = 50  # tasks without a jet, after which to give up


class Piece(NamedTuple):
    """What a task gives: the fields of ``io.root.Columns``, which a worker does not import."""

    particles: dict[str, np.ndarray]
    offsets: np.ndarray
    jets: dict[str, np.ndarray]


def produce(
    request: Mapping[str, int],
    task: Callable[[str, int], Any],
    module: str,
    function: str,
    *,
    jets_per_task: float,
    workers: int | None = None,
    progress: bool = True,
) -> "list[Columns]":
    """Make {name: number of jets}, the tasks of all names in one pool: a table each.

    task(name, index) -> what `module.function` turns into a Piece; jets_per_task: a first guess;
    workers: processes, as many as there are cores if None; progress: a bar on a terminal, plain
    lines otherwise. Raises RuntimeError where a worker fails or tasks bear no fruit.
    """
    from hepjax import runs
    from hepjax.io import root

    n_workers = cores() if workers is None else workers
    shown = (
        runs.progress(sum(request.values()), "jets")
        if progress
        else contextlib.nullcontext(lambda n: None)
    )
    with processes.pool(module, function, n_workers) as submit, shown as advance:
        pieces = _schedule(request, task, submit, 2 * n_workers, jets_per_task, advance)
    columns = [root.concatenate([root.Columns(*piece) for piece in parts]) for parts in pieces]
    return [root.take(table, np.arange(n)) for table, n in zip(columns, request.values())]


def _schedule(
    request: Mapping[str, int],
    task: Callable[[str, int], Any],
    submit: Any,
    n_waiting: int,
    jets_per_task: float,
    advance: Any,
) -> list[list[Piece]]:
    """Submit tasks of each name until its jets suffice; results [name][task], in order."""
    names, goals = list(request), list(request.values())
    pieces: list[list[Piece]] = [[] for _ in names]
    have, begun = [0] * len(names), [0] * len(names)
    waiting: deque = deque()
    while True:
        for k, name in enumerate(names):
            while len(waiting) < n_waiting:
                done = len(pieces[k])
                a_task = have[k] / done if done else jets_per_task
                if begun[k] and have[k] + (begun[k] - done) * a_task >= goals[k]:
                    break
                waiting.append((k, submit(task(name, begun[k]))))
                begun[k] += 1
        if not waiting:
            return pieces
        k, future = waiting.popleft()
        piece = future.result()
        advance(min(len(piece.offsets) - 1, goals[k] - min(have[k], goals[k])))
        have[k] += len(piece.offsets) - 1
        pieces[k].append(piece)
        if not have[k] and len(pieces[k]) == FRUITLESS:
            raise RuntimeError(
                f"{FRUITLESS} tasks gave no jet of {names[k]}; is {task(names[k], 0)} possible?"
            )


def check(
    request: Mapping[str, int], seed: int, space: PhaseSpace | None, **size_of_task: int
) -> None:
    """Raise ValueError for arguments of a generator that make no sense, ImportError without its
    packages; request: {process: number of jets}; space: None where no jet is cut; size_of_task: by
    its name.
    """
    for name, n_jets in request.items():
        if n_jets < 1:
            raise ValueError(f"n_jets of {name} is {n_jets}, expected at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    for name, size in size_of_task.items():
        if size < 1:
            raise ValueError(f"{name} is {size}, expected at least 1")
    if space is not None:
        _check_space(space)
    for package in ("pythia8mc", "fastjet", "awkward"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f"{package} is missing; it comes with the extra hepjax[generators]")


def _check_space(space: PhaseSpace) -> None:
    if not 0 < space.pt_min < space.pt_max < space.energy / 2:
        raise ValueError(
            f"phase_space has pt from {space.pt_min} to {space.pt_max} GeV at {space.energy} GeV, "
            "expected 0 < pt_min < pt_max < energy / 2"
        )
    if not (0 < space.radius < 1.5 and space.eta_max > 0):
        raise ValueError(
            f"phase_space has radius {space.radius} and eta_max {space.eta_max}, expected "
            "0 < radius < 1.5 and eta_max > 0"
        )


def random_numbers(seed: int, *stream: int) -> np.random.Generator:
    """Open the random numbers of a task: of a seed, a process and the index of the task in it."""
    spawned = np.random.SeedSequence(seed, spawn_key=stream)
    return np.random.Generator(np.random.Philox(spawned))


def pythia_seed(seed: int, process: int, index: int) -> int:
    """Give the seed of a task for Pythia, 1 to 900,000,000, never twice in one sample."""
    key = np.random.SeedSequence(seed, spawn_key=(process,))
    return 1 + (int(key.generate_state(1, np.uint64)[0]) + index) % 900_000_000


def single(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Take floating-point columns to float32, as files have them."""
    return {
        name: column.astype(np.float32) if column.dtype == np.float64 else column
        for name, column in columns.items()
    }


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
