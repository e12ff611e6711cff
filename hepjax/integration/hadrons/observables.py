"""What is looked at in points of a process: values with the bins and words that a plot needs.

>>> Observable(np.array([91.0]), np.linspace(60, 120, 3), "Mass", "GeV").label
'Mass'
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration.amplitudes import recursion, standard_model
from hepjax.integration.hadrons import hadronic, processes


class Observable(NamedTuple):
    """value: [point]; edges: of bins; label and unit of the axis; log: of the other axis."""

    value: Any
    edges: np.ndarray
    label: str
    unit: str = ""
    log: bool = True


Observe = Callable[[Any, Any], dict[str, Observable]]
"""Numbers of the cube [point, dim] and channels [point] -> observables by name, the first of which
is that which channels are told apart by."""


def of_pair(process: processes.Pair) -> Observe:
    """Look at mass and cos(theta) of two particles."""
    low = process.limits[0] ** 0.5
    masses = np.geomspace(low, min(process.limits[1] ** 0.5, 30 * low), 61)

    def observe(u: Any, channel: Any) -> dict[str, Observable]:
        at = processes.kinematics(process, jnp.asarray(u), jnp.asarray(channel))
        return {
            "mass": Observable(np.sqrt(at.s), masses, "Mass", "GeV"),
            "cos_theta": Observable(
                np.asarray(at.cos), np.linspace(-1, 1, 41), r"$\cos\theta$", log=False
            ),
        }

    return observe


def of_particles(process: hadronic.Process) -> Observe:
    """Look at the mass of the whole, momentum across the beams and rapidity of each outgoing
    particle, and the mass of each pair.
    """
    legs = process.terms[0].plan.process.outgoing
    names = _names(legs)
    masses, low = process.space.masses, max(sum(process.space.masses), process.cuts.min_pt)

    @jax.jit
    def values(u: jax.Array, channel: jax.Array) -> dict[str, jax.Array]:
        at = hadronic.points(process, u, channel)
        out = at.momenta[:, 2:]
        boost = jnp.log(at.first / at.second) / 2
        found = {"mass": 2 * at.momenta[:, 0, 0]}
        for k, name in enumerate(names):
            p = out[:, k]
            found[f"pt_{name}"] = jnp.hypot(p[:, 1], p[:, 2])
            found[f"rapidity_{name}"] = jnp.arctanh(p[:, 3] / p[:, 0]) + boost
        for k, name in enumerate(names):
            for j in range(k):
                p = out[:, k] + out[:, j]
                square = p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(-1)
                found[f"mass_{names[j]}_{name}"] = jnp.sqrt(jnp.maximum(square, 0))
        return found

    def observe(u: Any, channel: Any) -> dict[str, Observable]:
        found = {}
        for name, value in values(jnp.asarray(u), jnp.asarray(channel)).items():
            what, *of = name.split("_")
            words = {"mass": "Mass", "pt": "$p_T$", "rapidity": "Rapidity"}[what]
            label = f"{words} of {' '.join(of)}" if of else words
            if what == "rapidity":
                found[name] = Observable(np.asarray(value), np.linspace(-5, 5, 41), label)
                continue
            if what == "pt":
                least = process.cuts.min_pt if masses[names.index(of[0])] == 0 else 10.0
            else:
                least = sum(masses[names.index(x)] for x in of) if of else low
            edges = np.geomspace(max(least, 10.0), 10 * low + 500, 51)
            found[name] = Observable(np.asarray(value), edges, label, "GeV")
        return found

    return observe


def _names(pids: tuple[int, ...]) -> list[str]:
    """Name outgoing particles, those of the same name by a number too; partons are jets."""
    found: list[str] = []
    for pid in pids:
        is_jet = recursion.particle(pid).colour > 1 and abs(pid) != 6
        found.append("jet" if is_jet else standard_model.name(pid))
    counts = {name: found.count(name) for name in found}
    return [
        f"{name}{found[:k].count(name) + 1}" if counts[name] > 1 else name
        for k, name in enumerate(found)
    ]
