"""Flows that learn an integrand, and VEGAS: against madnis 1.0.0 in torch and vegas 6.4.1.

Paper:    MadNIS, arXiv:2212.06172 and arXiv:2311.01548; VEGAS+, arXiv:2009.05112
Command:  uv run experiments/benchmarks/madnis_vs_peers.py --out RUN
Cost:     a quarter of an hour on one core; the peers' environment (1.2 GB, made once) besides
Expected: step_ratio and sample_ratio below 0.5, rsd_ratio below 1.05, of VEGAS within 0.1 of 1, of
          VEGAS+ within 0.2

The same integrand, which each side has written for itself; the same flows (networks of two hidden
layers of 32, ten bins, as many parameters), loss, optimiser and numbers of calls; one thread on one
core, each side in its own process, in turn, in CPU seconds. All else is as each side has it: madnis
spreads the points of a training evenly over channels, hepjax a tenth of them. Flows are float32 on
both sides. The integrands: two peaks on the diagonal in four and eight dimensions, and the squared
mass and angle of lepton pairs by photon, Z and Z', in three channels with learned weights.

The relative standard deviation is the error of the integral times the root of the number of points,
over the integral; medians are over seeds, and a ratio is ours over theirs. For vegas, both adapt in
as many steps of as many calls, then keep what they have learned and integrate in as many more.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import _madnis_cases
import _madnis_sides as sides
import _madnis_vegas as peers
import _sides
import jax
import numpy as np

from hepjax import plot, runs
from hepjax.integration import integrator, sampling, vegas


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    out: Path = Path("runs/benchmark_madnis_vs_peers")
    seed: int = 0
    cases: tuple[str, ...] = ("camel4", "camel8", "lineshape")
    toys: tuple[str, ...] = ("camel2", "camel4", "camel8", "ring_line")  # for VEGAS
    n_seeds: int = 5
    n_steps: int | None = None  # of a training; None: 300, of camel8 500
    n_points: int = 1024  # a step
    n_turns: int = 5  # in which the sides train, and then draw points
    n_sample: int = 200_000  # points that the integral is measured with
    chunk: int = 8192  # points drawn at once
    vegas_seeds: int = 8
    vegas_points: int = 20_000  # calls of each of ten steps
    cache: Path = Path.home() / ".cache" / "hepjax" / "madnis-1.0.0"


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_seeds": 2, "n_steps": 100, "n_sample": 50_000, "vegas_seeds": 3}
}


def middle(values: Any) -> tuple[float, float]:
    """Give the median, and its error."""
    x = np.asarray(values)
    return float(np.median(x)), float(1.2533 * x.std(ddof=1) / np.sqrt(len(x)))


def ratio(name: str, ours: Any, theirs: Any) -> dict[str, float]:
    """Compare alternated CPU seconds, ours over theirs: median of the ratios, its error, range."""
    each = np.asarray(ours) / np.asarray(theirs)
    value, error = middle(each)
    found = {"": value, "_error": error, "_min": each.min(), "_max": each.max()}
    found |= {"_seconds_ours": np.median(ours), "_seconds_madnis": np.median(theirs)}
    return {f"{name}_ratio{end}": float(x) for end, x in found.items()}


def spreads(ours: Any, theirs: Any) -> dict[str, Any]:
    """Compare relative standard deviations by seed: medians and their ratio, with errors."""
    (value, error), (other, other_error) = middle(ours), middle(theirs)
    relative = float(np.hypot(error / value, other_error / other))
    found = {"rsd": value, "rsd_error": error, "rsd_madnis": other}
    found |= {"rsd_madnis_error": other_error, "rsd_ratio": value / other}
    return found | {"rsd_ratio_error": relative * value / other}


def trained(case: sides.Case, pair: tuple[sides.Side, ...], config: Config) -> dict[str, Any]:
    """Train and sample on both sides in turn, with each seed."""
    names, n_channels = ("", "_madnis"), case.integrand.n_channels
    seconds: dict[str, list] = {"step": [], "sample": []}
    by_seed: dict[str, list] = {f"{k}{who}": [] for who in names for k in ("rsd", "pull")}
    for seed in range(config.seed * 1000, config.seed * 1000 + config.n_seeds):
        counts = [side.begin(seed) for side in pair]
        if len(set(counts)) > 1:
            raise ValueError(f"parameters: {counts[0]} here, {counts[1]} of madnis")
        n, points = case.n_steps // config.n_turns, ([], [])
        seconds["step"] += [[side.train(n) / n for side in pair] for _ in range(config.n_turns)]
        for _ in range(config.n_turns):
            found = [side.sample(config.n_sample // config.n_turns) for side in pair]
            seconds["sample"].append([used / len(x.weight) for used, x in found])
            for kept, (_, x) in zip(points, found):
                kept.append((x.weight, x.channel))
        for who, kept in zip(names, points):
            weight, channel = (np.concatenate(x) for x in zip(*kept))
            none: Any = None
            drawn = sampling.Sampled(none, channel, weight, none, none)
            one = sampling.estimate(drawn, np.ones(n_channels, bool))
            by_seed[f"rsd{who}"].append(float(one.error / one.value * one.n**0.5))
            by_seed[f"pull{who}"].append(float((one.value - case.exact) / one.error))
    results = ratio("step", *zip(*seconds["step"])) | ratio("sample", *zip(*seconds["sample"]))
    results |= spreads(by_seed["rsd"], by_seed["rsd_madnis"])
    results |= {f"pull{k}": float(np.sum(by_seed[f"pull{k}"]) / config.n_seeds**0.5) for k in names}
    return results | {"n_parameters": counts[0], "exact": case.exact, "by_seed": by_seed}


def draw_plot(run: runs.Run, results: dict[str, Any]) -> None:
    """Show relative standard deviations by seed, of flows of both sides and of vegas' map."""
    names = {"rsd": "hepjax", "rsd_madnis": "madnis 1.0.0", "rsd_vegas": "vegas 6.4.1, map"}
    with plot.figure(run.path / "plots" / "rsd") as ax:
        for k, (key, name) in enumerate(names.items()):
            look = plot.look(k, marker=True)
            for place, case in enumerate(results):
                y = results[case]["by_seed"][key]
                x = place + (k - 1) / 4 + np.linspace(-0.08, 0.08, len(y))
                marks = {**look, "linestyle": ""}
                ax.plot(x, y, label=name if place == 0 else None, **marks)
        ax.set(ylabel="Relative standard deviation", yscale="log")
        ax.set_xticks(range(len(results)), list(results))
        plot.sample(ax, "one point a seed")
        ax.legend()


def main(config: Config) -> dict[str, Any]:
    """Compare; returns what metrics.json holds."""
    jax.config.update("jax_enable_x64", True)
    with _sides.one_core():
        run, all_cases = runs.create(config.out, config), _madnis_cases.cases()
        ask, results = peers.classical(config.cache), {}
        for name in config.cases:
            case = all_cases[name]
            case = case._replace(n_steps=config.n_steps or case.n_steps)
            size = {"n_points": config.n_points, "n_steps": case.n_steps}
            settings = integrator.Settings(loss=case.loss, **size)
            folder, block = run.path / f"madnis_{name}", case.n_steps // config.n_turns
            theirs, apart = sides.madnis(config.cache, folder, name, case, settings)
            here = sides.ours(case, settings, block, config.chunk)
            found = trained(case, (here, theirs), config) | {"integrands_apart": apart}
            calls = case.n_steps * config.n_points
            each = [peers.of_channels(ask, name, case, calls, k) for k in range(config.n_seeds)]
            found["by_seed"]["rsd_vegas"] = each
            found["rsd_vegas"], found["rsd_vegas_error"] = middle(each)
            results[name] = found
            print(name, {k: x for k, x in found.items() if k != "by_seed"}, flush=True)
        draw_plot(run, results)
        seeds = range(config.seed * 1000, config.seed * 1000 + config.vegas_seeds)
        classical: dict[str, Any] = {name: {} for name in config.toys}
        for name in config.toys:
            for kind, beta in (("map", 0.0), ("plus", 0.75)):
                settings = vegas.Settings(n_points=config.vegas_points, beta=beta)
                found = peers.compared(ask, name, all_cases[name], settings, seeds)
                classical[name] |= {f"{kind}_{key}": x for key, x in found.items()}
            print(name, classical[name], flush=True)
        return runs.finish(run, results | {"vegas": classical})


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
