"""Neutrino telescopes by name: where their modules are, what is around them, how events begin."""

from typing import Any, Literal

import jax

from hepjax.neutrino import detectors, media, simulation, training

Name = Literal["icecube86", "orca", "arca", "pone", "trident"]

PLACES: dict[str, tuple[Any, Any]] = {
    "icecube86": (detectors.icecube86, media.south_pole),
    "orca": (detectors.orca, media.mediterranean),
    "arca": (detectors.arca, media.mediterranean),
    "pone": (detectors.pone, media.pacific),
    "trident": (detectors.trident, media.south_china_sea),
}


def configure() -> None:
    """Set JAX up, before it looks for devices.

    Products of float32 are exact, for places and times. On a CPU a program runs in the thread that
    calls it, so that two threads keep two cores busy.
    """
    jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def build(name: Name, kind: str, **changes: Any) -> simulation.Setup:
    """Put a telescope together; changes: fields of simulation.Setup or of its prior."""
    detector, medium = (make() for make in PLACES[name])
    return simulation.setup(detector, medium, kind, **changes)


def simulate(setup: simulation.Setup) -> training.Simulate:
    """Give the simulation of a setup as a training takes it."""
    return lambda key, n: simulation.events(key, setup, n)
