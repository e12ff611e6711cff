"""State dicts of torch, read without torch.

Since version 1.6 torch saves a zip file: a pickle that describes the tensors, and their raw numbers
beside it. A pickle may run any code when it is loaded; the one here admits tensors and dictionaries
of them, and refuses every other name by a ValueError, so that weights from strangers are safe to
open. In order: `read`, its unpickler, and the tensor that it rebuilds.

`read` also unwraps {"state_dict": ...} and the prefixes `_orig_mod.`, `module.` and `mod.` that
torch.compile, parallel wrappers and weaver put before every name.

>>> read("weights.png")
Traceback (most recent call last):
ValueError: weights.png: no such file
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PREFIXES = ("_orig_mod.", "module.", "mod.")
DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""torch's storages and the numpy dtype of their elements; bfloat16 is widened to float32."""


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a state dict: name -> array of the dtype in the file, bfloat16 as
    float32.

    Raises ValueError naming the file for one that is missing, cut off or older than torch 1.6, for
    a pickle that holds anything but tensors and dictionaries, naming it, and for storages that do
    not fit their tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            found = _load(path, archive)
    except (zipfile.BadZipFile, EOFError, pickle.UnpicklingError, OSError) as error:
        raise ValueError(
            f"{path}: expected the zip file of torch >= 1.6, found a damaged or other one ({error})"
        ) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise ValueError(f"{path}: expected a dictionary of tensors, found {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{path}: {name}: expected a tensor, found {type(value).__name__}")
    return _without_prefixes(dict(found))


def _without_prefixes(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for prefix in PREFIXES * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _load(path: Path, archive: zipfile.ZipFile) -> Any:
    """Unpickle the description; the numbers are read as it asks for them."""
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"{path}: expected one data.pkl, found {len(pickles)}")
    root = pickles[0].removesuffix("data.pkl")
    order = f"{root}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError(f"{path}: expected little-endian numbers, found {archive.read(order)!r}")
    with archive.open(pickles[0]) as stream:
        try:
            return _Unpickler(stream, path, archive, root).load()
        except (TypeError, AttributeError, IndexError, KeyError) as error:
            raise ValueError(f"{path}: data.pkl is no state dict ({error})") from error


class _Storage(NamedTuple):
    """A flat array of numbers, not yet a tensor."""

    values: np.ndarray


class _Unpickler(pickle.Unpickler):
    """Unpickle tensors and dictionaries, nothing else."""

    def __init__(self, stream: Any, path: Path, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(stream, encoding="utf-8")
        self._path, self._archive, self._root = path, archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in DTYPES:
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *flags: tensor
        raise ValueError(f"{self._path}: expected tensors only, found {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype_name, key, _, count = pid
        if kind != "storage" or dtype_name not in DTYPES:
            raise ValueError(f"{self._path}: expected a storage, found {pid!r}")
        entry = f"{self._root}data/{key}"
        if entry not in self._archive.namelist():
            raise ValueError(f"{self._path}: {entry} is missing")
        raw, dtype = self._archive.read(entry), DTYPES[dtype_name]
        values = _bfloat16(raw) if dtype == "bfloat16" else np.frombuffer(raw, dtype)
        if len(values) != count:
            raise ValueError(
                f"{self._path}: {entry}: expected {count} numbers, found {len(values)}"
            )
        return _Storage(values)

    def _tensor(
        self, storage: _Storage, offset: int, size: tuple, stride: tuple, *flags: Any
    ) -> np.ndarray:
        values = storage.values
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 not in size and not 0 <= offset <= last < len(values):
            raise ValueError(
                f"{self._path}: tensor of shape {size} leaves its storage of {len(values)} numbers"
            )
        if 0 in size:
            return np.zeros(size, values.dtype)
        steps = tuple(step * values.itemsize for step in stride)
        return np.lib.stride_tricks.as_strided(values[offset:], size, steps).copy()


def _bfloat16(raw: bytes) -> np.ndarray:
    return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
