"""Tracks without a graph: hits that begin a track ask all others whether they are on it.

A transformer over hits in the order of azimuth (`clouds.Encoder`) says of each hit whether it is
the first of a wanted particle. Those become queries; a query looks at the hits around it, at other
queries, and gives each hit in its window the logit of being on its track, its mask
(arXiv:2411.07149; its queries from first hits, its loss of focal, Dice and first-hit terms). Since
a query knows which hit it came from, no assignment between queries and particles has to be solved:
the particle of a query is that of its hit, and queries of other hits are trained beside the first
ones, so that a wrong one does no harm but to give a track twice.

>>> one = clouds.Cloud(np.ones((384, 6)), np.arange(384) < 9, np.arange(384), np.zeros(384, int),
...                    np.arange(384) == 0)
>>> network = MaskDecoder(width=16, n_layers=1)
>>> out, _ = jax.eval_shape(lambda key: network.init_with_output(key, one), jax.random.key(0))
>>> out.first.shape, out.masks.shape
((384,), (32, 128))
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import batch, runs
from hepjax.io import hits
from hepjax.nn import attention, mlp, model, windows
from hepjax.tracking import clouds, tracks
from hepjax.tracking.clouds import Cloud

WEIGHTS = {"first": 1.0, "mask": 1.0, "dice": 0.5}
"""Of the terms of the loss."""

N_HEADS = 4
N_BETWEEN = 32
"""Channels of what is known of a query and a hit together."""

RING = 32
"""Queries that look at each other, of which rooms are multiples."""


class Output(NamedTuple):
    """What is said of a cloud.

    first: [hit] logit of being the first of a particle; query: [query] the place of its hit; real:
    [query] whether there is one; looked: [query, 2 window] places of the hits it was asked about;
    there: the same, whether they are real; masks: [query, 2 window] logits of being on its track;
    n_found: hits that wanted to be queries.
    """

    first: jax.Array
    query: jax.Array
    real: jax.Array
    looked: jax.Array
    there: jax.Array
    masks: jax.Array
    n_found: jax.Array


class Asked(NamedTuple):
    """The hits that queries ask about: looked, there, as in `Output`, and what is known of each by
    itself, between [query, 2 window, feature].
    """

    looked: jax.Array
    there: jax.Array
    between: jax.Array


def relations(features: Any, of: jax.Array, to: jax.Array) -> jax.Array:
    """Say how hits stand to others, by their places `of` and `to` in a cloud [..., 6]: the turn and
    the rise on the way, and where the line between them meets the beam, all of order one.
    """
    x, y, z, log_r = (jnp.asarray(features)[:, k] for k in range(4))
    r, z = 10 * jnp.exp(log_r), 300 * z
    phi = jnp.arctan2(y, x)
    dr, dz, dphi = (v[to] - v[of] for v in (r, z, phi))
    dphi = dphi - 2 * np.pi * jnp.round(dphi / (2 * np.pi))
    far = jnp.where(jnp.abs(dr) < 1, jnp.where(dr < 0, -1.0, 1.0), dr)
    apart = jnp.sqrt(dr**2 + dz**2 + 1)
    z0 = z[of] - r[of] * dz / far
    listed = [20 * dphi, jnp.tanh(dphi / far * 1e3), dr / apart, dz / apart, apart / 200]
    return jnp.stack([*listed, jnp.arcsinh(z0 / 50) / 2], -1)


class MaskDecoder(linen.Module):
    """Queries and masks of a cloud.

    width, n_layers, window: of the encoder; n_rounds: of queries that look at hits and at each
    other; cut: on the logit of hits that become queries; extra: while it trains, each hit becomes
    a query with this probability too, where there is room.
    """

    width: int = 64
    n_layers: int = 4
    window: int = 64
    n_rounds: int = 2
    cut: float = -1.0
    extra: float = 0.03

    @linen.compact
    def __call__(self, cloud: Cloud, train: bool = False) -> Output:
        """Ask the hits of a cloud; while it trains the true first hits are queries."""
        x = clouds.Encoder(self.width, self.n_layers, self.window, name="encoder")(cloud)
        first = mlp.MLP((self.width, 1), name="first")(x)[:, 0].astype(jnp.float32)
        n_queries = -(-len(first) // clouds.HITS_A_PARTICLE // RING) * RING
        if train:
            drawn = jax.random.uniform(self.make_rng("dropout"), first.shape)
            rank = jnp.where(cloud.is_first, -1.0, drawn)
            last = jnp.minimum(jnp.sort(rank)[n_queries - 1], self.extra)
            chosen = cloud.mask & (rank <= last)
        else:
            chosen = cloud.mask & (first > self.cut)
        n_found = chosen.sum()
        query = jnp.flatnonzero(chosen, size=n_queries, fill_value=0)
        real = jnp.arange(n_queries) < n_found
        n = jnp.maximum(cloud.mask.sum(), 1)
        offset = jnp.arange(2 * self.window) - self.window
        looked = (query[:, None] + offset) % n
        there = real[:, None] & (offset + self.window < n)
        q = mlp.MLP((self.width, self.width), name="query")(x[query])
        between = mlp.MLP((N_BETWEEN, N_BETWEEN), activate_last=True, name="between")(
            relations(cloud.features, query[:, None], looked)
        )
        for k in range(self.n_rounds):
            q = self._round(q, x, Asked(looked, there, between), real, k)
        keys = mlp.MLP((self.width, self.width), name="keys")(x)[looked]
        masks = jnp.einsum("qf,qhf->qh", linen.Dense(self.width, name="ask")(q), keys)
        masks += jnp.einsum("qf,qhf->qh", linen.Dense(N_BETWEEN, name="ask_between")(q), between)
        masks = masks / np.sqrt(self.width)
        return Output(first, query, real, looked, there, masks.astype(jnp.float32), n_found)

    def _round(self, q: Any, x: Any, asked: Asked, real: Any, k: int) -> jax.Array:
        """Let queries look at the hits around them, and at the queries around them."""
        heads = N_HEADS, self.width // N_HEADS
        query = linen.LayerNorm(name=f"look_norm_{k}")(q)
        query = linen.Dense(self.width, name=f"look_query_{k}")(query).reshape(-1, 1, *heads)
        key, value = (
            linen.Dense(self.width, name=f"look_{name}_{k}")(x).reshape(-1, *heads)[asked.looked]
            for name in ("key", "value")
        )
        key += linen.Dense(self.width, name=f"look_key_between_{k}")(asked.between).reshape(
            key.shape
        )
        value += linen.Dense(self.width, name=f"look_value_between_{k}")(asked.between).reshape(
            value.shape
        )
        seen = attention.attention(query, key, value, asked.there).reshape(q.shape)
        q = q + linen.Dense(self.width, name=f"look_out_{k}")(seen)
        ring = windows.WindowEncoder(1, width=RING, name=f"queries_{k}")
        return q + ring(q, real)


def loss(out: Output, cloud: Cloud) -> dict[str, batch.Mean]:
    """Give the terms of the loss: first, mask (focal, arXiv:1708.02002) and dice."""
    label = cloud.is_first.astype(jnp.float32)
    first = optax.sigmoid_binary_cross_entropy(out.first, label)
    wanted = cloud.mask & (cloud.particle != -2)
    target = clouds.same(cloud, out.query[:, None], out.looked)
    # hits of particles that are not wanted count neither as theirs nor as wrong
    asked = out.there & (cloud.particle[out.query] != -2)[:, None]
    focal = optax.sigmoid_focal_loss(out.masks, target.astype(jnp.float32), gamma=2.0)
    p = jax.nn.sigmoid(out.masks) * out.there
    overlap, total = (p * target).sum(1), p.sum(1) + (target & out.there).sum(1)
    dice = 1 - (2 * overlap + 1) / (total + 1)
    given = out.real & (cloud.particle[out.query] >= 0)
    n_queries = jnp.maximum((out.real & (cloud.particle[out.query] != -2)).sum(), 1)
    return {
        "first": batch.mean(first, wanted.astype(jnp.float32)),
        "mask": batch.Mean((focal * asked).sum(), n_queries.astype(jnp.float32)),
        "dice": batch.mean(dice, given.astype(jnp.float32)),
    }


def fit(
    network: model.Model,
    sample: Sequence[Cloud],
    plan: clouds.Plan,
    *,
    seed: int,
    run: runs.Run | None = None,
) -> Any:
    """Train a mask decoder on clouds and return its variables."""
    return clouds.fit(network, loss, sample, plan, seed=seed, weights=WEIGHTS, run=run)


def find(
    network: model.Model, variables: Any, event: hits.Event, *, min_hits: int = tracks.MIN_HITS
) -> np.ndarray:
    """Find the tracks of one event: pairs (hit, track) [pair, 2].

    A track is the hits that a query holds for its own; of two that share most of their hits the
    shorter is dropped. Where queries have no room, the cloud gets more.
    """
    if not hits.n_hits(event):
        return np.zeros((0, 2), int)
    one = clouds.cloud(event)
    while True:
        out = jax.device_get(clouds.apply(network, variables, one))
        if out.n_found <= len(out.query):
            break
        one = clouds.cloud(event, room=2 * len(one.mask))
    query, place = np.nonzero(out.there & (out.masks > 0))
    return tracks.without_clones(
        tracks.numbered(np.stack([one.hit[out.looked[query, place]], query], -1), min_hits)
    )
