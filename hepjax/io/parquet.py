"""Columns of parquet files as numpy arrays, with errors that name the file and the column.

`read` gives flat columns, `names` says which there are, `nested` reads lists of a struct's fields
as flat arrays with offsets. Needs the extra `parquet` (pyarrow).

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "a.parquet"
>>> write(path, {"t": np.array([0.5, 1.5])})
>>> read(path, ("t",))["t"].tolist(), names(path)
([0.5, 1.5], ['t'])
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hepjax.io import trees
from hepjax.io.trees import BadFile


def names(path: str | os.PathLike[str]) -> list[str]:
    """Name the columns of a file."""
    return list(_open(Path(path)).schema_arrow.names)


def read(
    path: str | os.PathLike[str],
    wanted: Iterable[str] | None = None,
    *,
    rows: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Read columns, all of numbers where None is said, [row] each; missing numbers are NaN.

    rows: [row] bool, those to keep. Raises BadFile, a ValueError that names file and column, for a
    file that is missing or damaged and for a column that is missing or not of numbers.
    """
    path = Path(path)
    file = _open(path)
    types = {field.name: field.type for field in file.schema_arrow}
    chosen = [n for n, t in types.items() if _number(t)] if wanted is None else list(wanted)
    lacking = [name for name in chosen if name not in types]
    if lacking:
        raise BadFile(f"{path}: columns {lacking} missing, found {list(types)}")
    odd = [name for name in chosen if not _number(types[name])]
    if odd:
        raise BadFile(f"{path}: column {odd[0]}: {types[odd[0]]}, expected numbers")
    with trees.reading(path):
        table = file.read(columns=chosen)
        found = {name: np.asarray(_storage(table[name].combine_chunks())) for name in chosen}
    return found if rows is None else {name: values[rows] for name, values in found.items()}


def nested(
    path: str | os.PathLike[str], column: str, wanted: Iterable[str]
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Read fields of a struct column: flat [item] with offsets [row + 1] where they are lists.

    Fields are all lists of the same lengths, or all numbers, which have no offsets. Raises BadFile.
    """
    path = Path(path)
    file = _open(path)
    if column not in file.schema_arrow.names:
        raise BadFile(f"{path}: column {column} missing, found {file.schema_arrow.names}")
    with trees.reading(path):
        struct = _storage(file.read(columns=[column])[column].combine_chunks())
        fields = [field.name for field in getattr(struct.type, "fields", [])]
        lacking = [name for name in wanted if name not in fields]
        if lacking:
            raise BadFile(f"{path}: fields {lacking} of {column} missing, found {fields}")
        parts = {name: _storage(struct.field(name)) for name in wanted}
        offsets: np.ndarray | None = None
        found = {}
        for name, values in parts.items():
            if hasattr(values, "offsets"):
                own = values.offsets.to_numpy().astype(np.int64)
                values, own = _storage(values.flatten()), own - own[0]
                if offsets is not None and not np.array_equal(own, offsets):
                    raise BadFile(f"{path}: {column}.{name}: other lengths than the first field")
                offsets = own
            if not _number(values.type):
                raise BadFile(f"{path}: {column}.{name}: {values.type}, expected numbers")
            found[name] = np.asarray(values)
    return found, offsets


def write(path: str | os.PathLike[str], columns: Mapping[str, np.ndarray]) -> None:
    """Write columns [row] to a file, whole or not at all."""
    import pyarrow
    import pyarrow.parquet

    table: Any = pyarrow.table({name: np.asarray(values) for name, values in columns.items()})
    with trees.written(Path(path)) as temporary:
        pyarrow.parquet.write_table(table, os.fspath(temporary))


def _open(path: Path) -> Any:
    import pyarrow.parquet

    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    with trees.reading(path):
        return pyarrow.parquet.ParquetFile(os.fspath(path))


def _storage(array: Any) -> Any:
    """What a program's own type of array is stored as: awkward's, where it has been imported."""
    return array.storage if hasattr(array, "storage") else array


def _number(kind: Any) -> bool:
    import pyarrow.types as types

    kind = getattr(kind, "storage_type", kind)
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
