"""Tracks by components and walkthrough: what is a chain is taken whole, forks are walked along.

Edges point outwards and have the probability of being true. Edges below a low cut are dropped. A
component in which no hit has two edges in or two out is a track. In the others roads are walked,
longest first: from a hit along all edges above a high cut (`Cuts.add`), or along the best one where
it is above a lower one (`Cuts.least`), and two roads that want one hit are parted in favour of the
longer (the track building of GNN4ITk, arXiv:2103.06995 and its CTD 2023 settings).

GNN4ITk walks one road after the other through a list. Here all are walked at once: how far a road
goes on from each hit, and how far it came, are two sums over the graph that settle in as many
rounds as a track has layers; an edge is walked where the hit before it goes on best by it and the
hit behind it came best by it. So it runs on device, and under vmap over the cuts (`scan`).

>>> senders, receivers = np.array([0, 1, 1, 2]), np.array([1, 2, 3, 4])
>>> walk(senders, receivers, np.array([0.9, 0.9, 0.8, 0.9]), 6).tolist()
[0, 0, 0, -1, 0, -1]
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.tracking.components import components


class Cuts(NamedTuple):
    """On the probability of edges: components (below, edges are dropped), least, of the best edge
    out of a hit to be walked, and add, of any edge to be walked.
    """

    components: Any = 0.01
    least: Any = 0.1
    add: Any = 0.6


DEFAULT = Cuts()
MIN_HITS = 3


def walk(
    senders: Any,
    receivers: Any,
    probability: Any,
    n_hits: int,
    cuts: Cuts = DEFAULT,
    *,
    min_hits: int = MIN_HITS,
    max_layers: int = 64,
) -> jax.Array:
    """Label each hit by the first hit of its track, -1 where it has none [hit] int32.

    senders, receivers: [edge] hits, every edge outwards (no circle); probability: [edge]; min_hits:
    of a track; max_layers: hits of the longest road that is told from a longer one. A cut may be an
    array of no dimension, as under vmap. Padding edges join a hit of padding with itself and have
    probability 0.
    """
    senders, receivers, p = (jnp.asarray(x) for x in (senders, receivers, probability))
    there = (p >= cuts.components) & (senders != receivers)
    best_out = jax.ops.segment_max(jnp.where(there, p, -1.0), senders, n_hits)
    n_out, n_in = (
        jax.ops.segment_sum(there.astype(jnp.int32), x, n_hits) for x in (senders, receivers)
    )
    part = components(senders, receivers, n_hits, there)
    forks = jax.ops.segment_max(jnp.maximum(n_out, n_in), part, n_hits)[part] > 1
    good = (p >= cuts.add) | ((p >= cuts.least) & (p >= best_out[senders]))
    walked = there & (good | ~forks[senders])
    place = jnp.argsort(jnp.argsort(p))
    length = 1 + place / (len(p) * max_layers)  # of equally long roads the likelier
    onwards = _reach(receivers, senders, jnp.where(walked, length, 0), n_hits, max_layers)
    back = _reach(senders, receivers, jnp.where(walked, length, 0), n_hits, max_layers)
    leads = _best(onwards[receivers] + length, place, senders, walked, n_hits)
    comes = _best(back[senders] + length, place, receivers, walked, n_hits)
    track = components(senders, receivers, n_hits, walked & leads & comes)
    size = jax.ops.segment_sum(jnp.ones(n_hits, jnp.int32), track, n_hits)
    return jnp.where(size[track] >= min_hits, track, -1)


def _reach(from_: jax.Array, to: jax.Array, length: jax.Array, n: int, most: int) -> jax.Array:
    """Measure the longest road that ends at each hit, by the lengths of edges, 0 of those that are
    not walked [hit].
    """

    def turn(state: tuple) -> tuple:
        reach, _, k = state
        longer = jnp.where(length > 0, reach[from_] + length, 0)
        new = jnp.maximum(jax.ops.segment_max(longer, to, n), 0)
        return new, (new != reach).any(), k + 1

    start = jnp.zeros(n, length.dtype), jnp.array(True), 0
    return jax.lax.while_loop(lambda state: state[1] & (state[2] < most), turn, start)[0]


def _best(
    score: jax.Array, place: jax.Array, of: jax.Array, walked: jax.Array, n: int
) -> jax.Array:
    """Tell which edge is the best of each hit, of equals the last in place [edge] bool."""
    score = jnp.where(walked, score, -1.0)
    first = walked & (score >= jax.ops.segment_max(score, of, n)[of])
    place = jnp.where(first, place, -1)
    return first & (place == jax.ops.segment_max(place, of, n)[of])


@functools.partial(jax.jit, static_argnames="n_hits")
def scan(senders: Any, receivers: Any, probability: Any, n_hits: int, cuts: Cuts) -> jax.Array:
    """Walk with many cuts at once [cut, hit]; cuts: three arrays [cut]."""
    return jax.vmap(lambda c: walk(senders, receivers, probability, n_hits, c))(cuts)


def link(
    ends: np.ndarray, odds: np.ndarray, n_hits: int, cuts: Cuts = DEFAULT, *, step: int = 1024
) -> np.ndarray:
    """Make tracks of the edges of one event: pairs (hit, track) [pair, 2].

    ends: [edge, 2] (sender, receiver), outwards; odds: [edge], logarithmic; step: hits and edges
    are padded to multiples of it, so that few shapes are compiled.
    """
    n, n_edges = (-(-(k + 1) // step) * step for k in (n_hits, len(ends)))
    padded = np.pad(ends, ((0, n_edges - len(ends)), (0, 0)), constant_values=n_hits)
    p = np.pad(1 / (1 + np.exp(-odds)), (0, n_edges - len(ends)))
    labels = np.asarray(scan(*padded.T, p, n, Cuts(*(np.array([x]) for x in cuts))))[0]
    hit = np.flatnonzero(labels >= 0)
    return np.stack([hit, np.unique(labels[hit], return_inverse=True)[1]], -1)
