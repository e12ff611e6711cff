"""The processes of madnis.py: what each is, what is known of it, what is looked at."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hepjax.integration import (
    alpha_s,
    closed_forms,
    hadronic,
    integrator,
    observables,
    pdf,
    processes,
    scales,
)

Z = closed_forms.z_boson(91.1876, 2.50419, 0.2312, 0.2315)
PYTHIA = {"drell_yan": (1459.6, 2.7), "ttbar": (566.2, 0.7), "gluons": (9.0e6, 0.011e6)}
"""Pythia 8.317 with the same parameters and densities, pb, with the error of its statistics."""

EVENTS = {"g g > t t~": (440.675, 0.367), "g g > t t~ g": (414.03, 0.92)}
"""MadGraph, by events whose banners have the cuts, scales and couplings that are taken here."""


class Chosen(NamedTuple):
    """An integrand, what is looked at in its points, and the cross-section of another program with
    its error, pb, None where there is none.
    """

    integrand: integrator.Integrand
    observe: observables.Observe
    reference: tuple[float, float] | None


def names() -> list[str]:
    """List the processes that have a name."""
    return [*_PAIRS, *_PARTICLES]


def choose(name: str, densities: str, zprime: tuple[float, float]) -> Chosen:
    """Make a process by its name, or by its legs, "g g > t t~ g".

    densities: a set of parton densities; zprime: mass and width, GeV. Raises ValueError for a name
    that is none.
    """
    if name in _PAIRS:
        pair = _PAIRS[name](zprime)
        integrand = processes.integrand(pair, pdf.load(densities))
        return Chosen(integrand, observables.of_pair(pair), PYTHIA.get(name))
    if name not in _PARTICLES and ">" not in name:
        expected = ", ".join(names())
        raise ValueError(f'process: {name!r}, expected {expected} or legs, "g g > t t~ g"')
    process = _particles(name)
    integrand = hadronic.integrand(process, pdf.load(densities))
    return Chosen(integrand, observables.of_particles(process), EVENTS.get(name))


def _drell_yan_zprime(zprime: tuple[float, float]) -> processes.Pair:
    other = closed_forms.z_boson(*zprime, 0.2312, 0.2315)
    return processes.drell_yan([closed_forms.PHOTON, Z, other], (60.0, 1000.0))


_PAIRS: dict[str, Callable[[Any], processes.Pair]] = {
    "drell_yan": lambda _: processes.drell_yan([closed_forms.PHOTON, Z], (60.0, 120.0)),
    "drell_yan_zprime": _drell_yan_zprime,
    "ttbar": lambda _: processes.top_pair(),
    "gluons": lambda _: processes.gluons(),
}
_PARTICLES = {"ttbar_jet": 1, "ttbar_2jets": 2}
"""Jets beside the top pair."""


def _particles(name: str) -> hadronic.Process:
    """Make a process of matrix elements, with the running coupling of the densities."""
    running = alpha_s.running(0.13, 91.188, loops=2)
    n_out = len(name.split(">")[1].split()) if ">" in name else 2 + _PARTICLES[name]
    options: dict[str, Any] = {
        "coupling": lambda square: alpha_s.alpha_s(running, square),
        "scale": scales.clustered if n_out < 4 else scales.half_sum,
    }
    if name in _PARTICLES:
        return hadronic.top_pair(_PARTICLES[name], **options)
    return hadronic.of(name, **options)
