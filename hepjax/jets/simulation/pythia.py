"""Hard events from Pythia, thrown away as early as possible, down to the particles around each jet.

Steeply falling spectra make jets of a fixed pT expensive: to be unbiased, the hard process must
start far below the window, and most events end outside of it. The time of an event goes into the
shower and the hadrons, so events are judged three times, each time more sharply (``Process`` holds
the windows, with margins that keep 97 % of the jets that would be accepted in the end):

1. after the hard process: a top, say, whose decay products are far apart cannot become one jet;
2. when the shower has come down to 20 GeV (a tenth of the time): no parton jet near the window;
3. after the shower: the same with the full parton jets, and the decay partons after recoil.

The hard process starts at 0.72 times the jets' least pT. A tenth of the jets would come from below,
lifted by hard radiation from the incoming partons; without them the mean multiplicity is 0.4 lower
and the mean mass 0.5 to 1 % lower.

What is left is hadronised and clustered inside Pythia (SlowJet) with a wider radius; only particles
of such regions cross from C++ to Python, where each call costs. ``make_regions`` is a pure function
of its arguments: the random sequence is set anew at each call, and Pythia keeps no memory of
earlier events.

>>> "PhaseSpace:pTHatMin = 396.0" in pythia_settings(PROCESSES["qcd"], TOP_LANDSCAPE)
True
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from hepjax.jets.simulation import detector as detectors
from hepjax.jets.simulation.recipes import (
    JETCLASS,
    PROCESSES,
    TOP_LANDSCAPE,
    PhaseSpace,
    Process,
    pythia_settings,
)

__all__ = ["JETCLASS", "PROCESSES", "TOP_LANDSCAPE", "PhaseSpace", "Process", "pythia_settings"]
__all__ += ["Hard", "extract", "make_regions", "to_truth"]

VETO_SCALE = 20.0  # GeV, of the first look at the shower
HARD_REACH = 1.5  # times the radius: decay products from their parent in the hard process, at most,
EARLY_REACH = 1.0  # at VETO_SCALE, if that distance goes as 1 / pT,
LATE_REACH = 1.0  # and after the shower
VISIBLE = 0.9  # of the least pT of jets: a parton jet's at VETO_SCALE without the neutrinos
REGION_MARGIN = 0.4  # a region's radius is the jet's and this
ETA_MARGIN = 0.05
CHARGED = frozenset((11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334))  # that live long enough
DISPLACED = 1e-4  # mm, of time: produced earlier is produced at the primary vertex
PATIENCE = 50_000  # events without a single region
Z, W, LEPTONS, NEUTRINOS = 23, 24, (11, 13, 15), (12, 14, 16)


class Hard(NamedTuple):
    """Truth of each region."""

    event: np.ndarray  # [region] index of the event in this call
    pid: np.ndarray  # [region] PDG code of the parent or of the nearest hard parton
    pt: np.ndarray  # [region] GeV
    eta: np.ndarray  # [region]
    phi: np.ndarray  # [region]
    decay: np.ndarray  # [region, product, 2] eta, phi of the visible decay products; or NaN


def make_regions(
    process: Process, phase_space: PhaseSpace, seed: int, n_regions: int
) -> tuple[detectors.Truth, Hard]:
    """Generate events until `n_regions` regions (or one more) around promising jets are found.

    A region is a particle-level anti-kt jet, wider than the jets that will be made of it, at most
    the two hardest an event. `seed` is from 1 to 900,000,000. Returns the visible particles of the
    regions, and the truth of each. Raises RuntimeError where Pythia fails or no event passes.
    """
    pythia, veto = _pythia(process, phase_space)
    pythia.rndm.init(seed)
    rows: list[tuple] = []
    vertices: list[tuple] = []
    sizes: list[int] = []
    hard: list[tuple] = []
    n_events = n_idle = 0
    while len(sizes) < n_regions:
        n_idle += 1
        if n_idle > PATIENCE:
            raise RuntimeError(f"no jet in {PATIENCE} events; is {phase_space} possible?")
        if not pythia.next():
            continue
        found = _regions_of_event(pythia.event, veto, process, phase_space)
        for truth, members in found:
            extract(pythia.event, members, rows, vertices)
            sizes.append(len(members))
            hard.append((n_events, *truth[:5]))
        if found:
            n_events, n_idle = n_events + 1, 0
    return to_truth(pythia, rows, vertices, sizes), _to_hard(hard)


def _regions_of_event(event, veto, process: Process, phase_space: PhaseSpace) -> list[tuple]:
    """(truth, indices of particles) of the regions of one event that are worth measuring."""
    regions = []
    jets = veto.particle_jets
    jets.analyze(event)
    for k in range(min(2, jets.sizeJet())):
        axis = (jets.y(k), jets.phi(k))
        if not _inside((jets.pT(k), axis[0]), process.region, phase_space):
            continue
        truth = min(veto.hard, key=lambda hard: _distance(hard[2:4], axis))
        if process.parent and _distance(truth[2:4], axis) > process.reach:
            continue
        regions.append((truth, list(jets.constituents(k))))
    return regions


def extract(event: Any, members: list[int], rows: list[tuple], vertices: list[tuple]) -> None:
    """Append (PDG code, px, py, pz) of members, and (row, x, y, z) of displaced charged ones."""
    for index in members:
        particle = event[index]
        code = particle.id()
        if abs(code) in CHARGED and particle.tProd() > DISPLACED:
            place = particle.xProd(), particle.yProd(), particle.zProd()
            vertices.append((len(rows), *place))
        rows.append((code, particle.px(), particle.py(), particle.pz()))


def to_truth(pythia: Any, rows: list, vertices: list, sizes: list) -> detectors.Truth:
    """Arrays of the extracted particles; masses and charges come from Pythia's table."""
    table = np.array(rows, np.float64).reshape(-1, 4)
    pid = table[:, 0].astype(np.int64)
    codes, inverse = np.unique(pid, return_inverse=True)
    data = pythia.particleData
    mass = np.array([data.m0(int(code)) for code in codes])[inverse]
    charge = np.array([data.charge(int(code)) for code in codes])[inverse]
    momentum = table[:, 1:]
    energy = np.sqrt(np.sum(momentum**2, axis=1) + mass**2)
    vertex = np.zeros((len(table), 3))
    placed = np.array(vertices, np.float64).reshape(-1, 4)
    vertex[placed[:, 0].astype(np.int64)] = placed[:, 1:]
    region = np.repeat(np.arange(len(sizes)), sizes)
    return detectors.Truth(
        np.column_stack([energy, momentum]), pid, np.round(charge), vertex, region
    )


def _to_hard(hard: list[tuple]) -> Hard:
    event, pid, pt, eta, phi, decay = zip(*hard)
    missing = [(math.nan, math.nan)]
    return Hard(
        np.array(event),
        np.array(pid),
        np.array(pt),
        np.array(eta),
        np.array(phi),
        np.array([places or missing for places in decay]),
    )


@functools.lru_cache(maxsize=4)
def _pythia(process: Process, phase_space: PhaseSpace) -> tuple[Any, Any]:
    """An initialised Pythia, kept because that takes 0.3 s, and its veto."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in pythia_settings(process, phase_space):
        if not pythia.readString(line):
            raise RuntimeError(f"Pythia does not know the setting {line!r}")
    veto = _make_veto(process, phase_space)
    pythia.setUserHooksPtr(veto)
    if not pythia.init():
        raise RuntimeError(f"Pythia cannot be initialised for {process.label}, {phase_space}")
    return pythia, veto


def _make_veto(process: Process, phase_space: PhaseSpace):
    """The three early decisions as a hook of Pythia; afterwards `hard` holds the event's truth.

    `hard` is a list of (PDG code, pT, eta, phi, [(eta, phi) of a visible decay product]), one for
    each parent that may be contained in a jet, or for each of the hard partons.
    """
    import pythia8mc

    def least_pt(found, parent):
        """Give the pT of a parton jet for which the products are close, and enough is visible."""
        close = found[5] * found[1] / (EARLY_REACH * radius)
        return max(close, VISIBLE * phase_space.pt_min + found[6] * parent.pT())

    near = functools.partial(_near_window, phase_space, process.reach)
    radius, least = phase_space.radius, 0.6 * phase_space.pt_min
    reach = phase_space.eta_max + radius + REGION_MARGIN

    class Veto(pythia8mc.UserHooks):
        def __init__(self):
            super().__init__()
            # anti-kt; heavy particles count early, later what is visible, hadrons with their masses
            self.early_jets = pythia8mc.SlowJet(-1, radius, least, reach, 1, 2)
            self.late_jets = pythia8mc.SlowJet(-1, radius, least, reach, 2, 2)
            wide = radius + REGION_MARGIN
            self.particle_jets = pythia8mc.SlowJet(-1, wide, least, reach, 2, 2)
            self.hard = []
            self.contained = {}

        def canVetoProcessLevel(self):
            return process.parent != 0

        def doVetoProcessLevel(self, record):
            parents = {k: _parent(record, k, process, HARD_REACH * radius) for k in (5, 6)}
            self.contained = {k: found for k, found in parents.items() if found}
            return not self.contained

        def canVetoPT(self):
            return True

        def scaleVetoPT(self):
            return VETO_SCALE

        def doVetoPT(self, stage, event):
            if stage > 3:  # decays of resonances: later
                return False
            if not process.parent:
                return not near(self.early_jets, event, process.early, unseen=_bosons(event))
            parents = {k: event[event[k].iBotCopyId()] for k in self.contained}
            targets = [(p.y(), p.phi(), least_pt(self.contained[k], p)) for k, p in parents.items()]
            return not near(self.early_jets, event, process.early, targets)

        def canVetoPartonLevel(self):
            return True

        def doVetoPartonLevel(self, event):
            if not process.parent:
                partons = [event[event[k].iBotCopyId()] for k in (5, 6) if event[k].idAbs() != Z]
                self.hard = [(p.id(), p.pT(), p.eta(), p.phi(), None) for p in partons]
                return not near(self.late_jets, event, process.late)
            parents = (_parent(event, k, process, LATE_REACH * radius) for k in self.contained)
            self.hard = [found for found in parents if found]
            targets = [(found[2], found[3], 0.0) for found in self.hard]
            return not targets or not near(self.late_jets, event, process.late, targets)

    return Veto()


def _near_window(
    phase_space: PhaseSpace, reach: float, jets, event, window, targets=(), unseen=frozenset()
) -> bool:
    """Is a parton jet in the window, and, if there are any, at a target (y, phi, least pT)?

    Jets that hold one of the particles `unseen` are none.
    """
    jets.analyze(event)
    for k in range(min(3, jets.sizeJet())):
        pt, axis = jets.pT(k), (jets.y(k), jets.phi(k))
        if not _inside((pt, axis[0]), window, phase_space):
            continue
        if unseen and not unseen.isdisjoint(jets.constituents(k)):
            continue
        if not targets or any(
            pt > target[2] and _distance(axis, target) < reach for target in targets
        ):
            return True
    return False


def _bosons(event) -> frozenset[int]:
    """Indices of Z of the hard process, which will be neutrinos, as they are now."""
    return frozenset(event[k].iBotCopyId() for k in (5, 6) if event[k].idAbs() == Z)


def _parent(event, index: int, process: Process, reach: float) -> tuple | None:
    """Truth of a parent, how far its visible decay products reach, and the unseen share of its pT.

    None if they reach beyond `reach`, if the particle at `index` is no such parent, or if it has
    other decay products.
    """
    if event[index].idAbs() != process.parent:
        return None
    parent = event[event[index].iBotCopyId()]
    axis = parent.eta(), parent.phi()
    places, farthest, n_leptons, px, py = [], 0.0, 0, 0.0, 0.0
    waiting = list(parent.daughterList())
    while waiting:
        product = event[waiting.pop(0)]
        code = product.idAbs()
        if code in (W, Z):
            waiting.extend(event[product.iBotCopyId()].daughterList())
            continue
        if code in NEUTRINOS:
            continue
        n_leptons += code in LEPTONS
        px, py = px + product.px(), py + product.py()
        places.append((product.eta(), product.phi()))
        farthest = max(farthest, _distance(places[-1], axis))
        if farthest > reach:
            return None
    if (len(places) - n_leptons, n_leptons) != process.products:
        return None
    unseen = max(1 - math.hypot(px, py) / parent.pT(), 0.0)
    return parent.id(), parent.pT(), *axis, places, farthest, unseen


def _inside(pt_y: tuple[float, float], window: tuple[float, float], phase_space) -> bool:
    low, high = window[0] * phase_space.pt_min, window[1] * phase_space.pt_max
    return low < pt_y[0] < high and abs(pt_y[1]) < phase_space.eta_max + ETA_MARGIN


def _distance(a, b) -> float:
    """Distance in (eta, phi), or (y, phi) where that is what there is."""
    delta_phi = abs(a[1] - b[1])
    return math.hypot(a[0] - b[0], min(delta_phi, 2 * math.pi - delta_phi))
