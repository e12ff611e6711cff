"""Cross-sections by learned importance sampling: flows and channel weights, beside VEGAS.

Paper:    MadNIS, arXiv:2212.06172 and arXiv:2311.01548
Command:  uv run --extra generators experiments/madnis.py --process drell_yan_zprime --out RUN
Cost:     --quick a minute on two CPU cores, default some minutes; ttbar_2jets an hour
Expected: the cross-section of other programs within errors (at 13 TeV drell_yan 1459.6 +- 2.7 pb,
          ttbar 566.2 +- 0.7 pb, gluons 9.000e6 +- 0.011e6 pb, "g g > t t~" 440.675 +- 0.367 pb,
          "g g > t t~ g" 414.03 +- 0.92 pb); a relative standard deviation below that of VEGAS on
          the same channels

A process has channels, each behind its own map; VEGAS adapts a grid to each, and flows behind these
grids and weights of the channels are trained to make the variance of the whole small. Points are
then drawn from the flows and, as many, from grids of VEGAS that were adapted with as many calls as
the training had; both share points among channels by their standard deviations. vegas_plus_ is the
classical integral of all channels with cells, whose error is no measure of event weights. Points
of the flows are unweighted to events.lhe.gz, for a parton shower.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hepjax import checkpoint, runs, train
from hepjax.integration import (
    integrator,
    report,
    sampling,
    vegas,
)
from hepjax.integration.hadrons import processes

sys.path.insert(0, str(Path(__file__).parent))

import _amplitude_check
import _madnis_processes


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the preset --quick sets some of them."""

    out: Path = Path("runs/madnis")  # run folder
    process: str = "drell_yan_zprime"  # or drell_yan, ttbar, gluons, ttbar_jet, "g g > t t~ g" ...
    check_amplitude: Path | None = None  # dump of |M|^2 to compare the process with, and no more
    densities: str = processes.PROTON  # a set of parton densities, by its name or file
    zprime: tuple[float, float] = (400.0, 0.5)  # mass and width of a Z' like the Z, GeV
    n_steps: int = 1000  # of the training
    n_points: int = 1024  # a step
    learning_rate: float = 1e-3
    buffered: int = 0  # steps that learn from kept points after each with new ones
    drop: float = 0.01  # share of the cross-section below which channels are given up, all together
    n_grid: int = 20_000  # points of each of ten steps of VEGAS, a channel
    n_sample: int = 400_000  # points to look at, and as many of VEGAS
    overweight: float = 1e-3  # share of the cross-section above the limit, carried by its events
    n_events: int = 10_000  # at most, to events.lhe.gz
    seed: int = 0
    resume: bool = False  # go on from the latest checkpoint


KEPT = 20
"""Steps whose points are kept, if any are."""

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_steps": 300, "n_sample": 100_000, "n_grid": 5000},
    "full": {"n_steps": 10_000, "n_points": 8192, "n_sample": 4_000_000},
}


def vegas_plus(integrand: integrator.Integrand, config: Config, key: jax.Array) -> dict[str, Any]:
    """Integrate all channels by VEGAS+, with the prior weights and as many points in all."""
    each = (config.n_sample + config.n_steps * config.n_points) // integrand.n_channels
    settings = vegas.Settings(n_points=each // 15, n_bins=500)
    _, found = integrator.classical(integrand, key, settings)
    value, error = float(found.value.sum()), float((found.error**2).sum() ** 0.5)
    n = int(found.n.sum())
    numbers = {"sigma_pb": value, "sigma_error_pb": error, "rsd": error / value * n**0.5, "n": n}
    return {f"vegas_plus_{name}": x for name, x in numbers.items()}


def settings_of(config: Config) -> integrator.Settings:
    """Set up the training."""
    return integrator.Settings(
        n_points=config.n_points,
        n_steps=config.n_steps,
        learning_rate=config.learning_rate,
        drop=config.drop,
        buffered=config.buffered,
        buffer=KEPT if config.buffered else 0,
    )


def main(config: Config) -> dict[str, Any]:
    """Train, sample and compare; returns what metrics.json holds."""
    jax.config.update("jax_enable_x64", True)
    if config.check_amplitude is not None:
        run = runs.create(config.out, config)
        plots = run.path / "plots"
        return runs.finish(
            run, _amplitude_check.check(config.process, config.check_amplitude, plots)
        )
    chosen = _madnis_processes.choose(config.process, config.densities, config.zprime)
    run = runs.create(config.out, config, resume=config.resume)
    integrand = chosen.integrand
    n, settings = integrand.n_channels, settings_of(config)
    keys = jax.random.split(jax.random.key(config.seed), 8)
    front = vegas.Settings(n_points=config.n_grid, n_bins=128, beta=0.0)
    edges = integrator.classical(integrand, keys[1], front)[0].edges
    start = integrator.init(integrand, settings, keys[0], vegas.graded(edges))
    often = {"steps_per_call": 10, "log_every": 50, "save_every": max(config.n_steps // 2, 1)}
    plan = train.Settings(n_steps=config.n_steps, **often)
    step = integrator.train_step(integrand, settings)
    with checkpoint.open(run.path / "checkpoints") as kept:
        keep: dict[str, Any] = {"run": run, "checkpoints": kept, "resume": config.resume}
        state = train.fit(step, start, None, integrator.finish, plan, **keep).state
    more = config.n_grid + config.n_steps * config.n_points // (10 * n)  # as many as the training
    fine = vegas.Settings(n_points=more, n_bins=500, beta=0.0)
    edges = integrator.classical(integrand, keys[2], fine)[0].edges
    classical = integrator.init(integrand, settings, keys[0], edges)
    active = state.extra.active
    results: dict[str, Any] = {"process": config.process, "n_channels": n}
    results["n_channels_kept"] = int(active.sum())
    samples = {}
    for k, (name, of) in enumerate({"flows": state, "VEGAS": classical}.items()):
        of = sampling.observe(integrand, settings, of, keys[3 + k], 4 * config.n_grid)
        samples[name] = sampling.sample(integrand, settings, of, keys[5 + k], config.n_sample)
        found = report.summary(samples[name], of.extra.active, config.overweight)
        results |= {f"{'vegas_' if k else ''}{key}": x for key, x in found.items()}
    results |= vegas_plus(integrand, config, keys[7])
    sigma = results["sigma_pb"], results["sigma_error_pb"]
    path, rng = run.path / "events.lhe.gz", np.random.default_rng(config.seed)
    given = chosen, samples["flows"], sigma, config.overweight, config.n_events
    results["n_events"] = _madnis_processes.write_events(path, *given, rng)
    if chosen.reference is not None:
        results["reference_pb"], results["reference_error_pb"] = chosen.reference
    words = {"active": active, "title": f"{config.process}, 13 TeV"}
    shown = chosen.observe, integrand, state.params.weights, samples
    report.process(run.path / "plots", *shown, **words)
    return runs.finish(run, results)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
