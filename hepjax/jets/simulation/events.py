"""Whole events from Pythia, and where each of their particles comes from.

A flavour tagger asks of a jet what the generator knows: whether a hadron with a b or c quark, or a
tau, flew along its axis, and which tracks came out of its decay. `make_events` gives the visible
particles around jets, all of one event in one region; `Truth.origin` says of each from which kind
of decay it came, in the classes of ATLAS' flavour taggers (ORIGINS), and `Heavy` lists the hadrons
and taus.

Long-lived hadrons (K_S, Lambda, K, pi ...) decay here if they do so within 300 mm of the beam:
their tracks are what light jets have of displaced ones. The electron or muon of a W, also through a
tau, is left out: an experiment would take it for a lepton, not for a jet.

>>> ORIGINS[origin_of_daughters(511, PRIMARY)], ORIGINS[origin_of_daughters(411, FROM_B)]
('fromB', 'fromBC')
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from hepjax.jets.simulation import detector as detectors
from hepjax.jets.simulation import pythia as regions
from hepjax.jets.simulation.pythia import PhaseSpace

ORIGINS = (
    *("pileup", "fake", "primary", "fromB"),
    *("fromBC", "fromC", "fromTau", "otherSecondary"),
)
"""Where a track comes from: another collision, no particle, the primary vertex, a b hadron, a c
hadron out of a b hadron, another c hadron, a tau, or the decay of a strange hadron or a pion.
"""

PILEUP, FAKE, PRIMARY, FROM_B, FROM_BC, FROM_C, FROM_TAU, OTHER = range(8)
PROMPT = -1  # what comes of a W, Z or Z' at once
WEAK_BOSONS = frozenset((23, 24, 32))
BOTTOM = frozenset((511, 521, 531, 541, 5122, 5132, 5232, 5332))
CHARM = frozenset((411, 421, 431, 4122, 4132, 4232, 4332))
LONG_LIVED = frozenset((211, 321, 130, 310, 3122, 3112, 3222, 3312, 3322, 3334))
TAU = 15
OF_DECAYS = frozenset((71, 91))  # status codes of partons into which a hadron decays
LEAST_PT = 0.6  # of the regions, in terms of that of the jets
MARGIN = 0.2  # a region's radius is the jet's and this
PATIENCE = 1000  # events without a single region


class Source(NamedTuple):
    """A process that makes jets of all flavours."""

    index: int  # enters seeds and event numbers: never change it
    settings: tuple[str, ...]  # Pythia's


SOURCES = {
    "ttbar": Source(0, ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")),
    "zprime": Source(
        1,
        (
            "NewGaugeBoson:ffbar2gmZZprime = on",
            "Zprime:gmZmode = 3",
            "32:m0 = 1500",
            "32:onMode = off",
            "32:onIfAny = 1 2 3 4 5 15",
        ),
    ),
}
"""Top pairs, all decays; a Z' of 1.5 TeV to quarks and taus, for jets of high momentum."""

TTBAR = PhaseSpace(13_000.0, True, 0.4, 20.0, 250.0, 2.5, detectors.FLAVOUR_LIKE)
ZPRIME = TTBAR._replace(pt_min=250.0, pt_max=1000.0)
"""Jets as ATLAS' taggers are trained and measured on, by pT: those of top pairs and of a Z'."""

SETTINGS = (
    "Print:quiet = on",
    "Random:setSeed = on",
    "Random:seed = 1",
    "ParticleDecays:limitCylinder = on",
    "ParticleDecays:xyMax = 300",
    "ParticleDecays:zMax = 1000",
)


class Heavy(NamedTuple):
    """Hadrons with b or c quarks that decay weakly, and taus, [hadron]."""

    event: np.ndarray  # index in this call
    origin: np.ndarray  # that of its daughters: FROM_B, FROM_BC, FROM_C or FROM_TAU
    pid: np.ndarray  # PDG code
    pt: np.ndarray  # GeV
    eta: np.ndarray
    phi: np.ndarray
    decay: np.ndarray  # [hadron, 3] where it decays, mm


def origin_of_daughters(code: int, origin: int) -> int:
    """Tell the origin of what a hadron or lepton decays to, from its code and its own origin."""
    code = abs(code)
    if origin == OTHER or code in LONG_LIVED:
        return OTHER
    if code in BOTTOM:
        return FROM_B
    if code in CHARM:
        return FROM_BC if origin in (FROM_B, FROM_BC) else FROM_C
    if code == TAU and origin in (PRIMARY, PROMPT):
        return FROM_TAU
    return origin


def make_events(
    source: Source, phase_space: PhaseSpace, seed: int, n_events: int
) -> tuple[detectors.Truth, np.ndarray, Heavy]:
    """Generate events: the visible particles around jets, their origin [particle], and Heavy.

    A particle's region is its event. `seed` is from 1 to 900,000,000. Raises RuntimeError where
    Pythia fails or no event holds a jet.
    """
    pythia, jets = _pythia(source, phase_space)
    pythia.rndm.init(seed)
    rows: list[tuple] = []
    vertices: list[tuple] = []
    origins: list[int] = []
    sizes: list[int] = []
    heavy: list[tuple] = []
    n_idle = 0
    while len(sizes) < n_events:
        if not pythia.next():
            n_idle += 1
            if n_idle > PATIENCE:
                raise RuntimeError(f"{PATIENCE} events failed; is {phase_space} possible?")
            continue
        event, begun = pythia.event, len(rows)
        jets.analyze(event)
        known: dict[int, int] = {}
        found: list[int] = []
        for k in range(jets.sizeJet()):
            members = jets.constituents(k)
            labels = [_origin_of(event, event[i], known, found) for i in members]
            kept = [not _is_lepton_of_boson(event[i], o) for i, o in zip(members, labels)]
            regions.extract(event, list(itertools.compress(members, kept)), rows, vertices)
            origins += itertools.compress(labels, kept)
        heavy += [_describe(event, index, known[index], len(sizes)) for index in found]
        sizes.append(len(rows) - begun)
    truth = regions.to_truth(pythia, rows, vertices, sizes)
    return truth, np.array(origins, np.int32), _to_heavy(heavy)


def _origin_of(event: Any, particle: Any, known: dict[int, int], found: list[int]) -> int:
    """Find where a particle comes from; `known` keeps what is learned of its ancestors, `found`
    collects the heavy ones.
    """
    index = particle.mother1()
    if index < 3:
        return PRIMARY
    origin = known.get(index)
    if origin is not None:
        return origin
    mother = event[index]
    code = mother.idAbs()
    if code in WEAK_BOSONS:
        origin = PROMPT
    elif (code < 11 or 20 < code < 100) and mother.statusAbs() not in OF_DECAYS:
        origin = PRIMARY  # partons: what a W makes of them is a jet
    else:
        own = _origin_of(event, mother, known, found)
        origin = origin_of_daughters(code, own)
        if code in BOTTOM or code in CHARM or (code == TAU and origin == FROM_TAU):
            found.append(index)
    known[index] = origin
    return origin


def _is_lepton_of_boson(particle: Any, origin: int) -> bool:
    return origin == PROMPT or (origin == FROM_TAU and particle.idAbs() in (11, 13))


def _describe(event: Any, index: int, origin: int, number: int) -> tuple:
    p = event[index]
    return number, origin, p.id(), p.pT(), p.eta(), p.phi(), (p.xDec(), p.yDec(), p.zDec())


def _to_heavy(rows: list[tuple]) -> Heavy:
    event, origin, pid, pt, eta, phi, decay = zip(*rows) if rows else ((),) * 7
    return Heavy(
        *(np.array(column, np.int64) for column in (event, origin, pid)),
        *(np.array(column, np.float64) for column in (pt, eta, phi)),
        decay=np.array(decay, np.float64).reshape(-1, 3),
    )


def truth_vertices(vertex: np.ndarray, event: np.ndarray, merge: float = 0.1) -> np.ndarray:
    """Number the vertices of each event: [particle] int32, 0 for the primary one.

    vertex: [particle, 3] production point, mm; event: [particle]; merge: distance, mm, below which
    two points are one vertex.
    """
    from scipy import sparse
    from scipy.spatial import KDTree

    events, number = np.unique(event, return_inverse=True)
    table = np.column_stack([vertex, 1e6 * number])  # events do not see each other
    primary = np.column_stack([np.zeros((len(events), 3)), 1e6 * np.arange(len(events))])
    points, index = np.unique(np.concatenate([primary, table]), axis=0, return_inverse=True)
    pairs = KDTree(points).query_pairs(merge, output_type="ndarray")
    n = len(points)
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (n, n))
    group = sparse.csgraph.connected_components(graph, directed=False)[1][index.ravel()]
    of_primary, of_particle = group[: len(events)], group[len(events) :]
    displaced = of_particle != of_primary[number]
    found = np.zeros(len(vertex), np.int32)
    if displaced.any():
        _, first, inverse = np.unique(
            of_particle[displaced], return_index=True, return_inverse=True
        )
        at = number[displaced][first]
        order = np.lexsort((first, at))
        rank = np.empty(len(order), np.int32)
        begin = np.searchsorted(at[order], at[order])
        rank[order] = 1 + np.arange(len(order)) - begin
        found[displaced] = rank[inverse]
    return found


def near(
    eta: np.ndarray, phi: np.ndarray, event: np.ndarray, heavy: Heavy, origin: int
) -> np.ndarray:
    """Find for each jet [jet] the hadron (index in Heavy) of an origin nearest to its axis within
    0.3 and above 5 GeV, -1 where there is none.
    """
    wanted = np.flatnonzero((heavy.origin == origin) & (heavy.pt > LEAST_HADRON_PT))
    nearest = np.full(len(eta), -1)
    if not len(wanted):
        return nearest
    order = wanted[np.argsort(heavy.event[wanted], kind="stable")]
    low = np.searchsorted(heavy.event[order], event, side="left")
    high = np.searchsorted(heavy.event[order], event, side="right")
    best = np.full(len(eta), REACH)
    for k in range(int((high - low).max(initial=0))):
        there = np.flatnonzero(low + k < high)
        which = order[low[there] + k]
        gap = np.abs(heavy.phi[which] - phi[there])
        distance = np.hypot(heavy.eta[which] - eta[there], np.minimum(gap, 2 * math.pi - gap))
        closer = distance < best[there]
        nearest[there[closer]] = which[closer]
        best[there[closer]] = distance[closer]
    return nearest


REACH, LEAST_HADRON_PT = 0.3, 5.0  # distance to the axis, GeV


@functools.lru_cache(maxsize=4)
def _pythia(source: Source, phase_space: PhaseSpace) -> tuple[Any, Any]:
    """An initialised Pythia and the finder of regions."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    multiparton = "on" if phase_space.multiparton else "off"
    for line in (
        *SETTINGS,
        *source.settings,
        f"Beams:eCM = {phase_space.energy}",
        f"PartonLevel:MPI = {multiparton}",
    ):
        if not pythia.readString(line):
            raise RuntimeError(f"Pythia does not know the setting {line!r}")
    if not pythia.init():
        raise RuntimeError(f"Pythia cannot be initialised for {source.settings}, {phase_space}")
    wide = phase_space.radius + MARGIN
    least = LEAST_PT * phase_space.pt_min
    return pythia, pythia8mc.SlowJet(-1, wide, least, phase_space.eta_max + wide, 2, 2)
