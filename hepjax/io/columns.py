"""Tables of numbers as CSV with a header, gzipped or not, as columns.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "a.csv"
>>> _ = path.write_text("id,x,note\\n7,0.5,\\n9,1.5,\\n")
>>> {k: v.tolist() for k, v in read(path, ("id", "x"), whole=("id",), only=True).items()}
{'id': [7, 9], 'x': [0.5, 1.5]}
"""

import csv
import io
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from hepjax.io import text
from hepjax.io.trees import BadFile


def find(path: str | os.PathLike[str]) -> Path | None:
    """Give a file, or the one with .gz behind its name, None where there is neither."""
    listed = [Path(path), Path(f"{os.fspath(path)}.gz")]
    return next((path for path in listed if path.is_file()), None)


def read(
    path: Path, names: Sequence[str], *, whole: Collection[str] = (), only: bool = False
) -> dict[str, np.ndarray]:
    """Read the columns of a file, int64 for those named in whole, float64 for others.

    names: columns that must be there; only: read no others. Raises BadFile, a ValueError, that
    names the file and what is missing, or the row that is no number.
    """
    content = text.read(path)
    try:
        header = next(csv.reader([content.split("\n", 1)[0]]), [])
    except csv.Error as error:
        raise BadFile(f"{path}: header: {error}") from error
    lacking = [name for name in names if name not in header]
    if lacking:
        raise BadFile(f"{path}: columns {', '.join(lacking)} missing, found {', '.join(header)}")
    chosen = list(names) if only else header
    kinds = [(name, np.int64 if name in whole else np.float64) for name in chosen]
    if not content.split("\n", 1)[-1].strip():
        return {name: np.zeros(0, kind) for name, kind in kinds}
    places = [header.index(name) for name in chosen]
    try:
        rows = np.loadtxt(
            io.StringIO(content), kinds, delimiter=",", skiprows=1, ndmin=1, usecols=places
        )
    except ValueError as error:
        raise BadFile(f"{path}: {error}") from error
    return {name: rows[name] for name in chosen}


def rows(source: str, ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Find the rows of ids among known ones, each of which is there once.

    Raises BadFile that begins with source and names the first id that is not known.
    """
    order = np.argsort(known)
    place = np.searchsorted(known, ids, sorter=order)
    row = order[np.minimum(place, len(known) - 1)] if len(known) else np.zeros(len(ids), int)
    bad = np.flatnonzero(known[row] != ids) if len(known) else np.arange(len(ids))
    if len(bad):
        raise BadFile(
            f"{source}: row {bad[0]} names {ids[bad[0]]}, which is not there ({len(bad)} such rows)"
        )
    return row
