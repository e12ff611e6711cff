"""What is made small when flows and channel weights are trained, as sums a channel.

A step's points have weights f / q of the density q that they were drawn from, which stays as it
was, and the density of the flow now, which is trained. `sums` adds up the moments of each channel,
and a loss is a function of them. The stratified variance, (sum of standard deviations)^2, is the
variance of the whole when points are shared out by `channels.allocate`, and trains weights and
flows together (arXiv:2311.01548); beside it the variance, the Kullback-Leibler divergence from the
integrand to the flow, and the reverse. Means are over all points drawn, those that a cut rejects
too. To squares and logarithms the mean of (density now / density drawn from) - 1 is added, times
what takes most of the noise out of the slopes; it is 0 on average, and for points drawn now.

>>> one = sums(jnp.array([[2.0, 4.0]]), jnp.zeros((1, 2)), jnp.zeros((1, 2)), jnp.array([0]),
...            jnp.ones((1, 2), bool), 1)
>>> float(spread(one)[0]), float(one.first[0] / one.n[0])
(1.0, 3.0)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

EPS = 1e-12
"""Under a root, whose slope at zero is infinite."""


class Sums(NamedTuple):
    """Of the points of each channel [channel]: their number; weights f / q; their absolute values;
    squares f^2 / (q q_now), whose mean is the second moment of weights drawn from the flow now;
    |f| / q times the logarithm of q_now; and q_now / q times the logarithm of q_now / |f|.
    """

    n: jax.Array
    first: jax.Array
    size: jax.Array
    second: jax.Array
    cross: jax.Array
    reverse: jax.Array


Loss = Callable[[Sums], jax.Array]


def sums(
    value: jax.Array,
    log_drawn: jax.Array,
    log_now: jax.Array,
    channel: jax.Array,
    real: jax.Array,
    n_channels: int,
    softclip: float = 0.0,
) -> Sums:
    """Add up points [tile, place] by channel [tile].

    value: the integrand, channel weight included; log_drawn, log_now: logarithms of the densities
    that points were drawn from, and of the flow; softclip: in `first` and `second` weights far
    beyond t, this many times the mean size in their channel, count as their logarithm does, t
    asinh(w / t) (0: all count as they are).
    """

    def added(x: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(x.sum(-1), channel, n_channels)

    ratio = jnp.exp(log_now - log_drawn)
    weight = jnp.where(real, value * jnp.exp(-log_drawn), 0.0)
    size, n = jnp.abs(weight), added(real.astype(weight.dtype))
    there = size > 0

    def mean(x: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(added(x) / jnp.maximum(n, 1))[channel][:, None]

    now, first = jnp.where(there, weight / ratio, 0.0), weight
    if softclip:
        usual = mean(size)
        room = softclip * jnp.where(usual > 0, usual, 1)
        now = room * jnp.arcsinh(now / room)
        first = now * ratio
    log_size = jnp.log(jnp.where(there, size, 1.0)) + log_drawn
    reverse = jnp.where(there, ratio * (log_now - log_size), 0.0)
    second, cross = now**2 * ratio, size * log_now
    none = jnp.where(real, ratio - 1, 0.0)  # on average; it takes noise out of the slopes
    second, cross = second + mean(first) ** 2 * none, cross - mean(size) * none
    return Sums(n, *map(added, (first, size, second, cross, reverse)))


def spread(found: Sums) -> jax.Array:
    """Give the variance of the weights of each channel [channel], were they drawn now."""
    n = jnp.maximum(found.n, 1)
    return jnp.maximum(found.second / n - (found.first / n) ** 2, 0)


def scale(found: Sums) -> jax.Array:
    """Give the sum over channels of the mean size of the weights, 1 if all are 0; it has no
    gradient here.
    """
    total = (found.size / jnp.maximum(found.n, 1)).sum()
    return jax.lax.stop_gradient(jnp.where(total > 0, total, 1))


def stratified_variance(found: Sums) -> jax.Array:
    """Give (sum of standard deviations)^2 over the squared integral of the absolute value."""
    relative = spread(found) / scale(found) ** 2
    return jnp.sqrt(relative + EPS).sum() ** 2


def variance(found: Sums) -> jax.Array:
    """Give the sum of variances over the squared integral of the absolute value: that of the whole
    when all channels get as many points.
    """
    return spread(found).sum() / scale(found) ** 2


def kullback_leibler(found: Sums) -> jax.Array:
    """Give the cross-entropy of the integrand and the flow; of no use for channel weights."""
    return -(found.cross / jnp.maximum(found.n, 1)).sum() / scale(found)


def reverse_kullback_leibler(found: Sums) -> jax.Array:
    """Give the mean of log q / |f| over the flow, as far as f is not 0."""
    return (found.reverse / jnp.maximum(found.n, 1)).sum()
