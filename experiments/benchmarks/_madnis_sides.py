"""The sides of madnis_vs_peers.py: hepjax here, madnis in a process of its own.

A side has begin(seed), which gives the number of parameters, train(n) -> CPU seconds, and
sample(n) -> (CPU seconds, points). `ours` compiles all first; `madnis` starts `_torch_madnis.py` in
the environment of the peers, which is made where it is missing.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _madnis_cases import Case

from hepjax.integration import integrator, sampling

sys.path.insert(0, str(Path(__file__).parents[1]))

import _peers

HERE = Path(__file__).parent
PEERS = ("torch==2.13.0", "madnis==1.0.0", "vegas==6.4.1")


class Side(NamedTuple):
    """One of those that are compared; see the module."""

    begin: Callable[[int], int]
    train: Callable[[int], float]
    sample: Callable[[int], tuple[float, sampling.Sampled]]


def ours(case: Case, settings: integrator.Settings, n: int, chunk: int) -> Side:
    """Compile blocks of n steps, and the drawing of a chunk of points."""
    step = integrator.train_step(case.integrand, settings)
    block = jax.jit(lambda state: jax.lax.scan(step, state, None, n), donate_argnums=0)
    start = jax.jit(lambda key: integrator.init(case.integrand, settings, key))
    state = start(jax.random.key(0))
    compiled = block.lower(state).compile()
    sampling.sample(case.integrand, settings, state, jax.random.key(0), chunk, chunk=chunk)
    drawn = 0

    def begin(seed: int) -> int:
        nonlocal state
        state = start(jax.random.key(seed))
        return sum(x.size for x in jax.tree.leaves(state.params))

    def train(n_steps: int) -> float:
        nonlocal state
        begun = time.process_time()
        for _ in range(n_steps // n):
            state, _ = jax.block_until_ready(compiled(state))
        return time.process_time() - begun

    def sample(n_points: int) -> tuple[float, sampling.Sampled]:
        nonlocal drawn
        drawn += 1
        key = jax.random.fold_in(state.key, 1_000_000 + drawn)
        begun = time.process_time()
        found = sampling.sample(case.integrand, settings, state, key, n_points, chunk=chunk)
        return time.process_time() - begun, found

    return Side(begin, train, sample)


def madnis(
    cache: Path, folder: Path, name: str, case: Case, settings: integrator.Settings
) -> tuple[Side, float]:
    """Start madnis; also tell how far its integrand is from ours, relatively, at random points.

    Raises ValueError where that is more than rounding.
    """
    folder.mkdir()
    n_channels = case.integrand.n_channels
    rng = np.random.default_rng(0)
    x, channel = rng.random((10_000, case.integrand.dim)), rng.integers(n_channels, size=10_000)
    np.savez(folder / "points.npz", x=x, channel=channel)
    python = _peers.environment(cache, PEERS)
    ask = _peers.conversation(python, HERE / "_torch_madnis.py", folder)
    ask("values", name)
    given = case.integrand.function(jnp.asarray(x), jnp.asarray(channel))
    found = {"value": given.value}
    if n_channels > 1:
        found |= {"features": given.features, "prior": jnp.exp(given.log_prior)}
    with np.load(folder / "values.npz") as file:
        apart = max(float(np.abs(file[k] / np.asarray(v) - 1).max()) for k, v in found.items())
    if apart > 1e-10:
        raise ValueError(f"{name}: {apart:.1e} between the integrands of both sides")

    def begin(seed: int) -> int:
        return int(
            ask("begin", name, seed, case.n_steps, settings.n_points, settings.learning_rate)[0]
        )

    def train(n_steps: int) -> float:
        return float(ask("train", n_steps)[0])

    def sample(n_points: int) -> tuple[float, sampling.Sampled]:
        seconds = float(ask("sample", n_points)[0])
        with np.load(folder / "sample.npz") as file:
            weight, of = file["weight"], file["channel"]
        none: Any = None
        return seconds, sampling.Sampled(none, of, weight, none, none)

    return Side(begin, train, sample), apart
