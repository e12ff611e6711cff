"""Pairs of hits that may follow each other, found on device in fixed memory.

Hits are laid out by module in a table (`table`), and the hits of each module are compared with
those of the modules a few steps on, tile by tile: `search` keeps the pairs that a function accepts,
be it a geometric window (`window`) or a distance between learned coordinates. Memory is that of one
tile a module and of `capacity` pairs; how many pairs there were is returned too, so that a capacity
that was too small is seen. `places` is how what is kept finds its place.

>>> position = jnp.array([[1.0, 0, 0], [2.0, 0, 10], [9.0, 0, 10]])
>>> hits = table(np.array([0, 1, 1]), n_modules=2, width=2)
>>> found = search(hits, position, window(0.5), steps=(1,), capacity=4)
>>> found.senders[:1].tolist(), found.receivers[:1].tolist(), int(found.n_found)
([0], [1], 1)
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Accept = Callable[[Any, Any], jax.Array]
"""Whether pairs are kept: of what is known of senders [module, hit, 1, ...] and of receivers
[module, 1, hit, ...], both in the order given to `search`: [module, hit, hit] bool.
"""


class Table(NamedTuple):
    """Hits by module: index [module, place] of a hit, mask [module, place] True = real."""

    index: Any
    mask: Any


class Pairs(NamedTuple):
    """Pairs of hits, padded: senders, receivers, mask [pair], and how many were accepted.

    Where n_found is above the length of the mask, the rest is missing.
    """

    senders: jax.Array
    receivers: jax.Array
    mask: jax.Array
    n_found: jax.Array


def table(module: np.ndarray, *, n_modules: int, width: int) -> Table:
    """Lay out hits by module, in numpy.

    module: [hit], in any order; width: places a module. Raises ValueError for a module that is not
    below n_modules, or has more hits than places.
    """
    count = np.bincount(module, minlength=n_modules)
    if len(count) > n_modules or count.max(initial=0) > width:
        raise ValueError(
            f"module: {len(count)} modules of up to {count.max(initial=0)} hits, expected up to "
            f"{n_modules} modules of up to {width}"
        )
    order = np.argsort(module, kind="stable")
    place = np.arange(len(module)) - np.repeat(np.cumsum(count) - count, count)
    index = np.zeros((n_modules, width), np.int32)
    mask = np.zeros((n_modules, width), bool)
    index[module[order], place], mask[module[order], place] = order, True
    return Table(index, mask)


def places(kept: jax.Array, capacity: int, *, start: Any = 0) -> jax.Array:
    """Number what is kept from `start` on [item]; what is not, or does not fit, has `capacity`.

    kept: [item] bool.
    """
    place = start + jnp.cumsum(kept, dtype=jnp.int32) - 1
    return jnp.where(kept & (place < capacity), place, capacity)


def window(max_slope: float) -> Accept:
    """Accept pairs of positions [..., 3] whose slopes dx/dz and dy/dz are small, and dz above 0."""

    def accept(first: jax.Array, second: jax.Array) -> jax.Array:
        d = second - first
        return (jnp.abs(d[..., :2]).max(-1) < max_slope * d[..., 2]) & (d[..., 2] > 0)

    return accept


def within(radius: float) -> Accept:
    """Accept pairs whose learned coordinates [..., coordinate] are closer than a radius."""
    return lambda first, second: ((second - first) ** 2).sum(-1) < radius**2


def search(
    hits: Table, known: Any, accept: Accept, *, steps: Sequence[int], capacity: int
) -> Pairs:
    """Find the pairs of hits, from a module to those `steps` on, that are accepted.

    known: pytree of arrays [hit, ...] that accept looks at; steps: differences of modules, above 0.
    Pairs come by step, module, sender and receiver.
    """
    n_modules, _width = hits.index.shape
    of = jax.tree.map(lambda x: jnp.asarray(x)[hits.index], known)
    there = jnp.asarray(hits.mask)
    index = jnp.asarray(hits.index)
    senders = receivers = jnp.zeros(capacity, index.dtype)
    n_found = jnp.zeros((), jnp.int32)
    for step in steps:
        if step >= n_modules:
            continue
        first = jax.tree.map(lambda x, s=step: x[: n_modules - s, :, None], of)
        second = jax.tree.map(lambda x, s=step: x[s:, None], of)
        kept = accept(first, second) & there[: n_modules - step, :, None] & there[step:, None]
        shape = kept.shape
        flat = kept.reshape(-1)
        place = places(flat, capacity, start=n_found)
        pairs = (
            jnp.broadcast_to(index[: n_modules - step, :, None], shape).reshape(-1),
            jnp.broadcast_to(index[step:, None], shape).reshape(-1),
        )
        senders, receivers = (
            x.at[place].set(y, mode="drop", unique_indices=False)
            for x, y in zip((senders, receivers), pairs)
        )
        n_found = n_found + flat.sum(dtype=jnp.int32)
    return Pairs(senders, receivers, jnp.arange(capacity) < n_found, n_found)
