"""LHCb's Velo events as JSON, one event a file, hits by module and Monte Carlo particles.

The layout (github.com/SvenHockers/velopix_tracking, Allen's and velopix's): x, y, z of the hits in
mm, module_prefix_sum, of which module m has the hits [prefix[m], prefix[m + 1]), and montecarlo, a
table with names in `description` and one row a particle, whose last column lists its hits. Momenta
are in MeV there and in GeV here; the charge is 1 or 0 there, for positive and negative, and 1 or -1
here. Files may be gzipped.

`read_event` reads one file, `read` many, and can leave out bad ones, counted; `from_json` is for an
event at hand and `to_json` the way back.

>>> event = from_json({"x": [1.0], "y": [0.0], "z": [5.0], "module_prefix_sum": [0, 0, 1]})
>>> event.hits["module"].tolist(), hits.n_particles(event)
([1], 0)
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from hepjax.io import hits, text
from hepjax.io.hits import Event
from hepjax.io.trees import BadFile, Skipped

ENDINGS = (".json", ".json.gz")
NAMES = {
    "key": "key",
    "pid": "pid",
    "p": "p",
    "pt": "pt",
    "eta": "eta",
    "phi": "phi",
    "charge": "charge",
    "isLong": "is_long",
    "isDown": "is_down",
    "hasVelo": "has_velo",
    "hasUT": "has_ut",
    "hasScifi": "has_scifi",
    "fromBeautyDecay": "from_beauty",
    "fromCharmDecay": "from_charm",
    "fromStrangeDecay": "from_strange",
}
"""Event of the particles: the name in a file -> the name here."""

WHOLE = ("key", "pid", "charge")
MEV = ("p", "pt")


def read_event(path: str | os.PathLike[str]) -> Event:
    """Read one event; raises BadFile, a ValueError that begins with the path."""
    raw = text.read(path)
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path}: cannot be read ({type(error).__name__}: {error})") from error
    return from_json(content, source=str(path))


def read(files: hits.Files, *, skip_bad: bool = False) -> tuple[list[Event], tuple[Skipped, ...]]:
    """Read the events of files or folders, one a file, by the numbers in their names.

    skip_bad and what is raised: see `hits.read`.
    """
    return hits.read(files, read_event, ENDINGS, skip_bad=skip_bad)


def from_json(content: Mapping[str, Any], *, source: str = "event") -> Event:
    """Read an event as a JSON file holds it; raises BadFile that names source, field and place."""
    lacking = [k for k in (*hits.POSITION, "module_prefix_sum") if k not in content]
    if lacking:
        raise BadFile(
            f"{source}: {', '.join(lacking)} missing, expected {', '.join(hits.POSITION)}"
            " and module_prefix_sum"
        )
    table: dict[str, np.ndarray] = {k: _numbers(content[k], k, source) for k in hits.POSITION}
    prefix = _numbers(content["module_prefix_sum"], "module_prefix_sum", source).astype(np.int64)
    n = len(table["x"])
    if len(prefix) < 2 or prefix[0] != 0 or prefix[-1] != n or (np.diff(prefix) < 0).any():
        raise BadFile(
            f"{source}: module_prefix_sum {prefix[:3].tolist()}...{prefix[-1:].tolist()}, expected "
            f"numbers that rise from 0 to {n}, the number of hits"
        )
    table["module"] = np.repeat(np.arange(len(prefix) - 1), np.diff(prefix))
    particles, truth = _particles(content.get("montecarlo") or {}, source)
    event = Event(table, particles, truth)
    hits.validate(event, source=source)
    return event


def _numbers(values: Any, name: str, source: str) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise BadFile(f"{source}: {name}: {error}, expected a list of numbers") from error
    if array.ndim != 1:
        raise BadFile(f"{source}: {name}: {array.ndim} dimensions, expected a list of numbers")
    return array


def _particles(content: Mapping[str, Any], source: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Read the table of particles, and the pairs (hit, particle)."""
    names, rows = content.get("description", []), content.get("particles", [])
    if not rows:
        return {}, np.zeros((0, 2), np.int64)
    if "hits" not in names or any(len(row) != len(names) for row in rows):
        raise BadFile(f"{source}: montecarlo.particles, expected rows of {names} with hits")
    columns = dict(zip(names, zip(*rows)))
    particles = {}
    for name, ours in NAMES.items():
        if name in columns:
            values = _numbers(columns[name], f"montecarlo.{name}", source)
            values = values / 1000 if name in MEV else values
            flag = ours.startswith(("is_", "has_", "from_"))
            particles[ours] = values != 0 if flag else values
            if name in WHOLE:
                particles[ours] = values.astype(np.int64)
            if name == "charge":
                particles[ours] = np.where(values > 0, 1, -1)
    lists = columns["hits"]
    hit = _numbers([h for one in lists for h in one], "montecarlo.hits", source).astype(np.int64)
    particle = np.repeat(np.arange(len(rows)), [len(one) for one in lists])
    return particles, np.stack([hit, particle], -1)


def to_json(event: Event) -> dict[str, Any]:
    """Give an event as a JSON file holds it, its hits sorted by module in a stable way.

    Raises ValueError where hits are not sorted by module, for truth would name others.
    """
    module = event.hits["module"]
    if (np.diff(module) < 0).any():
        raise ValueError("event: hits are not sorted by module, expected them to be")
    prefix = np.concatenate([[0], np.cumsum(np.bincount(module, minlength=52))])
    content: dict[str, Any] = {k: event.hits[k].tolist() for k in hits.POSITION}
    content |= {"description": "hepjax", "module_prefix_sum": prefix.tolist()}
    known = [(name, event.particles[k]) for name, k in NAMES.items() if k in event.particles]
    scaled = [x * 1000 if name in MEV else x.astype(np.float64) for name, x in known]
    scaled = [x > 0 if name == "charge" else x for (name, _), x in zip(known, scaled)]
    lists = [event.truth[event.truth[:, 1] == i, 0] for i in range(hits.n_particles(event))]
    rows = [[*map(float, row), list(map(int, one))] for row, one in zip(zip(*scaled), lists)]
    content["montecarlo"] = {
        "description": [*(name for name, _ in known), "hits"],
        "particles": rows,
    }
    return content
