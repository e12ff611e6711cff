"""From events of unequal size to a few fixed shapes, and means that stay right under padding.

A jet has 10 to 128 constituents, an event 500 to 5,000 hits; a compiled step wants fixed shapes.
Padding all jets to 128 wastes 69 % of the work, padding each batch to the smallest of six lengths
(a bucket) 16 %, and the step compiles six times at most. Here are, in order: `Mean`, a weighted
mean kept as two additive sums; `Ragged`, values and offsets, with `pad` to fill one bucket; `plan`,
the batches of an epoch as a pure function of the seed and the epoch; and `Batches`, the two
functions that a training loop asks for. Batch sizes are multiples of 8, so that 8 devices share
them.

>>> import numpy as np
>>> ragged = Ragged(np.arange(5.0), np.array([0, 2, 5]))
>>> values, mask = pad(ragged, np.array([1, 0]), length=4)
>>> values.tolist()
[[2.0, 3.0, 4.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
"""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

BUCKETS = (16, 32, 48, 64, 96, 128)
"""Padded lengths [particle]: 16 % padding on jets of 10 to 128 constituents."""


class Mean(NamedTuple):
    """A weighted mean as two sums, which add over batches, micro-batches and devices.

    total: [...] sum of weight * value; weight: [...] sum of weights.
    """

    total: Any
    weight: Any


def mean(values: Any, weight: Any = None) -> Mean:
    """Sum up the weighted mean of an array.

    values: [...]; weight: broadcast against values, 0 for padding (None: all one). Entries of
    weight 0 may hold anything, NaN too: they do not count, and the gradient by them is 0. Returns a
    Mean of two float32 (or float64) scalars.
    """
    values = jnp.asarray(values)
    dtype = jnp.promote_types(values.dtype, jnp.float32)
    if weight is None:
        return Mean(values.astype(dtype).sum(), jnp.asarray(values.size, dtype))
    weight = jnp.broadcast_to(jnp.asarray(weight, dtype), values.shape)
    used = weight != 0
    return Mean(jnp.where(used, weight * jnp.where(used, values, 0), 0).sum(), weight.sum())


def value(mean: Mean) -> jax.Array:
    """Divide total by weight; 0 where nothing was counted, and its gradient 0 as well."""
    empty = mean.weight == 0
    return jnp.where(empty, 0, mean.total / jnp.where(empty, 1, mean.weight))


class Ragged(NamedTuple):
    """Events of unequal size, one after the other.

    values: a pytree of arrays [item, ...]; offsets: [event + 1] int64, offsets[0] = 0 and event i
    holds the items offsets[i] to offsets[i + 1].
    """

    values: Any
    offsets: np.ndarray


def lengths(ragged: Ragged) -> np.ndarray:
    """Count the items of each event [event]."""
    return np.diff(ragged.offsets)


def take(ragged: Ragged, rows: np.ndarray) -> Ragged:
    """Pick events, in the order of rows [event'], repeats allowed."""
    count = lengths(ragged)[rows]
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    index = np.arange(offsets[-1]) + np.repeat(ragged.offsets[:-1][rows] - offsets[:-1], count)
    return Ragged(jax.tree.map(lambda leaf: leaf[index], ragged.values), offsets)


def concatenate(parts: Sequence[Ragged]) -> Ragged:
    """Join events, one sample after the other; the values have the same pytree."""
    ends = np.cumsum([0] + [part.offsets[-1] for part in parts])
    offsets = [part.offsets[1:] + end for part, end in zip(parts, ends)]
    values = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(p.values for p in parts))
    return Ragged(values, np.concatenate([np.zeros(1, np.int64), *offsets]))


def pad(ragged: Ragged, rows: np.ndarray, length: int) -> tuple[Any, np.ndarray]:
    """Fill one batch: the events named by rows, each cut or filled with zeros to the same length.

    rows: [event'], -1 for an event of padding alone. Items past `length` are left out (order them
    by importance). Returns the values [event', length, ...] and the mask [event', length], True =
    real.
    """
    start = ragged.offsets[rows]
    count = np.where(rows < 0, 0, ragged.offsets[rows + 1] - start)
    position = np.arange(length)
    mask = position < count[:, None]
    index = np.where(mask, start[:, None] + position, 0)

    def fill(leaf: np.ndarray) -> np.ndarray:
        if len(leaf) == 0:
            return np.zeros((*index.shape, *leaf.shape[1:]), leaf.dtype)
        out = np.take(leaf, index, axis=0)
        out[~mask] = 0
        return out

    return jax.tree.map(fill, ragged.values), mask


class Selection(NamedTuple):
    """One batch of a plan: padded length, and the events in it, rows [event], -1 for padding."""

    bucket: int
    rows: np.ndarray


def batch_size(bucket: int, budget: int) -> int:
    """Share a budget of padded particles among events: the number of events of a batch, a multiple
    of 8.
    """
    return max(8, budget // bucket // 8 * 8)


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Open the random stream of a seed and up to three further non-negative integers (an epoch, a
    buffer).
    """
    return np.random.default_rng([seed, *stream])


def bucket_of(count: np.ndarray, buckets: Sequence[int] = BUCKETS) -> np.ndarray:
    """Find the smallest bucket that holds each event [event]; the largest one for those that none
    holds.
    """
    sizes = np.asarray(buckets)
    if np.any(np.diff(sizes) <= 0) or sizes[0] <= 0:
        raise ValueError(f"buckets must be positive and ascending, found {tuple(buckets)}")
    return sizes[np.minimum(np.searchsorted(sizes, count), len(sizes) - 1)]


def plan(
    count: np.ndarray,
    *,
    seed: int = 0,
    epoch: int = 0,
    stream: int = 0,
    buckets: Sequence[int] = BUCKETS,
    budget: int = 8192,
    group: int = 1,
    shuffle: bool = True,
) -> list[Selection]:
    """Lay out the batches of one epoch: each event once, one bucket and `budget` particles a batch.

    count: [event] number of items; stream: sets plans of one epoch apart (buffers of a large
    sample). A pure function of its arguments. Batches of one bucket come in
    runs of `group` (steps_per_call), runs in random order; the last batch of a bucket is filled up
    with -1. Without shuffle, events and buckets stand in ascending order, as evaluation wants.
    """
    rng = generator(seed, epoch, stream)
    order = rng.permutation(len(count)) if shuffle else np.arange(len(count))
    bucket = bucket_of(count, buckets)[order]
    runs: list[list[Selection]] = []
    for length in buckets:
        rows = order[bucket == length]
        size = batch_size(length, budget)
        n_batches = -(-len(rows) // size)
        filled = np.full(n_batches * size, -1, np.int64)
        filled[: len(rows)] = rows
        batches = [Selection(length, part) for part in filled.reshape(n_batches, size)]
        runs += [batches[i : i + group] for i in range(0, n_batches, group)]
    if shuffle:
        runs = [runs[i] for i in rng.permutation(len(runs))]
    return [selection for run in runs for selection in run]


class Batches(NamedTuple):
    """What a training loop asks of data: pure functions of the epoch and of the place in it.

    shapes(epoch) -> a hashable a batch (its bucket): batches of equal shape may share a call;
    get(epoch, index) -> the batch, a pytree of arrays whose leading axis is the event (or shard);
    rows(epoch, index) -> [event] which events stand in it, -1 for padding.
    """

    shapes: Callable[[int], Sequence[Hashable]]
    get: Callable[[int, int], Any]
    rows: Callable[[int, int], np.ndarray]


def from_plan(
    plan_of: Callable[[int], list[Selection]], fill: Callable[[Selection], Any]
) -> Batches:
    """Join a plan, epoch -> batches, and a function that fills one batch, into Batches.

    The plans of the epochs asked for last are kept; they would come out the same if made again.
    """
    of = functools.lru_cache(maxsize=2)(plan_of)
    return Batches(
        shapes=lambda epoch: [selection.bucket for selection in of(epoch)],
        get=lambda epoch, index: fill(of(epoch)[index]),
        rows=lambda epoch, index: of(epoch)[index].rows,
    )


def occupancy(count: np.ndarray, plan: list[Selection]) -> float:
    """Measure the share of real particles among the padded ones of a plan, 0 to 1."""
    padded = sum(selection.bucket * len(selection.rows) for selection in plan)
    return float(sum(np.minimum(count[s.rows[s.rows >= 0]], s.bucket).sum() for s in plan) / padded)
