"""KM3NeT's files of events: offline ROOT, and HDF5 of km3pipe.

`read_root` takes the tree E of offline files (events with hits and mc_trks), `read_hdf5` the tables
hits, mc_tracks and event_info of km3pipe, whose hits are one table or a group of columns. A hit is
a pulse; its time over threshold (tot, ns) is no charge and keeps its name. Directions in these
files are those of travel, and become zenith and azimuth of where the particle came from. The first
Monte Carlo track of an event is taken for its truth: the neutrino, or the first muon of a bundle.

A pulse stands at its module: found by dom_id in a detx file (`io.detx`), or at the mean of its
hits. Hits of files that are not calibrated have no places and need the former, whose delays are
then added to their times. Times are in ns of the run, those of the truth in ns of the simulation,
and differ by a constant of the event. HDF5 needs the extra `km3net` (h5py, and hdf5plugin for its
compression); ROOT needs nothing.

>>> angles(np.array([[0.0, 0.0, -1.0]]))["zenith"].tolist()
[0.0]
"""

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepjax.io import detx, pulses, trees
from hepjax.io.pulses import Modules, PulseTable
from hepjax.io.trees import BadFile

TRACK = ("dir_x", "dir_y", "dir_z", "pos_x", "pos_y", "pos_z", "energy", "type")
HITS = {"dom_id": "dom_id", "channel": "channel_id", "tot": "tot"}
ROOT_HITS = HITS | {"time": "t", "triggered": "trig", "x": "pos.x", "y": "pos.y", "z": "pos.z"}
ROOT_TRACKS = {name: name.replace("_", ".") for name in TRACK[:6]} | {"energy": "E", "type": "type"}


class _Found(NamedTuple):
    hits: dict[str, np.ndarray]  # [hit]
    of: np.ndarray  # [hit] number of the event
    track: dict[str, np.ndarray]  # [event], NaN where there is none
    number: np.ndarray  # [event]


def read_root(
    path: str | os.PathLike[str],
    *,
    telescope: detx.Telescope | None = None,
    triggered: bool = False,
    drop_bad: bool = False,
) -> PulseTable:
    """Read the events of an offline file.

    telescope: from `detx.read`; without, modules are the means of hits, which must be calibrated.
    triggered: leave out other hits, counted in `dropped`; drop_bad: see `pulses.assemble`, and
    leave out events without a track where others have one. Raises BadFile, a ValueError that names
    file and branch.
    """
    import awkward as ak

    path = Path(path)
    with trees.opened(path, "E") as tree, trees.reading(path):
        known = set(tree.keys())
        names = {ours: f"Evt/hits/hits.{name}" for ours, name in ROOT_HITS.items()}
        names |= {f"mc_{k}": f"Evt/mc_trks/mc_trks.{v}" for k, v in ROOT_TRACKS.items()}
        lacking = [name for name in names.values() if name not in known]
        if lacking:
            raise BadFile(f"{path}: branches {lacking} missing")
        found = {ours: tree[name].array() for ours, name in names.items()}
        number = np.asarray(tree["Evt/id"].array()).astype(np.int64)
        count = ak.to_numpy(ak.num(found["time"]))
        hits = {ours: ak.to_numpy(ak.flatten(found[ours])) for ours in ROOT_HITS}
        first = {k: ak.to_numpy(ak.fill_none(ak.firsts(found[f"mc_{k}"]), np.nan)) for k in TRACK}
    number = number if len(np.unique(number)) == len(number) else np.arange(len(number))
    read = _Found(hits, np.repeat(number, count), first, number)
    return _assemble(path, read, telescope, triggered, drop_bad)


def read_hdf5(
    path: str | os.PathLike[str],
    *,
    telescope: detx.Telescope | None = None,
    triggered: bool = False,
    drop_bad: bool = False,
) -> PulseTable:
    """Read the events of a file of km3pipe; arguments and errors as of `read_root`."""
    import h5py

    with contextlib.suppress(ImportError):  # some files are compressed with what it registers
        import hdf5plugin  # noqa: F401
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    with trees.reading(path), h5py.File(path, "r") as file:
        hits, info = _columns(path, file, "hits"), _columns(path, file, "event_info")
        tracks = _columns(path, file, "mc_tracks") if "mc_tracks" in file else {}
    if "pdgid" in tracks:
        tracks["type"] = tracks["pdgid"]
    event = "group_id" if "group_id" in hits else "event_id"
    names = HITS | {"time": "time", "triggered": "triggered"}
    _require(path, "hits", hits, (event, *names.values()))
    _require(path, "event_info", info, (event,))
    number = info[event].astype(np.int64)
    table = {ours: hits[name] for ours, name in names.items()}
    if "pos_x" in hits:
        table |= {k: hits[f"pos_{k}"] for k in pulses.POSITION}
    first = {name: np.full(len(number), np.nan) for name in TRACK}
    if tracks:
        _require(path, "mc_tracks", tracks, (event, *TRACK))
        known, at = np.unique(tracks[event].astype(np.int64), return_index=True)
        row, there = pulses.place(known, number)
        if len(at):
            first = {k: np.where(there, tracks[k][at[row]], np.nan) for k in TRACK}
    read = _Found(table, hits[event].astype(np.int64), first, number)
    return _assemble(path, read, telescope, triggered, drop_bad)


def angles(direction: np.ndarray) -> dict[str, np.ndarray]:
    """Zenith and azimuth [...], rad, of where what travels along a direction [..., 3] came from."""
    x, y, z = -np.moveaxis(direction, -1, 0)
    return {"zenith": np.arctan2(np.hypot(x, y), z), "azimuth": np.arctan2(y, x) % (2 * np.pi)}


def _columns(path: Path, file: Any, name: str) -> dict[str, np.ndarray]:
    """A table of a file, stored as such or as a group of columns."""
    if name not in file:
        raise BadFile(f"{path}: table {name} missing, found {sorted(file)}")
    node = file[name]
    if hasattr(node, "keys"):
        return {k: np.asarray(node[k]) for k in node if not k.startswith("_")}
    rows = np.asarray(node)
    return {k: rows[k] for k in rows.dtype.names or ()}


def _require(path: Path, name: str, table: dict[str, np.ndarray], wanted: tuple[str, ...]) -> None:
    lacking = [column for column in wanted if column not in table]
    if lacking:
        raise BadFile(f"{path}: {name}: columns {lacking} missing, found {sorted(table)}")


def _assemble(
    path: Path, read: _Found, telescope: detx.Telescope | None, triggered: bool, drop_bad: bool
) -> PulseTable:
    kept = read.hits["triggered"] != 0 if triggered else np.ones(len(read.of), bool)
    travel = np.stack([read.track[f"dir_{k}"] for k in pulses.POSITION], -1).astype(np.float64)
    known = np.isfinite(travel).all(-1) & (np.abs(travel).sum(-1) > 0)
    lacking = read.number[~known] if known.any() else read.number[:0]
    if len(lacking) and not drop_bad:
        raise BadFile(f"{path}: event {lacking[0]} has no Monte Carlo track ({len(lacking)} such)")
    truth = {ours: read.track[f"pos_{ours}"] for ours in pulses.POSITION}
    truth |= {"energy": read.track["energy"], "pid": read.track["type"]} | angles(travel)
    whole, real = ~np.isin(read.number, lacking), kept & ~np.isin(read.of, lacking)
    table, modules = _placed(path, {k: v[real] for k, v in read.hits.items()}, telescope)
    found = pulses.assemble(
        str(path),
        table,
        read.of[real],
        {name: values[whole] for name, values in truth.items()} if known.any() else {},
        read.number[whole],
        modules=modules,
        drop_bad=drop_bad,
    )
    more = {"hits that did not trigger": int((~kept).sum()), "events without truth": len(lacking)}
    return found._replace(dropped=found.dropped | {k: n for k, n in more.items() if n})


def _placed(
    path: Path, table: dict[str, np.ndarray], telescope: detx.Telescope | None
) -> tuple[dict[str, np.ndarray], Modules]:
    """Hits with the numbers of their modules and right times, and the modules."""
    place = [table[k] for k in pulses.POSITION if k in table]
    placed = any(np.any(np.isfinite(x) & (x != 0)) for x in place)
    module, time = table["dom_id"].astype(np.int64), table["time"].astype(np.float64)
    if telescope is None:
        if len(time) and not placed:
            raise BadFile(
                f"{path}: hits have no places (not calibrated), expected telescope= of a detx file"
            )
        at = np.stack(place, -1) if place else np.zeros((0, 3))
        known = np.isfinite(at).all(-1)
        number, row = np.unique(module[known], return_inverse=True)
        count = np.bincount(row, minlength=len(number))
        mean = [np.bincount(row, x, len(number)) / count for x in at[known].T]
        modules = Modules(number, np.stack(mean, -1), np.full(len(number), -1))
    else:
        modules = telescope.modules
        if not placed:
            time = time + detx.delays(telescope, module, table["channel"].astype(np.int64))
    rest = {k: v for k, v in table.items() if k not in (*pulses.POSITION, "dom_id")}
    return rest | {"time": time, "module": module}, modules
