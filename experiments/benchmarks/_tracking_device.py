"""Tracking on one accelerator: a graph of a million edges, and events of the Velo in batches.

`large` times the interaction network of tracking_vs_torch.py forward, and a training step (gradient
and Adam), in float32 (whose products an H100 takes in TF32, torch's here too) and in bfloat16, with
rounds computed again in the backward pass or kept; torch's forward pass and gradient stand beside
them where its environment is there. `_velo_device.py` has the events. Times are those of a clock,
from the begin of a call until its result is there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import _tracking_sides as sides
import _velo_device
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _clock import clocked, middle, note

from hepjax.nn import interaction

DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


def measure(given: dict[str, np.ndarray], config: Any, folder: Path) -> dict[str, Any]:
    """Measure both and print a table; config: that of tracking_vs_torch.py."""
    results = {"device": jax.devices()[0].device_kind, "n_repeats": config.repeats}
    if config.finder is not None:
        _velo_device.events(config, folder, results)
    large(given, config, folder, results)
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
