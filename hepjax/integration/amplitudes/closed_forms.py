"""Cross-sections of two partons to two particles in closed form, d sigma / d cos(theta), GeV^-2.

Averaged over spins and colours of the incoming particles, cos(theta) in their rest frame between
the first of either side: lepton pairs by the exchange of any neutral vectors, top pairs of quarks
and of gluons (Combridge, Nucl. Phys. B 151, 429), two gluons of two gluons, a W or Z and a parton.
They are the least that a matrix element must agree with, and the fastest integrands.

>>> round(float(point_cross_section(10.0, 1 / 137.035999) * PICOBARN), 2)
868.54
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

PICOBARN = 0.3893793721e9
"""(hbar c)^2, pb GeV^2."""


class Vector(NamedTuple):
    """A neutral vector that is exchanged.

    mass, width: GeV, the width growing with s; left, right: couplings in units of e by the PDG code
    of a fermion.
    """

    mass: Any
    width: Any
    left: dict[int, Any]
    right: dict[int, Any]


CHARGE = {1: -1 / 3, 2: 2 / 3, 3: -1 / 3, 4: 2 / 3, 5: -1 / 3, 6: 2 / 3, 11: -1.0, 13: -1.0}
PHOTON = Vector(0.0, 0.0, CHARGE, CHARGE)


def z_boson(mass: Any, width: Any, sin2: Any, sin2_effective: Any = None) -> Vector:
    """Give a boson with the couplings of the Z, of a weak angle sin^2, of an effective one for the
    vector couplings (None: the same).
    """
    effective = sin2 if sin2_effective is None else sin2_effective
    norm = (sin2 * (1 - sin2)) ** -0.5
    isospin = {k: np.sign(q) / 2 for k, q in CHARGE.items()}
    left = {k: (isospin[k] - q * effective) * norm for k, q in CHARGE.items()}
    right = {k: -q * effective * norm for k, q in CHARGE.items()}
    return Vector(mass, width, left, right)


def point_cross_section(energy: Any, alpha: Any) -> Any:
    """Give 4 pi alpha^2 / (3 s), that of e+ e- to muons by a photon, GeV^-2; energy: GeV."""
    return 4 * np.pi * alpha**2 / (3 * energy**2)


def fermion_pair(
    s: Any, cos: Any, incoming: int, outgoing: int, vectors: Sequence[Vector], alpha: Any
) -> Any:
    """Fermion and antifermion, without mass, to another such pair by the exchange of vectors.

    s, cos: [...]; incoming, outgoing: PDG codes of the fermions, which are different.
    """
    found = 0.0
    for k, i in enumerate(("left", "right")):
        for j, o in enumerate(("left", "right")):
            amplitude = 0.0
            for vector in vectors:
                both = getattr(vector, i)[incoming] * getattr(vector, o)[outgoing]
                width = vector.width * s / vector.mass if vector.width else 0.0
                amplitude += both * s / (s - vector.mass**2 + 1j * width)
            angle = (1 + cos) ** 2 if k == j else (1 - cos) ** 2
            found += jnp.abs(amplitude) ** 2 * angle
    colours = 3 if outgoing < 10 else 1
    return np.pi * alpha**2 / (8 * s) * found * colours / (3 if incoming < 10 else 1)


def top_pair_of_quarks(s: Any, cos: Any, mass: Any, alpha_s: Any) -> Any:
    """Quark and antiquark to a pair of heavy quarks."""
    beta = jnp.sqrt(1 - 4 * mass**2 / s)
    t, u = (-s / 2 * (1 - sign * beta * cos) for sign in (1, -1))  # less the squared mass
    value = 4 / 9 * (t**2 + u**2 + 2 * mass**2 * s) / s**2
    return np.pi * alpha_s**2 / s**2 * value * s * beta / 2


def top_pair_of_gluons(s: Any, cos: Any, mass: Any, alpha_s: Any) -> Any:
    """Two gluons to a pair of heavy quarks."""
    beta = jnp.sqrt(1 - 4 * mass**2 / s)
    t, u = (-s / 2 * (1 - sign * beta * cos) for sign in (1, -1))
    m2 = mass**2
    shape = (t**2 + u**2) / s**2 + 4 * m2 / s - 4 * m2**2 / (t * u)
    value = (1 / (6 * t * u / s**2) - 3 / 8) * shape
    return np.pi * alpha_s**2 / s**2 * value * s * beta / 2


def gluon_pair(s: Any, cos: Any, alpha_s: Any) -> Any:
    """Two gluons to two, each pair of which is counted once over all of cos."""
    t, u = -s / 2 * (1 - cos), -s / 2 * (1 + cos)
    value = 9 / 2 * (3 - t * u / s**2 - s * u / t**2 - s * t / u**2)
    return np.pi * alpha_s**2 / s**2 * value * s / 2 / 2


def vector_and_gluon(s: Any, cos: Any, mass: Any, hands: tuple[Any, Any], alpha_s: Any) -> Any:
    """Quark and antiquark to a vector boson of a mass, GeV, and a gluon.

    cos: between quark and boson; hands: couplings of the boson to left- and right-handed quarks,
    e included (of a W g / sqrt(2) and 0).
    """
    t, u = _less_mass(s, cos, mass)
    value = 4 / 9 * (t**2 + u**2 + 2 * mass**2 * s) / (t * u)
    return _with_parton(s, mass, hands, alpha_s, value)


def vector_and_quark(s: Any, cos: Any, mass: Any, hands: tuple[Any, Any], alpha_s: Any) -> Any:
    """Quark and gluon to a vector boson and a quark; cos: between incoming quark and boson;
    otherwise as `vector_and_gluon`.
    """
    t, u = _less_mass(s, cos, mass)
    value = -1 / 6 * (s**2 + t**2 + 2 * mass**2 * u) / (s * t)
    return _with_parton(s, mass, hands, alpha_s, value)


def _less_mass(s: Any, cos: Any, mass: Any) -> tuple[Any, Any]:
    """Give t and u of a boson of a mass and a massless parton."""
    return tuple(-(s - mass**2) / 2 * (1 - sign * cos) for sign in (1, -1))  # type: ignore


def _with_parton(s: Any, mass: Any, hands: tuple[Any, Any], alpha_s: Any, value: Any) -> Any:
    squared = 4 * np.pi * alpha_s * (hands[0] ** 2 + hands[1] ** 2) * value
    return squared * (s - mass**2) / (32 * np.pi * s**2)
