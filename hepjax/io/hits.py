"""An event of detector hits in memory, with the particles that made them where they are known.

`Event` is what every reader of hits returns and what a tracker works on: one array a quantity, in
mm and GeV, and the truth as pairs (hit, particle), since two particles may share a hit and noise
has none. `validate` looks at every number that a tracker will see and names the first that cannot
be right; `expand` lists the files that a user typed, `read` reads them. Readers: `io.velo`,
`io.trackml`, `io.acts`.

>>> event = Event({"x": np.zeros(2), "y": np.ones(2), "z": np.arange(2.0),
...                  "module": np.array([0, 3])}, {}, np.zeros((0, 2), np.int64))
>>> validate(event, source="toy")
>>> n_hits(event)
2
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepjax.io import trees
from hepjax.io.trees import BadFile, Skipped

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A file, a folder, or a list of those."""

POSITION = ("x", "y", "z")


class Event(NamedTuple):
    """One event as it stands in a file.

    hits: x, y, z [mm], module (index along the detector) and what else the file knows -> [hit];
    particles: pid, p, pt [GeV], eta, phi, charge, flags ... -> [particle], {} without truth;
    truth: [pair, 2] int64, (hit, particle), each pair once, by particle and then along it.
    """

    hits: dict[str, np.ndarray]
    particles: dict[str, np.ndarray]
    truth: np.ndarray


def n_hits(event: Event) -> int:
    """Count the hits."""
    return len(event.hits["x"])


def n_particles(event: Event) -> int:
    """Count the particles, 0 where no truth is known."""
    return len(next(iter(event.particles.values()), ()))


def select(event: Event, kept: np.ndarray) -> Event:
    """Keep some hits [hit] bool of an event, and the particles that left any of them."""
    truth = event.truth[kept[event.truth[:, 0]]]
    seen = np.isin(np.arange(n_particles(event)), truth[:, 1])
    place, number = np.cumsum(kept) - 1, np.cumsum(seen) - 1
    return Event(
        {name: x[kept] for name, x in event.hits.items()},
        {name: x[seen] for name, x in event.particles.items()},
        np.stack([place[truth[:, 0]], number[truth[:, 1]]], -1),
    )


def kinematics(momentum: np.ndarray) -> dict[str, np.ndarray]:
    """Give p, pt [GeV], eta and phi [particle] of momenta [particle, 3], GeV."""
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    return {
        "p": np.linalg.norm(momentum, axis=-1),
        "pt": pt,
        "eta": np.arcsinh(momentum[:, 2] / np.maximum(pt, 1e-9)),
        "phi": np.arctan2(momentum[:, 1], momentum[:, 0]),
    }


def validate(event: Event, *, source: str = "event") -> None:
    """Look at every number that a tracker will see; raise at the first that cannot be right.

    An event without hits, or a module without, is fine. Raises BadFile, a ValueError, for arrays of
    unequal length, positions that are not finite, modules below 0, and truth that names a hit or a
    particle that is not there, or the same pair twice.
    """
    for what, table, n in (
        ("hit", event.hits, n_hits(event)),
        ("particle", event.particles, n_particles(event)),
    ):
        for name, values in table.items():
            if values.shape != (n,):
                raise BadFile(
                    f"{source}: {name}: {list(values.shape)} values, expected [{n} {what}s]"
                )
    for name in POSITION:
        bad = np.flatnonzero(~np.isfinite(event.hits[name]))
        if len(bad):
            raise BadFile(
                f"{source}: {name} of hit {bad[0]}: {event.hits[name][bad[0]]}, expected a finite "
                f"number of mm ({len(bad)} such hits)"
            )
    module = event.hits["module"]
    if len(module) and module.min() < 0:
        hit = int(np.argmin(module))
        raise BadFile(f"{source}: module of hit {hit}: {module[hit]}, expected 0 or more")
    _validate_truth(event, source)


def _validate_truth(event: Event, source: str) -> None:
    truth = event.truth
    if truth.ndim != 2 or truth.shape[1] != 2:
        raise BadFile(f"{source}: truth {list(truth.shape)}, expected [pair, 2]")
    for column, what, n in ((0, "hit", n_hits(event)), (1, "particle", n_particles(event))):
        index = truth[:, column]
        bad = np.flatnonzero((index < 0) | (index >= n))
        if len(bad):
            raise BadFile(
                f"{source}: truth of particle {truth[bad[0], 1]} names {what} {index[bad[0]]}, "
                f"expected 0 to {n - 1} ({len(bad)} such pairs)"
            )
    key = truth[:, 0] * max(n_particles(event), 1) + truth[:, 1]
    values, count = np.unique(key, return_counts=True)
    if len(values) < len(key):
        hit, particle = divmod(int(values[np.argmax(count)]), n_particles(event))
        raise BadFile(
            f"{source}: truth names hit {hit} of particle {particle} {count.max()} times, expected "
            "each pair once"
        )


def expand(files: Files, endings: Sequence[str]) -> list[Path]:
    """List the files that a path, a folder or a list of those stands for.

    A folder stands for its files of these endings, by the numbers in their names (event_2 comes
    before event_10). Raises ValueError for a folder without any, and for an empty list.
    """
    entries = [files] if isinstance(files, str | os.PathLike) else list(files)
    paths: list[Path] = []
    for entry in map(Path, entries):
        found = [entry]
        if entry.is_dir():
            found = [path for path in entry.iterdir() if path.name.endswith(tuple(endings))]
        if not found:
            raise ValueError(f"files: none of {', '.join(endings)} in {entry}, expected at least 1")
        paths += sorted(found, key=_by_number)
    if not paths:
        raise ValueError("files: an empty list, expected at least 1 file")
    return paths


def read(
    files: Files, read_event: Callable[[Path], Event], endings: Sequence[str], *, skip_bad: bool
) -> tuple[list[Event], tuple[Skipped, ...]]:
    """Read the events of files or folders by what reads one of them.

    skip_bad: leave out bad ones, with a RuntimeWarning, and return them with the reasons. Raises
    BadFile at the first bad one without it, and where none is good.
    """
    found, skipped = trees.each_file(expand(files, endings), read_event, skip_bad=skip_bad)
    return [event for _, event in found], skipped


def _by_number(path: Path) -> tuple[list[int], str]:
    digits = "".join(c if c.isdigit() else " " for c in path.name).split()
    return [int(word) for word in digits], path.name
