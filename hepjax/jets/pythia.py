"""Hard events from Pythia, thrown away as early as possible, down to the particles around each jet.

Steeply falling spectra make jets of a fixed pT expensive: to be unbiased, the hard process must
start far below the window, and most events end outside of it. The time of an event goes into the
shower and the hadrons, so events are judged three times, each time more sharply (``Process`` holds
the windows, with margins that keep 97 % of the jets that would be accepted in the end):

1. after the hard process: a top whose decay products are far apart cannot become one jet;
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

from hepjax.jets import detector as detectors


class PhaseSpace(NamedTuple):
    """Which jets: all cuts act on jets of measured objects."""

    energy: float  # proton-proton centre-of-mass energy, GeV
    multiparton: bool  # multiple parton interactions
    radius: float  # of the anti-kt jets
    pt_min: float  # GeV
    pt_max: float  # GeV
    eta_max: float  # of abs(eta)
    detector: detectors.Detector  # the one to use if none is named


TOP_LANDSCAPE = PhaseSpace(14_000.0, False, 0.8, 550.0, 650.0, 2.0, detectors.ATLAS_LIKE)
"""Jets as in the public top landscape set (arXiv:1902.09914)."""

JETCLASS = PhaseSpace(13_000.0, True, 0.8, 500.0, 1000.0, 2.0, detectors.CMS_LIKE)
"""Jets as in JetClass (arXiv:2202.03772), for the process at leading order without extra jets."""


class Process(NamedTuple):
    """A hard process; windows are fractions of (pt_min, pt_max)."""

    index: int  # enters seeds and event numbers: never change it
    label: str  # the branch that is 1
    settings: tuple[str, ...]  # Pythia's
    top: bool  # a jet must hold a top with its three decay partons
    pthat: tuple[float, float]  # window of the hard process
    early: tuple[float, float]  # of parton jets at VETO_SCALE, a top as one parton
    late: tuple[float, float]  # of parton jets after the shower
    region: tuple[float, float]  # of the wide particle jets


PROCESSES = {
    "qcd": Process(
        index=0,
        label="label_QCD",
        settings=("HardQCD:all = on",),
        top=False,
        pthat=(0.72, 1.35),
        early=(0.90, 1.07),
        late=(0.94, 1.06),
        region=(0.97, 1.20),
    ),
    "top": Process(
        index=1,
        label="label_Tbqq",
        settings=(
            "Top:gg2ttbar = on",
            "Top:qqbar2ttbar = on",
            "24:onMode = off",
            "24:onIfAny = 1 2 3 4 5",
        ),
        top=True,
        pthat=(0.72, 1.35),
        early=(0.95, 1.15),
        late=(0.94, 1.17),
        region=(0.97, 1.16),
    ),
}
"""Top pairs with both W to quarks; QCD two-to-two with all light flavours, c and b."""

COMMON_SETTINGS = (
    "Print:quiet = on",
    "Check:abortIfVeto = on",
    "Random:setSeed = on",
    "Random:seed = 1",
    "ParticleDecays:limitTau0 = on",  # K_S, Lambda and longer-lived ones reach the detector
    "ParticleDecays:tau0Max = 10",  # mm
)

VETO_SCALE = 20.0  # GeV, of the first look at the shower
HARD_REACH = 1.5  # times the radius: decay partons from their top in the hard process, at most,
EARLY_REACH = 1.0  # at VETO_SCALE, if that distance goes as 1 / pT,
LATE_REACH = 1.0  # and after the shower
AXIS_REACH = 0.35  # between a top and the axis of its jet
REGION_MARGIN = 0.4  # a region's radius is the jet's and this
ETA_MARGIN = 0.05
CHARGED = frozenset((11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334))  # that live long enough
DISPLACED = 1e-4  # mm, of time: produced earlier is produced at the primary vertex
PATIENCE = 50_000  # events without a single region


class Hard(NamedTuple):
    """Truth of each region."""

    event: np.ndarray  # [region] index of the event in this call
    pid: np.ndarray  # [region] PDG code of the top or of the nearest hard parton
    pt: np.ndarray  # [region] GeV
    eta: np.ndarray  # [region]
    phi: np.ndarray  # [region]
    decay: np.ndarray  # [region, 3, 2] eta, phi of b, q, q'; NaN where there are none


def pythia_settings(process: Process, phase_space: PhaseSpace) -> list[str]:
    """All lines that Pythia is given, for the record."""
    return [
        *COMMON_SETTINGS,
        *process.settings,
        f"Beams:eCM = {phase_space.energy}",
        f"PartonLevel:MPI = {'on' if phase_space.multiparton else 'off'}",
        f"PhaseSpace:pTHatMin = {process.pthat[0] * phase_space.pt_min}",
        f"PhaseSpace:pTHatMax = {process.pthat[1] * phase_space.pt_max}",
    ]


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
        if process.top and _distance(truth[2:4], axis) > AXIS_REACH:
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
    missing = [(math.nan, math.nan)] * 3
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

    `hard` is a list of (PDG code, pT, eta, phi, [(eta, phi) of b, q, q']), one for each top that
    may be contained in a jet, or for each of the two hard partons.
    """
    import pythia8mc

    near = functools.partial(_near_window, phase_space)
    radius, least = phase_space.radius, 0.6 * phase_space.pt_min
    reach = phase_space.eta_max + radius + REGION_MARGIN

    class Veto(pythia8mc.UserHooks):
        def __init__(self):
            super().__init__()
            # anti-kt; all particles for partons, visible ones with their masses for hadrons
            self.parton_jets = pythia8mc.SlowJet(-1, radius, least, reach, 1, 2)
            wide = radius + REGION_MARGIN
            self.particle_jets = pythia8mc.SlowJet(-1, wide, least, reach, 2, 2)
            self.hard = []
            self.contained = {}

        def canVetoProcessLevel(self):
            return process.top

        def doVetoProcessLevel(self, record):
            tops = {k: _top(record, k, HARD_REACH * radius) for k in (5, 6)}
            self.contained = {k: top[5] * top[1] for k, top in tops.items() if top}
            return not self.contained

        def canVetoPT(self):
            return True

        def scaleVetoPT(self):
            return VETO_SCALE

        def doVetoPT(self, stage, event):
            if stage > 3:  # decays of resonances: later
                return False
            if not process.top:
                return not near(self.parton_jets, event, process.early)
            tops = {k: event[event[k].iBotCopyId()] for k in self.contained}
            least_pt = {k: self.contained[k] / (EARLY_REACH * radius) for k in tops}
            targets = [(top.y(), top.phi(), least_pt[k]) for k, top in tops.items()]
            return not near(self.parton_jets, event, process.early, targets)

        def canVetoPartonLevel(self):
            return True

        def doVetoPartonLevel(self, event):
            if not process.top:
                partons = (event[event[k].iBotCopyId()] for k in (5, 6))
                self.hard = [(p.id(), p.pT(), p.eta(), p.phi(), None) for p in partons]
                return not near(self.parton_jets, event, process.late)
            tops = (_top(event, k, LATE_REACH * radius) for k in self.contained)
            self.hard = [top for top in tops if top]
            targets = [(top[2], top[3], 0.0) for top in self.hard]
            return not targets or not near(self.parton_jets, event, process.late, targets)

    return Veto()


def _near_window(phase_space: PhaseSpace, jets, event, window, targets=()) -> bool:
    """Is a parton jet in the window, and, if there are any, at a target (y, phi, least pT)?"""
    jets.analyze(event)
    for k in range(min(3, jets.sizeJet())):
        pt, axis = jets.pT(k), (jets.y(k), jets.phi(k))
        if not _inside((pt, axis[0]), window, phase_space):
            continue
        if not targets or any(
            pt > target[2] and _distance(axis, target) < AXIS_REACH for target in targets
        ):
            return True
    return False


def _top(event, index: int, reach: float) -> tuple | None:
    """Truth of the top at `index` and its farthest decay parton; None if that is beyond `reach`."""
    top = event[event[index].iBotCopyId()]
    axis = top.eta(), top.phi()
    places, farthest = [], 0.0
    waiting = list(top.daughterList())
    while waiting:
        parton = event[waiting.pop(0)]
        if parton.id() in (24, -24):
            waiting.extend(event[parton.iBotCopyId()].daughterList())
            continue
        places.append((parton.eta(), parton.phi()))
        farthest = max(farthest, _distance(places[-1], axis))
        if farthest > reach:
            return None
    if len(places) != 3:
        raise RuntimeError(f"a top decays to {len(places)} partons, expected 3")
    return top.id(), top.pT(), *axis, places, farthest


def _inside(pt_y: tuple[float, float], window: tuple[float, float], phase_space) -> bool:
    low, high = window[0] * phase_space.pt_min, window[1] * phase_space.pt_max
    return low < pt_y[0] < high and abs(pt_y[1]) < phase_space.eta_max + ETA_MARGIN


def _distance(a, b) -> float:
    """Distance in (eta, phi), or (y, phi) where that is what there is."""
    delta_phi = abs(a[1] - b[1])
    return math.hypot(a[0] - b[0], min(delta_phi, 2 * math.pi - delta_phi))
