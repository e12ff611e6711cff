"""Points of the latest steps of a training, kept on the device to be learned from again.

An integrand may cost far more than a step of the flows, so a training uses its points several
times (arXiv:2212.06172). `Points` are those of one step, with the density that they were drawn
from; a `Buffer` holds those of some steps, a ring: the newest take the place of the oldest
(`write`). `pick` draws tiles at random, none twice, as batches of the shape of a step. Of the prior
channel weights only the largest are stored, always that of the channel of the point, and the others
share what is left evenly (`pack`, `unpack`). `kish` tells how many points a batch is worth, by the
ratios of the density now to that then: a batch of few is of no use.

>>> round(float(kish(jnp.array([[1.0, 1.0, 2.0]]), jnp.ones((1, 3), bool))), 3)
0.889
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Points(NamedTuple):
    """Points [tile, place], each tile of one channel [tile]; a buffer has a leading axis [step].

    y: [..., dim] between flow and grid; index: [..., n_discrete] or None; log_drawn: logarithm of
    the density that they were drawn from; log_grid: what of it the grid adds; real: which places
    are filled; value, features, log_prior: what the integrand gave; largest: [..., k] channels of
    the prior weights that are stored, None for all.
    """

    y: Any
    index: Any
    log_drawn: Any
    log_grid: Any
    channel: Any
    real: Any
    value: Any
    features: Any = None
    log_prior: Any = None
    largest: Any = None


def pack(points: Points, n_stored: int) -> Points:
    """Keep the n_stored largest prior weights of each point (0: all)."""
    prior = points.log_prior
    if prior is None or not 0 < n_stored < prior.shape[-1]:
        return points
    some = (prior > -jnp.inf).any(-1, keepdims=True)
    log_share = jax.nn.log_softmax(jnp.where(some, prior, 0.0))
    log_share = jnp.where(some, log_share, -jnp.inf)
    own = jnp.arange(prior.shape[-1]) == points.channel[:, None, None]
    largest = jax.lax.top_k(jnp.where(own, jnp.inf, log_share), n_stored)[1]
    kept = jnp.take_along_axis(log_share, largest, -1)
    return points._replace(log_prior=kept, largest=largest)


def unpack(points: Points, n_channels: int) -> Points:
    """Give prior weights of all channels again."""
    if points.largest is None:
        return points
    kept, n_left = points.log_prior, n_channels - points.largest.shape[-1]
    left = jnp.maximum(1 - jnp.exp(kept).sum(-1, keepdims=True), 0)
    left = jnp.where((kept > -jnp.inf).any(-1, keepdims=True), left, 0)
    rest = jnp.where(left > 1e-6, jnp.log(jnp.maximum(left, 1e-6) / n_left), -jnp.inf)
    whole = jnp.broadcast_to(rest, (*kept.shape[:-1], n_channels))
    whole = jnp.put_along_axis(whole, points.largest, kept, -1, inplace=False)
    return points._replace(log_prior=whole, largest=None)


def empty(like: Points, n_steps: int) -> Points:
    """Make a buffer of n_steps for points of such shapes."""
    return jax.tree.map(lambda x: jnp.zeros((n_steps, *x.shape), x.dtype), like)


def write(buffer: Points, points: Points, step: Any) -> Points:
    """Put the points of a step in the place of the oldest."""

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(old, new.astype(old.dtype), step % len(old), 0)

    return jax.tree.map(put, buffer, points)


def pick(buffer: Points, key: jax.Array, filled: Any, n_batches: int) -> Points:
    """Draw n_batches of tiles [batch, tile, ...], none of which comes twice, from the first
    `filled` steps of a buffer, which are n_batches or more.
    """
    n_steps, n_tiles = buffer.channel.shape
    late = jnp.arange(n_steps)[:, None] >= filled
    order = jax.random.uniform(key, (n_steps, n_tiles)) + late
    chosen = jnp.argsort(order.reshape(-1))[: n_batches * n_tiles]

    def take(x: jax.Array) -> jax.Array:
        return x.reshape(-1, *x.shape[2:])[chosen].reshape(n_batches, n_tiles, *x.shape[2:])

    return jax.tree.map(take, buffer)


def kish(ratio: jax.Array, real: jax.Array) -> jax.Array:
    """Give the effective number of points of weights, over their number, 0 to 1 (1 for none)."""
    ratio = jnp.where(real, ratio, 0.0)
    square, n = (ratio**2).sum(), real.sum()
    share = ratio.sum() ** 2 / jnp.where(square > 0, square, 1.0) / jnp.maximum(n, 1)
    return jnp.where(n > 0, share, 1.0)
