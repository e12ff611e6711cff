"""Sky maps as FITS files, which the tools of the field read.

A map of cells of many sizes is a table with UNIQ and PROBDENSITY (per steradian), one row a cell,
as the alerts of gravitational waves have it: `write`. Older tools want equal cells in one order:
`write_flat`, with their probabilities. `read` takes both.

A map of the sky has right ascension and declination (frame "icrs"); one of a detector, with polar
angle and longitude for zenith and azimuth ("local"), says so in COORDSYS, and programs that know
the sky alone may refuse it. Needs the extra `sky` (astropy).

>>> import tempfile
>>> sky = SkyMap(np.zeros(12, int), np.arange(12), np.full(12, 0.25 / np.pi))
>>> path = Path(tempfile.mkdtemp()) / "sky.fits"
>>> write(path, sky, frame="icrs", time="2026-01-01T00:00:00")
>>> read(path).frame, bool((read(path).sky.density == sky.density).all())
('icrs', True)
"""

import gzip
import io
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from hepjax import healpix
from hepjax.healpix import SkyMap
from hepjax.io import trees
from hepjax.io.trees import BadFile

Frame = Literal["icrs", "local"]
COORDINATES = {"icrs": "C", "local": "L"}


class SkyFile(NamedTuple):
    """A map as it stands in a file."""

    sky: SkyMap
    frame: str  # "icrs", "local", or what else COORDSYS says
    time: str  # of the event, UTC, ISO; "" where the file has none
    name: str  # of the event; "" where the file has none


def write(
    path: str | os.PathLike[str],
    sky: SkyMap,
    *,
    frame: Frame,
    time: str = "",
    name: str = "",
) -> None:
    """Write a map with cells of many sizes, whole or not at all; time: of the event, UTC, ISO.

    Raises ValueError for cells that overlap or leave gaps, and for another frame.
    """
    healpix.check(sky)
    number = healpix.uniq(sky.order, sky.pixel)
    ranked = np.argsort(number)
    columns = [
        ("UNIQ", "K", "", number[ranked]),
        ("PROBDENSITY", "D", "sr-1", sky.density[ranked].astype(np.float64)),
    ]
    header = {"ORDERING": "NUNIQ", "MOCORDER": int(sky.order.max()), "INDXSCHM": "EXPLICIT"}
    _write(Path(path), columns, header, frame, time, name)


def write_flat(
    path: str | os.PathLike[str],
    sky: SkyMap,
    order: int,
    *,
    frame: Frame,
    time: str = "",
    name: str = "",
) -> None:
    """Write a map with equal cells of an order, nested, as probabilities of cells."""
    density = healpix.flat(healpix.check(sky), order)
    columns = [("PROB", "D", "pix-1", density * healpix.area(order))]
    header = {"ORDERING": "NESTED", "NSIDE": 1 << order, "INDXSCHM": "IMPLICIT"}
    header |= {"FIRSTPIX": 0, "LASTPIX": len(density) - 1}
    _write(Path(path), columns, header, frame, time, name)


def read(path: str | os.PathLike[str]) -> SkyFile:
    """Read a map of either kind.

    Raises BadFile, a ValueError that begins with the path, for a file that is missing, damaged, in
    ring order, or whose cells do not cover the sphere once.
    """
    from astropy.io import fits

    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    with trees.reading(path):
        with fits.open(os.fspath(path), memmap=False) as file:
            table: Any = file[1]
            header = dict(table.header)
            columns = {c.upper(): np.asarray(table.data[c]) for c in table.columns.names}
        ordering = str(header.get("ORDERING", "")).strip().upper()
        if ordering == "NUNIQ":
            sky = _explicit(path, columns)
        elif ordering == "NESTED":
            sky = _implicit(path, columns)
        else:
            raise BadFile(f"{path}: ORDERING {ordering!r}, expected NUNIQ or NESTED")
        try:
            healpix.check(sky, source=str(path))
        except ValueError as error:
            raise BadFile(str(error)) from error
    system = str(header.get("COORDSYS", "")).strip()
    frame = {short: frame for frame, short in COORDINATES.items()}.get(system, system)
    return SkyFile(sky, frame, str(header.get("DATE-OBS", "")), str(header.get("OBJECT", "")))


def _explicit(path: Path, columns: dict[str, np.ndarray]) -> SkyMap:
    lacking = [name for name in ("UNIQ", "PROBDENSITY") if name not in columns]
    if lacking:
        raise BadFile(f"{path}: columns {lacking} missing, found {list(columns)}")
    order, pixel = healpix.from_uniq(columns["UNIQ"].astype(np.int64))
    return SkyMap(order, pixel, columns["PROBDENSITY"].astype(np.float64))


def _implicit(path: Path, columns: dict[str, np.ndarray]) -> SkyMap:
    name = next((name for name in ("PROB", "PROBABILITY", "PROBDENSITY") if name in columns), None)
    if name is None:
        raise BadFile(f"{path}: columns {list(columns)} found, expected PROB")
    values = columns[name].reshape(-1).astype(np.float64)
    order = round(np.log2(max(len(values), 12) / 12) / 2)
    if len(values) != 12 << 2 * order:
        raise BadFile(f"{path}: {len(values)} cells, expected 12 times a power of 4")
    scale = 1.0 if name == "PROBDENSITY" else healpix.area(order)
    pixel = np.arange(len(values))
    return SkyMap(np.full(len(values), order), pixel, values / scale)


def _write(
    path: Path, columns: list[tuple], header: dict[str, Any], frame: str, time: str, name: str
) -> None:
    from astropy.io import fits

    if frame not in COORDINATES:
        raise ValueError(f"frame: {frame!r}, expected icrs or local")
    listed = [fits.Column(name=n, format=f, unit=u or None, array=a) for n, f, u, a in columns]
    table: Any = fits.BinTableHDU.from_columns(listed)
    table.header.update({"PIXTYPE": "HEALPIX", **header, "COORDSYS": COORDINATES[frame]})
    table.header["CREATOR"] = "hepjax"
    for key, value in (("DATE-OBS", time), ("OBJECT", name)):
        if value:
            table.header[key] = value
    content = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(content)
    data = content.getvalue()
    with trees.written(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
