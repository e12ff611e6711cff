"""CMS NanoAOD with particle-flow candidates (PFNano): jets and their constituents as columns.

Plain NanoAOD (J. Phys. Conf. Ser. 1525 (2020) 012038) keeps no constituents. PFNano adds the table
PFCands of an event's particle-flow candidates and, for each jet collection, a table of links with
the index of a jet and of a candidate. `read_nanoaod` follows the links of all events at once and
returns the names and units of the JetClass layout, so that all that comes behind is the same as
for `hepjax.io.root`.

CMS stores lengths in cm, they leave here in mm. AK4 jets ("Jet") are clustered from candidates as
they are, AK8 ("FatJet") from candidates scaled by their PUPPI weight (arXiv:1407.6013): so scaled,
they sum up to the jet before calibration, jet_pt * (1 - jet_rawFactor). Candidates without track
parameters, neutral ones and charged ones of low momentum, stand in the file with -1 and leave here
with 0, as in JetClass.

>>> identity(np.array([211, -11, 22, 130, 1, 2]))["part_isNeutralHadron"].tolist()
[0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hepjax import lorentz
from hepjax.io import root, trees
from hepjax.io.table import Columns, concatenate, same_branches, validate

MM_PER_CM = 10.0
CANDIDATE = ("pt", "eta", "phi", "mass", "charge", "pdgId", "d0", "d0Err", "dz", "dzErr")
TRACK = {"d0": "part_d0val", "d0Err": "part_d0err", "dz": "part_dzval", "dzErr": "part_dzerr"}
JET = ("pt", "eta", "phi", "mass")
OBSERVERS = {
    "msoftdrop": "jet_sdmass",
    "tau1": "jet_tau1",
    "tau2": "jet_tau2",
    "tau3": "jet_tau3",
    "tau4": "jet_tau4",
}
TRUTH = ("rawFactor", "hadronFlavour", "partonFlavour", "nBHadrons", "nCHadrons")
EVENT = {"event": "event_number", "run": "run", "luminosityBlock": "luminosityBlock"}
PDG_IDS = {
    "part_isChargedHadron": (211, 321, 2212),
    "part_isNeutralHadron": (130, 1),  # 1: hadronic energy in the forward calorimeter
    "part_isPhoton": (22, 2),  # 2: electromagnetic energy in the forward calorimeter
    "part_isElectron": (11,),
    "part_isMuon": (13,),
}
Collection = Literal["Jet", "FatJet"]


def read_nanoaod(
    files: trees.Files,
    *,
    collection: Collection = "FatJet",
    puppi: bool | None = None,
    pt_min: float = 0.0,
    observers: Sequence[str] = (),
    skip_bad: bool = False,
) -> Columns:
    """Read the jets of a collection with their constituents, falling in pt, from PFNano files.

    files: as in `root.read_jetclass`; collection: "FatJet" (AK8) or "Jet" (AK4); puppi: scale each
    candidate's four-momentum by its PUPPI weight and leave out those of weight 0 (None: for FatJet
    only, as they were clustered); pt_min: jets below it, GeV, are not read; observers: further
    branches of the collection to add as jet_NAME; skip_bad: leave bad files out, with a warning.

    Returns Columns in GeV and mm without label_*: jets of CMS carry jet_hadronFlavour and the like
    where the file has them. jet_pt and jet_energy are calibrated, as in the file. Counted for each
    jet are jet_nzeroweight, candidates left out for weight 0, and jet_nwithouttrack, charged ones
    whose impact parameters and errors are 0 for want of a track.
    Raises BadFile, a ValueError naming file, branch, event, found and expected value, for files
    without candidates or links (plain NanoAOD), links that lead nowhere, jets of pt_min or more
    without candidates, unknown identities, and what `table.validate` rejects.
    """
    if collection not in ("Jet", "FatJet"):
        raise ValueError(f"collection: {collection!r}, expected 'Jet' or 'FatJet'")
    scale = collection == "FatJet" if puppi is None else puppi

    def read(path: Path) -> Columns:
        with trees.opened(path, "Events") as table:
            names = _names(path, table, collection, scale, observers)
            data = trees.read_branches(path, table, names)
        return _columns(str(path), data, collection, scale, pt_min)

    results, skipped = trees.each_file(trees.expand(files), read, skip_bad=skip_bad)
    first_path, first = results[0]
    for path, columns in results[1:]:
        same_branches(str(path), columns, str(first_path), first)
    return concatenate([columns for _, columns in results])._replace(skipped=skipped)


def _names(
    path: Path, table: Any, collection: str, scale: bool, observers: Sequence[str]
) -> list[str]:
    with trees.reading(path):
        available = set(trees.branch_names(table))
    if "PFCands_pt" not in available:
        raise trees.BadFile(
            f"{path}: branch PFCands_pt missing: plain NanoAOD keeps no constituents, "
            "expected PFNano with PFCands_* and their links to jets"
        )
    links = _link(collection)
    required = [f"PFCands_{name}" for name in CANDIDATE] + [f"{collection}_{name}" for name in JET]
    required += [f"{links}_jetIdx", f"{links}_pFCandsIdx", *EVENT]
    required += ["PFCands_puppiWeight"] if scale else []
    required += [f"{collection}_{name}" for name in observers]
    missing = [name for name in required if name not in available]
    if missing:
        raise trees.BadFile(f"{path}: branch {', '.join(missing)} missing, expected PFNano")
    optional = [f"{collection}_{name}" for name in (*OBSERVERS, *TRUTH)]
    optional += ["genWeight"]
    return [*dict.fromkeys([*required, *(name for name in optional if name in available)])]


def _columns(
    source: str, data: Mapping[str, trees.Branch], collection: str, scale: bool, pt_min: float
) -> Columns:
    offsets = _tables(source, data, collection)
    jet, candidate = _links(source, data, offsets, collection)
    read = ~(data[f"{collection}_pt"].values < pt_min)
    weight = np.ones(len(candidate), np.float32)
    if scale:
        weight = data["PFCands_puppiWeight"].values[candidate]
    counted = np.bincount(jet[weight == 0], minlength=len(read))
    kept = read[jet] & (weight != 0)
    jet, candidate, weight = jet[kept], candidate[kept], weight[kept]
    order = np.lexsort((-weight * data["PFCands_pt"].values[candidate], jet))
    jet, candidate, weight = jet[order], candidate[order], weight[order]

    particles, no_track = _particles(source, data, candidate, weight)
    n_particles = np.bincount(jet, minlength=len(read))
    n_without = np.bincount(jet[no_track & (particles["part_charge"] != 0)], minlength=len(read))
    jets = _jets(data, collection, np.diff(offsets[collection]))
    jets["jet_nparticles"] = n_particles.astype(np.int32)
    jets["jet_nzeroweight"] = counted.astype(np.int32)
    jets["jet_nwithouttrack"] = n_without.astype(np.int32)
    ends = np.concatenate([[0], np.cumsum(n_particles[read])]).astype(np.int64)
    columns = Columns(particles, ends, {name: values[read] for name, values in jets.items()})
    validate(columns, source=f"{source}: {collection}", labels=False)
    return root.with_angles(columns)


def _tables(
    source: str, data: Mapping[str, trees.Branch], collection: str
) -> dict[str, np.ndarray]:
    """Find the offsets [event + 1] of jets, candidates and links, equal in all their branches."""
    offsets: dict[str, np.ndarray] = {}
    for name, branch in data.items():
        prefix = name.split("_")[0]
        if (branch.offsets is None) != (prefix not in (collection, "PFCands", _link(collection))):
            raise trees.BadFile(f"{source}: branch {name}: lists or numbers, expected the other")
        if branch.offsets is None:
            continue
        expected = offsets.setdefault(prefix, branch.offsets)
        if not np.array_equal(branch.offsets, expected):
            event = int(np.argmax(branch.offsets != expected)) - 1
            raise trees.BadFile(
                f"{source}: branch {name}, entry {event}: {np.diff(branch.offsets)[event]} values, "
                f"expected {np.diff(expected)[event]} as in the other branches {prefix}_*"
            )
    return offsets


def _link(collection: str) -> str:
    return f"{collection}PFCands"


def _links(
    source: str,
    data: Mapping[str, trees.Branch],
    offsets: Mapping[str, np.ndarray],
    collection: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn indices within an event into indices among all jets and candidates, [link] each."""
    link = _link(collection)
    event = np.repeat(np.arange(len(offsets[link]) - 1), np.diff(offsets[link]))
    found = []
    for name, target in ((f"{link}_jetIdx", collection), (f"{link}_pFCandsIdx", "PFCands")):
        index = data[name].values
        count = np.diff(offsets[target])[event]
        wrong = (index < 0) | (index >= count)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise trees.BadFile(
                f"{source}: branch {name}, entry {event[at]}: {index[at]}, expected an index "
                f"below {count[at]}, the number of {target}"
            )
        found.append(offsets[target][:-1][event] + index)
    return found[0], found[1]


def _particles(
    source: str, data: Mapping[str, trees.Branch], candidate: np.ndarray, weight: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Gather the candidates of all jets, and tell where none has a track [particle] bool."""
    of = {name: data[f"PFCands_{name}"].values[candidate] for name in CANDIDATE}
    pt, eta, phi, mass = (of[name].astype(np.float64) for name in ("pt", "eta", "phi", "mass"))
    p4 = weight[:, None] * lorentz.from_pt_eta_phi_mass(pt, eta, phi, mass)
    particles = {
        f"part_{name}": p4[:, axis].astype(np.float32)
        for axis, name in ((1, "px"), (2, "py"), (3, "pz"), (0, "energy"))
    }
    particles["part_charge"] = of["charge"].astype(np.float32)
    particles |= identity(of["pdgId"], source=source)
    no_track = of["charge"] == 0
    for name in ("d0Err", "dzErr"):
        no_track |= (of[name] < 0) | np.isinf(of[name])
    for name, ours in TRACK.items():
        particles[ours] = np.where(no_track, 0, MM_PER_CM * of[name]).astype(np.float32)
    return particles, no_track


def identity(pdg_id: np.ndarray, *, source: str = "pdg_id") -> dict[str, np.ndarray]:
    """Sort particle-flow candidates into the five kinds of JetClass, by their PDG number.

    pdg_id: [particle] 211 (321, 2212), 130, 22, 11, 13 with either sign, and 1 and 2 for the
    forward calorimeter. Returns part_is* -> [particle] float32, one of them 1. Raises BadFile, a
    ValueError beginning with source, for other numbers.
    """
    number = np.abs(pdg_id)
    flags = {name: np.isin(number, ids).astype(np.float32) for name, ids in PDG_IDS.items()}
    unknown = np.unique(pdg_id[sum(flags.values()) == 0])
    if len(unknown):
        known = sorted(number for ids in PDG_IDS.values() for number in ids)
        raise trees.BadFile(
            f"{source}: branch PFCands_pdgId: {unknown.tolist()}, expected +-{known}"
        )
    return flags


def _jets(
    data: Mapping[str, trees.Branch], collection: str, n_per_event: np.ndarray
) -> dict[str, np.ndarray]:
    """Gather the branches [jet] of a collection, and repeat those of the event for each jet."""
    of = {
        name.removeprefix(f"{collection}_"): branch.values
        for name, branch in data.items()
        if name.startswith(f"{collection}_")
    }
    p4 = lorentz.from_pt_eta_phi_mass(*(of[name].astype(np.float64) for name in JET))
    jets = {f"jet_{name}": of[name] for name in ("pt", "eta", "phi")}
    jets["jet_energy"] = p4[:, 0].astype(np.float32)
    for name, values in of.items():
        if name not in JET:
            jets[OBSERVERS.get(name, f"jet_{name}")] = values
    for name, ours in EVENT.items():
        jets[ours] = np.repeat(data[name].values.astype(np.int64), n_per_event)
    if "genWeight" in data:
        jets["genWeight"] = np.repeat(data["genWeight"].values, n_per_event)
    return jets
