"""The two sides of jets_vs_weaver.py, each a function ask(what, index) -> (CPU seconds, value).

"forward" gives the logits of a batch by its own statistics (weaver also answers "evaluate", by the
running ones), "train" makes a step (forward, backward, AdamW, running statistics) and gives the
loss before it. `in_jax` is a network here; `weaver` starts `_weaver.py` in an environment of its
own, made where it is missing.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax.jets import data, pairs
from hepjax.nn import model, norm

sys.path.insert(0, str(Path(__file__).parents[1]))

import _peers

HERE = Path(__file__).parent
PEER = ("torch==2.13.0", "weaver-core==0.5.3")
Logits = Callable[[Any, data.Inputs], tuple[jax.Array, Any]]
Ask = Callable[[str, int], tuple[float, Any]]


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Pin this process, its later threads and its children to one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def optimiser(rate: float) -> optax.GradientTransformation:
    """AdamW with the constants of torch."""
    return optax.adamw(rate, weight_decay=0.01)


def step_of(logits: Logits, rate: float) -> Any:
    """Build step(state, inputs, label) -> (state, loss); logits(params, inputs) -> (logits, sums of
    batch norm); state: parameters, what the optimiser keeps, running statistics.
    """

    def loss(params: Any, inputs: data.Inputs, label: Any) -> Any:
        out, sums = logits(params, inputs)
        return optax.softmax_cross_entropy_with_integer_labels(out, label).mean(), sums

    def step(state: tuple, inputs: data.Inputs, label: Any) -> tuple:
        params, moments, stats = state
        (value, sums), slope = jax.value_and_grad(loss, has_aux=True)(params, inputs, label)
        change, moments = optimiser(rate).update(slope, moments, params)
        return (optax.apply_updates(params, change), moments, norm.update(stats, sums)), value

    return step


def start_state(variables: Any, rate: float) -> tuple:
    """Give the state of `step_of`; works on shapes under jax.eval_shape."""
    params = variables["params"]
    return params, optimiser(rate).init(params), variables["batch_stats"]


def in_jax(logits: Logits, variables: Any, drawn: list, rate: float) -> Ask:
    """Compile forward pass and step for each batch; the first call of any is not slower."""
    state = jax.tree.map(jnp.array, start_state(variables, rate))
    drawn = jax.tree.map(jnp.asarray, drawn)
    step = jax.jit(step_of(logits, rate), donate_argnums=0)
    steps = [step.lower(state, *given).compile() for given in drawn]
    forward = jax.jit(lambda params, inputs: logits(params, inputs)[0])
    forwards = [forward.lower(state[0], inputs).compile() for inputs, _ in drawn]

    def ask(what: str, index: int) -> tuple[float, Any]:
        nonlocal state
        start = time.process_time()
        if what == "train":
            state, value = jax.block_until_ready(steps[index](state, *drawn[index]))
        else:
            value = jax.block_until_ready(forwards[index](state[0], drawn[index][0]))
        return time.process_time() - start, np.asarray(value)

    return ask


def memory(network: model.Model, ways: dict[str, Logits], inputs: data.Inputs) -> dict[str, float]:
    """Measure the temporary memory, MB, of a step at 128 particles: the naive network's, ours on
    all particles and pairs, and ours with lists of these jets' real ones.
    """
    wide = jax.tree.map(
        lambda x: np.pad(x, [(0, 0), (0, 128 - x.shape[1])] + [(0, 0)] * (x.ndim - 2)),
        inputs._replace(real=None),
    )
    listed = wide._replace(real=pairs.real(wide.mask))
    shapes = jax.eval_shape(network.init, jax.random.key(0), wide)
    state = jax.eval_shape(lambda variables: start_state(variables, 0.0), shapes)
    label, found = np.zeros(len(wide.mask), np.int32), {}
    cases = {"naive": ("naive", wide), "ours": ("ours", wide), "listed": ("ours", listed)}
    for name, (way, given) in cases.items():
        step = jax.jit(step_of(ways[way], 0.0), donate_argnums=0)
        used = step.lower(state, given, label).compile().memory_analysis()
        found[f"memory_{name}"] = used.temp_size_in_bytes / 2**20
    for end, name in (("", "ours"), ("_listed", "listed")):
        ratio = found[f"memory_{name}"] / found["memory_naive"]
        found[f"memory_ratio_naive{end}"] = ratio
    return found


def weaver(cache: Path, folder: Path, drawn: list, rate: float, seed: int) -> tuple[Ask, Any]:
    """Start weaver with a new network, whose state dict comes with `ask`."""
    python = _peers.environment(cache, PEER)
    folder.mkdir()
    for k, (inputs, label) in enumerate(drawn):
        columns = {"features": inputs.features, "p4": inputs.p4[..., [1, 2, 3, 0]]}
        arrays = {name: np.swapaxes(x, 1, 2) for name, x in columns.items()}
        mask, label = inputs.mask[:, None], label.astype(np.int64)
        np.savez(folder / f"batch_{k:03d}.npz", **arrays, mask=mask, label=label)
    answer = _peers.conversation(python, HERE / "_weaver.py", folder, rate, seed)

    def ask(what: str, index: int) -> tuple[float, Any]:
        seconds, value = answer(what, index)
        logits = folder / f"logits_{index}.npy"
        return float(seconds), float(value) if what == "train" else np.load(logits)

    with np.load(folder / "weights.npz") as file:
        kept = [name for name in file.files if not name.endswith("num_batches_tracked")]
        return ask, {name: file[name] for name in kept}
