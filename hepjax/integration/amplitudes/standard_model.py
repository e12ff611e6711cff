"""The Standard Model as a matrix element needs it: particles, parameters, couplings.

`Parameters` are what is measured, by default those of MadGraph's reference cards; they may be
arrays, by which a matrix element can be differentiated. `couplings` gives what follows at tree
level (the mass of the W from Fermi's constant, arXiv:1405.0301). Quarks of the first two
generations, electrons and muons have no mass; the mixing of quarks is the unit matrix. `parse`
reads a process as MadGraph writes it.

>>> parse("g g > t t~ g")
Process(incoming=(21, 21), outgoing=(6, -6, 21))
>>> round(float(couplings(Parameters()).mass_w), 3)
80.419
"""

import math
from typing import Any, NamedTuple

import numpy as np


class Particle(NamedTuple):
    """A field. pid: PDG code of the particle; mass, width: names in `Parameters`, "" without;
    charge: in units of e; isospin: third component, of the left-handed part; colour: 1, 3 or 8.
    """

    name: str
    pid: int
    kind: str
    mass: str = ""
    width: str = ""
    charge: float = 0.0
    isospin: float = 0.0
    colour: int = 1


def _generation(names: tuple[str, ...], pids: tuple[int, ...], **masses: str) -> list[Particle]:
    down, up, charged, neutrino = names
    return [
        Particle(down, pids[0], "fermion", masses.get(down, ""), "", -1 / 3, -0.5, 3),
        Particle(
            up, pids[1], "fermion", masses.get(up, ""), masses.get("width", ""), 2 / 3, 0.5, 3
        ),
        Particle(charged, pids[2], "fermion", masses.get("lepton", ""), "", -1.0, -0.5),
        Particle(neutrino, pids[3], "fermion", "", "", 0.0, 0.5),
    ]


PARTICLES = {
    p.pid: p
    for p in [
        *_generation(("d", "u", "e-", "ve"), (1, 2, 11, 12)),
        *_generation(("s", "c", "mu-", "vm"), (3, 4, 13, 14)),
        *_generation(
            ("b", "t", "ta-", "vt"),
            (5, 6, 15, 16),
            b="mass_bottom",
            t="mass_top",
            width="width_top",
            lepton="mass_tau",
        ),
        Particle("g", 21, "vector", colour=8),
        Particle("a", 22, "vector"),
        Particle("z", 23, "vector", "mass_z", "width_z"),
        Particle("w+", 24, "vector", "mass_w", "width_w", 1.0, 1.0),
        Particle("h", 25, "scalar", "mass_higgs", "width_higgs"),
    ]
}
PARTNER = {1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 11: 12, 12: 11, 13: 14, 14: 13, 15: 16, 16: 15}
"""The other member of a doublet."""

SELF_CONJUGATE = (21, 22, 23, 25)


class Parameters(NamedTuple):
    """Masses and widths, GeV; alpha_em: at the Z, alpha_s: at the scale of the process; fermi:
    Fermi's constant, 1 / GeV^2.
    """

    alpha_em: Any = 1 / 132.507
    fermi: Any = 1.16639e-5
    alpha_s: Any = 0.118
    mass_z: Any = 91.188
    width_z: Any = 2.441404
    width_w: Any = 2.0476
    mass_top: Any = 173.0
    width_top: Any = 1.4915
    mass_bottom: Any = 4.7
    mass_tau: Any = 1.777
    mass_higgs: Any = 125.0
    width_higgs: Any = 6.382339e-3


DEFAULT = Parameters()


class Couplings(NamedTuple):
    """What follows: e, g (weak), g_s; sin and cos of the weak angle; mass_w and vev, GeV."""

    e: Any
    g: Any
    g_s: Any
    sin: Any
    cos: Any
    mass_w: Any
    vev: Any


def couplings(parameters: Parameters) -> Couplings:
    """Give the couplings at tree level, in the scheme of alpha, Fermi's constant and the Z mass."""
    p = parameters
    square = p.mass_z**2
    mass_w = (
        square / 2 + (square**2 / 4 - np.pi * p.alpha_em * square / (p.fermi * 2**0.5)) ** 0.5
    ) ** 0.5
    cos = mass_w / p.mass_z
    sin = (1 - cos**2) ** 0.5
    e = (4 * np.pi * p.alpha_em) ** 0.5
    g_s = (4 * np.pi * p.alpha_s) ** 0.5
    return Couplings(e, e / sin, g_s, sin, cos, mass_w, 2 * mass_w * sin / e)


def value(parameters: Parameters, name: str) -> Any:
    """Give a mass or width by its name, 0.0 for an empty one."""
    if not name:
        return 0.0
    return couplings(parameters).mass_w if name == "mass_w" else getattr(parameters, name)


class Process(NamedTuple):
    """Incoming and outgoing particles, PDG codes."""

    incoming: tuple[int, ...]
    outgoing: tuple[int, ...]


def factors(parameters: Parameters) -> dict[str, Any]:
    """Give the factors of vertices by name; pairs are of left and right hands."""
    c = couplings(parameters)
    ratio = parameters.mass_higgs**2 / c.vev
    found: dict[str, Any] = {
        "one": 1.0,
        "i": 1j,
        "sin": c.sin,
        "cos": c.cos,
        "strong": 1j * c.g_s,
        "three strong": -1j * c.g_s,
        "strong strong": 1j * c.g_s**2,
        "weak": -1j * c.g,
        "weak weak": 1j * c.g**2,
        "w": (1j * c.g / 2**0.5, 0.0),
        "hw": 1j * c.g * c.mass_w,
        "hz": 1j * c.g * parameters.mass_z / c.cos,
        "hhw": c.g**2 / 2,
        "hhz": c.g**2 / 2 / c.cos**2,
        "hhh": -3j * ratio,
        "hhhh": -1j * ratio / c.vev,
    }
    for pid, one in PARTICLES.items():
        if one.kind == "fermion":
            mass = value(parameters, one.mass)
            right = -one.charge * c.sin**2
            found[f"photon {pid}"] = 1j * c.e * one.charge
            found[f"z {pid}"] = tuple(1j * c.g / c.cos * x for x in (one.isospin + right, right))
            found[f"yukawa {pid}"] = -1j * mass / c.vev
    return found


def factor(coupling: str, known: dict[str, Any]) -> Any:
    """Give the factor of a vertex of `recursion`; names that are not one factor are products."""
    if coupling in known:
        return known[coupling]
    for start in ("weak weak", "weak", "one", "i"):
        if coupling.startswith(start + " "):
            rest = (known[name] for name in coupling.removeprefix(start).split())
            return known[start] * math.prod(rest)
    raise KeyError(coupling)


def _names() -> dict[str, int]:
    found = {}
    for pid, particle in PARTICLES.items():
        found[particle.name] = pid
        if pid not in SELF_CONJUGATE:
            name = particle.name
            other = name[:-1] + {"+": "-", "-": "+"}[name[-1]] if name[-1] in "+-" else name + "~"
            found[other] = -pid
    return found


NAMES = _names()
"""PDG codes by name, as in MadGraph: u, u~, e-, e+, ve, ve~, g, a, z, w+, w-, h."""


def parse(text: str) -> Process:
    """Read a process such as "g g > t t~ g". Raises ValueError that names what is wrong."""
    sides = [side.split() for side in text.split(">")]
    if len(sides) != 2 or not all(sides):
        raise ValueError(f"process {text!r}: expected incoming particles > outgoing particles")
    unknown = [name for side in sides for name in side if name.lower() not in NAMES]
    if unknown:
        raise ValueError(f"process {text!r}: {unknown[0]!r} is none of {', '.join(NAMES)}")
    incoming, outgoing = (tuple(NAMES[name.lower()] for name in side) for side in sides)
    return Process(incoming, outgoing)


def name(pid: int) -> str:
    """Give the name of a particle by its PDG code."""
    return {code: text for text, code in NAMES.items()}[pid]
