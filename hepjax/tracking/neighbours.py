"""Pairs of hits that may follow each other, found on device in fixed memory.

Hits are laid out by module in a table (`table`), and the hits of each module are compared with
those of the modules that it is linked to (`steps`, or `module_map`), tile by tile: `search` keeps
the pairs that a function accepts, be it a geometric window or a distance between learned
coordinates. Memory is that of `TILE` and of `capacity` pairs; how many pairs there were is returned
too, so that a capacity that was too small is seen. `places` is how what is kept finds its place.

>>> position = jnp.array([[1.0, 0, 0], [2.0, 0, 10], [9.0, 0, 10]])
>>> hits = table(np.array([0, 1, 1]), n_modules=2, width=2)
>>> found = search(hits, position, window(0.5), links=steps(2, (1,)), capacity=4)
>>> found.senders[:1].tolist(), found.receivers[:1].tolist(), int(found.n_found)
([0], [1], 1)
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TILE = 2**19
"""Pairs, accepted or not, that are in memory together."""

Accept = Callable[[Any, Any], jax.Array]
"""Whether pairs are kept: of what is known of senders [link, hit, 1, ...] and of receivers
[link, 1, hit, ...], both in the order given to `search`: [link, hit, hit] bool.
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


def window_in_field(max_turn: float, slack: float, max_z0: float) -> Accept:
    """Accept pairs of (r, phi, z) [...] in a solenoid that come from near the beam line.

    max_turn: of the azimuth a mm of radius, rad, with `slack` rad more; max_z0: mm, where the line
    in r and z crosses the axis. The receiver is further out.
    """

    def accept(first: tuple[jax.Array, ...], second: tuple[jax.Array, ...]) -> jax.Array:
        r, z = first[0], first[2]
        dr, dphi, dz = (y - x for x, y in zip(first, second))
        dphi = jnp.abs(dphi - 2 * np.pi * jnp.round(dphi / (2 * np.pi)))
        return (dr > 0) & (dphi < max_turn * dr + slack) & (jnp.abs(z * dr - r * dz) < max_z0 * dr)

    return accept


def within(radius: float) -> Accept:
    """Accept pairs whose learned coordinates [..., coordinate] are closer than a radius."""
    return lambda first, second: ((second - first) ** 2).sum(-1) < radius**2


def steps(n_modules: int, steps: Sequence[int]) -> np.ndarray:
    """List the links [link, 2] from each module to those a few steps on, by step."""
    first = [np.arange(max(n_modules - step, 0)) for step in steps]
    return np.concatenate([np.stack([x, x + step], -1) for x, step in zip(first, steps)])


def search(hits: Table, known: Any, accept: Accept, *, links: np.ndarray, capacity: int) -> Pairs:
    """Find the pairs of hits, from one module to another that it is linked to, that are accepted.

    known: pytree of arrays [hit, ...] that accept looks at; links: [link, 2] modules. Pairs come by
    link, sender and receiver.
    """
    of = jax.tree.map(lambda x: jnp.asarray(x)[hits.index], known)
    there, index = jnp.asarray(hits.mask), jnp.asarray(hits.index)
    size = min(max(TILE // hits.index.shape[1] ** 2, 1), max(len(links), 1))
    more = -len(links) % size
    real = (np.arange(len(links) + more) < len(links)).reshape(-1, size)
    groups = jnp.pad(jnp.asarray(links), ((0, more), (0, 0))).reshape(-1, size, 2)

    def look(found: tuple, group: tuple[jax.Array, jax.Array]) -> tuple[tuple, None]:
        senders, receivers, n_found = found
        a, b = group[0].T
        first = jax.tree.map(lambda x: x[a][:, :, None], of)
        second = jax.tree.map(lambda x: x[b][:, None], of)
        kept = accept(first, second) & there[a][:, :, None] & there[b][:, None]
        flat = (kept & group[1][:, None, None]).reshape(-1)
        place = places(flat, capacity, start=n_found)
        senders, receivers = (
            x.at[place].set(jnp.broadcast_to(y, kept.shape).reshape(-1), mode="drop")
            for x, y in ((senders, index[a][:, :, None]), (receivers, index[b][:, None]))
        )
        return (senders, receivers, n_found + flat.sum(dtype=jnp.int32)), None

    none = jnp.zeros(capacity, index.dtype)
    start = none, none, jnp.zeros((), jnp.int32)
    (senders, receivers, n_found), _ = jax.lax.scan(look, start, (groups, jnp.asarray(real)))
    return Pairs(senders, receivers, jnp.arange(capacity) < n_found, n_found)
