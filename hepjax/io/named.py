"""Pulses and truth of any file of columns, by the names that its columns have.

A file is CSV with a header (gzipped or not) or parquet; pulses and truth may stand in two files, or
all in one with the truth repeated in every pulse of an event. The caller names columns: ours on the
left, the file's on the right. What a file may measure in other units or say the other way round is
an argument: degrees, the direction of travel in the place of where it came from.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "a.csv"
>>> _ = path.write_text("ev,t,px,py,pz,th,ph\\n5,1,0,0,0,180,0\\n5,2,0,0,9,180,0\\n")
>>> names = {"event": "ev", "time": "t", "x": "px", "y": "py", "z": "pz"}
>>> angles = {"zenith": "th", "azimuth": "ph"}
>>> read(path, names, truth_names=angles, degrees=True, travel=True).events["zenith"].tolist()
[0.0]
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hepjax.io import columns, parquet, pulses
from hepjax.io.pulses import Modules, PulseTable
from hepjax.io.trees import BadFile


def read(
    path: str | os.PathLike[str],
    names: Mapping[str, str],
    *,
    truth: str | os.PathLike[str] | None = None,
    truth_names: Mapping[str, str] | None = None,
    modules: Modules | None = None,
    degrees: bool = False,
    travel: bool = False,
    drop_bad: bool = False,
) -> PulseTable:
    """Read pulses, and truth from a second file or from the same one.

    names: of the columns of pulses, with event and time, and x, y, z or module; truth: the file of
    truth, whose names hold event too; truth_names: of the columns of truth. degrees: of zenith and
    azimuth; travel: they are those of the direction of travel. modules, drop_bad: see
    `pulses.assemble`. Raises BadFile, a ValueError that names file, column and row: also for a
    truth that differs between pulses of an event.
    """
    path = Path(path)
    wanted = dict(truth_names or {})
    if "event" not in names or (truth is not None and "event" not in wanted):
        raise ValueError("names: no event, expected the column of the event's number in each file")
    if truth is None:
        both = _columns(path, {f"pulse {k}": v for k, v in names.items()} | wanted)
        table = {k: both[f"pulse {k}"] for k in names}
        of = table.pop("event")
        number, first = np.unique(of, return_index=True)
        events = {k: both[k][first] for k in wanted if k != "event"}
        for name, values in events.items():
            _same(path, wanted[name], both[name], values[np.searchsorted(number, of)])
    else:
        table, events = _columns(path, names), _columns(Path(truth), wanted)
        of, number = table.pop("event"), events.pop("event")
    if degrees:
        events |= {k: np.radians(events[k]) for k in ("zenith", "azimuth") if k in events}
    if travel and "zenith" in events:
        events["zenith"] = np.pi - events["zenith"]
    if travel and "azimuth" in events:
        events["azimuth"] = (events["azimuth"] + np.pi) % (2 * np.pi)
    return pulses.assemble(str(path), table, of, events, number, modules=modules, drop_bad=drop_bad)


def _columns(path: Path, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Columns of a file under our names."""
    wanted = list(dict.fromkeys(names.values()))
    if path.suffix in (".parquet", ".pq"):
        found = parquet.read(path, wanted)
    elif path.name.endswith((".csv", ".csv.gz")):
        if not path.is_file():
            raise BadFile(f"{path}: no such file")
        found = columns.read(path, wanted, only=True)
    else:
        raise BadFile(f"{path}: expected a name that ends in .csv, .csv.gz or .parquet")
    return {ours: found[theirs] for ours, theirs in names.items()}


def _same(path: Path, name: str, values: np.ndarray, expected: np.ndarray) -> None:
    bad = np.flatnonzero(~((values == expected) | (np.isnan(values) & np.isnan(expected))))
    if len(bad):
        raise BadFile(
            f"{path}: column {name}, row {bad[0]}: {values[bad[0]]}, expected {expected[bad[0]]} "
            "as in the event's first pulse"
        )
