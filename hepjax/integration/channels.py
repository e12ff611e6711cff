"""Channels of an integral: how many points each gets, where they lie, and what they weigh.

An integral is cut into channels by weights alpha_c(x) that add up to one; each has a map of its
own, made for one structure of the integrand (Kleiss, Pittau, Comput. Phys. Commun. 83, 141).
`allocate` shares a fixed number of points among channels, more where the variance is large; `tiles`
lays them out in tiles of a fixed size, each of one channel, so that shapes never change and a
channel's network works on whole tiles. `log_weights` are learned: a softmax of the logarithm of a
prior and what a small network adds, which begins at zero (arXiv:2212.06172).

>>> allocate(10, np.array([1.0, 3.0, 1.0])).tolist()
[2, 6, 2]
>>> tiles(jnp.array([3, 5]), 4, 2).channel.tolist()
[0, 0, 1, 1]
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Layers = list[dict[str, jax.Array]]
"""Of a network: kernel [in, out] and bias [out] each."""


class Tiles(NamedTuple):
    """Points laid out by channel: channel [tile], and which places are real [tile, place]."""

    channel: jax.Array
    real: jax.Array


def allocate(n: int, share: Any) -> jax.Array:
    """Share n points among channels by their shares [channel], to whole numbers that add up to n.

    Channels of share 0 get none; of all zero, each gets as many.
    """
    share = jnp.asarray(share)
    share = jnp.where(share.sum() > 0, share, jnp.ones_like(share))
    until = jnp.round(jnp.cumsum(share / share.sum()) * n).astype(jnp.int32)
    return jnp.diff(jnp.minimum(until, n).at[-1].set(n), prepend=0)


def n_tiles(n: int, n_channels: int, size: int) -> int:
    """Count the tiles that n points of any channels fit into."""
    return -(-n // size) + (n_channels - 1 if size > 1 else 0)


def tiles(count: jax.Array, n: int, size: int) -> Tiles:
    """Lay out points, count [channel], in n tiles of a size; the last tiles may be empty."""
    used = -(-count // size)
    until = jnp.cumsum(used)
    tile = jnp.arange(n)
    channel = jnp.minimum(jnp.searchsorted(until, tile, side="right"), len(count) - 1)
    first = (tile - (until - used)[channel]) * size
    place = first[:, None] + jnp.arange(size)
    return Tiles(channel, (place < count[channel][:, None]) & (tile < until[-1])[:, None])


def init(
    key: jax.Array, n_features: int, n_channels: int, *, width: int = 32, n_hidden: int = 2
) -> Layers:
    """Draw the network of the weights, float32; its last layer is zero."""
    sizes = [n_features, *[width] * n_hidden, n_channels]
    layers = []
    for k, (n_in, n) in enumerate(itertools.pairwise(sizes)):
        keys = jax.random.split(jax.random.fold_in(key, k))
        bound = 0.0 if k == n_hidden else max(n_in, 1) ** -0.5
        kernel = jax.random.uniform(keys[0], (n_in, n), jnp.float32, -bound, bound)
        bias = jax.random.uniform(keys[1], (n,), jnp.float32, -bound, bound)
        layers.append({"kernel": kernel, "bias": bias})
    return layers


def log_weights(
    layers: Layers | None,
    features: Any,
    log_prior: jax.Array,
    active: Any = True,
    alike: Any = None,
) -> jax.Array:
    """Give log alpha [..., channel], of weights that add up to one over the active channels.

    layers: None for the prior alone; features: [..., feature] that the network looks at; log_prior:
    [..., channel], -inf where a channel cannot come to the point; active: [channel]; alike:
    [channel] the output of the network that a channel gets (None: one of its own).
    """
    prior = jnp.where(active, log_prior, -jnp.inf)
    some = (prior > -jnp.inf).any(-1, keepdims=True)
    total = jnp.where(some, prior, 0.0)
    if layers is not None:
        x = jnp.asarray(features, jnp.float32)
        for k, layer in enumerate(layers):
            x = x @ layer["kernel"] + layer["bias"]
            x = jax.nn.leaky_relu(x) if k < len(layers) - 1 else x
        x = x if alike is None else x[..., np.asarray(alike)]
        total = total + x.astype(total.dtype)
    return jnp.where(some, jax.nn.log_softmax(total, -1), -jnp.inf)


def survivors(active: Any, integral: Any, threshold: float) -> jax.Array:
    """Drop the smallest of the active channels, as long as all that is dropped makes less than a
    share of the sum [channel] bool.

    integral: [channel], of the absolute value. The largest always stays.
    """
    active = jnp.asarray(active)
    size = jnp.where(active, jnp.abs(jnp.asarray(integral)), 0.0)
    order = jnp.argsort(jnp.where(active, size, -1.0), stable=True)
    small = jnp.cumsum(size[order]) < threshold * size.sum()
    return active & ~jnp.zeros_like(active).at[order].set(small.at[-1].set(False))
