"""The sides of tracking_vs_torch.py: torch in a process of its own, scipy, and how they are timed.

`torch` starts `_torch_tracking.py` with the same graph and weights, `scipy` compares connected
components with scipy's; `timed` and `ratios` are CPU seconds of alternated calls.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from hepjax import batch
from hepjax.tracking import components

sys.path.insert(0, str(Path(__file__).parents[1]))

import _peers

HERE = Path(__file__).parent
Ask = Callable[[str, str], tuple[float, float]]


def torch(cache: Path, folder: Path, given: dict, params: Any, device: str = "cpu") -> Ask:
    """Start torch with the weights of the rounds; returns ask(way, what) -> (seconds, value).

    device: seconds are those of the CPU, or of the clock for "cuda".
    """
    folder.mkdir()
    np.savez(folder / "graph.npz", **given)
    flat = flax.traverse_util.flatten_dict(params["rounds"], sep="_")
    np.savez(folder / "weights.npz", **{k: np.asarray(x) for k, x in flat.items()})
    python = _peers.environment(cache, ["torch==2.13.0", "numpy"])
    answer = _peers.conversation(python, HERE / "_torch_tracking.py", folder, device)

    def ask(way: str, what: str) -> tuple[float, float]:
        seconds, value = answer(way, what)
        return float(seconds), float(value)

    return ask


def timed(function: Callable, *args: Any) -> tuple[float, Any]:
    """Give the CPU seconds of one call, and what it returns."""
    start = time.process_time()
    out = jax.block_until_ready(function(*args))
    return time.process_time() - start, out


def ratios(name: str, ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Compare CPU seconds of alternated calls: median of theirs over ours, its error and range."""
    each = np.array(theirs) / np.array(ours)
    error = 1.2533 * each.std(ddof=1) / np.sqrt(len(each))  # of the median of normal values
    found = {"": np.median(each), "_error": error, "_min": each.min(), "_max": each.max()}
    return {f"{name}_ratio{end}": float(x) for end, x in found.items()}


def scipy(sizes: tuple[int, ...], repeats: int, seed: int) -> dict[str, float]:
    """Time connected components of chains of ten nodes, in graphs of some sizes, beside scipy's."""
    results: dict[str, float] = {}
    for n in sizes:
        rng = batch.generator(seed, n)
        order, real = rng.permutation(n), np.flatnonzero(np.arange(n - 1) % 10 != 9)
        wrong = rng.integers(0, n, (2, n // 50))
        ends = np.concatenate([[order[real], order[real + 1]], wrong], 1).astype(np.int32)
        weight = np.ones(ends.shape[1])

        def theirs(ends: np.ndarray = ends, weight: np.ndarray = weight, n: int = n) -> tuple:
            matrix = sparse.coo_matrix((weight, tuple(ends)), (n, n)).tocsr()
            return csgraph.connected_components(matrix, directed=False)

        ours = jax.jit(lambda s, r, n=n: components.components(s, r, n))
        given, seconds = tuple(map(jnp.asarray, ends)), []
        for _ in range(repeats + 1):
            used, label = timed(ours, *given)
            other, (count, _) = timed(theirs)
            seconds.append((used, other))
        if len(np.unique(label)) != count:
            raise ValueError(f"{len(np.unique(label))} components, scipy finds {count}")
        results |= ratios(f"components_{n // 1000}k", *map(list, zip(*seconds[1:])))
    return results
