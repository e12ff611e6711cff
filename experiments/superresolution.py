"""Light predicted on modules that are not there: does the direction of muons gain by it?

Paper:    super-resolution for neutrino telescopes, arXiv:2408.08474
Command:  uv run experiments/superresolution.py --out runs/superresolution
Cost:     about two hours on two CPU cores; --quick some minutes; --full a GPU
Expected: no gain of the line fit (1.01 after 300 steps), where the hidden modules would give 1.9

A detector like IceCube, with strings 88 m apart, is simulated, and every second string hidden
(--hide modules: every second module of each). A network learns to predict the light on hidden
modules. Directions come from the line fit and from a network of emission points (`trident`),
trained three times: on what real modules saw, with what is predicted added, and on the whole
detector, all on the same events. What is predicted holds nothing that real pulses do not: `gain`
tells whether a method that is given it does better, `room` what the hidden modules would have told.
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
    media,
    simulation,
    superresolution,
    training,
    trident,
)
from hepjax.nn import model

SPACING = 125.0 / 2**0.5  # so that every second string makes IceCube's density


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/superresolution")  # run folder
    hide: Literal["strings", "modules"] = "strings"
    network: Literal["lite", "large"] = "lite"
    width: int = 64  # of the network that predicts light
    n_layers: int = 2
    n_virtual: int = 48  # hidden modules that it looks at
    n_modules: int = 48  # real ones, at most
    n_pulses: int = 128  # most of an event, in the whole detector
    log_energy: tuple[float, float] = (2.0, 4.0)  # log10 of GeV
    n_steps: int = 3000  # of the training of each network
    n_events: int = 256  # a step
    learning_rate: float = 2e-3
    n_test: int = 20_000  # events that are measured on
    seed: int = 0
    resume: bool = False  # go on from the latest checkpoints


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_steps": 200, "n_events": 128, "n_test": 2000},
    "full": {"network": "large", "width": 192, "n_layers": 4, "n_steps": 30_000, "n_events": 1024},
}


def telescope(config: Config, medium: media.Medium) -> tuple[data.Detector, training.Simulate]:
    """Make the whole detector, and what simulates events of one pulse a module."""
    grid = detectors.hexagonal(detectors.ICECUBE_ROWS, SPACING)
    dense = detectors.hang(grid, np.linspace(500.0, -500.0, 60))
    sizes: dict[str, Any] = {"log_energy": config.log_energy, "cap": config.n_pulses}
    setup = simulation.setup(dense, medium, **sizes)

    def simulate(key: jax.Array, n: int) -> tuple[data.Pulses, data.Truth]:
        pulses, truth = simulation.events(key, setup, n)
        return data.first_of_module(pulses), truth

    return dense, simulate


def main(config: Config) -> dict[str, Any]:
    """Train all networks and measure; returns what metrics.json holds."""
    run = runs.create(config.out, config, resume=config.resume)
    medium = media.south_pole()
    dense, simulate = telescope(config, medium)
    hidden = superresolution.every_second(dense, config.hide)
    light = superresolution.VirtualLight(config.width, config.n_layers)
    sizes = (config.n_virtual, config.n_modules)
    resolver = superresolution.Resolver(model.from_linen(light), dense, hidden, medium, *sizes)
    plan = training.Plan(config.n_steps, config.n_events, config.learning_rate)
    keys = jax.random.split(jax.random.key(config.seed), 4)
    params = superresolution.init(resolver, keys[0], simulate)["params"]
    goal = superresolution.loss(resolver, simulate, config.n_events)
    part = runs.Run(run.path / "trainings" / "light")
    variables = training.averaged(part, goal, params, plan, key=keys[1], resume=config.resume)

    @jax.jit
    def some(key: jax.Array) -> tuple[Any, ...]:
        pulses, truth = simulate(key, 1000)
        real, true = superresolution.sample(resolver, pulses)
        found = superresolution.predict(resolver, variables, real, true.position)
        return real, true, found, superresolution.enhance(resolver, variables, real), truth

    real, true, found, both, truth = jax.device_get(some(keys[2]))
    results: dict[str, Any] = {"light": superresolution.quality(found, true, real)}
    one = int(np.argsort(real.mask.sum(-1))[-100])
    with plot.figure(run.path / "plots" / "event") as ax:
        parts = (jax.tree.map(lambda x: x[one], y) for y in (both, truth))
        display.event(ax, *parts, virtual=hidden[both.module[one]])

    def seen(key: jax.Array, n: int, what: str) -> tuple[data.Pulses, data.Truth]:
        pulses, truth = simulate(key, n)
        real = superresolution.sample(resolver, pulses)[0]
        if what == "predicted":
            return superresolution.enhance(resolver, variables, real), truth
        if what == "whole":
            some = real.mask.any(-1, keepdims=True)
            whole = data.strongest(pulses, config.n_modules + config.n_virtual)
            return whole._replace(mask=whole.mask & some), truth
        return real, truth

    sizes = {"lite": trident.lite, "large": trident.large}[config.network]()
    network = trident.network(model.from_linen(sizes), medium)
    angles: dict[str, Any] = {}
    for what in ("real", "predicted", "whole"):
        events = lambda key, n, what=what: seen(key, n, what)  # noqa: E731
        part = runs.Run(run.path / "trainings" / what)
        again: dict[str, Any] = {"key": keys[0], "resume": config.resume}
        learned = directions.fit(part, network, events, plan, medium, **again)
        counts = {"n_events": config.n_test, "chunk": min(500, config.n_test)}
        found = directions.measure(network, learned, events, medium, key=keys[3], **counts)
        energy = found.truth.log_energy
        results[what] = directions.summary(found)
        runs.log(run, config.n_steps, results[what], what)
        angles |= {f"network, {what}": found.angle, f"line fit, {what}": found.line_angle}
    results |= superresolution.gains(angles)
    edges = np.linspace(*config.log_energy, 6)
    words = f"IceCube's strings at {SPACING:.0f} m, every second of the {config.hide} hidden"
    results["in_bins"] = display.angles(run.path / "plots", energy, angles, edges, words)
    return runs.finish(run, results)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
