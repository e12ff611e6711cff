"""Electron-positron collisions at 240 GeV from Pythia, with two jets of one flavour each.

A Higgs boson beside a Z to neutrinos decays to one pair of quarks, or to two gluons: all that is
seen of the event is the two jets. A Z instead of the Higgs boson is a second source of quarks.
`make_collisions` gives the visible particles of the events, and the two partons of each.

In the standard model the decays to u, d and s quarks are far too rare to be seen; here the flavour
is chosen, and the decay is Pythia's for it. Leptons of the beams radiate (PDF:lepton = on), so a
photon along the beam, or in the detector, is part of the sample; there are no multiple parton
interactions. Long-lived hadrons decay if they do so within 300 mm of the beam.

>>> settings(SOURCES["higgs"], "b")[-2:]
['25:onMode = off', '25:onIfMatch = 5 -5']
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from hepjax.jets.simulation import detector as detectors
from hepjax.jets.simulation import pythia as regions
from hepjax.jets.simulation.events import SETTINGS

FLAVOURS = ("b", "c", "s", "u", "d")
"""Quarks in the order of their classes."""

CODES = {"b": 5, "c": 4, "s": 3, "u": 2, "d": 1, "g": 21}
"""PDG codes of the partons of a pair; that of an antiquark is negative."""

ENERGY = 240.0
"""Centre-of-mass energy, GeV."""

PATIENCE = 10_000  # events without a single one of two jets


class Source(NamedTuple):
    """A pair of bosons, one of which decays to neutrinos and the other to the two partons."""

    index: int  # enters seeds and event numbers: never change it
    settings: tuple[str, ...]  # Pythia's
    boson: int  # PDG code of the one that makes jets
    partons: tuple[str, ...]  # to which it can decay


SOURCES = {
    "higgs": Source(
        0,
        ("HiggsSM:ffbar2HZ = on", "23:onMode = off", "23:onIfAny = 12 14 16"),
        25,
        (*FLAVOURS, "g"),
    ),
    "z": Source(
        1,
        (
            "WeakDoubleBoson:ffbar2gmZgmZ = on",
            "WeakZ0:gmZmode = 2",
            "23:onMode = off",
        ),
        23,
        FLAVOURS,
    ),
}
"""Higgs bosons with a Z, and pairs of Z."""

LEPTON_BEAMS = (
    "Beams:idA = 11",
    "Beams:idB = -11",
    f"Beams:eCM = {ENERGY}",
    "PDF:lepton = on",
)


def settings(source: Source, flavour: str) -> list[str]:
    """All lines that Pythia is given for the pair of one flavour, for the record."""
    code = CODES[flavour]
    pair = f"25:onIfMatch = {code} {code if flavour == 'g' else -code}"
    of_higgs = ["25:onMode = off", pair]
    decay = of_higgs if source.boson == 25 else [f"23:onIfAny = 12 14 16 {code}"]
    return [*SETTINGS, *LEPTON_BEAMS, *source.settings, *decay]


class Partons(NamedTuple):
    """The two partons of each event, before they radiate: the quark first."""

    pid: np.ndarray  # [event, 2] PDG code
    p4: np.ndarray  # [event, 2, 4] (E, px, py, pz) GeV


def make_collisions(
    source: Source, flavour: str, seed: int, n_events: int
) -> tuple[detectors.Truth, Partons]:
    """Generate events: their visible particles, a region an event, and their partons.

    `seed` is from 1 to 900,000,000. Raises ValueError for a flavour that the source does not make,
    RuntimeError where Pythia fails.
    """
    if flavour not in source.partons:
        raise ValueError(f"flavour is {flavour!r}, expected one of {source.partons}")
    pythia = _pythia(source, flavour)
    pythia.rndm.init(seed)
    rows: list[tuple] = []
    vertices: list[tuple] = []
    sizes: list[int] = []
    pairs: list[list[tuple]] = []
    n_idle = 0
    while len(sizes) < n_events:
        event = pythia.event
        pair = _partons(event, source.boson) if pythia.next() else None
        if pair is None:
            n_idle += 1
            if n_idle > PATIENCE:
                raise RuntimeError(f"no pair of {flavour} in {PATIENCE} events of {source}")
            continue
        n_idle = 0
        seen = [k for k in range(event.size()) if event[k].isFinal() and event[k].isVisible()]
        regions.extract(event, seen, rows, vertices)
        sizes.append(len(seen))
        pairs.append(pair)
    table = np.array(pairs, np.float64).reshape(-1, 2, 5)
    partons = Partons(table[..., 0].astype(np.int64), table[..., 1:])
    return regions.to_truth(pythia, rows, vertices, sizes), partons


def _partons(event: Any, boson: int) -> list[tuple] | None:
    """(code, E, px, py, pz) of the quark and the antiquark, None if the event has not one pair."""
    pairs = []
    for k in (5, 6):  # the two bosons
        last = event[event[k].iBotCopyId()]
        pair = [event[i] for i in last.daughterList()]
        coloured = len(pair) == 2 and all(p.isParton() for p in pair)
        if last.id() == boson and coloured:
            pairs.append(sorted(pair, key=lambda p: -p.id()))
    if len(pairs) != 1:
        return None
    return [(p.id(), p.e(), p.px(), p.py(), p.pz()) for p in pairs[0]]


@functools.lru_cache(maxsize=12)
def _pythia(source: Source, flavour: str) -> Any:
    """An initialised Pythia, kept because that takes a while."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in settings(source, flavour):
        if not pythia.readString(line):
            raise RuntimeError(f"Pythia does not know the setting {line!r}")
    if not pythia.init():
        raise RuntimeError(f"Pythia cannot be initialised for {source.settings}, {flavour}")
    return pythia
