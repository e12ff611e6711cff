"""A table of jets in memory: flat arrays of particles, offsets, and one number a jet.

`Columns` is what every reader of jets returns and every writer takes, with the names of the
JetClass layout, in GeV and mm. `take` and `concatenate` select and join jets without a loop over
them; `validate` looks at every number that a tagger will see and names the first that cannot be
right.

>>> energy, pt = np.arange(5.0), np.array([600.0, 580.0])
>>> columns = Columns({"part_energy": energy}, np.array([0, 2, 5]), {"jet_pt": pt})
>>> take(columns, np.array([1])).particles["part_energy"].tolist()
[2.0, 3.0, 4.0]
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hepjax import batch
from hepjax.io import trees


class Columns(NamedTuple):
    """One table of jets as it stands in a file: JetClass names, GeV and mm."""

    particles: dict[str, np.ndarray]  # part_* -> [particle], flat over all jets
    offsets: np.ndarray  # [jet + 1] int64: jet i has the particles offsets[i] to offsets[i + 1]
    jets: dict[str, np.ndarray]  # jet_*, label_* (0 or 1), event_number, aux_* ... -> [jet]
    skipped: tuple[trees.Skipped, ...] = ()  # files left out on request, with the reasons


def n_jets(columns: Columns) -> int:
    """Count the jets."""
    return len(columns.offsets) - 1


def take(columns: Columns, rows: np.ndarray) -> Columns:
    """Pick jets: rows [jet'], indices in any order and number, or a mask [jet] bool."""
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n_jets(columns),):
            raise ValueError(f"rows: mask {list(rows.shape)}, expected [{n_jets(columns)}]")
        rows = np.flatnonzero(rows)
    if rows.size and not (rows.min() >= 0 and rows.max() < n_jets(columns)):
        raise ValueError(
            f"rows: {rows.min()} to {rows.max()}, expected indices of {n_jets(columns)} jets"
        )
    rows = rows.astype(np.int64)
    picked = batch.take(batch.Ragged(columns.particles, columns.offsets), rows)
    particles = {name: picked.values[name] for name in columns.particles}
    jets = {name: values[rows] for name, values in columns.jets.items()}
    return Columns(particles, picked.offsets, jets, columns.skipped)


def concatenate(tables: Sequence[Columns]) -> Columns:
    """Join tables with the same branches, one after the other.

    Raises ValueError for an empty list, and where a table lacks or adds a branch.
    """
    if not tables:
        raise ValueError("tables: an empty list, expected at least 1")
    first = tables[0]
    for index, table in enumerate(tables[1:], start=1):
        same_branches(f"table {index}", table, "table 0", first)
    if len(tables) == 1:
        return first
    sizes = np.cumsum([0] + [table.offsets[-1] for table in tables])
    offsets = [table.offsets[1:] + size for table, size in zip(tables, sizes)]
    return Columns(
        {name: np.concatenate([t.particles[name] for t in tables]) for name in first.particles},
        np.concatenate([np.zeros(1, np.int64), *offsets]),
        {name: np.concatenate([t.jets[name] for t in tables]) for name in first.jets},
        tuple(item for table in tables for item in table.skipped),
    )


def same_branches(source: str, table: Columns, first_source: str, first: Columns) -> None:
    """Raise ValueError naming the branches that only one of two tables has."""
    found = {*table.particles, *table.jets}
    expected = {*first.particles, *first.jets}
    lacking, extra = sorted(expected - found), sorted(found - expected)
    if lacking or extra:
        raise ValueError(
            f"{source}: branches {lacking} missing and {extra} new against {first_source}, "
            "expected the same (name those to read with branches=)"
        )


def validate(
    columns: Columns, *, source: str = "columns", first_entry: int = 0, labels: bool = True
) -> None:
    """Look at every number that a tagger will see; raise at the first that cannot be right.

    source, first_entry: how to name the table and its first jet in messages. Checked are the
    lengths of all arrays, no jet without particles, part_*, jet_* and label_* finite, energy and
    transverse momentum of particles positive, and exactly one label_* equal to 1, the others 0
    (with labels, and where there are any). E < |p| by rounding is common in float32 and is left to
    `lorentz.mass`; aux_* and other observers may hold anything. Raises BadFile, a ValueError, with
    source, branch, entry, the value found and the one expected.
    """
    check_structure(columns, source=source, first_entry=first_entry)
    for name, values in columns.particles.items():
        _require(np.isfinite(values), columns, source, first_entry, name, "a finite number")
    for name, values in columns.jets.items():
        if name.startswith(("jet_", "label_")):
            _require(np.isfinite(values), columns, source, first_entry, name, "a finite number")
    part = columns.particles
    if "part_energy" in part:
        positive = part["part_energy"] > 0
        _require(positive, columns, source, first_entry, "part_energy", "more than 0")
    if "part_px" in part and "part_py" in part:
        moving = (part["part_px"] != 0) | (part["part_py"] != 0)
        _require(moving, columns, source, first_entry, "part_px", "px or py different from 0")
    if labels:
        _check_labels(columns, source, first_entry)


def check_structure(columns: Columns, *, source: str = "columns", first_entry: int = 0) -> None:
    """Raise BadFile unless all arrays are as long as the offsets say, and no jet is empty."""
    offsets = columns.offsets
    if offsets.ndim != 1 or len(offsets) < 1 or offsets[0] != 0:
        raise trees.BadFile(f"{source}: offsets {offsets[:3]}..., expected [jet + 1] from 0")
    empty = np.flatnonzero(np.diff(offsets) < 1)
    if len(empty):
        count = offsets[empty[0] + 1] - offsets[empty[0]]
        raise trees.BadFile(
            f"{source}: branch {next(iter(columns.particles), 'part_*')}, entry "
            f"{first_entry + empty[0]}: {count} particles, expected at least 1 "
            f"({len(empty)} such jets)"
        )
    for table, expected in ((columns.particles, offsets[-1]), (columns.jets, n_jets(columns))):
        for name, values in table.items():
            if values.shape != (expected,):
                raise trees.BadFile(
                    f"{source}: branch {name}: {list(values.shape)} values, expected [{expected}]"
                )


def _require(
    good: np.ndarray, columns: Columns, source: str, first_entry: int, name: str, expected: str
) -> None:
    if good.all():
        return
    index = int(np.argmin(good))
    if name in columns.particles:
        jet = int(np.searchsorted(columns.offsets, index, side="right")) - 1
        value = columns.particles[name][index]
        place = f"entry {first_entry + jet}, particle {index - columns.offsets[jet]}"
    else:
        value, place = columns.jets[name][index], f"entry {first_entry + index}"
    raise trees.BadFile(
        f"{source}: branch {name}, {place}: {value}, expected {expected} "
        f"({len(good) - np.count_nonzero(good)} such values)"
    )


def _check_labels(columns: Columns, source: str, first_entry: int) -> None:
    names = [name for name in columns.jets if name.startswith("label_")]
    if not names:
        return
    one_hot = np.stack([columns.jets[name] for name in names], -1).astype(np.float64)
    good = (one_hot.sum(-1) == 1) & ((one_hot == 0) | (one_hot == 1)).all(-1)
    if not good.all():
        jet = int(np.argmin(good))
        found = {name: float(value) for name, value in zip(names, one_hot[jet]) if value != 0}
        raise trees.BadFile(
            f"{source}: branch label_*, entry {first_entry + jet}: sum {one_hot[jet].sum():g} of "
            f"{found}, expected one label equal to 1 and the others 0 "
            f"({np.count_nonzero(~good)} such jets)"
        )
