"""Tracking on one accelerator: a graph of a million edges, and events of the Velo in batches.

`large` times the interaction network of tracking_vs_torch.py forward, and a training step (gradient
and Adam), in float32 (whose products an H100 takes in TF32, torch's here too) and in bfloat16, with
rounds computed again in the backward pass or kept; torch's forward pass and gradient stand beside
them where its environment is there. `events` gives what a trained finder does in a second: its
network for packed events, from the host's memory and back, and all stages one event after the
other. Times are those of a clock, from the begin of a call until its result is there.
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _tracking_sides as sides
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import plot
from hepjax.io import hits, velo
from hepjax.nn import interaction, model
from hepjax.tracking import finder, graphs
from hepjax.tracking.interaction_network import InteractionNetwork

DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
STAGES = ("edge_filter", "network", "triplets")


def clocked(repeats: int, function: Callable, *given: Any) -> np.ndarray:
    """Time calls [repeat], s, after one that compiles and one that warms up."""
    taken = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        jax.block_until_ready(function(*given))
        taken.append(time.perf_counter() - start)
    return np.array(taken[2:])


def middle(x: Any) -> tuple[float, float]:
    """Give the median, and its error."""
    x = np.asarray(x)
    return float(np.median(x)), float(1.2533 * x.std(ddof=1) / np.sqrt(len(x)))


def note(results: dict[str, Any], name: str, value: tuple[float, float]) -> None:
    """Put a value and its error into the results, and print them: a long run may be cut short."""
    results[name], results[f"{name}_error"] = value
    print(f"{name:40s} {value[0]:10.2f} +- {value[1]:.2f}", flush=True)


def measure(given: dict[str, np.ndarray], config: Any, folder: Path) -> dict[str, Any]:
    """Measure both and print a table; config: that of tracking_vs_torch.py."""
    results = {"device": jax.devices()[0].device_kind, "n_repeats": config.repeats}
    large(given, config, folder, results)
    if config.finder is not None:
        events(config, folder, results)
    return results


def large(given: dict[str, np.ndarray], config: Any, folder: Path, results: dict[str, Any]) -> None:
    """Time a large graph, ms; config: n_rounds, repeats, seed, cache."""
    order = np.argsort(given["senders"], kind="stable")
    ends = (x.astype(np.int32) for x in (given["senders"], given["receivers"], order))
    links = jax.device_put(interaction.Links(*ends))
    whole = jax.device_put((given["nodes"], given["edges"]))
    first = interaction.Interactions(config.n_rounds, is_sorted=True)
    variables = jax.jit(first.init)(jax.random.key(config.seed), *whole, links)
    for kind, dtype in DTYPES.items():
        graph = tuple(x.astype(dtype or x.dtype) for x in whole)
        for remat in (True, False):
            network = interaction.Interactions(config.n_rounds, 1, True, dtype, remat)
            name, forward = f"{kind}{'' if remat else '_kept'}", jax.jit(network.apply)
            if remat:
                taken = clocked(config.repeats, forward, variables, *graph, links)
                note(results, f"forward_{name}_ms", middle(1e3 * taken))
            step, state = training_step(network, links), (variables, ADAM.init(variables))
            compiled = jax.jit(step).lower(state, *graph).compile()
            taken = clocked(config.repeats, compiled, state, *graph)
            note(results, f"step_{name}_ms", middle(1e3 * taken))
            memory = compiled.memory_analysis()
            results[f"memory_step_{name}"] = memory.temp_size_in_bytes / 2**20
    if (config.cache / "complete").exists():
        ask = sides.torch(config.cache, folder / "torch", given, variables["params"], "cuda")
        for way in ("naive", "split"):
            for what in ("forward", "gradient"):
                taken = [ask(way, what)[0] for _ in range(config.repeats + 2)][2:]
                note(results, f"torch_{what}_{way}_ms", middle(1e3 * np.array(taken)))


ADAM = optax.adam(1e-4)


def training_step(network: Any, links: interaction.Links) -> Callable[..., tuple]:
    """Build step(state, nodes, edges) -> state, of Adam on the mean of squares."""

    def value(v: Any, *graph: Any) -> jax.Array:
        out = network.apply(v, *graph, links)
        return sum(((x.astype(jnp.float32) ** 2).mean() for x in out), jnp.zeros(()))

    def step(state: tuple, *graph: Any) -> tuple:
        change, moments = ADAM.update(jax.grad(value)(state[0], *graph), state[1], state[0])
        return optax.apply_updates(state[0], change), moments

    return step


def events(config: Any, folder: Path, results: dict[str, Any]) -> None:
    """Give events of the Velo a second; config: finder, data, n_events, batches, repeats."""
    tracker = finder.load(config.finder)
    sample, _ = velo.read(hits.expand(config.data, velo.ENDINGS)[-config.n_events :])
    made, taken = [], []
    for repeat in range(2):  # the first compiles each shape
        for event in sample:
            one, seconds = _stages(tracker, event)
            (taken if repeat else made).append(seconds if repeat else one)
    results["n_events"] = len(sample)
    each = 1e3 * np.array(taken)
    for name, x in zip(("find", *STAGES), (each.sum(1), *each.T)):
        error = x.std(ddof=1) / np.sqrt(len(x))
        note(results, f"{name}_ms_an_event", (float(x.mean()), float(error)))
    curves: dict[str, list] = {}
    settings = tracker.settings
    for kind, dtype in DTYPES.items():
        network = model.from_linen(
            InteractionNetwork(settings.width, settings.n_rounds, dtype=dtype)
        )
        logits = jax.jit(lambda v, x, network=network: network.apply(v, x).logits)
        pulled = functools.partial(_pulled, logits)
        for n in config.batches:
            packed = _packed([made[k % len(made)] for k in range(n)])
            back = clocked(config.repeats, pulled, tracker.variables, packed)
            there = jax.device_put(packed)
            stays = clocked(config.repeats, logits, tracker.variables, there)
            for name, x in (("", back), ("_on_device", stays)):
                key = f"events_per_second_{kind}_{n}{name}"
                note(results, key, middle(n / x))
                curves.setdefault(kind + name.replace("_", " "), []).append(results[key])
    with plot.figure(folder / "plots" / "events_per_second") as ax:
        for label, curve in curves.items():
            ax.plot(config.batches, curve, "o-", label=label)
        ax.set(xlabel="Events a batch", ylabel="Events a second", xscale="log", yscale="log")
        plot.sample(ax, jax.devices()[0].device_kind, f"Velo, {settings.n_rounds} rounds")
        ax.legend()


def _packed(some: list[graphs.Graph]) -> graphs.Graph:
    """Pack graphs into the smallest that holds them, in steps of 1024 nodes and edges."""
    sizes = [
        sum(int(x[0]) for x in column) for column in zip(*((g.n_node, g.n_edge) for g in some))
    ]
    room = [-(-(size + 1) // 1024) * 1024 for size in sizes]
    return graphs.pack(some, n_nodes=room[0], n_edges=room[1])


def _pulled(function: Callable, *given: Any) -> np.ndarray:
    """Call a function and bring its array back to the host."""
    return np.asarray(function(*given))


def _stages(tracker: finder.Finder, event: hits.Event) -> tuple[graphs.Graph, tuple]:
    """Time the stages of one event, s; also its graph."""
    marks = [time.perf_counter()]
    one, _ = finder.graph(tracker.chosen, event, tracker.detector)
    marks.append(time.perf_counter())
    found = finder.edges_of(tracker.network, tracker.variables, event, one, tracker.detector)
    marks.append(time.perf_counter())
    finder.link(tracker, found)
    marks.append(time.perf_counter())
    return one, tuple(np.diff(marks))
