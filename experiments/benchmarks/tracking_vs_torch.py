"""Message passing and components for tracking: CPU seconds and memory against torch and scipy.

Paper:    interaction networks for tracking, arXiv:2103.06995; components: FastSV, arXiv:1910.05971
Command:  uv run experiments/benchmarks/tracking_vs_torch.py --out RUN
Cost:     some minutes on one core; torch's environment (made once) besides
Expected: forward_ratio above 1.5, gradient_ratio above 1.15, memory_ratio below 0.5, components_*
          ratios above 1

Both sides have the same weights and the same graph, its edges sorted by receiver; one thread on one
core, each in its own process, timed in turn, in CPU seconds. torch runs the network as one writes
it first, and with split kernels as here; ratios are torch's seconds over ours. Memory is what XLA
plans for the gradient, all of it, against what torch keeps for its backward pass, which is less
than its peak. Components are those of chains of ten nodes with 2 % of wrong edges; both sides begin
with a list of edges, of which scipy makes a matrix. With --gpu, `_tracking_device.py` measures by
the clock instead: 100,000 nodes, 1,000,000 edges, and with --finder events of --data in batches.
"""

import dataclasses
from pathlib import Path
from typing import Any

import _sides
import _tracking_device
import _tracking_sides as sides
import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch, plot, runs
from hepjax.nn import interaction

WAYS = ("naive", "split")


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    out: Path = Path("runs/benchmark_tracking_vs_torch")
    seed: int = 0
    n_nodes: int = 3000
    n_edges: int = 30_000
    width: int = 64
    n_rounds: int = 8
    repeats: int = 9
    chains: tuple[int, ...] = (20_000, 100_000)  # nodes of the graphs for components
    cache: Path = Path.home() / ".cache" / "hepjax" / "torch-2.13.0"
    gpu: bool = False  # measure on an accelerator: a preset of the large graph
    finder: Path | None = None  # with gpu: run folder of tracking_velo
    data: Path = Path("data/velo")  # with a finder: folder of events
    n_events: int = 24  # of these, the last
    batches: tuple[int, ...] = (1, 8, 32, 128)  # events


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"repeats": 3, "chains": (20_000,)},
    "gpu": {"gpu": True, "n_nodes": 100_000, "n_edges": 1_000_000, "repeats": 20},
}


def graph(config: Config) -> dict[str, np.ndarray]:
    """Draw nodes, edges and their ends, sorted by receiver."""
    rng = batch.generator(config.seed)
    ends = rng.integers(0, config.n_nodes, (2, config.n_edges))
    ends = ends[:, np.lexsort(ends)]
    nodes, edges = (rng.normal(size=(n, config.width)) for n in (config.n_nodes, config.n_edges))
    arrays = {"nodes": nodes.astype(np.float32), "edges": edges.astype(np.float32)}
    return arrays | {"senders": ends[0], "receivers": ends[1]}


def messages(config: Config, run: runs.Run) -> dict[str, Any]:
    """Time and weigh the interaction network on both sides."""
    given = graph(config)
    nodes, edges = jnp.asarray(given["nodes"]), jnp.asarray(given["edges"])
    order = jnp.asarray(np.argsort(given["senders"], kind="stable"))
    links = interaction.Links(*(jnp.asarray(given[k]) for k in ("senders", "receivers")), order)
    network = interaction.Interactions(config.n_rounds, is_sorted=True)
    variables = jax.jit(network.init)(jax.random.key(config.seed), nodes, edges, links)

    def value(v: Any) -> jax.Array:
        return sum(((x**2).mean() for x in network.apply(v, nodes, edges, links)), jnp.zeros(()))

    forward = jax.jit(lambda v: network.apply(v, nodes, edges, links)).lower(variables).compile()
    gradient = jax.jit(jax.value_and_grad(value)).lower(variables).compile()
    ask = sides.torch(config.cache, run.path / "torch", given, variables["params"])
    memory = gradient.memory_analysis().temp_size_in_bytes / 2**20
    results: dict[str, Any] = {"memory_ours": memory}
    for way in WAYS:
        results[f"memory_torch_{way}"] = ask(way, "memory")[1]
        results[f"memory_ratio_{way}"] = memory / results[f"memory_torch_{way}"]
    results["memory_ratio"] = results["memory_ratio_naive"]
    for what, ours in (("forward", forward), ("gradient", gradient)):
        seconds: dict[str, list[float]] = {name: [] for name in ("ours", *WAYS)}
        for turn in range(config.repeats + 1):  # the first one warms up
            used, out = sides.timed(ours, variables)
            taken = {"ours": used} | {way: ask(way, what)[0] for way in WAYS}
            for name, x in taken.items():
                seconds[name] += [x] if turn else []
            if what == "forward":
                apart = np.abs(np.load(run.path / "torch" / "out.npy") - out[1]).max()
                results["edges_apart"] = float(apart)
        results |= sides.ratios(what, seconds["ours"], seconds["naive"])
        results |= sides.ratios(f"{what}_split", seconds["ours"], seconds["split"])
        results |= {f"{what}_seconds_{k}": float(np.median(x)) for k, x in seconds.items()}
        with plot.figure(run.path / "plots" / what) as ax:
            ax.boxplot(
                list(seconds.values()), tick_labels=["hepjax", *(f"torch, {w}" for w in WAYS)]
            )
            ax.set(ylabel=f"CPU seconds, {what}", ylim=(0, None))
            plot.sample(ax, f"{config.n_nodes} nodes, {config.n_edges} edges, {config.width} wide")
    return results


def main(config: Config) -> dict[str, Any]:
    """Compare, or measure on an accelerator; returns what metrics.json holds."""
    if config.gpu:
        run = runs.create(config.out, config)
        return runs.finish(run, _tracking_device.measure(graph(config), config, run.path))
    with _sides.one_core():
        run = runs.create(config.out, config)
        chains = sides.scipy(config.chains, config.repeats, config.seed)
        return runs.finish(run, messages(config, run) | chains)


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
