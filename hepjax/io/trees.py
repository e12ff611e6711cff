"""A ROOT table as flat arrays: one array of values and one of offsets a branch.

A jagged branch (the particles of each jet) lies in a ROOT file as one long row of numbers and the
position where each entry begins. uproot hands exactly that over; awkward is only the envelope,
opened here, so that nothing above this module knows it and no Python loop runs over entries.

`expand` turns what a user typed (paths, folders, patterns) into a list of files, `opened` finds the
table in a file, `read_branches` reads named branches of a range of entries, `written` replaces a
file only once its new content is complete. Whatever goes wrong in a file, be it missing, cut off or
damaged, is one kind of error, `BadFile`, a ValueError that begins with the path; `each_file` is
the loop that can leave such files out, counted and reported.

>>> import tempfile, pathlib
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> _ = [(folder / name).touch() for name in ("b.root", "a.root", "notes.txt")]
>>> [path.name for path in expand(folder)]
['a.root', 'b.root']
"""

import contextlib
import glob
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
T = TypeVar("T")


class BadFile(ValueError):
    """A file that cannot be used; the message names file, branch, entry, found and expected."""


class Skipped(NamedTuple):
    """A file that was left out on request."""

    path: str
    reason: str


class Branch(NamedTuple):
    """One branch of a table: flat [entry], or jagged with offsets."""

    values: np.ndarray  # [entry] or [item]
    offsets: np.ndarray | None  # [entry + 1] int64, offsets[0] == 0; None for a flat branch


def expand(files: Files) -> list[Path]:
    """List the files that a path, a folder, a pattern or a list of those stands for.

    A folder stands for its *.root files and a pattern ("*", "?", "[") for what it matches, both
    sorted by name; a list keeps its order. A plain path is kept even if nothing is there, so that
    the reader can report it. Raises ValueError for a folder or pattern without files, for an empty
    list, and for a file named twice, since its jets would count twice.
    """
    entries = [files] if isinstance(files, str | os.PathLike) else list(files)
    paths: list[Path] = []
    for entry in entries:
        text = os.fspath(entry)
        if os.path.isdir(text):
            found = sorted(Path(text).glob("*.root"))
        elif glob.has_magic(text) and not os.path.exists(text):
            found = [Path(name) for name in sorted(glob.glob(text, recursive=True))]
        else:
            found = [Path(text)]
        if not found:
            raise ValueError(f"files: no ROOT file found in {text!r}, expected at least 1")
        paths += found
    if not paths:
        raise ValueError("files: an empty list, expected at least 1 file")
    twice = [str(path) for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise ValueError(f"files: {', '.join(twice)} named more than once, expected each file once")
    return paths


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every error that damaged bytes can raise inside uproot into a BadFile with the path."""
    try:
        yield
    except BadFile:
        raise
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0]
        raise BadFile(f"{path}: cannot be read ({type(error).__name__}: {first_line})") from error


@contextlib.contextmanager
def opened(path: Path, tree: str | None = None) -> Iterator[Any]:
    """Open a file and find its table, an uproot TTree or RNTuple.

    Without a name it is the one called "tree", else the only table of the file. Raises BadFile for
    a file that is missing, cut off or damaged, for a table that is not there (the tables found are
    listed), and for a table without entries.
    """
    import uproot

    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    with contextlib.ExitStack() as stack:
        with reading(path):
            options: dict[str, Any] = {"object_cache": None, "array_cache": None}
            file: Any = uproot.open(os.fspath(path), **options)
            stack.enter_context(file)
            size, expected = path.stat().st_size, file.file.fEND
            if size < expected:
                raise BadFile(f"{path}: cut off: {size} bytes, expected {expected}")
            table = _table(path, file, tree)
        yield table


def _table(path: Path, file: Any, tree: str | None) -> Any:
    classes: dict[str, str] = file.classnames(cycle=False)
    tables = [name for name, kind in classes.items() if "TTree" in kind or "RNTuple" in kind]
    name = tree or ("tree" if "tree" in tables else tables[0] if len(tables) == 1 else None)
    if name not in tables:
        wanted = f"a table {tree!r}" if tree else 'a table "tree" or a single table'
        raise BadFile(f"{path}: tables {tables or 'none'} found, expected {wanted}")
    table = file[name]
    if table.num_entries < 1:
        raise BadFile(f"{path}: {name}: {table.num_entries} entries, expected at least 1")
    return table


def branch_names(table: Any) -> list[str]:
    """Name the branches of a table at its top level, without the counters of jagged branches."""
    names = list(table.keys(recursive=False))
    counters = {
        branch.count_branch.name
        for branch in getattr(table, "branches", [])
        if branch.count_branch is not None
    }
    return [name for name in names if name not in counters]


def counter_name(table: Any, name: str) -> str | None:
    """Name the flat branch with the list lengths of a jagged one, where the table has it."""
    counter = getattr(table[name], "count_branch", None)
    return None if counter is None else counter.name


NUMBERS = ("float", "double", "char", "short", "int", "long", "bool")


def is_flat(table: Any, name: str) -> bool:
    """Tell whether a branch holds one plain number an entry (by its C++ type)."""
    kind = table[name].typename.replace("std::", "").replace("unsigned ", "")
    return kind in NUMBERS or (kind.endswith("_t") and kind.strip("u").startswith("int"))


def read_branches(
    path: Path,
    table: Any,
    names: Sequence[str],
    *,
    entry_start: int = 0,
    entry_stop: int | None = None,
) -> dict[str, Branch]:
    """Read branches of the entries [entry_start, entry_stop) as flat arrays in native byte order.

    Only the named branches are decompressed. Raises BadFile with file and
    branch for a branch that is not numeric or more than once jagged, whose number of entries is
    not the table's, or whose offsets do not fit its values.
    """
    stop = table.num_entries if entry_stop is None else entry_stop
    wanted = set(names)
    with reading(path):
        arrays = table.arrays(
            filter_name=wanted.__contains__,
            entry_start=entry_start,
            entry_stop=stop,
            array_cache=None,
            library="ak",
            how=dict,
        )
    missing = [name for name in names if name not in arrays]
    if missing:
        raise BadFile(f"{path}: branch {', '.join(missing)} not found")
    branches = {}
    for name in names:
        with reading(path):
            branches[name] = _flat(path, name, arrays[name].layout)
        n_entries = _n_entries(branches[name])
        if n_entries != stop - entry_start:
            raise BadFile(
                f"{path}: branch {name}: {n_entries} entries, expected {stop - entry_start}"
            )
    return branches


def _n_entries(branch: Branch) -> int:
    return len(branch.values) if branch.offsets is None else len(branch.offsets) - 1


def _flat(path: Path, name: str, layout: Any) -> Branch:
    plain_list = layout.is_list and not layout.is_regular and not layout.parameter("__array__")
    if plain_list and layout.content.is_numpy:
        offsets = np.asarray(layout.offsets.data, np.int64)
        values = np.asarray(layout.content.data)
        first = offsets[0] if len(offsets) else -1
        if first < 0 or (np.diff(offsets) < 0).any() or offsets[-1] > len(values):
            raise BadFile(f"{path}: branch {name}: offsets do not fit {len(values)} values")
        return Branch(_numeric(path, name, values[first : offsets[-1]]), offsets - first)
    if layout.is_numpy:
        return Branch(_numeric(path, name, np.asarray(layout.data)), None)
    raise BadFile(
        f"{path}: branch {name}: type {layout.form.type}, expected numbers or lists of numbers"
    )


def _numeric(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise BadFile(
            f"{path}: branch {name}: {values.dtype} {list(values.shape)}, expected plain numbers"
        )
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def each_file(
    paths: Sequence[Path], read: Callable[[Path], T], *, skip_bad: bool
) -> tuple[list[tuple[Path, T]], tuple[Skipped, ...]]:
    """Read every file; with skip_bad the bad ones are left out, returned with their reasons.

    A RuntimeWarning counts and lists what was skipped. Raises BadFile at the first bad file without
    skip_bad, and when no file is good.
    """
    results: list[tuple[Path, T]] = []
    skipped: list[Skipped] = []
    for path in paths:
        try:
            results.append((path, read(path)))
        except BadFile as error:
            if not skip_bad:
                raise
            skipped.append(Skipped(str(path), str(error)))
    if skipped:
        reasons = "; ".join(item.reason for item in skipped)
        message = f"{len(skipped)} of {len(paths)} files skipped: {reasons}"
        if not results:
            raise BadFile(message)
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    return results, tuple(skipped)


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder, which replaces `path` once the block has ended.

    A process that dies in the middle leaves the old file, or none, but never half a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
