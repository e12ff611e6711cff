"""Parton densities in files of LHAPDF's format "lhagrid1", one member a file.

A file holds sub-grids, one between two thresholds of quark masses: knots in x, knots in Q, and x f
of each flavour at all of them. `read` gives a member as one `Grid`; `find` looks for a set by its
name, in the folders of LHAPDF_DATA_PATH and among those that come with the package pythia8mc, and
`listed` says which there are. `integration.pdf` interpolates.

>>> find("no_such_set")
Traceback (most recent call last):
ValueError: PDF set 'no_such_set': no such file, and none of that name in ...
"""

import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepjax.io import text
from hepjax.io.trees import BadFile

FLAVOURS = (-6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 21, 22)
"""Columns of a grid, PDG codes: antiquarks, quarks, gluon, photon."""


class Grid(NamedTuple):
    """One member of a set.

    x: [x] knots, rising; q: [q] knots, GeV, rising, each threshold twice, as the end of a sub-grid
    and the beginning of the next; first: where each sub-grid begins in q; xf: [x, q, flavour] by
    the columns of FLAVOURS, 0 for those that the file lacks.
    """

    x: np.ndarray
    q: np.ndarray
    first: tuple[int, ...]
    xf: np.ndarray


def read(path: str | os.PathLike[str]) -> Grid:
    """Read a member from its file.

    Raises BadFile, a ValueError, for a file of another format, knots that do not rise, sub-grids
    that do not join, and values that are missing or not finite.
    """
    lines = text.read(path).splitlines()
    ends = [k for k, line in enumerate(lines) if line.strip() == "---"]
    head = [line.split(":", 1) for line in lines[: ends[0] if ends else 0]]
    kind = {key.strip(): value.strip() for key, *rest in head for value in rest}.get("Format")
    if kind != "lhagrid1" or len(ends) < 2:
        raise BadFile(f"{path}: format {kind!r}, expected lhagrid1 and at least one sub-grid")
    parts = [_subgrid(path, lines[a + 1 : b]) for a, b in itertools.pairwise(ends)]
    for k, (one, other) in enumerate(itertools.pairwise(parts)):
        if not np.array_equal(one.x, other.x):
            raise BadFile(f"{path}: x knots of sub-grid {k + 1} differ from those of sub-grid {k}")
        if one.q[-1] != other.q[0]:
            raise BadFile(
                f"{path}: sub-grid {k + 1} begins at Q = {other.q[0]} GeV, expected {one.q[-1]}"
            )
    sizes = np.cumsum([0] + [len(one.q) for one in parts[:-1]])
    q, xf = (
        np.concatenate(x, a) for x, a in (([p.q for p in parts], 0), ([p.xf for p in parts], 1))
    )
    return Grid(parts[0].x, q, tuple(sizes.tolist()), xf)


def _subgrid(path: str | os.PathLike[str], lines: Sequence[str]) -> Grid:
    where = f"{path}: sub-grid"
    try:
        x, q = (np.array(line.split(), float) for line in lines[:2])
        pid = [int(word) for word in lines[2].split()]
        values = np.array(" ".join(lines[3:]).split(), float)
    except (ValueError, IndexError) as error:
        raise BadFile(f"{where}: {error}") from error
    for name, knots in (("x", x), ("Q", q)):
        if len(knots) < 4 or not (np.diff(knots) > 0).all() or knots[0] <= 0:
            raise BadFile(
                f"{where}: {len(knots)} {name} knots, expected at least 4 that rise from 0"
            )
    pid = [21 if code == 0 else code for code in pid]
    unknown = sorted(set(pid) - set(FLAVOURS))
    if unknown or len(set(pid)) < len(pid):
        raise BadFile(f"{where}: flavours {pid}, expected each once and only {list(FLAVOURS)}")
    if len(values) != len(x) * len(q) * len(pid) or not np.isfinite(values).all():
        raise BadFile(
            f"{where}: {np.isfinite(values).sum()} finite values, expected {len(x)} x {len(q)} x "
            f"{len(pid)}"
        )
    xf = np.zeros((len(x), len(q), len(FLAVOURS)))
    xf[..., [FLAVOURS.index(code) for code in pid]] = values.reshape(len(x), len(q), len(pid))
    return Grid(x, q, (0,), xf)


def folders() -> list[Path]:
    """List the folders in which sets are looked for: LHAPDF_DATA_PATH, then Pythia's."""
    named = [Path(p) for p in os.environ.get("LHAPDF_DATA_PATH", "").split(os.pathsep) if p]
    pythia = [Path(os.environ["PYTHIA8DATA"]).parent] if "PYTHIA8DATA" in os.environ else []
    pythia.append(Path(sys.prefix) / "share" / "Pythia8")
    return named + [folder / "pdfdata" for folder in pythia]


def listed() -> dict[str, Path]:
    """List the sets that are found: name -> file of the central member."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted([*folder.glob("*_0000.dat"), *folder.glob("*/*_0000.dat")]):
            found.setdefault(path.name.removesuffix("_0000.dat"), path)
    return found


def find(name: str | os.PathLike[str], member: int = 0) -> Path:
    """Find the file of a member by the name of its set, or by its path.

    Raises ValueError that lists what there is.
    """
    if Path(name).is_file():
        return Path(name)
    there = listed()
    path = there.get(str(name))
    if path is None:
        raise ValueError(
            f"PDF set {str(name)!r}: no such file, and none of that name in "
            f"{', '.join(map(str, folders()))}, which hold {', '.join(there) or 'none'}; name a "
            "file, set LHAPDF_DATA_PATH, or install the extra `generators`, which brings some"
        )
    path = path.with_name(f"{name}_{member:04d}.dat")
    if not path.exists():
        raise ValueError(f"PDF set {name}: no member {member}, expected {path}")
    return path
