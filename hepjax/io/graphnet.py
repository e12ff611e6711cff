"""GraphNeT's files: SQLite databases and folders of parquet, NuBench's among them.

A database has a table of pulses and one of truth, joined by event_no (graphnet-team/graphnet); a
folder of parquet has merged/PULSES/PULSES_0.parquet and merged/mc_truth/mc_truth_0.parquet, ... or
these two folders at its top. `Layout` names tables and columns: PROMETHEUS is that of GraphNeT's
examples, without charges; NUBENCH and NUBENCH_TEST are those of arXiv:2511.13111, whose pulses of
training and test stand in different tables: with noise and without. Zenith and azimuth in all three
say where the neutrino came from. `read` takes either kind, `numbers` lists events, `modules` reads
a table of modules.

>>> NUBENCH.pulses, NUBENCH_TEST.pulses
('merged_photons', 'pulses_no_noise')
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax.io import hits, parquet, pulses, trees
from hepjax.io.pulses import Modules, PulseTable
from hepjax.io.trees import BadFile

PLACE = {"x": "sensor_pos_x", "y": "sensor_pos_y", "z": "sensor_pos_z", "time": "t"}
INJECTED = {
    "energy": "injection_energy",
    "zenith": "injection_zenith",
    "azimuth": "injection_azimuth",
    "x": "injection_position_x",
    "y": "injection_position_y",
    "z": "injection_position_z",
    "pid": "injection_type",
}
INITIAL = {
    "energy": "initial_state_energy",
    "zenith": "initial_state_zenith",
    "azimuth": "initial_state_azimuth",
    "x": "initial_state_x",
    "y": "initial_state_y",
    "z": "initial_state_z",
    "pid": "initial_state_type",
}


class Layout(NamedTuple):
    """Names in a file: of the tables, the number of an event, and by our name of each column."""

    pulses: str
    pulse_columns: Mapping[str, str]
    truth_columns: Mapping[str, str]
    truth: str = "mc_truth"
    event: str = "event_no"


PROMETHEUS = Layout("total", PLACE, INJECTED)
NUBENCH = Layout("merged_photons", PLACE | {"charge": "charge"}, INITIAL)
NUBENCH_TEST = NUBENCH._replace(pulses="pulses_no_noise")


def read(
    path: str | os.PathLike[str],
    layout: Layout = PROMETHEUS,
    *,
    events: ArrayLike | None = None,
    modules: Modules | None = None,
    drop_bad: bool = False,
) -> PulseTable:
    """Read a database or a folder of parquet files.

    events: [event] numbers of those to read (a selection), in the order of the file; all where
    None. Columns beside the layout's keep their names. modules, drop_bad: see `pulses.assemble`.
    Raises BadFile, a ValueError that names file, table and column, and where an event that is asked
    for is not there.
    """
    path = Path(path)
    wanted = None if events is None else np.unique(np.asarray(events, np.int64))
    if path.is_dir():
        truth = _folder(path, layout.truth, layout.event, wanted)
        table = _folder(path, layout.pulses, layout.event, wanted)
    elif path.is_file():
        truth = _table(path, layout.truth, layout.event, wanted)
        table = _table(path, layout.pulses, layout.event, wanted)
    else:
        raise BadFile(f"{path}: no such file or folder")
    number = truth.pop(layout.event)
    if wanted is not None and len(wanted) > len(number):
        lacking = np.setdiff1d(wanted, number)
        raise BadFile(f"{path}: {layout.truth}: event {lacking[0]} missing ({len(lacking)} such)")
    of = table.pop(layout.event)
    return pulses.assemble(
        f"{path}: {layout.pulses}",
        _renamed(f"{path}: {layout.pulses}", table, layout.pulse_columns),
        of,
        _renamed(f"{path}: {layout.truth}", truth, layout.truth_columns),
        number,
        modules=modules,
        drop_bad=drop_bad,
    )


def numbers(path: str | os.PathLike[str], layout: Layout = PROMETHEUS) -> np.ndarray:
    """List the numbers of all events in the table of truth [event], to select some."""
    path = Path(path)
    if path.is_dir():
        return _folder(path, layout.truth, layout.event, None)[layout.event]
    with _opened(path) as connection:
        rows = _select(path, connection, layout.truth, [layout.event], layout.event, None)
    return rows[layout.event]


def modules(path: str | os.PathLike[str]) -> Modules:
    """Read a table of modules in parquet: sensor_pos_x, _y, _z or dom_x, _y, _z, sensor_id."""
    found = parquet.read(path)
    names = [n for n in (tuple(PLACE.values())[:3], ("dom_x", "dom_y", "dom_z")) if n[0] in found]
    if not names or "sensor_id" not in found:
        raise BadFile(f"{path}: sensor_id and sensor_pos_x or dom_x missing, found {sorted(found)}")
    lacking = [name for name in names[0] if name not in found]
    if lacking:
        raise BadFile(f"{path}: columns {lacking} missing, found {sorted(found)}")
    position = np.stack([found[name] for name in names[0]], -1).astype(np.float64)
    string = found.get("sensor_string_id", found.get("string", np.full(len(position), -1)))
    number = found["sensor_id"].astype(np.int64)
    if len(np.unique(number)) < len(number) or not np.isfinite(position).all():
        raise BadFile(f"{path}: expected each sensor_id once, at a finite place")
    return Modules(number, position, string.astype(np.int64))


def _renamed(
    source: str, found: dict[str, np.ndarray], names: Mapping[str, str]
) -> dict[str, np.ndarray]:
    lacking = [name for name in names.values() if name not in found]
    if lacking:
        raise BadFile(f"{source}: columns {lacking} missing, found {sorted(found)}")
    others = {k: v for k, v in found.items() if k not in names.values() and k not in names}
    return {ours: found[name] for ours, name in names.items()} | others


def _folder(path: Path, table: str, event: str, wanted: np.ndarray | None) -> dict:
    """Columns of all parts of a table in a folder of parquet, of the events wanted."""
    folders = [p for p in (path / "merged" / table, path / table) if p.is_dir()]
    if not folders:
        raise BadFile(f"{path}: no folder {table} in it, nor in merged/")
    parts = []
    for file in hits.expand(folders[0], (".parquet",)):
        if event not in parquet.names(file):
            raise BadFile(f"{file}: column {event} missing, found {parquet.names(file)}")
        kept = None
        if wanted is not None:
            kept = np.isin(parquet.read(file, (event,))[event], wanted)
        parts.append(parquet.read(file, rows=kept))
        if set(parts[-1]) != set(parts[0]):
            raise BadFile(f"{file}: columns {sorted(parts[-1])}, expected {sorted(parts[0])}")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _opened(path: Path) -> Any:
    """A database for reading alone."""
    import contextlib

    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    with trees.reading(path):
        address = f"{path.absolute().as_uri()}?mode=ro"
        return contextlib.closing(sqlite3.connect(address, uri=True))


def _table(path: Path, table: str, event: str, wanted: np.ndarray | None) -> dict:
    with _opened(path) as connection:
        with trees.reading(path):
            listed = connection.execute("select name from sqlite_master where type = 'table'")
            known = [row[0] for row in listed]
            if table not in known:
                raise BadFile(f"{path}: table {table} missing, found {known}")
            cursor = connection.execute(f'select * from "{table}" limit 0')
            columns = [entry[0] for entry in cursor.description]
        if event not in columns:
            raise BadFile(f"{path}: {table}: column {event} missing, found {columns}")
        return _select(path, connection, table, columns, event, wanted)


def _select(
    path: Path,
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    event: str,
    wanted: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Columns of numbers of the events wanted, by a table in memory that joins."""
    names = ", ".join(f't."{name}"' for name in columns)
    with trees.reading(path):
        join = ""
        if wanted is not None:
            connection.execute(
                "create temp table if not exists wanted (number integer primary key)"
            )
            connection.execute("delete from wanted")
            rows = ((int(number),) for number in wanted)
            connection.executemany("insert into wanted values (?)", rows)
            join = f'join wanted on wanted.number = t."{event}"'
        found = connection.execute(f'select {names} from "{table}" t {join} order by t.rowid')
        values = found.fetchall()
    return {
        name: _numbers(f"{path}: {table}", name, column)
        for name, column in zip(columns, zip(*values) if values else [()] * len(columns))
    }


def _numbers(source: str, name: str, values: Sequence[Any]) -> np.ndarray:
    """One column; what is missing is NaN. Text is an error that names the row."""
    kinds = set(map(type, values))
    if kinds <= {int}:
        return np.asarray(values, np.int64)
    if kinds <= {int, float, type(None)}:
        return np.asarray([np.nan if x is None else x for x in values], np.float64)
    row = next(i for i, x in enumerate(values) if not isinstance(x, int | float | None))
    raise BadFile(f"{source}: column {name}, row {row}: {values[row]!r}, expected numbers")
