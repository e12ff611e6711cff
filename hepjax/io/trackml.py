"""Events of the TrackML challenge as CSV: hits with their truth and particles.

An event is a family of files, event000001000-hits.csv and -truth.csv, -particles.csv, -cells.csv
beside it (arXiv:1904.06778), gzipped or not; ids are integers of 64 bits, lengths mm, momenta GeV.
`read_event` takes the common beginning of the names. Modules are numbered by volume, layer and
module, as they come in sorted order; hits of particle 0 are noise. Without a truth file the event
has none. What a hit's cells say is summed up: how many there are, and their charge.

>>> names("a/event000000007-hits.csv.gz")
'a/event000000007'
"""

import os
from collections.abc import Sequence

import numpy as np

from hepjax.io import columns, hits
from hepjax.io.hits import Event
from hepjax.io.trees import BadFile, Skipped

WHOLE = ("hit_id", "volume_id", "layer_id", "module_id", "particle_id", "particle_type", "q")
WHOLE += ("nhits", "ch0", "ch1")
HITS = ("hit_id", "x", "y", "z", "volume_id", "layer_id", "module_id")
TRUTH = ("hit_id", "particle_id", "tx", "ty", "tz", "weight")
PARTICLES = ("particle_id", "vx", "vy", "vz", "px", "py", "pz", "q")
ENDINGS = ("-hits.csv", "-hits.csv.gz")


def names(path: str | os.PathLike[str]) -> str:
    """Give the common beginning of the names of an event's files."""
    text = os.fspath(path)
    for ending in ENDINGS:
        text = text.removesuffix(ending)
    return text


def read_event(path: str | os.PathLike[str]) -> Event:
    """Read one event by its hits file, or by the common beginning of its files' names.

    hits of the result: x, y, z, module, volume, layer, hit_id, with cells n_cells and charge, with
    truth weight, tx, ty, tz; particles: key (particle_id), pid, p, pt, eta, phi, charge, vx, vy,
    vz, those of the particles file, in its order. Raises BadFile, a ValueError, that names file,
    column and row.
    """
    start = names(path)
    table = _required(start, "hits", HITS)
    if len(np.unique(table["hit_id"])) < len(table["hit_id"]):
        raise BadFile(f"{start}: hits: a hit_id twice, expected each once")
    place = ("volume_id", "layer_id", "module_id")
    rows = np.stack([table[k] for k in place], -1)
    module = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    found = {k: table[k] for k in hits.POSITION} | {"module": module}
    found |= {"volume": table["volume_id"], "layer": table["layer_id"], "hit_id": table["hit_id"]}
    cells = _optional(start, "cells", ("hit_id", "value"))
    if cells is not None:
        index = columns.rows(f"{start}: cells", cells["hit_id"], table["hit_id"])
        found["n_cells"] = np.bincount(index, minlength=len(module))
        found["charge"] = np.bincount(index, cells["value"], len(module))
    truth = _optional(start, "truth", TRUTH)
    if truth is None:
        event = Event(found, {}, np.zeros((0, 2), np.int64))
    else:
        event = _with_truth(start, found, truth)
    hits.validate(event, source=start)
    return event


def read(files: hits.Files, *, skip_bad: bool = False) -> tuple[list[Event], tuple[Skipped, ...]]:
    """Read the events of folders or hits files.

    skip_bad and what is raised: see `hits.read`.
    """
    return hits.read(files, read_event, ENDINGS, skip_bad=skip_bad)


def _with_truth(start: str, found: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> Event:
    """Join hits, truth and particles into an event."""
    particles = _required(start, "particles", PARTICLES)
    hit = columns.rows(f"{start}: truth", truth["hit_id"], found["hit_id"])
    for name in ("weight", "tx", "ty", "tz"):
        found[name] = np.zeros(len(found["x"]))
        found[name][hit] = truth[name]
    real = truth["particle_id"] != 0
    particle = columns.rows(f"{start}: truth", truth["particle_id"][real], particles["particle_id"])
    pairs = np.stack([hit[real], particle], -1)
    p3 = np.stack([particles[k] for k in ("px", "py", "pz")], -1)
    listed = {
        "key": particles["particle_id"],
        "pid": particles.get("particle_type", np.zeros(len(p3), np.int64)),
        **hits.kinematics(p3),
        "charge": particles["q"],
        **{k: particles[k] for k in ("vx", "vy", "vz")},
    }
    return Event(found, listed, pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))])


def _required(start: str, what: str, columns: Sequence[str]) -> dict[str, np.ndarray]:
    found = _optional(start, what, columns)
    if found is None:
        raise BadFile(f"{start}-{what}.csv: no such file, nor with .gz")
    return found


def _optional(start: str, what: str, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Read one CSV of an event, None where there is none."""
    path = columns.find(f"{start}-{what}.csv")
    return None if path is None else columns.read(path, names, whole=WHOLE)
