"""Pulses of a neutrino telescope in memory, as every reader gives them.

A `PulseTable` is flat: one row a pulse, by event and then by time, with offsets, and one row an
event; lengths in m, times in ns, energies in GeV, charges in photoelectrons. Zenith and azimuth
say where a particle came from, whatever the file says. Times are float64: of a run's hundred
million ns float32 keeps steps of 8. `Modules` are the places of a detector's modules.

Readers pass what they find to `assemble`, which is also the way for a table of one's own: it sorts,
finds modules by number or by place, and refuses what cannot be right, naming file, column and row.
With drop_bad it leaves out bad pulses instead. Events without pulses are always left out. What is
left out is counted in `dropped` and logged.

>>> hits = {"time": [7.0, 5.0, 1.0], "x": [0.0, 0, 9], "y": [0.0, 0, 0], "z": [1.0, 1, 1]}
>>> table = assemble("toy", hits, [4, 4, 2], {"zenith": [0.1, 0.2, 0.3]}, [2, 3, 4])
>>> table.pulses["time"].tolist(), table.offsets.tolist(), table.events["zenith"].tolist()
([1.0, 5.0, 7.0], [0, 1, 3], [0.1, 0.3])
>>> table.dropped
{'events without pulses': 1}
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import batch
from hepjax.io.trees import BadFile

POSITION = ("x", "y", "z")
NEAR = 1.0
"""How far from its module's place a pulse may stand, m; a module's own photomultipliers do."""

LOG = logging.getLogger(__name__)


class Modules(NamedTuple):
    """The modules of a detector as they stand in a file."""

    number: np.ndarray  # [module] int64, the file's name of it, each once
    position: np.ndarray  # [module, 3] m
    string: np.ndarray  # [module] int64; -1 where the file does not say


class PulseTable(NamedTuple):
    """Pulses and truth of many events."""

    pulses: dict[str, np.ndarray]  # time [ns], x, y, z [m], charge, module (row), ... -> [pulse]
    offsets: np.ndarray  # [event + 1] int64: event i has the pulses offsets[i] to offsets[i + 1]
    events: dict[str, np.ndarray]  # number, zenith, azimuth [rad], energy [GeV], ... -> [event]
    modules: Modules  # those that `module` counts
    dropped: dict[str, int]  # what was left out, by reason


def n_events(table: PulseTable) -> int:
    """Count the events."""
    return len(table.offsets) - 1


def take(table: PulseTable, rows: ArrayLike) -> PulseTable:
    """Pick events [event'] by index, or by a mask [event] bool."""
    index = np.asarray(rows)
    index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
    if index.size and not (index.min() >= 0 and index.max() < n_events(table)):
        raise ValueError(f"rows: {index.min()} to {index.max()} of {n_events(table)} events")
    picked = batch.take(batch.Ragged(table.pulses, table.offsets), index)
    pulses = {name: picked.values[name] for name in table.pulses}
    events = {name: values[index] for name, values in table.events.items()}
    return PulseTable(pulses, picked.offsets, events, table.modules, table.dropped)


def concatenate(tables: Sequence[PulseTable]) -> PulseTable:
    """Join tables of the same columns and modules, one after the other; drops are added up.

    Raises ValueError for an empty list, other columns or other modules.
    """
    if not tables:
        raise ValueError("tables: an empty list, expected at least 1")
    first = tables[0]
    dropped: dict[str, int] = {}
    for k, table in enumerate(tables):
        for name in ("pulses", "events"):
            found, expected = set(getattr(table, name)), set(getattr(first, name))
            if found != expected:
                raise ValueError(f"table {k}: {name} {sorted(found)}, expected {sorted(expected)}")
        same = [np.array_equal(a, b) for a, b in zip(table.modules, first.modules)]
        if not all(same):
            raise ValueError(f"table {k}: other modules than table 0, expected the same (modules=)")
        for reason, count in table.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    start = np.cumsum([0] + [table.offsets[-1] for table in tables])
    offsets = [table.offsets[1:] + s for table, s in zip(tables, start)]
    return PulseTable(
        {name: np.concatenate([t.pulses[name] for t in tables]) for name in first.pulses},
        np.concatenate([np.zeros(1, np.int64), *offsets]),
        {name: np.concatenate([t.events[name] for t in tables]) for name in first.events},
        first.modules,
        dropped,
    )


def assemble(
    source: str,
    pulses: Mapping[str, ArrayLike],
    event: ArrayLike,
    events: Mapping[str, ArrayLike],
    number: ArrayLike,
    *,
    modules: Modules | None = None,
    drop_bad: bool = False,
) -> PulseTable:
    """Make a table of pulses in any order.

    source: the file, for messages; pulses: columns [pulse], time and x, y, z, or time and module
    (a number of `modules`), charge 1 where there is none; event: [pulse] number of their event;
    events: columns [event]; number: [event], each once. Without modules they are the places where
    pulses are. drop_bad: leave out pulses that are not finite, of no module (further than 1 m
    from any) or of no event, instead of raising BadFile, a ValueError.
    """
    table = {name: _column(source, name, values) for name, values in pulses.items()}
    of, ids = _column(source, "event", event), _column(source, "number", number)
    truth = {name: _column(source, name, values) for name, values in events.items()}
    _check_columns(source, table, of, truth, ids, modules)
    good = np.ones(len(of), bool)
    dropped: dict[str, int] = {}

    def leave_out(bad: np.ndarray, reason: str, told: str, values: np.ndarray) -> None:
        rows = np.flatnonzero(bad & good)
        if len(rows) and not drop_bad:
            raise BadFile(f"{source}: {told}, row {rows[0]}: {values[rows[0]]} ({len(rows)} rows)")
        if len(rows):
            dropped[reason] = dropped.get(reason, 0) + len(rows)
        good[bad] = False

    for name in ("time", *POSITION, "charge"):
        if name in table:
            bad = ~np.isfinite(table[name].astype(np.float64))
            told = f"column {name}: expected finite numbers"
            leave_out(bad, "pulses not finite", told, table[name])
    row, known = place(ids, of)
    leave_out(~known, "pulses without event", "column event: no such event", of)
    named, module, found = _modules(table, modules, good)
    leave_out(~found, "pulses of unknown modules", "column module: no such module", named)
    table |= {"module": module, "charge": table.get("charge", np.ones(len(of)))}
    if "x" not in table and modules is not None:
        table |= dict(zip(POSITION, modules.position[np.where(found, module, 0)].T))
    kept = np.flatnonzero(good)
    kept = kept[np.lexsort((table["time"][kept], row[kept]))]
    count = np.bincount(row[kept], minlength=len(ids))
    some = count > 0
    if not some.all():
        dropped["events without pulses"] = int((~some).sum())
    if dropped:
        LOG.warning(
            "%s: left out %s", source, ", ".join(f"{n} {why}" for why, n in dropped.items())
        )
    if modules is None:
        modules = _own_modules(table, good)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(count[some])])
    chosen = {name: values[some] for name, values in ({"number": ids} | truth).items()}
    return PulseTable({n: v[kept] for n, v in table.items()}, offsets, chosen, modules, dropped)


def place(known: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row [wanted] of each wanted number among known ones, and whether it is there."""
    if not len(known):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    order = np.argsort(known)
    at = np.searchsorted(known, wanted, sorter=order)
    row = order[np.minimum(at, len(known) - 1)]
    return row, known[row] == wanted


def check_truth(source: str, events: Mapping[str, np.ndarray]) -> None:
    """Raise BadFile where zenith, azimuth or energy [event] cannot be right."""
    for name, low, high in (("zenith", 0, np.pi), ("azimuth", -7, 7), ("energy", 0, np.inf)):
        if name in events:
            values = np.asarray(events[name], np.float64)
            bad = np.flatnonzero(~((values >= low - 1e-6) & (values <= high + 1e-6)))
            if len(bad):
                raise BadFile(
                    f"{source}: column {name}, row {bad[0]}: {values[bad[0]]}, expected {low:g} to "
                    f"{high:.4g} ({len(bad)} rows)"
                )


def _column(source: str, name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iufb":
        raise BadFile(
            f"{source}: column {name}: {array.dtype} of {array.ndim} dimensions, expected a list "
            "of numbers"
        )
    whole = name in ("module", "event", "number")
    if whole and array.dtype.kind == "f":
        bad = np.flatnonzero(array != np.rint(array))
        if len(bad):
            raise BadFile(
                f"{source}: column {name}, row {bad[0]}: {array[bad[0]]}, expected whole numbers"
            )
    return array.astype(np.int64) if whole else array


def _check_columns(
    source: str,
    table: Mapping[str, np.ndarray],
    of: np.ndarray,
    truth: Mapping[str, np.ndarray],
    ids: np.ndarray,
    modules: Modules | None,
) -> None:
    wanted = (
        ("time", "module") if modules is not None and "module" in table else ("time", *POSITION)
    )
    lacking = [name for name in wanted if name not in table]
    if lacking:
        raise BadFile(f"{source}: columns {lacking} missing, found {sorted(table)}")
    for columns, n in ((table, len(of)), (truth, len(ids))):
        for name, values in columns.items():
            if len(values) != n:
                raise BadFile(f"{source}: column {name}: {len(values)} rows, expected {n}")
    value, count = np.unique(ids, return_counts=True)
    if len(value) < len(ids):
        raise BadFile(f"{source}: event {value[count.argmax()]} twice, expected each once")
    check_truth(source, truth)


def _modules(
    table: Mapping[str, np.ndarray], modules: Modules | None, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What names the module of each pulse, its row, and whether there is such a module."""
    if modules is not None and "module" in table:
        row, found = place(modules.number, table["module"])
        return table["module"], row, found
    at = np.stack([table[k] for k in POSITION], -1).astype(np.float64)
    row, found = np.zeros(len(at), np.int64), np.ones(len(at), bool)
    if modules is None:
        row[good] = np.unique(at[good], axis=0, return_inverse=True)[1].reshape(-1)
    elif good.any():
        from scipy import spatial

        distance, row[good] = spatial.KDTree(modules.position).query(at[good])
        found[good] = distance <= NEAR
    return at, row, found


def _own_modules(table: Mapping[str, np.ndarray], good: np.ndarray) -> Modules:
    """Modules at the places of the pulses."""
    at = np.stack([table[k] for k in POSITION], -1).astype(np.float64)[good]
    position = np.unique(at, axis=0).reshape(-1, 3)
    return Modules(np.arange(len(position)), position, np.full(len(position), -1))
