"""Jets of measured objects, and the columns that describe them in a file.

Objects of many regions (whole events, or the surroundings of one jet) are clustered in one call of
FastJet. A jet is the indices of its objects: `members` [member] and `offsets` [jet + 1], hardest
object first. `antikt` finds the jets of a hadron collider, `durham` shares out an event of an
electron-positron collider between a fixed number of them, `take` picks some, `columns` writes them
in the layout of JetClass.

>>> members, offsets = np.array([3, 1, 0]), np.array([0, 2, 3])
>>> take(members, offsets, np.array([1]))
(array([0]), array([0, 1]))
"""

from typing import Any

import numpy as np

from hepjax.jets import substructure
from hepjax.jets.simulation import detector as detectors

FLAGS = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")


def antikt(
    objects: detectors.Objects, radius: float, pt_min: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find the anti-kt jets above pt_min, GeV, of each region: members [member], offsets [jet + 1].

    Objects are those of `detector.measure`, sorted by region and falling pT; jets come in the order
    of regions. Source: arXiv:0802.1189, by FastJet.
    """
    import fastjet

    pt = np.hypot(objects.p4[:, 1], objects.p4[:, 2])
    busy = np.bincount(objects.region, pt) > pt_min
    sequence = _sequence(objects, busy, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    return _jets(objects, busy, sequence.constituent_index(min_pt=pt_min))


def durham(objects: detectors.Objects, n_jets: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Cluster each region into exactly n_jets: members [member], offsets [jet + 1].

    The distance of two objects is 2 min(E^2) (1 - cos theta); the closest are merged until n_jets
    are left, so every object is in one of them. A region with fewer objects has no jets. Order and
    objects are those of `antikt`. Source: Phys. Lett. B 269 (1991) 432, by FastJet.
    """
    import fastjet

    if n_jets < 1:
        raise ValueError(f"n_jets is {n_jets}, expected at least 1")
    busy = np.bincount(objects.region) >= n_jets
    if not busy.any():
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    definition = fastjet.JetDefinition0Param(fastjet.ee_kt_algorithm)
    sequence = _sequence(objects, busy, definition)
    return _jets(objects, busy, sequence.exclusive_jets_constituent_index(njets=n_jets))


def _sequence(objects: detectors.Objects, busy: np.ndarray, definition: Any) -> Any:
    """Cluster the objects of the regions [region] bool that are worth it."""
    import awkward as ak
    import fastjet

    inside = busy[objects.region]
    names = ("E", "px", "py", "pz")
    vectors = ak.zip(dict(zip(names, objects.p4[inside].T)), with_name="Momentum4D")
    events = ak.unflatten(vectors, np.bincount(objects.region)[busy])
    return fastjet.ClusterSequence(events, definition)


def _jets(objects: detectors.Objects, busy: np.ndarray, jets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Turn FastJet's indices [region][jet][member] within regions into those of all objects."""
    import awkward as ak

    first = np.concatenate([[0], np.cumsum(np.bincount(objects.region))])[:-1]
    region = np.repeat(np.flatnonzero(busy), ak.to_numpy(ak.num(jets)))
    size = ak.to_numpy(ak.flatten(ak.num(jets, axis=2)))
    members = ak.to_numpy(ak.flatten(ak.flatten(jets))) + np.repeat(first[region], size)
    members = members[np.lexsort((members, np.repeat(np.arange(len(size)), size)))]
    return members, np.concatenate([[0], np.cumsum(size)])


def take(
    members: np.ndarray, offsets: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pick the jets `rows` of ragged indices."""
    size = np.diff(offsets)[rows]
    taken = np.concatenate([[0], np.cumsum(size)])
    return members[np.arange(taken[-1]) + np.repeat(offsets[rows] - taken[:-1], size)], taken


def columns(
    objects: detectors.Objects, members: np.ndarray, offsets: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Describe jets and their constituents as JetClass does: part_* [member] and jet_* [jet]."""
    part = detectors.Objects(*(column[members] for column in objects))
    p4 = substructure.jet_p4(part.p4, offsets)
    pt, eta, phi = pt_eta_phi(p4)
    _, part_eta, part_phi = pt_eta_phi(part.p4)
    size = np.diff(offsets)
    sign = np.repeat(np.where(eta < 0, -1.0, 1.0), size)
    components = ("part_energy", "part_px", "part_py", "part_pz")
    particles = {
        **dict(zip(components, part.p4.T)),
        "part_deta": (part_eta - np.repeat(eta, size)) * sign,
        "part_dphi": wrap(part_phi - np.repeat(phi, size)),
        "part_charge": part.charge,
        **{f"part_{flag}": part.category == k for k, flag in enumerate(FLAGS)},
        "part_d0val": part.d0,
        "part_d0err": part.d0_error,
        "part_dzval": part.dz,
        "part_dzerr": part.dz_error,
    }
    jets = {
        "jet_pt": pt,
        "jet_eta": eta,
        "jet_phi": phi,
        "jet_energy": p4[:, 0],
        "jet_nparticles": size.astype(np.int32),
    }
    return particles, jets


def pt_eta_phi(p4: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transverse momentum, GeV, pseudorapidity and azimuth of p4 [jet, 4]."""
    pt = np.hypot(p4[:, 1], p4[:, 2])
    return pt, np.arcsinh(p4[:, 3] / pt), np.arctan2(p4[:, 2], p4[:, 1])


def wrap(delta_phi: np.ndarray) -> np.ndarray:
    """Bring angles into (-pi, pi]."""
    return np.pi - np.remainder(np.pi - delta_phi, 2 * np.pi)
