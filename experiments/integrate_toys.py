"""Integrals that are known, by VEGAS, VEGAS+ and by a flow, with as many calls of the integrand.

Paper:    i-flow, arXiv:2001.05486; VEGAS+, arXiv:2009.05112; MadNIS, arXiv:2212.06172
Command:  uv run experiments/integrate_toys.py --case camel4 --out RUN
Cost:     half a minute on a CPU; --quick less
Expected: every pull within three; VEGAS+ the smallest error of the integral in two and four
          dimensions, the flow the largest unweighting efficiency, and in eight dimensions both

The relative standard deviation is the error of the integral times the root of the number of points,
over the integral: what one point is worth. VEGAS+ owes its own to cells and not to even weights,
which unweight no better than those of VEGAS. With --seeds 100, as many short trainings tell whether
integrals scatter as their errors say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from hepjax import checkpoint, plot, runs, train
from hepjax.flows import coupling
from hepjax.integration import integrator, losses, report, sampling, toys, trials, vegas


class Case(NamedTuple):
    """An integrand of the cube, its dimension and its integral."""

    function: Callable[[jax.Array], jax.Array]
    dim: int
    exact: float


CASES = {f"camel{n}": Case(toys.camel, n, toys.camel_integral(n)) for n in (2, 4, 8)} | {
    "ring_line": Case(toys.ring_line, 2, toys.ring_line_integral()),
    "peak": Case(toys.peak, 2, 1.0),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the preset --quick sets some of them."""

    out: Path = Path("runs/integrate_toys")  # run folder
    case: Literal["camel2", "camel4", "camel8", "ring_line", "peak"] = "camel4"
    n_steps: int = 500  # of the training
    n_points: int = 1024  # a step
    learning_rate: float = 1e-3
    n_bins: int = 10  # of the splines
    behind_grid: bool = False  # let the flow stand behind the grid of VEGAS
    buffered: int = 0  # steps that learn again from kept points, after each step
    n_sample: int = 200_000  # points that the integral is measured with
    seeds: int = 0  # short trainings more, whose pulls are looked at
    seed: int = 0
    resume: bool = False  # go on from the latest checkpoint


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_steps": 100, "n_sample": 50_000},
    "full": {"n_steps": 10_000, "n_points": 16_384, "n_bins": 24, "n_sample": 2_000_000},
}


def classical(config: Config, case: Case, beta: float) -> tuple[vegas.State, vegas.Drawn]:
    """Adapt VEGAS with as many points as the training of the flow sees, then draw and estimate."""
    each = config.n_steps * config.n_points // 10
    settings = vegas.Settings(n_points=max(each, 2000), beta=beta)
    adapt, divide, draw = jax.random.split(jax.random.key(config.seed + 1_000_000), 3)
    start = vegas.init(case.dim, settings)
    _, state = vegas.integrate(case.function, start, adapt, settings, n_steps=10, n_burn=9)
    final = settings._replace(n_points=config.n_sample)
    if beta:  # cells are made for a number of points
        state = vegas.init(case.dim, final)._replace(edges=state.edges)
        state = vegas.step(case.function, state, divide, final._replace(damping=0.0))[0]
    drawn = vegas.draw(case.function, state, draw, final)
    return state, drawn


def row(value: float, error: float, rsd: float, weight: np.ndarray, exact: float) -> dict[str, Any]:
    """Make the numbers of one way."""
    return {
        "integral": float(value),
        "integral_error": float(error),
        "pull": float((value - exact) / error),
        "rsd": float(rsd),
        **report.unweighted(weight, 1e-3),
    }


def main(config: Config) -> dict[str, Any]:
    """Integrate by all ways; returns what metrics.json holds."""
    jax.config.update("jax_enable_x64", True)
    run = runs.create(config.out, config, resume=config.resume)
    case = CASES[config.case]
    results: dict[str, Any] = {"case": config.case, "exact": case.exact}
    weights, grid = {}, None
    for name, beta in (("vegas", 0.0), ("vegas_plus", 0.75)):
        state, drawn = classical(config, case, beta)
        grid = state.edges if grid is None else grid
        found, _ = vegas.estimate(drawn, len(state.weight))
        weights[name] = np.asarray(drawn.weight)
        results[name] = row(found.value, found.error, found.rsd, weights[name], case.exact)
    integrand = integrator.Integrand(lambda x, _: integrator.Values(case.function(x)), case.dim)
    size = {name: getattr(config, name) for name in ("n_points", "n_steps", "buffered")}
    settings = integrator.Settings(
        loss=losses.kullback_leibler,
        flow=coupling.Settings(config.n_bins),
        learning_rate=config.learning_rate,
        buffer=10 * config.buffered,
        **size,
    )
    key, last = jax.random.split(jax.random.key(config.seed))
    front = vegas.graded(grid[None]) if config.behind_grid else None
    start = integrator.init(integrand, settings, key, front)
    step, half = integrator.train_step(integrand, settings), max(config.n_steps // 2, 1)
    plan = train.Settings(n_steps=config.n_steps, steps_per_call=10, save_every=half)
    with checkpoint.open(run.path / "checkpoints") as kept:
        keep: dict[str, Any] = {"run": run, "checkpoints": kept, "resume": config.resume}
        state = train.fit(step, start, None, integrator.finish, plan, **keep).state
    sample = sampling.sample(integrand, settings, state, last, config.n_sample)
    found, weights["flow"] = sampling.estimate(sample), sample.weight
    results["flow"] = row(found.value, found.error, found.rsd, sample.weight, case.exact)
    if config.seeds:
        short = settings._replace(n_points=256, n_steps=min(config.n_steps, 50))
        keys = jax.random.split(jax.random.fold_in(last, 1), config.seeds)
        several = trials.estimates(integrand, short, keys, 8192, front)
        results["pulls"], pull = trials.summary(several, case.exact)
        trials.draw(run.path / "plots" / "pulls", pull, title=config.case)
    with plot.figure(run.path / "plots" / "weights") as ax:
        report.spread(ax, weights, title=config.case)
    return runs.finish(run, results)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
