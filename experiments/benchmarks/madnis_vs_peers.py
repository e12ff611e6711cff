"""Flows that learn an integrand, and VEGAS: against madnis 1.0.0 in torch and vegas 6.4.1.

Paper:    MadNIS, arXiv:2212.06172 and arXiv:2311.01548; VEGAS+, arXiv:2009.05112
Command:  uv run experiments/benchmarks/madnis_vs_peers.py --out RUN
Cost:     ten minutes on one quiet core; the peers' environment (1.2 GB, made once) besides
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

import _clock
import _madnis_cases
import _madnis_results as of
import _madnis_sides as sides
import _madnis_vegas as peers
import _sides
import jax
import numpy as np

from hepjax import runs
from hepjax.integration import integrator, sampling, vegas


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    out: Path = Path("runs/benchmark_madnis_vs_peers")
    seed: int = 0
    cases: tuple[str, ...] = ("camel4", "camel8", "lineshape")
    toys: tuple[str, ...] = ("camel2", "camel4", "camel8", "ring_line")  # for VEGAS
    n_seeds: int = 5  # three times as many of the lineshape, whose trainings differ more
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


def numbered(seed: int, n: int) -> range:
    """Give n seeds that no other seed has."""
    return range(1000 * seed, 1000 * seed + n)


def trained(
    case: sides.Case, pair: tuple[sides.Side, ...], config: Config, seeds: range
) -> dict[str, Any]:
    """Train and sample on both sides in turn, with each seed; the pull is that of all seeds."""
    names, n_channels = ("", "_madnis"), case.integrand.n_channels
    seconds: dict[str, list] = {"step": [], "sample": []}
    by_seed: dict[str, list] = {f"{k}{who}": [] for who in names for k in ("rsd", "pull")}
    for seed in seeds:
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
    results = of.ratio("step", *zip(*seconds["step"])) | of.ratio(
        "sample", *zip(*seconds["sample"])
    )
    results |= of.spreads(by_seed["rsd"], by_seed["rsd_madnis"])
    results |= {f"pull{k}": float(np.sum(by_seed[f"pull{k}"]) / len(seeds) ** 0.5) for k in names}
    return results | {"n_parameters": counts[0], "exact": case.exact, "by_seed": by_seed}


def main(config: Config) -> dict[str, Any]:
    """Compare; returns what metrics.json holds."""
    jax.config.update("jax_enable_x64", True)
    with _sides.one_core():
        run, all_cases = runs.create(config.out, config), _madnis_cases.cases()
        ask, results = peers.classical(config.cache), {}
        for name in config.cases:
            case = all_cases[name]
            case = case._replace(n_steps=config.n_steps or case.n_steps)
            if case.n_steps % config.n_turns:
                raise ValueError(f"n_turns: {config.n_turns}, expected to divide {case.n_steps}")
            size = {"n_points": config.n_points, "n_steps": case.n_steps}
            settings = integrator.Settings(loss=case.loss, **size)
            folder, block = run.path / f"madnis_{name}", case.n_steps // config.n_turns
            theirs, apart = sides.madnis(config.cache, folder, name, case, settings)
            here = sides.ours(case, settings, block, config.chunk)
            seeds = numbered(config.seed, case.more_seeds * config.n_seeds)
            found = trained(case, (here, theirs), config, seeds) | {"integrands_apart": apart}
            calls = case.n_steps * config.n_points
            each = [peers.of_channels(ask, name, case, calls, seed) for seed in seeds]
            found["by_seed"]["rsd_vegas"] = each
            found["rsd_vegas"], found["rsd_vegas_error"] = _clock.middle(each)
            found["rsd_vegas_ratio"] = found["rsd"] / found["rsd_vegas"]
            results[name] = found
            print(name, {k: x for k, x in found.items() if k != "by_seed"}, flush=True)
        of.draw_plot(run, results)
        seeds = numbered(config.seed, config.vegas_seeds)
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
