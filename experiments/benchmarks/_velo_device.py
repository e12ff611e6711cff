"""Events of the Velo a second on one accelerator, by a trained finder.

`events` gives what the network does with packed events, from the host's memory and back or on the
device alone, and then all stages, one event after the other.
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _clock import clocked, middle, note

from hepjax import plot
from hepjax.io import hits, velo
from hepjax.nn import model
from hepjax.tracking import finder, graphs
from hepjax.tracking.interaction_network import InteractionNetwork

DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
STAGES = ("edge_filter", "network", "triplets")


def events(config: Any, folder: Path, results: dict[str, Any]) -> None:
    """Give events of the Velo a second; config: finder, data, n_events, batches, repeats."""
    tracker = finder.load(config.finder)
    sample, _ = velo.read(hits.expand(config.data, velo.ENDINGS)[-config.n_events :])
    with jax.default_device(jax.devices("cpu")[0]):  # where the filter is compiled sooner
        made = [finder.graph(tracker.chosen, event, tracker.detector)[0] for event in sample]
    results["n_events"] = len(sample)
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
    for _ in range(2):  # the first compiles each shape
        each = 1e3 * np.array([_stages(tracker, event) for event in sample])
    for name, x in zip(("find", *STAGES), (each.sum(1), *each.T)):
        error = x.std(ddof=1) / np.sqrt(len(x))
        note(results, f"{name}_ms_an_event", (float(x.mean()), float(error)))


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


def _stages(tracker: finder.Finder, event: hits.Event) -> tuple[float, ...]:
    """Time the stages of one event, s."""
    marks = [time.perf_counter()]
    one, _ = finder.graph(tracker.chosen, event, tracker.detector)
    marks.append(time.perf_counter())
    found = finder.edges_of(tracker.network, tracker.variables, event, one, tracker.detector)
    marks.append(time.perf_counter())
    finder.link(tracker, found)
    marks.append(time.perf_counter())
    return tuple(np.diff(marks))
