"""Geometries of neutrino telescopes, built from their published formulas or read from a table.

Each has strings of modules: a hexagonal grid (IceCube), or a spiral of the golden angle, which
fills a disc evenly and is near to what KM3NeT and TRIDENT plan. All are centred at zero, z upwards.
What differs from the real ones: strings stand on exact grids and not where drills or ships came
down, and all strings of a kind have the same heights. `read` takes a table of module positions
(parquet or CSV), whose coordinates stay as they are: pulses of the same files must fit.

`icecube86`, `orca`, `arca`, `pone`, `trident` build, `hexagonal`, `spiral` and `hang` are what they
are built of, `centre` and `extent` measure.

>>> icecube = icecube86()
>>> icecube.position.shape, len(np.unique(icecube.string)), centre(icecube).round().tolist()
((5160, 3), 86, [4.0, -4.0, -25.0])
>>> trident().position.shape
(24220, 3)
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepjax.neutrino.data import Detector

ICECUBE_ROWS = (6, 7, 8, 9, 10, 10, 9, 8, 7, 4)
"""Strings in each row of IceCube's grid."""

DEPTH = 1948.07
"""Of IceCube's centre below the surface, m."""

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


class Extent(NamedTuple):
    """Cylinder around all modules: centre [3], radius and half of the height, m."""

    centre: np.ndarray
    radius: float
    half_height: float


def hexagonal(rows: Sequence[int], spacing: float) -> np.ndarray:
    """Place strings [string, 2] on a triangular grid, m, as in a hexagon that may lack strings.

    rows: number of strings of each; up to the longest row each begins half a spacing further left
    than the one before, behind it further right. The middle is at zero.
    """
    shift, xy = 0.0, []
    for k, n in enumerate(rows):
        if k:
            shift += -0.5 if n > rows[k - 1] else 0.5
        xy += [((shift + j) * spacing, k * spacing * np.sqrt(3) / 2) for j in range(n)]
    grid = np.array(xy)
    return grid - grid.mean(0)


def spiral(n_strings: int, pitch: float) -> np.ndarray:
    """Place strings [string, 2] on a golden spiral, number k = 1, 2, ... at radius pitch sqrt(k),
    m: each has an area of pi pitch^2, neighbours are 1.6 to 1.75 pitch apart.
    """
    k = np.arange(1, n_strings + 1)
    angle = (k - 1) * GOLDEN_ANGLE
    return pitch * np.sqrt(k)[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def hang(
    xy: np.ndarray, z: np.ndarray, *, efficiency: float = 1.0, first_string: int = 0
) -> Detector:
    """Hang modules at the heights z [module] on each string xy [string, 2]."""
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"xy: shape {xy.shape}, expected [string, 2]")
    place = np.repeat(xy, len(z), axis=0)
    position = np.concatenate([place, np.tile(z, len(xy))[:, None]], -1).astype(np.float32)
    string = np.repeat(np.arange(len(xy)) + first_string, len(z)).astype(np.int32)
    return Detector(position, np.full(len(position), efficiency, np.float32), string)


def join(*parts: Detector) -> Detector:
    """Put detectors together, one after the other."""
    return Detector(*(np.concatenate(fields) for fields in zip(*parts)))


def icecube86() -> Detector:
    """Build IceCube: 78 strings of 60 modules 17 m apart on a grid of 125 m, and 8 strings of
    DeepCore between those in the middle, with modules of efficiency 1.35 (arXiv:1109.6096).
    """
    outer = hexagonal(ICECUBE_ROWS, 125.0)
    z = DEPTH - np.linspace(1450.0, 2450.0, 60)
    middle = outer[np.argmin(np.linalg.norm(outer, axis=1))]
    ring = np.radians(60 * np.arange(6) + 30)
    near = np.radians([0.0, 180.0])
    deep = [72.0 * np.stack([np.cos(ring), np.sin(ring)], -1)]
    deep += [42.0 * np.stack([np.cos(near), np.sin(near)], -1)]
    above, below = 1760.0 + 10.0 * np.arange(10), 2107.0 + 7.0 * np.arange(50)
    dense = DEPTH - np.concatenate([above, below])
    core = hang(middle + np.concatenate(deep), dense, efficiency=1.35, first_string=78)
    return join(hang(outer, z), core)


def orca() -> Detector:
    """Build KM3NeT/ORCA: 115 strings 20 m apart, 18 modules each, 9 m apart (arXiv:1601.07459)."""
    return hang(spiral(115, 20.0 / 1.7), _heights(18, 9.0))


def arca() -> Detector:
    """Build a block of KM3NeT/ARCA: 115 strings 90 m apart, 18 modules each, 36 m apart
    (arXiv:1601.07459).
    """
    return hang(spiral(115, 90.0 / 1.7), _heights(18, 36.0))


def pone() -> Detector:
    """Build a cluster of P-ONE: 10 strings 80 m apart, 20 modules each along 1 km
    (arXiv:2005.09493).
    """
    return hang(spiral(10, 80.0 / 1.7), _heights(20, 1000.0 / 19))


def trident() -> Detector:
    """Build TRIDENT: 1211 strings in a circle of 1950 m, 20 modules each, 30 m apart
    (arXiv:2207.04519).

    Its strings are planned on a Penrose tiling; on the spiral here they have the same density.
    """
    return hang(spiral(1211, 1950.0 / np.sqrt(1211)), _heights(20, 30.0))


BUILDERS: dict[str, Callable[[], Detector]] = {
    "icecube86": icecube86,
    "orca": orca,
    "arca": arca,
    "pone": pone,
    "trident": trident,
}
"""All by name, for options of experiments."""


def _heights(n: int, spacing: float) -> np.ndarray:
    return (np.arange(n) - (n - 1) / 2) * spacing


def read(path: Path | str) -> Detector:
    """Read a table of modules (parquet, needs pyarrow; or CSV with a header).

    Columns: sensor_pos_x, sensor_pos_y, sensor_pos_z, or dom_x, dom_y, dom_z, m; sensor_string_id
    or string; rde, the relative efficiency, if there is one, where unknown 1. Raises ValueError for
    a missing column and for positions that are not finite.
    """
    columns = _columns(Path(path))

    def column(*names: str) -> np.ndarray:
        for name in names:
            if name in columns:
                return columns[name]
        raise ValueError(f"{path}: no column {' or '.join(names)}, found {', '.join(columns)}")

    axes = [column(f"sensor_pos_{axis}", f"dom_{axis}") for axis in "xyz"]
    position = np.stack(axes, -1).astype(np.float32)
    if not np.isfinite(position).all():
        row = int(np.argwhere(~np.isfinite(position))[0, 0])
        raise ValueError(f"{path}: position of row {row} is {position[row].tolist()}")
    string = column("sensor_string_id", "string").astype(np.int32)
    efficiency = np.asarray(columns.get("rde", np.ones(len(string))), np.float32)
    return Detector(position, np.where(np.isnan(efficiency), np.float32(1), efficiency), string)


def _columns(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".csv":
        table = np.genfromtxt(path, delimiter=",", names=True, ndmin=1)
        return {name: table[name] for name in table.dtype.names or ()}
    from pyarrow import parquet

    table = parquet.read_table(path)
    return {name: table[name].to_numpy() for name in table.schema.names}


def centre(detector: Detector) -> np.ndarray:
    """Find the mean position of all modules [3], m."""
    return np.asarray(detector.position, np.float64).mean(0)


def extent(detector: Detector) -> Extent:
    """Find the upright cylinder around all modules, the axis through their mean."""
    position = np.asarray(detector.position, np.float64)
    low, high = position[:, 2].min(), position[:, 2].max()
    middle = np.array([*position[:, :2].mean(0), (low + high) / 2])
    radius = np.linalg.norm(position[:, :2] - middle[:2], axis=1).max()
    return Extent(middle, float(radius), float(high - low) / 2)
