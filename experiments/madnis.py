"""Cross-sections by learned importance sampling: flows and channel weights, beside VEGAS.

Paper:    MadNIS, arXiv:2212.06172 and arXiv:2311.01548
Command:  uv run --extra generators experiments/madnis.py --process drell_yan_zprime --out RUN
Cost:     --quick a minute on two CPU cores; default some minutes
Expected: the cross-section of Pythia within errors, where there is one (drell_yan 1459.6 +- 2.7 pb,
          ttbar 566.2 +- 0.7 pb, gluons 9.000e6 +- 0.011e6 pb at 13 TeV); fewer weights far above
          the mean than VEGAS has on the same channels

A process has channels, each behind its own map; VEGAS adapts a grid to each, and flows behind these
grids and weights of the channels are trained to make the variance of the whole small. Points are
then drawn from both, as many from either.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax

from hepjax import checkpoint, runs, train
from hepjax.integration import (
    closed_forms,
    integrator,
    pdf,
    processes,
    report,
    unweighting,
    vegas,
)

Z = closed_forms.z_boson(91.1876, 2.50419, 0.2312, 0.2315)
PYTHIA = {"drell_yan": (1459.6, 2.7), "ttbar": (566.2, 0.7), "gluons": (9.0e6, 0.011e6)}
"""Pythia 8.317 with the same parameters and densities, pb, with the error of its statistics."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the preset --quick sets some of them."""

    out: Path = Path("runs/madnis")  # run folder
    process: Literal["drell_yan", "drell_yan_zprime", "ttbar", "gluons"] = "drell_yan_zprime"
    densities: str = processes.PROTON  # a set of parton densities, by its name or file
    zprime: tuple[float, float] = (400.0, 0.5)  # mass and width of a Z' like the Z, GeV
    n_steps: int = 1000  # of the training
    n_points: int = 1024  # a step
    learning_rate: float = 1e-3
    n_grid: int = 20_000  # points of each of ten steps of VEGAS, a channel
    n_sample: int = 400_000  # points to look at, and as many of VEGAS
    overweight: float = 1e-3  # share of the cross-section that heavier events carry
    seed: int = 0
    resume: bool = False  # go on from the latest checkpoint


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_steps": 300, "n_sample": 100_000, "n_grid": 5000}
}


def pair(config: Config) -> processes.Pair:
    """Choose the process."""
    if config.process == "ttbar":
        return processes.top_pair()
    if config.process == "gluons":
        return processes.gluons()
    if config.process == "drell_yan":
        return processes.drell_yan([closed_forms.PHOTON, Z], (60.0, 120.0))
    other = closed_forms.z_boson(*config.zprime, 0.2312, 0.2315)
    return processes.drell_yan([closed_forms.PHOTON, Z, other], (60.0, 1000.0))


def measured(sample: integrator.Sampled, n_channels: int, config: Config) -> dict[str, Any]:
    """Sum up weighted points."""
    found, weight = (
        integrator.estimate(sample, n_channels),
        report.whole_weights(sample, n_channels),
    )
    kept = unweighting.efficiency(weight, config.overweight)
    return {
        "sigma_pb": float(found.value),
        "sigma_error_pb": float(found.error),
        "rsd": float(found.rsd),
        "unweighting_efficiency": kept.efficiency,
        "overweight_fraction": kept.overweight_fraction,
        "unweighting_efficiency_maximum": unweighting.efficiency(weight).efficiency,
        "n": kept.n,
    }


def main(config: Config) -> dict[str, Any]:
    """Train, sample and compare; returns what metrics.json holds."""
    jax.config.update("jax_enable_x64", True)
    run = runs.create(config.out, config, resume=config.resume)
    chosen = pair(config)
    integrand = processes.integrand(chosen, pdf.load(config.densities))
    settings = integrator.Settings(
        n_points=config.n_points, n_steps=config.n_steps, learning_rate=config.learning_rate
    )
    key = jax.random.key(config.seed)
    grid = vegas.Settings(n_points=config.n_grid, n_bins=128)
    grids = integrator.grids(integrand, jax.random.fold_in(key, 1), grid)
    start = integrator.init(integrand, settings, key, grids)
    often = {"steps_per_call": 10, "log_every": 50, "save_every": max(config.n_steps // 2, 1)}
    plan = train.Settings(n_steps=config.n_steps, **often)
    step = integrator.train_step(integrand, settings)
    with checkpoint.open(run.path / "checkpoints") as kept:
        keep: dict[str, Any] = {"run": run, "checkpoints": kept, "resume": config.resume}
        state = train.fit(step, start, None, integrator.finish, plan, **keep).state
    results: dict[str, Any] = {"process": config.process, "n_channels": integrand.n_channels}
    samples = {}
    for k, (name, of) in enumerate({"flows": state, "VEGAS": start}.items()):
        look, draw = jax.random.split(jax.random.fold_in(key, 2 + k))
        of = integrator.observe(integrand, settings, of, look, 4 * config.n_grid)
        samples[name] = integrator.sample(integrand, settings, of, draw, config.n_sample)
        found = measured(samples[name], integrand.n_channels, config)
        results |= {f"{'vegas_' if k else ''}{name}": x for name, x in found.items()}
    if config.process in PYTHIA:
        results["reference_pb"], results["reference_error_pb"] = PYTHIA[config.process]
    title = f"{config.process}, 13 TeV"
    report.pair(run.path / "plots", chosen, integrand, state.params.weights, samples, title)
    return runs.finish(run, results)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
