"""Weights that others trained: torch state dicts, read without torch and without running code.

A .pt file is a zip of one pickle and one file of raw numbers a tensor. A pickle can run any code,
so the unpickler here knows the few names that rebuild tensors, and no others; whatever else the
file asks for is an error. `read` gives {name: array}; what the names mean is for the architectures
(`jets.particlenet.from_weaver`), which use `match` to make sure that nothing is left over.

>>> match({"a": np.zeros(2)}, {"a": (2,)}, "weights")
>>> match({"a": np.zeros(2)}, {"b": (2,)}, "weights")
Traceback (most recent call last):
ValueError: weights: lacks ['b']; not known ['a']
"""

import collections
import functools
import io
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PREFIXES = ("_orig_mod.", "module.", "mod.")
"""What wrappers put before a name: torch.compile, data parallel, weaver."""


class _Storage(NamedTuple):
    """A kind of raw numbers: numpy's dtype, and bytes an item."""

    dtype: str
    size: int


_STORAGES = {
    "DoubleStorage": _Storage("<f8", 8),
    "FloatStorage": _Storage("<f4", 4),
    "HalfStorage": _Storage("<f2", 2),
    "BFloat16Storage": _Storage("bfloat16", 2),
    "LongStorage": _Storage("<i8", 8),
    "IntStorage": _Storage("<i4", 4),
    "ShortStorage": _Storage("<i2", 2),
    "CharStorage": _Storage("|i1", 1),
    "ByteStorage": _Storage("|u1", 1),
    "BoolStorage": _Storage("|b1", 1),
}


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read a state dict: name -> array, prefixes of wrappers taken off, bfloat16 as float32.

    A checkpoint that holds the state dict under "state_dict" or "model" is looked into. Raises
    ValueError, naming the file, where it is missing, damaged, asks for anything but tensors, or
    holds something else than named tensors.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if len(names) != 1:
                raise ValueError(f"{path}: expected one data.pkl in the archive, found {names}")
            root = names[0].removesuffix("data.pkl")
            _check_archive(path, archive, root)
            content = _Unpickler(path, archive, root, archive.read(names[0])).load()
    except ValueError:
        raise
    except Exception as error:  # a damaged file fails in many ways, all of them the file's fault
        raise ValueError(f"{path}: no torch file that can be read ({error})") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path}: expected named tensors, found {type(content).__name__}")
    bad = [name for name, x in content.items() if not isinstance(x, np.ndarray)]
    if bad:
        kind = type(content[bad[0]]).__name__
        raise ValueError(f"{path}: expected tensors only, found {bad[0]!r} of type {kind}")
    weights = {_plain(str(name)): x for name, x in content.items()}
    if len(weights) < len(content):
        raise ValueError(f"{path}: names differ only by {PREFIXES}: {list(content)}")
    return weights


def match(weights: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]], source: str) -> None:
    """Compare names and shapes of weights with those expected.

    Raises ValueError that lists all names missing, all not known, and all shapes that differ.
    """
    lacking = sorted(set(expected) - set(weights))
    unknown = sorted(set(weights) - set(expected))
    shapes = [
        f"{name}: expected {tuple(shape)}, found {np.shape(weights[name])}"
        for name, shape in expected.items()
        if name in weights and tuple(np.shape(weights[name])) != tuple(shape)
    ]
    if lacking or unknown or shapes:
        parts = [f"lacks {lacking}"] if lacking else []
        parts += [f"not known {unknown}"] if unknown else []
        raise ValueError(f"{source}: " + "; ".join(parts + shapes))


def _check_archive(path: Path, archive: zipfile.ZipFile, root: str) -> None:
    """Refuse compressed entries, which torch never writes and may be bombs, and big-endian ones."""
    packed = [x.filename for x in archive.infolist() if x.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"{path}: expected entries that are not compressed, found {packed}")
    entry = f"{root}byteorder"
    if entry in archive.namelist() and archive.read(entry) != b"little":
        raise ValueError(f"{path}: expected little-endian numbers, found {archive.read(entry)!r}")


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


class _Unpickler(pickle.Unpickler):
    """Rebuilds tensors as arrays and refuses every other global."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, root: str, content: bytes):
        super().__init__(io.BytesIO(content))
        self.path, self.archive, self.root = path, archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return functools.partial(_rebuild_tensor, self.path)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise ValueError(f"{self.path}: asks for {module}.{name}; only tensors are admitted")

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Storage):
            raise ValueError(f"{self.path}: expected a tensor's storage, found {kind!r}")
        info = self.archive.getinfo(f"{self.root}data/{int(key)}")
        if info.file_size != int(count) * storage.size:
            raise ValueError(
                f"{self.path}: storage {key} has {info.file_size} bytes, "
                f"expected {int(count) * storage.size}"
            )
        raw = self.archive.read(info)
        if storage.dtype == "bfloat16":
            return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(raw, storage.dtype)


def _rebuild_tensor(
    path: Path,
    storage: np.ndarray,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    *_: Any,
) -> np.ndarray:
    """Copy a tensor out of its storage; none may be larger than that, so none takes much memory."""
    found = f"{path}: a tensor of size {size}, stride {stride}, offset {offset}"
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError(f"{found}: expected as many strides as sizes, none below 0")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if 0 in size:
        last = -1
    if math.prod(size) > len(storage) or last >= len(storage):
        raise ValueError(f"{found}: its storage has {len(storage)} numbers only")
    if last < 0:
        return np.zeros(size, storage.dtype)
    strides = tuple(step * storage.itemsize for step in stride)
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
    return view.copy()
