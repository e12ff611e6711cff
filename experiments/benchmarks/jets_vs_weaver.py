"""Training the Particle Transformer: CPU seconds a step against weaver-core 0.5.3 in torch.

Paper:    the network is that of arXiv:2202.03772, in full: 2,143,486 parameters, 17 features
Command:  uv run experiments/benchmarks/jets_vs_weaver.py --data FOLDER/jc_full --out RUN
Cost:     ten minutes on one core; weaver's environment (2 GB, made once) and its download besides
Expected: step_ratio below 1, memory_ratio_naive below 0.25

Both sides have the same weights and the same batches, cut to the batch's own longest jet, dropout
off, batch norm by the batch, one thread on one core; each in its own process, timed in turn, in CPU
seconds. weaver has its defaults: only real pairs are embedded. Ours has lists of what is
real. `_sides.py` holds both, `_weaver.py` is what runs in torch, `_naive.py` the network in plain
JAX, whose memory is compared. --gpu: jets/s trained in bfloat16 instead (`_jets_device.py`).
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import _jets_device
import _naive
import _sides
import jax
import numpy as np

from hepjax import batch, plot, runs
from hepjax.io import root
from hepjax.jets import batches, data, pairs, weaver_weights


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    data: Path = Path(os.environ.get("HEPJAX_DATA", "data")) / "jets" / "jc_full"  # or a .root file
    out: Path = Path("runs/benchmark_jets_vs_weaver")
    seed: int = 0
    n_batches: int = 3
    n_jets: int = 32  # a batch
    repeats: int = 7  # of each batch
    rate: float = 1e-5  # of AdamW
    size: Literal["full", "small"] = "full"
    other: Literal["weaver", "naive"] = "weaver"  # the side to compare with; naive needs no torch
    cache: Path = Path.home() / ".cache" / "hepjax" / "weaver-0.5.3"
    gpu: bool = False
    gpu_jets: int = 512  # a batch
    gpu_batches: int = 6  # of rising length
    gpu_steps: int = 20  # a repeat
    gpu_lists: bool = True  # list what is real, as on a CPU; or see all that is padded


def read(path: Path) -> data.RaggedJets:
    """Read jets: a ROOT file in the JetClass layout, or arrays PATH_pf_vectors.npy and so on."""
    if path.suffix == ".root":
        return data.from_columns(root.read_jetclass(path))
    vectors, mask = (np.load(f"{path}_pf_{name}.npy") for name in ("vectors", "mask"))
    p4 = np.moveaxis(vectors, 1, 2)[..., [3, 0, 1, 2]]
    label = np.load(f"{path}_labels.npy").argmax(1)
    return data.from_arrays(p4, mask[:, 0] > 0, label=label)


def draw(config: Config) -> list[tuple[data.Inputs, np.ndarray]]:
    """Draw batches at random, cut to their longest jet: inputs with lists of what is real, and
    labels.
    """
    jets = read(config.data)
    rows = batch.generator(config.seed).permutation(len(jets.label))
    count, found = batch.lengths(jets.particles), []
    for chosen in rows[: config.n_batches * config.n_jets].reshape(config.n_batches, -1):
        padded = batches.padded(jets, chosen, min(128, int(count[chosen].max())))
        inputs = data.inputs(padded._replace(real=pairs.real(padded.mask)))
        found.append((jax.tree.map(np.asarray, inputs), padded.label))
    return found


def summary(name: str, seconds: list[tuple[float, float]]) -> dict[str, float]:
    """Compare alternated CPU seconds (ours, theirs): median of the ratios, its error and range."""
    ours, theirs = np.array(seconds).T
    each = ours / theirs
    error = 1.2533 * each.std(ddof=1) / np.sqrt(len(each))  # of the median of normal values
    found = {"": np.median(each), "_error": error, "_min": each.min(), "_max": each.max()}
    found |= {"_seconds_ours": np.median(ours), "_seconds_other": np.median(theirs)}
    return {f"{name}_ratio{end}": float(value) for end, value in found.items()}


def compare(config: Config, run: runs.Run) -> dict[str, Any]:
    """Time both sides in turn on the same batches."""
    drawn, network = draw(config), _jets_device.network(config.size)
    ways: dict[str, _sides.Logits] = {
        "ours": lambda params, inputs: network.apply_train({"params": params}, inputs),
        "naive": lambda params, inputs: (_naive.logits({"params": params}, inputs), {}),
    }
    template = jax.eval_shape(network.init, jax.random.key(0), drawn[0][0])
    if config.other == "weaver":
        folder = run.path / "weaver"
        theirs, weights = _sides.weaver(config.cache, folder, drawn, config.rate, config.seed)
        variables = weaver_weights.particle_transformer(weights, template)
        logits = jax.jit(network.apply)(variables, drawn[0][0])
        evaluated = float(np.abs(logits - theirs("evaluate", 0)[1]).max())
    else:
        evaluated, variables = None, jax.jit(network.init)(jax.random.key(0), drawn[0][0])
        theirs = _sides.in_jax(ways["naive"], variables, drawn, config.rate)
    ours = _sides.in_jax(ways["ours"], variables, drawn, config.rate)
    seconds: dict[str, list] = {"forward": [], "train": []}
    apart: dict[str, list] = {"forward": [], "train": []}
    for turn in range(config.repeats + 1):  # the first one warms up, and has the same weights
        for index in range(len(drawn)):
            for what in ("forward", "train"):
                (other, expected), (own, found) = theirs(what, index), ours(what, index)
                apart[what].append(float(np.abs(found - expected).max()))
                seconds[what] += [(own, other)] if turn else []
    occupied = [(x.mask.sum(), x.mask.size, (x.real.pairs >= 0).sum()) for x, _ in drawn]
    real, padded, n_pairs = np.sum(occupied, 0)
    results = summary("step", seconds["train"]) | summary("forward", seconds["forward"])
    results |= _sides.memory(network, ways, drawn[0][0]) | {
        "logits_apart": evaluated,  # by running statistics: in training, weaver's count padding
        "forward_apart": apart["forward"][0],
        "loss_apart": max(apart["train"]),
        "n_particles": float(real / (config.n_batches * config.n_jets)),
        "longest": [x.mask.shape[1] for x, _ in drawn],
        "occupancy": float(real / padded),
        "n_pairs": float(n_pairs / (config.n_batches * config.n_jets)),
        "n_repeats": config.repeats * config.n_batches,
    }
    draw_plot(run, config, seconds, results)
    return runs.finish(run, results)


def draw_plot(run: runs.Run, config: Config, seconds: dict[str, list], results: dict) -> None:
    """Show the CPU seconds of all turns, side by side."""
    with plot.figure(run.path / "plots" / "seconds") as ax:
        names = [f"{what}, {who}" for what in seconds for who in ("hepjax", config.other)]
        columns = [column for pairs_ in seconds.values() for column in zip(*pairs_)]
        ax.boxplot(columns, tick_labels=names, medianprops={"color": "k"})
        ax.set(ylabel="CPU seconds", ylim=(0, None))
        n = f"{config.n_jets} jets, {results['n_particles']:.0f} particles each"
        plot.sample(ax, f"{config.data.name}, step ratio {results['step_ratio']:.3f}", n)


def main(config: Config) -> dict[str, Any]:
    """Compare with the other side, or measure jets/s; returns what metrics.json holds."""
    if config.gpu:
        run = runs.create(config.out, config)
        return runs.finish(run, _jets_device.measure(read(config.data), config, run.path / "plots"))
    with _sides.one_core():
        return compare(config, runs.create(config.out, config))


if __name__ == "__main__":
    print(main(runs.parse(Config, {"quick": {"repeats": 3, "n_batches": 1}})))
