"""Partners of an edge: the edges that end where it begins, and those that begin where it ends.

A track's edges follow each other, and their direction changes little in between; so an edge is
judged by the best edges on both sides of it, and by those that compete for its own hits. `look`
finds for each hit the best few edges into it and out of it, by the odds that they have so far;
`describe` says of an edge what these are; `PartnerNetwork` makes new odds of it: each partner
passes the same small network, and the largest and the sum over them are looked at. This is what a
triplet classifier (arXiv:2406.12869) does, on edges that are many and in fixed memory.

>>> position = jnp.array([[0.0, 0, 0], [1.0, 0, 10], [2.0, 0, 20], [9.0, 0, 20]])
>>> ends = jnp.array([0, 1, 1]), jnp.array([1, 2, 3])
>>> near = look(position, ends, jnp.array([3.0, 2.0, 1.0]), 2)
>>> near.out_of[1].tolist(), near.into[1].tolist()
([1, 2], [0, -1])
>>> own, partners = describe(near, jnp.array([0]))
>>> own.shape, partners.shape
((1, 7), (1, 4, 4))
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from hepjax.nn import mlp
from hepjax.tracking import doublets

Direction = Callable[[Any, tuple[Any, Any]], jax.Array]
"""What stays along a track [pair, 2], of positions [hit, 3] and pairs."""

RESOLUTION = 1e-4
"""Kinks, changes of direction, well below this are rounding of the positions."""

NONE = -15.0
"""Odds where there is no edge."""

MM = 50.0
"""Length along z of an edge that is of order one."""


class Near(NamedTuple):
    """The edges of an event, and the best of each hit.

    senders, receivers: [edge] hits; odds: [edge], -inf of padding; direction: [edge, 2]; length:
    [edge] along z, in `MM`; into, out_of: [hit, k] edges by falling odds, -1 for none; rank:
    [edge, 2] place in both tables of its own ends, `into` first, k where it is in neither.
    """

    senders: jax.Array
    receivers: jax.Array
    odds: jax.Array
    direction: jax.Array
    length: jax.Array
    into: jax.Array
    out_of: jax.Array
    rank: jax.Array


def best(hit: jax.Array, odds: jax.Array, n_hits: int, k: int) -> tuple[jax.Array, jax.Array]:
    """Find the k edges of the highest odds of each hit, and the rank of each edge.

    hit, odds: [edge]; edges of -inf are none. Of equals the last comes first. Returns index
    [hit, k] of an edge, -1 for none, and rank [edge], k for all that are not among the best.
    """
    edge = jnp.arange(len(hit))

    def one(carry: tuple, place: jax.Array) -> tuple[tuple, jax.Array]:
        left, rank = carry
        top = jax.ops.segment_max(left, hit, n_hits)[hit]
        found = jax.ops.segment_max(
            jnp.where((left == top) & (left > -jnp.inf), edge, -1), hit, n_hits
        )
        found = jnp.maximum(found, -1)
        to = jnp.where(found < 0, len(hit), found)
        return (
            left.at[to].set(-jnp.inf, mode="drop"),
            rank.at[to].set(place, mode="drop"),
        ), found

    start = odds, jnp.full(len(hit), k, jnp.int32)
    (_, rank), index = jax.lax.scan(one, start, jnp.arange(k, dtype=jnp.int32))
    return index.T, rank


def look(
    position: Any,
    ends: tuple[jax.Array, jax.Array],
    odds: jax.Array,
    k: int,
    direction: Direction = doublets.slope,
) -> Near:
    """Find the best edges of each hit.

    position: [hit, 3] mm; ends: (senders, receivers) [edge], the receiver further along; odds:
    [edge], -inf of padding; direction: what stays along a track.
    """
    length = (position[ends[1]] - position[ends[0]])[:, 2] / MM
    out_of, first = best(ends[0], odds, len(position), k)
    into, second = best(ends[1], odds, len(position), k)
    rank = jnp.stack([second, first], -1)
    return Near(*ends, odds, direction(position, ends), length, into, out_of, rank)


def describe(near: Near, edge: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Say of edges [n] what they are [n, 7], and what their partners are [n, 2 k, 4].

    Of an edge: its odds; the best odds of another edge out of its sender, into its receiver, into
    its sender and out of its receiver; its ranks, logarithmic. Of a partner, first of those before
    it and then of those behind: the logarithm of the kink, scaled to be 1 at a slope of 1; odds;
    length; 1 where there is one.
    """
    sender, receiver = near.senders[edge], near.receivers[edge]
    index = jnp.concatenate([near.into[sender], near.out_of[receiver]], -1)
    there = index >= 0
    kink = jnp.sqrt(((near.direction[index] - near.direction[edge][:, None]) ** 2).sum(-1))
    scaled = jnp.log(kink / RESOLUTION + 1) / np.log(1 / RESOLUTION + 1)
    odds = jnp.where(there, near.odds[index], NONE)
    partners = [jnp.where(there, x, 0.0) for x in (scaled, odds / 5, near.length[index])]

    def other(table: jax.Array, hit: jax.Array) -> jax.Array:
        two = table[hit, :2]
        value = jnp.where(two >= 0, near.odds[two], NONE)
        return jnp.where(two[:, 0] == edge, value[:, 1], value[:, 0])

    own = [near.odds[edge], other(near.out_of, sender), other(near.into, receiver)]
    k = near.into.shape[1]
    own += [odds[:, :k].max(1), odds[:, k:].max(1)]
    own = jnp.stack([jnp.maximum(x, NONE) / 5 for x in own], -1)
    rank = jnp.log1p(near.rank[edge].astype(own.dtype))
    return jnp.concatenate([own, rank], -1), jnp.stack([*partners, there.astype(own.dtype)], -1)


class PartnerNetwork(linen.Module):
    """Logarithm of odds of edges, from what they are [edge, feature] and what their partners are
    [edge, 2 k, 4].

    width: of the layers for an edge; n_channels: of what a partner says, twice that in its hidden
    layer.
    """

    width: int = 48
    n_channels: int = 8

    @linen.compact
    def __call__(self, own: jax.Array, partners: jax.Array) -> jax.Array:
        """Score edges [edge]."""
        hidden = 2 * self.n_channels
        said = linen.Dense(hidden, name="partner")(partners)
        said = said + linen.Dense(hidden, use_bias=False, name="of")(own)[:, None]
        said = linen.relu(linen.Dense(self.n_channels, name="says")(linen.relu(said)))
        said = said * partners[..., 3:]
        sides: Any = jnp.split(said, 2, axis=1)
        pooled = [x for side in sides for x in (side.max(1), side.sum(1) / 4)]
        x = jnp.concatenate([own, *pooled], -1)
        return mlp.MLP((self.width, self.width, 1), name="edge")(x)[:, 0]
