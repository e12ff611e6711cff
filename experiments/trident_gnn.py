"""Directions of muons in TRIDENT by graph networks that look for where the light came from.

Paper:    TRIDENT's hybrid networks, arXiv:2505.23425, arXiv:2401.15324; DynEdge, arXiv:2209.03042
Command:  uv run experiments/trident_gnn.py --network lite --out runs/trident
Cost:     about an hour on two CPU cores; --quick some minutes; --full a GPU
Expected: median angular error below 0.6 deg (lite after 2,200 steps: 0.61; line fit: 1.60)

Tracks are simulated as they are needed, each is seen once. A network sees the first pulse of each
module, with the charge of all. `lite` and `large` predict for each where on the track its light
left and fit a line through these points, `dynedge` turns the direction of the line fit, which is
robust, in place and time, and stands beside all on the same events. Modules are given 6e-3 m^2,
three times what IceCube's have here; --detector icecube86 and the others have their own media.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from hepjax import plot, runs
from hepjax.neutrino import (
    data,
    detectors,
    directions,
    display,
    dynedge,
    media,
    simulation,
    training,
    trident,
)
from hepjax.nn import model

MEDIA = {
    "trident": media.south_china_sea,
    "icecube86": media.south_pole,
    "orca": media.mediterranean,
    "arca": media.mediterranean,
    "pone": media.pacific,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/trident_gnn")  # run folder
    network: Literal["lite", "large", "dynedge"] = "lite"
    detector: Literal["trident", "icecube86", "orca", "arca", "pone"] = "trident"
    log_energy: tuple[float, float] = (3.0, 4.0)  # log10 of GeV, of the muon in the detector
    index: float = 1.5  # of the spectrum
    area: float = 6e-3  # m^2, of a module
    noise: float = 1e-9  # 1/ns, of a module: what coincidences of its photomultipliers leave
    n_pulses: int = 320  # most of an event: brighter ones are left out
    n_modules: int = 48  # most that the network sees, of largest charge
    n_steps: int = 5000  # of the training
    n_events: int = 256  # a step
    learning_rate: float = 2e-3
    n_test: int = 20_000  # events that are measured on
    seed: int = 0
    resume: bool = False  # go on from the latest checkpoint


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_steps": 300, "n_events": 128, "n_test": 2000},
    "full": {
        "network": "large",
        "log_energy": (3.0, 5.0),
        "n_pulses": 2048,
        "n_modules": 128,
        "n_steps": 40_000,
        "n_events": 256,
        "n_test": 100_000,
    },
}


def build(config: Config, medium: media.Medium) -> directions.Network:
    """Make the network."""
    if config.network == "dynedge":
        sizes = dynedge.DynEdge if config.n_modules > 64 else dynedge.small
        return directions.from_encoder(model.from_linen(sizes(3)), medium)
    sizes = {"lite": trident.lite, "large": trident.large}[config.network]
    return trident.network(model.from_linen(sizes()), medium)


def telescope(config: Config, medium: media.Medium) -> training.Simulate:
    """Make the function that simulates events and keeps one pulse of a module."""
    detector = detectors.BUILDERS[config.detector]()
    names = ("log_energy", "index", "area", "noise")
    fields = {name: getattr(config, name) for name in names}
    setup = simulation.setup(detector, medium, cap=config.n_pulses, **fields)

    def simulate(key: jax.Array, n: int) -> tuple[data.Pulses, data.Truth]:
        pulses, truth = simulation.events(key, setup, n)
        return directions.one_of_module(pulses, config.n_modules), truth

    return simulate


def main(config: Config) -> dict[str, Any]:
    """Train and measure; returns what metrics.json holds."""
    run = runs.create(config.out, config, resume=config.resume)
    medium = MEDIA[config.detector]()
    network, simulate = build(config, medium), telescope(config, medium)
    plan = training.Plan(config.n_steps, config.n_events, config.learning_rate)
    learn, test, show = jax.random.split(jax.random.key(config.seed), 3)
    resume: dict[str, Any] = {"key": learn, "resume": config.resume}
    variables = directions.fit(run, network, simulate, plan, medium, **resume)
    sizes = {"n_events": config.n_test, "chunk": min(500, config.n_test)}
    found = directions.measure(network, variables, simulate, medium, key=test, **sizes)
    results: dict[str, Any] = directions.summary(found)
    results["n_parameters"] = sum(x.size for x in jax.tree.leaves(variables))
    angles = {config.network: found.angle, "line fit": found.line_angle}
    edges = np.linspace(*config.log_energy, 7)
    what = f"{config.detector}, {config.n_test:,} simulated tracks"
    energy = found.truth.log_energy
    results["in_bins"] = display.angles(run.path / "plots", energy, angles, edges, what)
    one_event(
        run.path / "plots" / "event",
        network,
        variables,
        jax.jit(lambda key: simulate(key, 8))(show),
        medium,
    )
    return runs.finish(run, results)


def one_event(
    path: Path, network: directions.Network, variables: Any, events: Any, medium: media.Medium
) -> None:
    """Draw the event of most modules."""
    pulses, truth = events
    one = int(np.argmax(np.asarray(pulses.mask).sum(-1)))
    answer = network.reconstruct(variables, pulses)
    parts: dict[str, Any] = {"direction": answer.direction[one]}
    if answer.point is not None:
        true = directions.emission_points(truth, pulses.position, medium)
        parts |= {"point": answer.point[one], "true_point": true[one]}
    with plot.figure(path) as ax:
        display.event(ax, *(jax.tree.map(lambda x: x[one], y) for y in events), **parts)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
