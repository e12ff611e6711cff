"""The JetClass layout: jets with their constituents, read from ROOT files and written to them.

JetClass (arXiv:2202.03772, doi:10.5281/zenodo.6619768) stores one jet an entry: jagged part_*
branches with one number a constituent, flat jet_* branches, and label_* branches of which exactly
one is 1. Momenta are in GeV and impact parameters in mm. part_deta is eta - eta(jet) times the sign
of eta(jet), part_dphi is phi - phi(jet). Our own files add event_number: jets of one event share
it, so that a split can be made by event.

`read_jetclass` gives `Columns`, the table as it stands in the file, after `validate` has looked at
every number; `write_jetclass` is the way back. Reading in pieces is in `hepjax.io.stream`, CMS
files in `hepjax.io.nanoaod`, the table in memory in `hepjax.io.table`.

>>> select("f.root", [*KINEMATICS, *ANGLES, *JET, "jet_tau1", "jet_tau2"], features="kinematic",
...        labels=False, branches=["jet_tau*"])[-2:]
['jet_tau1', 'jet_tau2']
"""

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hepjax import lorentz
from hepjax.io import trees
from hepjax.io.table import (
    Columns,
    check_structure,
    concatenate,
    n_jets,
    same_branches,
    take,
    validate,
)
from hepjax.io.trees import BadFile, Skipped, expand

__all__ = [
    "BadFile",
    "Columns",
    "Skipped",
    "concatenate",
    "expand",
    "n_jets",
    "read_entries",
    "read_jetclass",
    "select",
    "take",
    "validate",
    "write_jetclass",
]

KINEMATICS = ("part_px", "part_py", "part_pz", "part_energy")
ANGLES = ("part_deta", "part_dphi")
IDENTITY = (
    "part_charge",
    "part_isChargedHadron",
    "part_isNeutralHadron",
    "part_isPhoton",
    "part_isElectron",
    "part_isMuon",
)
TRACK = ("part_d0val", "part_d0err", "part_dzval", "part_dzerr")
JET = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")

Features = Literal["full", "kinematic"]
BASKET = 5000  # jets written at a time: baskets of about 1 MB a branch
ROOT_DTYPES = "?bBhHiIlLqQfd"  # bool, integers of 1 to 8 bytes, float32, float64


def select(
    source: str,
    available: Sequence[str],
    *,
    features: Features = "full",
    labels: bool = True,
    branches: Sequence[str] | None = None,
) -> list[str]:
    """Choose the branches to read from those that a file has.

    Required are part_px, part_py, part_pz, part_energy, jet_pt, jet_eta, jet_phi, jet_energy; for
    features="full" also charge, identity flags and impact parameters; with labels at least one
    label_*. part_deta and part_dphi are read if there (`read_entries` says what happens if not).
    branches: names or patterns of optional branches to read besides; None means all jet_*, label_*,
    aux_* and other flat branches, and for features="full" all other part_*. Raises BadFile, a
    ValueError, with source and branch for one that is required, or named without a pattern, but is
    not there.
    """
    if features not in ("full", "kinematic"):
        raise ValueError(f"features: {features!r}, expected 'full' or 'kinematic'")
    required = [*KINEMATICS, *JET, *((*IDENTITY, *TRACK) if features == "full" else ())]
    required += [name for name in branches or () if not any(c in name for c in "*?[")]
    label_names = [name for name in available if name.startswith("label_")]
    missing = [name for name in required if name not in available]
    if labels and not label_names:
        missing.append("label_*")
    if missing:
        some = ", ".join([*available[:20], *(["..."] if len(available) > 20 else [])])
        raise BadFile(
            f"{source}: branch {', '.join(missing)} missing, found {len(available)}: {some}"
        )
    wanted = {*required, *ANGLES, *(label_names if labels else ())}
    for name in available:
        if branches is None:
            chosen = features == "full" or not name.startswith("part_")
        else:
            chosen = any(fnmatch.fnmatchcase(name, pattern) for pattern in branches)
        if chosen:
            wanted.add(name)
    return [name for name in available if name in wanted]


def read_jetclass(
    files: trees.Files,
    *,
    features: Features = "full",
    labels: bool = True,
    branches: Sequence[str] | None = None,
    tree: str | None = None,
    skip_bad: bool = False,
) -> Columns:
    """Read jets with their constituents from files in the JetClass layout.

    files: paths, folders (their *.root) or patterns; features: "kinematic" leaves charge, identity
    and impact parameters out; labels=False for files without truth, whose label_* are then neither
    required nor checked; branches: optional ones to read, as names or patterns (None: all);
    tree: name of the table (None: "tree", or the only one); skip_bad: leave bad files out, listed
    in `Columns.skipped` and in a RuntimeWarning. Returns Columns in GeV and mm, dtypes as in the
    file. Raises BadFile, a ValueError that names file, branch, entry, value found and expected, for
    a file that is missing, cut off, damaged or empty, a missing branch, and all that `validate`
    rejects; ValueError if the files do not have the same branches. Source: arXiv:2202.03772.
    """

    def read(path: Path) -> Columns:
        with trees.opened(path, tree) as table:
            names = layout(path, table, features=features, labels=labels, branches=branches)
            return read_entries(path, table, names, labels=labels)

    results, skipped = trees.each_file(trees.expand(files), read, skip_bad=skip_bad)
    first_path, first = results[0]
    for path, columns in results[1:]:
        same_branches(str(path), columns, str(first_path), first)
    return concatenate([columns for _, columns in results])._replace(skipped=skipped)


def layout(
    path: Path, table: Any, *, features: Features, labels: bool, branches: Sequence[str] | None
) -> list[str]:
    """Choose the branches to read from an open table: `select` among part_* and flat branches."""
    with trees.reading(path):
        available = [
            name
            for name in trees.branch_names(table)
            if name.startswith("part_") or trees.is_flat(table, name)
        ]
    return select(str(path), available, features=features, labels=labels, branches=branches)


def read_entries(
    path: Path,
    table: Any,
    names: Sequence[str],
    *,
    entry_start: int = 0,
    entry_stop: int | None = None,
    labels: bool = True,
) -> Columns:
    """Read and validate the jets [entry_start, entry_stop) of an open table.

    names: as `select` gives them. Where part_deta or part_dphi is missing, `with_angles` computes
    both.
    Raises BadFile as `read_jetclass` says, with entries counted from the start of the file.
    """
    data = trees.read_branches(path, table, names, entry_start=entry_start, entry_stop=entry_stop)
    particles: dict[str, np.ndarray] = {}
    jets: dict[str, np.ndarray] = {}
    offsets = np.zeros(0, np.int64)
    for name, branch in data.items():
        if (branch.offsets is not None) != name.startswith("part_"):
            kind = "one number" if branch.offsets is None else "a list"
            raise BadFile(f"{path}: branch {name}: {kind} a jet, expected the other")
        if branch.offsets is None:
            jets[name] = branch.values
            continue
        if not particles:
            offsets = branch.offsets
        _same_lengths(path, name, branch.offsets, next(iter(particles), name), offsets, entry_start)
        particles[name] = branch.values
    columns = Columns(particles, offsets, jets)
    validate(columns, source=str(path), first_entry=entry_start, labels=labels)
    return columns if set(ANGLES) <= set(particles) else with_angles(columns)


def _same_lengths(
    path: Path,
    name: str,
    offsets: np.ndarray,
    first_name: str,
    first_offsets: np.ndarray,
    entry_start: int,
) -> None:
    if np.array_equal(offsets, first_offsets):
        return
    entry = int(np.argmax(offsets != first_offsets)) - 1
    found, expected = np.diff(offsets)[entry], np.diff(first_offsets)[entry]
    raise BadFile(
        f"{path}: branch {name}, entry {entry_start + entry}: {found} particles, "
        f"expected {expected} as in {first_name}"
    )


def with_angles(columns: Columns) -> Columns:
    """Add part_deta and part_dphi, relative to jet_eta and jet_phi, as JetClass defines them.

    deta = (eta - jet_eta) * sign(jet_eta), with sign 1 where jet_eta > 0 and -1 elsewhere, and
    dphi = phi - jet_phi in (-pi, pi], [particle] float32, computed in float64.
    """
    part = columns.particles
    p4 = np.stack([part[f"part_{name}"] for name in ("energy", "px", "py", "pz")], -1)
    p4 = p4.astype(np.float64)
    counts = np.diff(columns.offsets)
    jet_eta = np.asarray(columns.jets["jet_eta"], np.float64)
    jet_phi = np.repeat(np.asarray(columns.jets["jet_phi"], np.float64), counts)
    sign = np.repeat(np.where(jet_eta > 0, 1.0, -1.0), counts)
    deta = sign * (lorentz.eta(p4) - np.repeat(jet_eta, counts))
    dphi = lorentz.wrap_phi(lorentz.phi(p4) - jet_phi)
    angles = {"part_deta": deta.astype(np.float32), "part_dphi": dphi.astype(np.float32)}
    return columns._replace(particles={**part, **angles})


def write_jetclass(
    path: str | os.PathLike[str],
    columns: Columns | Iterable[Columns],
    *,
    extra: Mapping[str, np.ndarray] | None = None,
    tree: str = "tree",
) -> None:
    """Write jets in the JetClass layout to a new file, which replaces `path` only once complete.

    columns: GeV and mm, or several such tables with the same branches and dtypes, written one after
    the other, so that more can be written than fits in memory. All branches keep their dtypes.
    extra: further branches [jet], the scores of a network for instance; tree: name of the table.
    The compression is LZ4, which is the fastest to read.
    Raises ValueError for no jets, arrays of unequal lengths, jets without particles, dtypes that
    ROOT does not have, branches that change from table to table, names of particle branches that do
    not begin with "part_", and an extra name that is taken or goes with several tables.
    """
    if isinstance(columns, Columns):
        columns = [_with_extra(columns, extra or {})]
    elif extra:
        raise ValueError("extra: given with several tables, expected as branches of the tables")
    with trees.written(Path(path)) as temporary:
        _write(temporary, columns, tree)


def _with_extra(columns: Columns, extra: Mapping[str, np.ndarray]) -> Columns:
    taken = [name for name in extra if name in columns.jets or name in columns.particles]
    if taken:
        raise ValueError(f"extra: branches {taken} are among the columns, expected new names")
    return columns._replace(jets={**columns.jets, **extra})


def _write(path: Path, tables: Iterable[Columns], tree: str) -> None:
    import uproot

    types: dict[str, Any] = {}
    table: Any = None
    with uproot.recreate(path, compression=uproot.LZ4(1)) as file:
        for index, columns in enumerate(tables):
            source = f"columns (table {index})"
            particles, jets = _arrays(columns, source)
            found = {"part": particles.type.content, **{name: v.dtype for name, v in jets.items()}}
            if not types:
                types = found
                table = file.mktree(tree, {**found, "part": particles.type})
            elif found != types:
                raise ValueError(f"{source}: branches {found}, expected {types} as in table 0")
            for start in range(0, n_jets(columns), BASKET):
                rows = slice(start, start + BASKET)
                chunk = {name: values[rows] for name, values in jets.items()}
                table.extend({"part": particles[rows], **chunk})
    if not types:
        raise ValueError("columns: no tables, expected at least 1")


def _arrays(columns: Columns, source: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Check a table and wrap its particles, without a copy, as the one array that uproot writes."""
    import awkward as ak

    particles = {name: np.asarray(values) for name, values in columns.particles.items()}
    jets = {name: np.asarray(values) for name, values in columns.jets.items()}
    offsets = np.asarray(columns.offsets, np.int64)
    check_structure(Columns(particles, offsets, jets), source=source)
    wrong = [name for name in particles if not name.startswith("part_")]
    if wrong or not particles or len(offsets) < 2:
        raise ValueError(
            f"{source}: {len(offsets) - 1} jets, particle branches {wrong or list(particles)}, "
            "expected at least 1 of both, with names part_*"
        )
    for name, values in {**particles, **jets}.items():
        if values.dtype.char not in ROOT_DTYPES:
            raise ValueError(f"{source}: branch {name}: dtype {values.dtype}, expected one of ROOT")
    contents: list[Any] = [ak.contents.NumpyArray(v) for v in particles.values()]  # type: ignore
    fields = [name.removeprefix("part_") for name in particles]
    record = ak.contents.RecordArray(contents, fields)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record)), jets
