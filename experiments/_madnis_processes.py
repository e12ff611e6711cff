"""The processes of madnis.py: what each is, what is known of it, what is looked at."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepjax.integration import integrator, report, sampling
from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.events import generation, unweighting
from hepjax.integration.hadrons import (
    alpha_s,
    hadronic,
    observables,
    pdf,
    processes,
)
from hepjax.integration.kinematics import scales

Z = closed_forms.z_boson(91.1876, 2.50419, 0.2312, 0.2315)
PYTHIA = {"drell_yan": (1459.6, 2.7), "ttbar": (566.2, 0.7), "gluons": (9.0e6, 0.011e6)}
"""Pythia 8.317 with the same parameters and densities, pb, with the error of its statistics."""

EVENTS = {"g g > t t~": (440.675, 0.367), "g g > t t~ g": (414.03, 0.92)}
"""MadGraph, by events whose banners have the cuts, scales and couplings that are taken here."""


class Chosen(NamedTuple):
    """A process.

    name; integrand; observe: what is looked at in its points; draw: (numbers, channels, rng) ->
    events; densities; coupling: alpha_s by the squared scale; reference: the cross-section of
    another program with its error, pb, None where there is none.
    """

    name: str
    integrand: integrator.Integrand
    observe: observables.Observe
    draw: Callable[..., generation.Drawn]
    densities: pdf.PDF
    coupling: hadronic.Coupling
    reference: tuple[float, float] | None


def write_events(
    path: Path,
    chosen: Chosen,
    sample: sampling.Sampled,
    cross_section: tuple[float, float],
    overweight: float,
    most: int,
    rng: np.random.Generator,
) -> int:
    """Unweight points, and write so many of them at most; returns how many."""
    weight = report.whole_weights(sample, chosen.integrand.n_channels)
    index, carried = unweighting.unweight(weight, unweighting.limit(weight, overweight), rng)
    index, carried = index[:most], carried[:most]
    drawn = chosen.draw(sample.x[index], sample.channel[index], rng)
    given = cross_section, chosen.densities, chosen.coupling
    generation.write(path, drawn, carried, *given, text=f"process: {chosen.name}")
    return len(index)


def names() -> list[str]:
    """List the processes that have a name."""
    return [*_PAIRS, *_PARTICLES]


def choose(name: str, densities: str, zprime: tuple[float, float]) -> Chosen:
    """Make a process by its name, or by its legs, "g g > t t~ g".

    densities: a set of parton densities; zprime: mass and width, GeV. Raises ValueError for a name
    that is none.
    """
    if name in _PAIRS:
        pair, given = _PAIRS[name](zprime), pdf.load(densities)
        running = alpha_s.running(pair.alpha_s, 91.188)
        return Chosen(
            name,
            processes.integrand(pair, given),
            observables.of_pair(pair),
            functools.partial(generation.of_pair, pair, given),
            given,
            lambda square: alpha_s.alpha_s(running, square),
            PYTHIA.get(name),
        )
    if name not in _PARTICLES and ">" not in name:
        expected = ", ".join(names())
        raise ValueError(f'process: {name!r}, expected {expected} or legs, "g g > t t~ g"')
    process, given = _particles(name), pdf.load(densities)
    return Chosen(
        name,
        hadronic.integrand(process, given),
        observables.of_particles(process),
        functools.partial(generation.of_particles, process, given),
        given,
        process.coupling,
        EVENTS.get(name),
    )


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
