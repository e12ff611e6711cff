"""The mass of the top quark from the transverse momenta of pairs, by slopes of the cross-section.

Paper:    gradients of simulated cross-sections, as in MadJax, arXiv:2203.00057; sampling
          as in MadNIS, arXiv:2212.06172
Command:  uv run --extra generators experiments/fit_mass.py --out RUN
Cost:     a minute or two on two CPU cores; --quick half of it
Expected: 565.3 pb below 600 GeV (566.3 in all); slopes that finite differences confirm; pulls of
          the fitted mass of width 1 within 0.1, and of a mean that errors of the expectation,
          which all pseudo-experiments share, move from 0 by 0.3 at most

A flow is trained on proton proton to top pairs at leading order at one mass. Points drawn from it
give the expected counts in bins of the transverse momentum, and their slopes by the mass: with the
momentum fixed, the limits of the rapidities move with the mass, and so do the points. Counts are
drawn about the expectation of other points, of another seed, at a mass that the fit is not told.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hepjax import runs, train
from hepjax.integration import (
    gradients,
    integrator,
    sampling,
    trials,
)
from hepjax.integration.hadrons import pdf, processes

sys.path.insert(0, str(Path(__file__).parent))

import _top_momenta


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the preset --quick sets some of them."""

    out: Path = Path("runs/fit_mass")  # run folder
    densities: str = processes.PROTON  # a set of parton densities, by its name or file
    start: float = 172.5  # mass at which the flow is trained and the slopes are taken, GeV
    truth: float = 173.3  # mass of the pseudo-data, GeV
    luminosity: float = 10.0  # pb^-1
    max_pt: float = 600.0  # of the bins, GeV
    n_bins: int = 24
    n_steps: int = 500  # of the training
    n_points: int = 1024  # a step
    n_sample: int = 400_000  # points of the expectation, and of the pseudo-data
    n_experiments: int = 1000
    seed: int = 0


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_steps": 200, "n_sample": 100_000, "n_experiments": 500},
    "full": {"n_steps": 3000, "n_points": 8192, "n_sample": 4_000_000, "n_experiments": 10_000},
}


def difference(
    family: gradients.Family, like: Any, state: Any, sampled: Any, mass: float, h: float = 0.1
) -> float:
    """Give the slope of the cross-section by the same points at two masses."""
    values = [
        gradients.slopes(family, like, state, sampled, [mass + sign * h]).weight.mean()
        for sign in (1, -1)
    ]
    return float(values[0] - values[1]) / (2 * h)


def main(config: Config) -> dict[str, Any]:
    """Train, differentiate, fit; returns what metrics.json holds."""
    jax.config.update("jax_enable_x64", True)
    run = runs.create(config.out, config)
    family = _top_momenta.family(pdf.load(config.densities), config.max_pt)
    integrand = gradients.at(family, integrator.Integrand(None, 3), (config.start,))
    settings = integrator.Settings(n_points=config.n_points, n_steps=config.n_steps)
    keys = jax.random.split(jax.random.key(config.seed), 3)
    plan = train.Settings(n_steps=config.n_steps, steps_per_call=10)
    step = integrator.train_step(integrand, settings)
    start = integrator.init(integrand, settings, keys[0])
    state = train.fit(step, start, None, integrator.finish, plan, run=run).state
    sample, other = (
        sampling.sample(integrand, settings, state, key, config.n_sample) for key in keys[1:]
    )

    def histogram(sampled: Any, mass: float) -> tuple[gradients.Slopes, gradients.Histogram]:
        points = gradients.slopes(family, integrand, state, sampled, [mass])
        place = (sampled.x[:, 0] * config.n_bins).astype(int)
        found = gradients.binned(points, place, config.n_bins)
        return points, gradients.Histogram(*(config.luminosity * x for x in found))

    points, expected = histogram(sample, config.start)
    whole = gradients.total(points)
    real = histogram(other, config.truth)[1].value
    shape = (config.n_experiments, config.n_bins)
    counts = np.random.default_rng(config.seed).poisson(real, shape)
    found = gradients.fit(counts, expected, [config.start])
    mass, error = found.theta[:, 0], np.sqrt(found.covariance[:, 0, 0])
    pull = (mass - config.truth) / error
    edges = np.linspace(0, config.max_pt, config.n_bins + 1)
    title = f"pp to top pairs, 13 TeV, fitted mass {mass[0]:.2f} GeV"
    _top_momenta.draw(run.path / "plots" / "momenta", edges, counts[0], expected, title=title)
    words = {"of": "Fitted mass", "sample": "pseudo-experiments"}
    trials.draw(run.path / "plots" / "pulls", pull, title="Top mass", **words)
    results = {
        "sigma_pb": float(whole.value),
        "sigma_error_pb": float(whole.error),
        "slope_pb": float(whole.slope[0]),
        "slope_error_pb": float(whole.slope_error[0]),
        "slope_pathwise_pb": float(whole.path[0]),
        "slope_difference_pb": difference(family, integrand, state, sample, config.start),
        "mass": float(mass[0]),
        "mass_error": float(error[0]),
        "mass_error_fisher": float(gradients.fisher(expected.value, expected.slope)[0, 0] ** -0.5),
        "mass_truth": config.truth,
        "pull_mean": float(pull.mean()),
        "pull_width": float(pull.std(ddof=1)),
        "n_experiments": len(pull),
        "n": len(sample.x),
    }
    return runs.finish(run, results)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
