"""Which jets to make: phase spaces, and hard processes with the decay that a jet must hold.

The ten classes are those of JetClass (arXiv:2202.03772): QCD jets beside a Z that nobody sees;
Higgs bosons with a Z to neutrinos; W with such a Z; two Z; top pairs. Electrons and muons are the
leptons. We differ in the hard process: Pythia's own, at leading order without extra jets, and both
of two Z go to quarks, of each of two tops to what the class says.

>>> TEN_CLASSES["Hbb"], PROCESSES["hbb"].label, PROCESSES["hbb"].products
('hbb', 'label_Hbb', (2, 0))
"""

from typing import NamedTuple

from hepjax.jets.simulation import detector as detectors


class PhaseSpace(NamedTuple):
    """Which jets: all cuts act on jets of measured objects."""

    energy: float  # proton-proton centre-of-mass energy, GeV
    multiparton: bool  # multiple parton interactions
    radius: float  # of the anti-kt jets
    pt_min: float  # GeV
    pt_max: float  # GeV
    eta_max: float  # of abs(eta)
    detector: detectors.Detector  # the one to use if none is named
    shower: tuple[str, ...] = ()  # Pythia's settings of another shower than its own


TOP_LANDSCAPE = PhaseSpace(14_000.0, False, 0.8, 550.0, 650.0, 2.0, detectors.ATLAS_LIKE)
"""Jets as in the public top landscape set (arXiv:1902.09914)."""

JETCLASS = PhaseSpace(13_000.0, True, 0.8, 500.0, 1000.0, 2.0, detectors.CMS_LIKE)
"""Jets as in JetClass (arXiv:2202.03772), for the process at leading order without extra jets."""

SHOWERS = {
    "nominal": (),
    "soft": ("TimeShower:alphaSvalue = 0.12",),
    "hard": ("TimeShower:alphaSvalue = 0.155",),
    "vincia": ("PartonShowers:model = 2",),
}
"""Ways in which quarks and gluons radiate: Pythia's own, with a smaller and a larger coupling than
its 0.1365, and Vincia's antennae (arXiv:2003.00702), at seven times the cost.
"""

Window = tuple[float, float]
TOP, HIGGS, W, Z = 6, 25, 24, 23


class Process(NamedTuple):
    """A hard process; windows are fractions of (pt_min, pt_max)."""

    index: int  # enters seeds and event numbers: never change it
    label: str  # the branch that is 1
    settings: tuple[str, ...]  # Pythia's
    pthat: Window  # of the hard process
    early: Window  # of parton jets at VETO_SCALE, a heavy particle as one parton
    late: Window  # of visible parton jets after the shower
    region: Window  # of the wide particle jets
    parent: int = 0  # PDG code of what a jet must hold; 0: jets of the hard partons will do
    products: tuple[int, int] = (0, 0)  # its visible ones: quarks or gluons, charged leptons
    reach: float = 0.35  # between the parent and the axis of its jet


def _resonance(
    index: int,
    label: str,
    parent: int,
    products: tuple[int, int],
    *settings: str,
    invisible: bool = False,
) -> Process:
    """A process whose jets hold a heavy parent; one with neutrinos lies above its jet in pT."""
    windows: dict[str, Window] = {
        "pthat": (0.72, 2.0 if invisible else 1.35),
        "early": (0.95, 1.9 if invisible else 1.15),
        "late": (0.94, 1.17),
        "region": (0.97, 1.16),
    }
    reach = 0.8 if invisible else 0.35
    return Process(index, label, settings, **windows, parent=parent, products=products, reach=reach)


def _higgs(
    index: int,
    name: str,
    products: tuple[int, int],
    *settings: str,
    invisible: bool = False,
) -> Process:
    """A Higgs boson beside a Z to neutrinos."""
    produced = "HiggsSM:ffbar2HZ = on", *Z_TO_NEUTRINOS, "25:onMode = off"
    lines = *produced, *settings
    return _resonance(index, f"label_{name}", HIGGS, products, *lines, invisible=invisible)


Z_TO_NEUTRINOS = ("23:onMode = off", "23:onIfAny = 12 14 16")
TOP_PAIRS = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off")
TO_QUARKS, TO_LEPTONS = "24:onIfAny = 1 2 3 4 5", "24:onIfAny = 11 13"
TO_BOTH = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5 11 13")

PROCESSES = {
    "qcd": Process(
        index=0,
        label="label_QCD",
        settings=("HardQCD:all = on",),
        pthat=(0.72, 1.35),
        early=(0.90, 1.07),
        late=(0.94, 1.06),
        region=(0.97, 1.20),
    ),
    "top": _resonance(1, "label_Tbqq", TOP, (3, 0), *TOP_PAIRS, TO_QUARKS),
    "zjets": Process(
        index=10,
        label="label_QCD",
        settings=(
            "WeakBosonAndParton:qqbar2gmZg = on",
            "WeakBosonAndParton:qg2gmZq = on",
            "WeakZ0:gmZmode = 2",
            *Z_TO_NEUTRINOS,
        ),
        pthat=(0.72, 1.35),
        early=(0.90, 1.07),
        late=(0.94, 1.06),
        region=(0.97, 1.20),
    ),
    "hbb": _higgs(11, "Hbb", (2, 0), "25:onIfMatch = 5 -5"),
    "hcc": _higgs(12, "Hcc", (2, 0), "25:onIfMatch = 4 -4"),
    "hgg": _higgs(13, "Hgg", (2, 0), "25:onIfMatch = 21 21"),
    "h4q": _higgs(14, "H4q", (4, 0), "25:onIfMatch = 24 -24", "24:onMode = off", TO_QUARKS),
    "hqql": _higgs(15, "Hqql", (2, 1), "25:onIfMatch = 24 -24", *TO_BOTH, invisible=True),
    "zqq": _resonance(
        *(16, "label_Zqq", Z, (2, 0)),
        "WeakDoubleBoson:ffbar2gmZgmZ = on",
        "WeakZ0:gmZmode = 2",
        "23:onMode = off",
        "23:onIfAny = 1 2 3 4 5",
    ),
    "wqq": _resonance(
        *(17, "label_Wqq", W, (2, 0)),
        "WeakDoubleBoson:ffbar2ZW = on",
        *Z_TO_NEUTRINOS,
        "24:onMode = off",
        TO_QUARKS,
    ),
    "tbl": _resonance(18, "label_Tbl", TOP, (1, 1), *TOP_PAIRS, TO_LEPTONS, invisible=True),
}
"""Top tagging has top pairs with both W to quarks ("top"), and QCD two-to-two with all light
flavours, c and b ("qcd"); the others complete the ten classes.
"""

TEN_CLASSES = {
    "QCD": "zjets",
    "Hbb": "hbb",
    "Hcc": "hcc",
    "Hgg": "hgg",
    "H4q": "h4q",
    "Hqql": "hqql",
    "Zqq": "zqq",
    "Wqq": "wqq",
    "Tbqq": "top",
    "Tbl": "tbl",
}
"""Class of JetClass, in the order of its files -> process."""

COMMON_SETTINGS = (
    "Print:quiet = on",
    "Check:abortIfVeto = on",
    "Random:setSeed = on",
    "Random:seed = 1",
    "ParticleDecays:limitTau0 = on",  # K_S, Lambda and longer-lived ones reach the detector
    "ParticleDecays:tau0Max = 10",  # mm
)


def pythia_settings(process: Process, phase_space: PhaseSpace) -> list[str]:
    """All lines that Pythia is given, for the record."""
    return [
        *COMMON_SETTINGS,
        *process.settings,
        *phase_space.shower,
        f"Beams:eCM = {phase_space.energy}",
        f"PartonLevel:MPI = {'on' if phase_space.multiparton else 'off'}",
        f"PhaseSpace:pTHatMin = {process.pthat[0] * phase_space.pt_min}",
        f"PhaseSpace:pTHatMax = {process.pthat[1] * phase_space.pt_max}",
    ]
