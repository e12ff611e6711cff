"""Events that ACTS wrote as CSV: measurements with their truth, particles, and ACTS' own tracks.

An event is a family of files, event000000000-measurements.csv and -measurement-simhit-map.csv,
-hits.csv, -particles_simulated.csv beside it, as the writers of ACTS' examples name them; lengths
mm, momenta GeV. Volumes, layers and modules are parts of the geometry's 64-bit identifiers.
`read_tracks` takes what its CsvTrackWriter wrote, as pairs (hit, track); that writer leaves out
tracks below 1 GeV and of fewer than seven measurements unless it is told otherwise.

>>> parts(np.array([504403295704449280]))
{'volume': array([7]), 'layer': array([2]), 'sensor': array([1])}
"""

import csv
import io
import os
from collections.abc import Sequence

import numpy as np

from hepjax.io import columns, hits, text
from hepjax.io.hits import Event
from hepjax.io.trees import BadFile, Skipped

ENDINGS = ("-measurements.csv", "-measurements.csv.gz")
BARCODE = tuple(f"particle_id_{part}" for part in ("pv", "sv", "part", "gen", "subpart"))
"""Five numbers that name a particle together."""

WHOLE = (*BARCODE, "particle_type", "measurement_id", "hit_id", "geometry_id")
MEASUREMENTS = "Measurements_ID"
MEASURED = ("measurement_id", "geometry_id", "global_x", "global_y", "global_z")
PARTICLES = (*BARCODE, "particle_type", "vx", "vy", "vz", "px", "py", "pz", "q")


def parts(geometry: np.ndarray) -> dict[str, np.ndarray]:
    """Take identifiers of surfaces apart: volume, layer, sensor [surface]."""
    return {
        "volume": geometry >> 56,
        "layer": (geometry >> 36) & 0xFFF,
        "sensor": (geometry >> 8) & 0xFFFFF,
    }


def read_event(path: str | os.PathLike[str]) -> Event:
    """Read one event by its file of measurements.

    hits of the result: x, y, z, module, volume, layer, hit_id (measurement_id); particles: key
    (their row), pid, p, pt, eta, phi, charge, vx, vy, vz. Raises BadFile, a ValueError, that names
    file, column and row.
    """
    start = os.fspath(path)
    for ending in ENDINGS:
        start = start.removesuffix(ending)
    table = _table(start, "measurements", MEASURED)
    where = parts(table["geometry_id"])
    module = np.unique(table["geometry_id"], return_inverse=True)[1].reshape(-1)
    found = {x: table[f"global_{x}"] for x in hits.POSITION} | {"module": module}
    found |= {k: where[k] for k in ("volume", "layer")} | {"hit_id": table["measurement_id"]}
    particles = _table(start, "particles_simulated", PARTICLES)
    event = Event(found, _particles(particles), _truth(start, table["measurement_id"], particles))
    hits.validate(event, source=start)
    return event


def read(files: hits.Files, *, skip_bad: bool = False) -> tuple[list[Event], tuple[Skipped, ...]]:
    """Read the events of folders or files of measurements.

    skip_bad and what is raised: see `hits.read`.
    """
    return hits.read(files, read_event, ENDINGS, skip_bad=skip_bad)


def read_tracks(path: str | os.PathLike[str], hit_id: np.ndarray) -> np.ndarray:
    """Read the tracks that ACTS found in an event: pairs (hit, track) [pair, 2].

    path: a file of CsvTrackWriter; hit_id: [hit] measurements of the event. Raises BadFile for a
    file without the column of measurements, and one that names a measurement that is not there.
    """
    table = csv.DictReader(io.StringIO(text.read(path), newline=""))
    listed: list[tuple[int, int]] = []
    try:
        names = table.fieldnames or [MEASUREMENTS]  # a file without a line has no tracks
        for k, row in enumerate(table):
            words = (row.get(MEASUREMENTS) or "").strip("[]").split(",")
            listed += [(int(word), k) for word in words if word]
        pairs = np.array(listed, np.int64).reshape(-1, 2)
    except (csv.Error, ValueError, OverflowError) as error:
        raise BadFile(f"{path}: after {len(listed)} pairs: {error}") from error
    if MEASUREMENTS not in names:
        raise BadFile(f"{path}: column {MEASUREMENTS} missing, found {', '.join(names)}")
    return np.stack([columns.rows(os.fspath(path), pairs[:, 0], hit_id), pairs[:, 1]], -1)


def tracks_beside(path: str | os.PathLike[str], hit_id: np.ndarray) -> np.ndarray:
    """Read the tracks of a file of measurements from the file beside it, none where there is none:
    event000000000-tracks.csv, or the same with .gz.
    """
    start = os.fspath(path).split("-measurements.csv")[0]
    beside = columns.find(f"{start}-tracks.csv")
    return read_tracks(beside, hit_id) if beside else np.zeros((0, 2), np.int64)


def _table(start: str, what: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    path = columns.find(f"{start}-{what}.csv")
    if path is None:
        raise BadFile(f"{start}-{what}.csv: no such file, nor with .gz")
    return columns.read(path, names, whole=WHOLE, only=True)


def _particles(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    p3 = np.stack([table[k] for k in ("px", "py", "pz")], -1)
    return {
        "key": np.arange(len(p3)),
        "pid": table["particle_type"],
        **hits.kinematics(p3),
        "charge": table["q"],
        **{k: table[k] for k in ("vx", "vy", "vz")},
    }


def _truth(start: str, hit_id: np.ndarray, particles: dict[str, np.ndarray]) -> np.ndarray:
    """Follow measurements to simulated hits, which are counted, and on to particles."""
    of = _table(start, "measurement-simhit-map", ("measurement_id", "hit_id"))
    simulated = _table(start, "hits", BARCODE)
    n = len(simulated[BARCODE[0]])
    bad = np.flatnonzero((of["hit_id"] < 0) | (of["hit_id"] >= n))
    if len(bad):
        raise BadFile(
            f"{start}: measurement-simhit-map: row {bad[0]} names hit {of['hit_id'][bad[0]]}, "
            f"expected 0 to {n - 1}"
        )
    names = [np.stack([table[k] for k in BARCODE], -1) for table in (simulated, particles)]
    _, number = np.unique(np.concatenate(names), axis=0, return_inverse=True)
    wanted = number.reshape(-1)[:n][of["hit_id"]]
    known = number.reshape(-1)[n:]
    there = np.isin(wanted, known)  # hits of particles that were not kept have no particle
    hit = columns.rows(f"{start}: measurement-simhit-map", of["measurement_id"][there], hit_id)
    order = np.argsort(known)
    particle = order[np.searchsorted(known[order], wanted[there])]
    return np.unique(np.stack([particle, hit], -1), axis=0)[:, ::-1]
