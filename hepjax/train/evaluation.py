"""Looking at a model without changing it: metrics from additive sums, and outputs event by event.

`evaluate` adds the sums of all batches in float64 and finishes them once; `predict` runs a pure
function over all batches and puts its outputs back into the order of the events.

>>> import numpy as np
>>> from hepjax import batch
>>> rows = np.array([2, 0, 1, -1, -1, -1, -1, -1])
>>> x = np.where(rows < 0, 0, rows).astype(np.float32)
>>> batches = batch.Batches(lambda epoch: [8], lambda epoch, i: x, lambda epoch, i: rows)
>>> predict(lambda factor, x: factor * x, 10.0, batches).tolist()
[0.0, 10.0, 20.0]
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from hepjax import batch as batching
from hepjax import parallel
from hepjax.train.loss import Sums


def ahead(
    function: Callable[[Any], Any], items: Iterable[Any], depth: int = 2, n_threads: int = 1
) -> Iterator[Any]:
    """Run function over items in threads, up to `depth` results ahead of their use, in order.

    An error in the thread is raised where its result would have come.
    """
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="reader")
    waiting: deque = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def add_on_host(total: Any, new: Any) -> Any:
    """Add sums in float64 on the host; a total of None is the start."""
    new = jax.tree.map(lambda x: np.asarray(x, np.float64), jax.device_get(new))
    return new if total is None else jax.tree.map(np.add, total, new)


def compile_sums(sums: Callable[[Any, Any], Sums], layout: parallel.Layout) -> Callable:
    """Compile sums(state, batch) for the layout, summed over its devices."""
    axis = parallel.axis_name(layout)

    def call(state: Any, batch: Any) -> tuple[None, Sums]:
        local = sums(state, batch)
        return None, local if axis is None else jax.lax.psum(local, axis)

    return parallel.compile(layout, call)


def evaluate_placed(
    compiled: Callable,
    state: Any,
    batches: batching.Batches,
    finish: Callable[[Sums], tuple[Any, dict[str, Any]]],
    layout: parallel.Layout,
) -> dict[str, float]:
    """Evaluate with a function of compile_sums and a state that is in place already."""

    total = None
    for batch in ahead(lambda i: batches.get(0, i), range(len(batches.shapes(0)))):
        total = add_on_host(total, compiled(state, parallel.place_batch(layout, batch))[1])
    if total is None:
        raise ValueError("there are no batches to evaluate")
    return finished(finish, total)


def finished(finish: Callable, sums: Sums) -> dict[str, float]:
    """Finish total sums into {"loss": objective, name: value} of plain numbers."""
    objective, values = finish(sums)
    return {"loss": float(objective), **{name: float(x) for name, x in values.items()}}


def evaluate(
    sums: Callable[[Any, Any], Sums],
    state: Any,
    batches: batching.Batches,
    finish: Callable[[Sums], tuple[Any, dict[str, Any]]],
    *,
    layout: parallel.Layout | None = None,
) -> dict[str, float]:
    """Sum up one pass over a sample (its epoch 0) and finish the totals.

    sums(state, batch) -> Sums; finish(sums) -> (objective, {name: value}). Returns plain numbers,
    the objective as "loss". Raises ValueError when there are no batches.
    """
    layout = layout or parallel.layout(devices=1)
    placed = parallel.place_state(layout, state)
    return evaluate_placed(compile_sums(sums, layout), placed, batches, finish, layout)


def predict(
    function: Callable[[Any, Any], Any],
    params: Any,
    batches: batching.Batches,
    *,
    layout: parallel.Layout | None = None,
) -> np.ndarray:
    """Run function(params, batch) -> [event, ...] over a sample, outputs in the events' order.

    Each event of the batches (epoch 0) appears once. Returns [event, ...] on the host.
    """
    layout = (layout or parallel.layout(devices=1))._replace(mode="jit")
    compiled, placed = jax.jit(function), parallel.place_state(layout, params)

    def load(index: int) -> tuple[np.ndarray, Any]:
        return batches.rows(0, index), batches.get(0, index)

    rows, outputs = [], []
    for row, batch in ahead(load, range(len(batches.shapes(0)))):
        real = row >= 0
        rows.append(row[real])
        outputs.append(np.asarray(compiled(placed, parallel.place_batch(layout, batch)))[real])
    if not rows:
        raise ValueError("there are no batches to predict")
    return np.concatenate(outputs)[np.argsort(np.concatenate(rows), kind="stable")]
