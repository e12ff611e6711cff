"""Spline flows against zuko 1.6.0, and the flow of the sphere: CPU seconds and float32.

Paper:    neural spline flows, arXiv:1906.04032; flows of the sphere, arXiv:2604.19846
Command:  uv run experiments/benchmarks/sphere_flow_vs_peers.py --out RUN
Cost:     two minutes on one core; the peer's environment (torch, made once) besides
Expected: zuko's sample_ratio above 3, gradient_ratio above 1; float32_error_median below 3e-4,
          float32_error_p99 below 6e-3; scan_seconds below 0.1; encoder_forward_ratio above 1

The conditional flow of two numbers, told 64 others: 8 autoregressive steps, 8 bins, two hidden
layers of 128, batches of 4096; as many parameters on both sides, those that zuko masks not counted
(it multiplies by them). One thread on one core, each side in its own process, in turn, in CPU
seconds; ratios are theirs over ours. We draw samples with their densities, zuko without
(sample_ratio) and with them (sample_log_prob_ratio). The flow of the sphere has 15 layers; errors
of float32 are at a zoom of kappa 1e6 with all other parameters drawn from N(0, 0.2). Transformer
blocks stand beside torch's, `_encoder_sides.py`. The flow of the IceCube paper, jammy_flows, is not
on PyPI: where it is installed in zuko's environment (--cache), both flows of the sphere are timed
with parameters given for each event, jammy_flows in double precision, as it asks for.
"""

import dataclasses
from pathlib import Path
from typing import Any

import _encoder_sides
import _sides
import _sphere_sides as sides
import _tracking_sides
import numpy as np

from hepjax import plot, runs
from hepjax.flows import autoregressive
from hepjax.flows import sphere as flow

KINDS = {"log_prob": "log_prob", "sample": "sample", "gradient": "gradient"}
KINDS["sample_log_prob"] = "sample"


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    out: Path = Path("runs/benchmark_sphere_flow_vs_peers")
    seed: int = 0
    n_events: int = 4096
    n_given: int = 64
    n_steps: int = 8
    n_bins: int = 8
    width: int = 128
    n_layers: int = 15  # of the flow of the sphere
    kappa: float = 1e6  # where float32 is compared with float64
    n_cells: int = 12_288
    encoded: tuple[int, int, int] = (8, 256, 256)  # sets, items and width of the encoders
    repeats: int = 9
    cache: Path = Path.home() / ".cache" / "hepjax" / "zuko-1.6.0"


PRESETS: dict[str, dict[str, Any]] = {"quick": {"repeats": 3}}


def zuko(config: Config, run: runs.Run) -> dict[str, Any]:
    """Time both flows of two numbers in turn."""
    settings = autoregressive.Settings(config.n_steps, config.n_bins, config.width)
    sizes = config.n_events, config.n_given, settings, config.seed
    theirs, here = sides.zuko(config.cache, *sizes), sides.ours(*sizes)
    counts = [int(ask("size")[1]) for ask in (here, theirs)]
    if counts[0] != counts[1]:
        raise ValueError(f"parameters: {counts[0]} here, {counts[1]} of zuko")
    sample = f"{config.n_events} points, {counts[0]} parameters"
    found = compared("zuko", here, theirs, KINDS, config.repeats, run.path / "plots", sample)
    return {"n_parameters": counts[0], **found}


def jammy(config: Config, run: runs.Run, here: sides.Ask) -> dict[str, Any]:
    """Time both flows of the sphere in turn, where jammy_flows is installed beside zuko."""
    theirs = sides.jammy(config.cache, config.n_events, config.n_layers, config.seed)
    if theirs is None:
        print(f"jammy_flows: {config.cache} has none; where it is installed it is timed too")
        return {"installed": False}
    sample = f"{config.n_events} events, {config.n_layers} layers"
    kinds = {name: name for name in sides.SPHERE}
    folder = run.path / "plots" / "sphere"
    found = compared("jammy_flows", here, theirs, kinds, config.repeats, folder, sample)
    return {"installed": True, "numbers_an_event": int(theirs("size")[1]), **found}


def compared(
    peer: str,
    here: sides.Ask,
    theirs: sides.Ask,
    kinds: dict[str, str],
    repeats: int,
    folder: Path,
    sample: str,
) -> dict[str, float]:
    """Ask both in turn for each of the peer's kinds, with ours of the same, and plot the times."""
    results: dict[str, float] = {}
    for what, of_ours in kinds.items():
        pairs = [(here(of_ours)[0], theirs(what)[0]) for _ in range(repeats + 1)]
        seconds = [list(x) for x in zip(*pairs[1:])]  # the first one warms up
        results |= _tracking_sides.ratios(what, *seconds)
        results |= {
            f"{what}_seconds{who}": float(np.median(x)) for who, x in zip(("", f"_{peer}"), seconds)
        }
        with plot.figure(folder / what) as ax:
            ax.boxplot(seconds, tick_labels=["hepjax", peer])
            ax.set(ylabel=f"CPU seconds, {what}", ylim=(0, None))
            plot.sample(ax, sample)
    return results


def main(config: Config) -> dict[str, Any]:
    """Compare; returns what metrics.json holds."""
    with _sides.one_core():
        run, plan = runs.create(config.out, config), flow.Plan(config.n_layers)
        errors = sides.float32_errors(plan, config.n_events, config.kappa, config.seed)
        results: dict[str, Any] = {
            "float32_error_median": float(np.median(errors)),
            "float32_error_p99": float(np.quantile(errors, 0.99)),
            "sphere_numbers_an_event": flow.size(plan),
        }
        here = sides.of_sphere(plan, config.n_events, config.seed)
        results |= sides.sphere_times(here, config.n_events, config.repeats)
        results |= sides.scan(plan, config.n_cells, config.repeats, config.seed)
        print(results, flush=True)
        results["zuko"] = zuko(config, run)
        results["jammy_flows"] = jammy(config, run, here)
        words: dict[str, Any] = {"repeats": config.repeats, "seed": config.seed}
        folder = run.path / "encoder"
        results["torch"] = _encoder_sides.encoder(
            config.cache, folder, shape=config.encoded, **words
        )
        return runs.finish(run, results)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
