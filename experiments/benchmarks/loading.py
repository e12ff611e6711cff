"""Padded batches of jets: our gather into buckets against awkward's pad-and-convert.

Paper:    the layout is that of JetClass, arXiv:2202.03772
Command:  taskset -c 0 uv run experiments/benchmarks/loading.py --data FILE.root --out RUN
Cost:     one minute on one core
Expected: at least 10 times awkward; reading the file is the same for both and stands beside

Both sides start from what uproot gives for the same file and end with all particle columns padded,
every jet once, in a shuffled order. Awkward pads to the longest bucket (128), as is usual,
and, for a stricter comparison, to our own buckets as well. CPU seconds, alternated.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import batch, plot, runs
from hepjax.io import root
from hepjax.jets import data


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    data: Path = Path("runs/samples/top_landscape_30000_1.root")
    out: Path = Path("runs/benchmark_loading")
    seed: int = 0
    repeats: int = 7
    n_jets: int = 20_000  # at most


def columns_of(jets: data.RaggedJets) -> dict[str, np.ndarray]:
    """List the flat particle columns of a sample, one array a column."""
    part = jets.particles.values
    found = {f"p4_{i}": part.p4[:, i] for i in range(4)} | {
        f"pid_{i}": part.pid[:, i] for i in range(5)
    }
    names = [name for name in part._fields if name not in ("p4", "pid")]
    return found | {name: getattr(part, name) for name in names}


def ours(jets: data.RaggedJets, plan: list[batch.Selection]) -> float:
    """Fill all batches of an epoch; returns a sum, so that nothing can be left out."""
    total = 0.0
    for bucket, rows in plan:
        values, _ = batch.pad(jets.particles, rows, bucket)
        total += float(values.d0[:, 0].sum())
    return total


def awkward_padded(table: Any, plan: list[batch.Selection], fixed: int | None) -> float:
    """Do the same with awkward: pad_none, fill_none, to_numpy, column by column."""
    import awkward as ak

    total = 0.0
    for bucket, rows in plan:
        chosen = table[rows[rows >= 0]]
        for name in table.fields:
            padded = ak.pad_none(chosen[name], fixed or bucket, clip=True)
            found = ak.to_numpy(ak.fill_none(padded, 0.0), allow_missing=False)
            if name == "d0":
                total += float(found[:, 0].sum())
    return total


def seconds(function: Callable[[], float]) -> tuple[float, float]:
    """Measure the CPU seconds of a call, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def main(config: Config) -> dict[str, Any]:
    """Run both sides in turn; returns what metrics.json holds."""
    import awkward as ak

    run = runs.create(config.out, config)
    read, columns = [], None
    for _ in range(3):
        start = time.process_time()
        columns = root.read_jetclass(config.data)
        read.append(time.process_time() - start)
    jets = data.from_columns(columns)
    jets = data.take(jets, np.arange(min(config.n_jets, len(jets.label))))
    count = batch.lengths(jets.particles)
    table = ak.zip(
        {name: ak.unflatten(x, count) for name, x in columns_of(jets).items()}, depth_limit=1
    )
    plan = batch.plan(count, seed=config.seed)
    sides = {
        "ours": lambda: ours(jets, plan),
        "awkward, 128": lambda: awkward_padded(table, plan, 128),
        "awkward, buckets": lambda: awkward_padded(table, plan, None),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    sums = {name: function() for name, function in sides.items()}
    if not np.allclose(list(sums.values()), sums["ours"], rtol=1e-4):
        raise ValueError(f"the sides disagree: {sums}")
    for _ in range(config.repeats):
        for name, function in sides.items():
            times[name].append(seconds(function)[0])
    rates = {name: len(count) / np.array(t) for name, t in times.items()}
    ratio = rates["ours"] / rates["awkward, 128"]
    strict = rates["ours"] / rates["awkward, buckets"]
    with plot.figure(run.path / "plots" / "loading") as ax:
        ax.boxplot(list(rates.values()), tick_labels=list(rates), medianprops={"color": "k"})
        ax.set(ylabel="Jets per CPU second", yscale="log")
        plot.sample(ax, config.data.name, f"{len(count)} jets")
    return runs.finish(
        run,
        {
            "ratio": float(np.median(ratio)),
            "ratio_min": float(ratio.min()),
            "ratio_max": float(ratio.max()),
            "ratio_same_buckets": float(np.median(strict)),
            "jets_per_second": {name: float(np.median(rate)) for name, rate in rates.items()},
            "read_jets_per_second": len(columns.offsets) / float(np.median(read)),
            "occupancy": batch.occupancy(count, plan),
            "occupancy_128": float(np.minimum(count, 128).mean() / 128),
            "n_compilations": len({bucket for bucket, _ in plan}),
            "n_jets": len(count),
            "n_repeats": config.repeats,
        },
    )


if __name__ == "__main__":
    print(main(runs.parse(Config, {"quick": {"repeats": 3, "n_jets": 5000}})))
