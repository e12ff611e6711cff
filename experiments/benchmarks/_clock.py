"""Times by the clock, as an accelerator is measured, and results that are printed as they come."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


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
