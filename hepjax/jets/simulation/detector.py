"""A parametrised detector: from stable particles to tracks and calorimeter towers, in numpy.

A jet tagger learns what a detector can see. Truth-level particles are too many and too good: a real
experiment loses soft tracks, smears momenta, cannot tell two photons in one cell apart, and
measures impact parameters with an error that has tails. This module does what a fast simulation
does, for many jets at a time and with no loop over particles:

1. ``find_tracks``: charged particles become tracks with some efficiency; transverse momentum and
   impact parameters are smeared.
2. ``sum_towers``: all energy that reaches a calorimeter is summed in cells of (eta, phi), the
   energy of the tracks that point there beside it.
3. ``measure``: the cell's energy is smeared once and the tracks are subtracted (energy flow); what
   is left above the thresholds is one photon (ECAL) or one neutral hadron (HCAL).

Electron and muon flags come from a reconstruction with an efficiency and a fake rate, not from
truth. Neutrinos leave nothing; muons and tracks that curl up in the magnetic field leave no energy.
Nothing here imports jax: worker processes of the generator start quickly.

>>> p4, pid, vertex = np.array([[20.0, 12.0, 16.0, 0.0]]), np.array([22]), np.zeros((1, 3))
>>> truth = Truth(p4, pid, charge=np.zeros(1), vertex=vertex, region=np.zeros(1, int))
>>> objects = measure(truth, CMS_LIKE, np.random.default_rng(1))
>>> objects.category.tolist(), objects.source.tolist()
([2], [0])
"""

from typing import NamedTuple

import numpy as np

from hepjax.jets.simulation import silicon as layers

CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(5)
"""Values of ``Objects.category``, in the order of the part_is* flags."""

_MASS = np.array([0.13957, 0.0, 0.0, 0.000511, 0.10566])  # GeV, given to each category


class Truth(NamedTuple):
    """Stable particles of many regions (an event or a jet each), sorted by region."""

    p4: np.ndarray  # [particle, 4] (E, px, py, pz) GeV
    pid: np.ndarray  # [particle] PDG code
    charge: np.ndarray  # [particle] in e
    vertex: np.ndarray  # [particle, 3] where it was produced, mm, from the primary vertex
    region: np.ndarray  # [particle] index of its region; regions do not see each other


class Objects(NamedTuple):
    """What was measured; tracks and towers, sorted by region, then by falling pT."""

    p4: np.ndarray  # [object, 4] GeV; mass from the category (pion for hadrons), towers massless
    category: np.ndarray  # [object] CHARGED_HADRON ... MUON
    charge: np.ndarray  # [object] -1, 0, 1
    d0: np.ndarray  # [object] mm, 0 for towers, as are the three below
    d0_error: np.ndarray  # [object] mm
    dz: np.ndarray  # [object] mm
    dz_error: np.ndarray  # [object] mm
    pt_error: np.ndarray  # [object] relative resolution of the transverse momentum; 0 for towers
    hits: np.ndarray  # [object, 3] first layer, pixels, strips; 0 for towers and without silicon
    source: np.ndarray  # [object] index in Truth: the track's particle, the tower's largest deposit
    region: np.ndarray  # [object]


class Tracking(NamedTuple):
    """Efficiency and resolution of tracks in bins of abs(eta) and pT."""

    eta_edges: tuple[float, ...]  # upper edges in abs(eta); nothing beyond the last
    pt_edges: tuple[float, ...]  # lower edges in GeV; nothing below the first
    efficiency: tuple[tuple[float, ...], ...]  # [eta bin][pt bin]
    constant: tuple[float, ...]  # [eta bin] relative pT resolution at low pT
    slope: tuple[float, ...]  # [eta bin] its growth, 1/GeV, added in quadrature


class Calorimeter(NamedTuple):
    """One calorimeter: cells, sigma(E) = constant E + stochastic sqrt(E) + noise in quadrature."""

    cell: float  # width in eta and phi; phi is rounded to a whole number of cells
    stochastic: float  # sqrt(GeV)
    constant: float
    noise: float  # GeV
    threshold: float  # GeV, least energy of an object
    significance: float  # least energy over sigma(E) of the cell


class Detector(NamedTuple):
    """All parameters of ``measure``; lengths mm, energies GeV."""

    tracking: Tracking
    ecal: Calorimeter
    hcal: Calorimeter
    eta_max: float  # end of the calorimeters
    curl_pt: float  # 0.3 B r / 2: charged particles below do not reach the calorimeters
    d0_constant: float  # sigma(d0) = constant + slope / (pT sin(theta)^1/2), in quadrature
    d0_slope: float  # mm GeV
    dz_constant: float
    dz_slope: float  # mm GeV
    tail_fraction: float  # of tracks whose d0 (and, drawn anew, dz) has
    tail_width: float  # so many times that error
    lepton_efficiency: (
        float  # electrons and muons that get their flag; the others look like hadrons
    )
    lepton_fake: float  # charged hadrons that get the flag of an electron, and as many of a muon
    silicon: layers.Silicon | None = None  # layers, without which a track has no hits


CMS_LIKE = Detector(
    Tracking(
        eta_edges=(0.5, 1.5, 2.5),
        pt_edges=(0.75, 1.0),
        efficiency=((0.70, 0.95), (0.70, 0.95), (0.60, 0.85)),
        constant=(0.01, 0.015, 0.025),
        slope=(1.5e-4, 2.5e-4, 5.5e-4),
    ),
    ecal=Calorimeter(0.0349, 0.11, 0.008, noise=0.40, threshold=1.0, significance=2.0),
    hcal=Calorimeter(0.0873, 1.50, 0.05, noise=0.0, threshold=1.0, significance=1.0),
    eta_max=3.0,
    curl_pt=0.74,
    d0_constant=0.015,
    d0_slope=0.08,
    dz_constant=0.035,
    dz_slope=0.10,
    tail_fraction=0.015,
    tail_width=5.0,
    lepton_efficiency=0.95,
    lepton_fake=1e-3,
)
"""Numbers of a detector like CMS (3.8 T), close to the fast-simulation card behind JetClass."""

ATLAS_LIKE = CMS_LIKE._replace(
    tracking=CMS_LIKE.tracking._replace(pt_edges=(0.35, 1.0)),
    ecal=Calorimeter(0.05, 0.101, 0.0017, noise=0.0, threshold=0.5, significance=2.0),
    hcal=Calorimeter(0.13, 0.5205, 0.0302, noise=1.59, threshold=1.0, significance=2.0),
    curl_pt=0.35,
)
"""Numbers of a detector like ATLAS (2 T), close to the card behind the top landscape jets."""

FLAVOUR_LIKE = ATLAS_LIKE._replace(silicon=layers.ATLAS_LIKE)
"""The same with layers of silicon: tracks have hits, and those that miss the first layer know less
of where they come from.
"""


HIGGS_FACTORY = Detector(
    Tracking(
        eta_edges=(2.6,),  # abs(cos(theta)) < 0.99
        pt_edges=(0.1, 0.3),
        efficiency=((0.90, 0.995),),
        constant=(1e-3,),
        slope=(2e-5,),
    ),
    ecal=Calorimeter(0.012, 0.17, 0.01, noise=0.0, threshold=0.1, significance=1.0),
    hcal=Calorimeter(0.03, 0.50, 0.03, noise=0.0, threshold=0.5, significance=2.0),
    eta_max=2.6,
    curl_pt=0.8,
    d0_constant=0.005,
    d0_slope=0.010,
    dz_constant=0.005,
    dz_slope=0.010,
    tail_fraction=0.01,
    tail_width=5.0,
    lepton_efficiency=0.99,
    lepton_fake=1e-3,
)
"""Numbers of a detector for electron-positron collisions (3 T) as the conceptual designs aim at:
sigma(d0) = 5 um + 10 um GeV / (p sin(theta)^3/2), the same for dz, and fine calorimeters.
"""


def measure(truth: Truth, detector: Detector, rng: np.random.Generator) -> Objects:
    """Tracks and energy-flow towers of all regions at once, as a fast simulation would find them.

    Every random number comes from `rng`, so equal seeds give equal objects. Raises ValueError where
    the arrays of `truth` disagree in length or hold a NaN.

    The steps are those of Delphes (arXiv:1307.6346, sec. 3). We differ: no bending of the tracks
    that reach the calorimeter, and the tracks of a cell without significant excess stay as they
    are.
    """
    _check(truth)
    tracks = find_tracks(truth, detector, rng)
    seen = np.zeros(len(truth.pid))
    seen[tracks.source] = tracks.p4[:, 0]
    parts = [tracks]
    shares = _electromagnetic_share(truth.pid)
    for calorimeter, share, category in (
        (detector.ecal, shares, PHOTON),
        (detector.hcal, 1.0 - shares, NEUTRAL_HADRON),
    ):
        reaches = _reaches_calorimeter(truth, detector) * share
        towers = sum_towers(truth, reaches * truth.p4[:, 0], reaches * seen, calorimeter)
        parts.append(_towers_to_objects(towers, calorimeter, category, rng))
    objects = Objects(*(np.concatenate(column) for column in zip(*parts)))
    order = np.lexsort((-np.hypot(objects.p4[:, 1], objects.p4[:, 2]), objects.region))
    return Objects(*(column[order] for column in objects))


def find_tracks(truth: Truth, detector: Detector, rng: np.random.Generator) -> Objects:
    """The tracks among the charged particles, with smeared pT, d0 and dz; directions are exact.

    pT is log-normal around the truth, so its mean is unbiased and it never turns negative. d0 has
    the sign of (x py - y px), dz is the z of the point of closest approach; both for straight
    lines, good to micrometres for the decays inside a beam pipe.
    """
    pt, eta = _pt_eta(truth.p4)
    efficiency, resolution = track_performance(pt, eta, detector.tracking)
    found = (truth.charge != 0) & (rng.random(len(pt)) < efficiency)
    hits, lever = np.zeros((len(pt), 3)), np.ones(len(pt))
    if detector.silicon is not None:
        crossed = layers.crossed(truth.vertex, detector.silicon, rng)
        hits = layers.count(crossed, detector.silicon)
        lever = layers.lever(crossed, detector.silicon)
        found &= hits[:, 1:].sum(1) >= detector.silicon.least_hits
    kept = np.flatnonzero(found)
    n_tracks, lever = len(kept), lever[kept]
    category = _identify(np.abs(truth.pid[kept]), detector, rng)
    width = np.sqrt(np.log1p(resolution[kept] ** 2))
    scale = np.exp(width * rng.standard_normal(n_tracks) - width**2 / 2)
    momentum = truth.p4[kept, 1:] * scale[:, None]
    energy = np.sqrt(np.sum(momentum**2, axis=1) + _MASS[category] ** 2)
    d0, dz = impact_parameters(truth.p4[kept], truth.vertex[kept])
    hard = pt[kept] / np.sqrt(np.cosh(eta[kept]))
    d0_error = lever * np.hypot(detector.d0_constant, detector.d0_slope / hard)
    dz_error = lever * np.hypot(detector.dz_constant, detector.dz_slope / hard)
    return Objects(
        p4=np.column_stack([energy, momentum]),
        category=category,
        charge=np.sign(truth.charge[kept]),
        d0=d0 + d0_error * _pull(n_tracks, detector, rng),
        d0_error=d0_error,
        dz=dz + dz_error * _pull(n_tracks, detector, rng),
        dz_error=dz_error,
        pt_error=resolution[kept],
        hits=hits[kept],
        source=kept,
        region=truth.region[kept],
    )


def track_performance(
    pt: np.ndarray, eta: np.ndarray, tracking: Tracking
) -> tuple[np.ndarray, np.ndarray]:
    """Efficiency and relative pT resolution [particle] of charged particles, both 0 outside."""
    eta_bin = np.searchsorted(tracking.eta_edges, np.abs(eta), side="right")
    pt_bin = np.searchsorted(tracking.pt_edges, pt, side="right")
    table = np.zeros((len(tracking.eta_edges) + 1, len(tracking.pt_edges) + 1))
    table[:-1, 1:] = tracking.efficiency
    constant, slope = np.append(tracking.constant, 0.0), np.append(tracking.slope, 0.0)
    return table[eta_bin, pt_bin], np.hypot(constant[eta_bin], slope[eta_bin] * pt)


def impact_parameters(p4: np.ndarray, vertex: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed d0 and dz [particle] in mm of straight lines through `vertex` [particle, 3]."""
    _, px, py, pz = p4.T
    x, y, z = vertex.T
    pt2 = px**2 + py**2
    return (x * py - y * px) / np.sqrt(pt2), z - (x * px + y * py) * pz / pt2


class Towers(NamedTuple):
    """Sums over the cells that were hit."""

    energy: np.ndarray  # [tower] GeV, deposited
    tracked: np.ndarray  # [tower] GeV, of the tracks that point there
    eta: np.ndarray  # [tower] lower edge of the cell, as is phi
    phi: np.ndarray  # [tower]
    cell: tuple[float, float]  # widths in eta and phi
    source: np.ndarray  # [tower] index of the particle with the largest deposit
    region: np.ndarray  # [tower]


def sum_towers(
    truth: Truth, deposit: np.ndarray, tracked: np.ndarray, calorimeter: Calorimeter
) -> Towers:
    """Energy `deposit` [particle] and `tracked` energy [particle], GeV, summed in cells a region.

    Nothing is smeared and no threshold is applied yet: the towers' sums are the particles' sums.
    """
    hit = np.flatnonzero(deposit > 0)
    hit = hit[np.argsort(-deposit[hit], kind="stable")]
    n_phi = round(2 * np.pi / calorimeter.cell)
    cell_phi = 2 * np.pi / n_phi
    _, eta = _pt_eta(truth.p4[hit])
    phi = np.arctan2(truth.p4[hit, 2], truth.p4[hit, 1])
    eta_index = np.floor(eta / calorimeter.cell).astype(np.int64)
    phi_index = np.floor((phi + np.pi) / cell_phi).astype(np.int64) % n_phi
    span = 2 * int(np.abs(eta_index).max(initial=0)) + 2
    key = (truth.region[hit] * span + eta_index + span // 2) * n_phi + phi_index
    _, first, tower = np.unique(key, return_index=True, return_inverse=True)
    return Towers(
        energy=np.bincount(tower, deposit[hit], len(first)),
        tracked=np.bincount(tower, tracked[hit], len(first)),
        eta=eta_index[first] * calorimeter.cell,
        phi=phi_index[first] * cell_phi - np.pi,
        cell=(calorimeter.cell, cell_phi),
        source=hit[first],
        region=truth.region[hit[first]],
    )


def _towers_to_objects(
    towers: Towers, calorimeter: Calorimeter, category: int, rng: np.random.Generator
) -> Objects:
    """Smear the cells (log-normal, unbiased), subtract tracks, keep what is significant."""
    n_towers = len(towers.energy)
    sigma = np.sqrt(
        (calorimeter.constant * towers.energy) ** 2
        + calorimeter.stochastic**2 * towers.energy
        + calorimeter.noise**2
    )
    width = np.sqrt(np.log1p((sigma / towers.energy) ** 2))
    smeared = towers.energy * np.exp(width * rng.standard_normal(n_towers) - width**2 / 2)
    excess = smeared - towers.tracked
    position = rng.random((2, n_towers))  # somewhere in the cell, as nobody knows where
    kept = excess > np.maximum(calorimeter.threshold, calorimeter.significance * sigma)
    energy = excess[kept]
    eta = (towers.eta + towers.cell[0] * position[0])[kept]
    phi = (towers.phi + towers.cell[1] * position[1])[kept]
    pt = energy / np.cosh(eta)
    zero = np.zeros(len(energy))
    return Objects(
        np.column_stack([energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]),
        np.full(len(energy), category),
        *(zero,) * 6,
        hits=np.zeros((len(energy), 3)),
        source=towers.source[kept],
        region=towers.region[kept],
    )


def _identify(pid: np.ndarray, detector: Detector, rng: np.random.Generator) -> np.ndarray:
    """Category [track] of charged particles from abs(PDG code), with efficiency and fakes."""
    draw = rng.random(len(pid))
    found = draw < detector.lepton_efficiency
    category = np.full(len(pid), CHARGED_HADRON)
    lepton = (pid == 11) | (pid == 13)
    category[~lepton & (draw < 2 * detector.lepton_fake)] = ELECTRON
    category[~lepton & (draw < detector.lepton_fake)] = MUON
    category[(pid == 11) & found] = ELECTRON
    category[(pid == 13) & found] = MUON
    return category


def _pull(n_tracks: int, detector: Detector, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers [track], a fraction of them `tail_width` times wider."""
    wide = rng.random(n_tracks) < detector.tail_fraction
    return rng.standard_normal(n_tracks) * np.where(wide, detector.tail_width, 1.0)


def _electromagnetic_share(pid: np.ndarray) -> np.ndarray:
    """Part of the energy that stays in the ECAL: all of e and photon, 0.3 of K_S and Lambda."""
    code = np.abs(pid)
    share = np.where((code == 11) | (code == 22), 1.0, 0.0)
    return np.where((code == 310) | (code == 3122), 0.3, share)


def _reaches_calorimeter(truth: Truth, detector: Detector) -> np.ndarray:
    """Which particles [particle] bool leave energy: not muons, neutrinos, curling tracks."""
    pt, eta = _pt_eta(truth.p4)
    invisible = np.isin(np.abs(truth.pid), (12, 13, 14, 16))
    curls = (truth.charge != 0) & (pt < detector.curl_pt)
    return ~invisible & ~curls & (np.abs(eta) < detector.eta_max)


def _pt_eta(p4: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """pT [particle] in GeV and pseudorapidity [particle]."""
    pt = np.hypot(p4[:, 1], p4[:, 2])
    return pt, np.arcsinh(p4[:, 3] / np.maximum(pt, 1e-12))


def _check(truth: Truth) -> None:
    n_particles = len(truth.p4)
    for name, column in zip(truth._fields, truth):
        if len(column) != n_particles:
            raise ValueError(f"truth.{name} has {len(column)} entries, truth.p4 has {n_particles}")
    if truth.p4.shape[1:] != (4,):
        raise ValueError(f"truth.p4 has shape {truth.p4.shape}, expected [particle, 4]")
    bad = ~np.isfinite(truth.p4).all(axis=1)
    if bad.any():
        raise ValueError(f"truth.p4 is not finite at particle {int(np.argmax(bad))}")
