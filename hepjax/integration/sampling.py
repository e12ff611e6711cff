"""Weighted points from an integrator, and the integral that they give.

`sample` draws points in chunks and brings them to the host, `estimate` sums them up; `observe`
looks how much the weights of each channel vary, by which points are shared, and `drop` switches off
the channels that hardly count.

>>> none = np.zeros(2)
>>> found = estimate(Sampled(none[:, None], none, np.array([2.0, 4.0]), none, none == 0))
>>> float(found.value), float(found.error)
(3.0, 1.0)
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import parallel, train
from hepjax.integration import (
    channels,
    integrator,
    losses,
    mixture,
    vegas,
)


class Sampled(NamedTuple):
    """Weighted points: x [point, dim] of the cube, channel, weight (channel weight times integrand
    over density), log_density, and whether a point is real, all [point]; discrete [point, number].
    """

    x: Any
    channel: Any
    weight: Any
    log_density: Any
    real: Any
    discrete: Any = None


def drop(state: train.TrainState, threshold: float) -> train.TrainState:
    """Switch off the channels that have the least of the integral, by the history: all that is
    dropped makes less than a share of it. The weights of the others take over.
    """
    known = jax.device_get(state.extra.history)
    size = known.size / np.maximum(known.n, 1)
    kept = channels.survivors(state.extra.active, size, threshold)
    return state._replace(extra=state.extra._replace(active=kept))


@functools.partial(jax.jit, static_argnames=("integrand", "settings", "n"))
def moments(
    integrand: integrator.Integrand,
    settings: integrator.Settings,
    state: train.TrainState,
    key: jax.Array,
    n: int,
) -> losses.Sums:
    """Draw n points and add up their weights by channel, where they are finite, on the device."""
    found = draw(integrand, settings, state, key, n)
    value = found.weight * jnp.exp(found.log_density)
    row, density = found.channel[:, None], found.log_density[:, None]
    value = jnp.where(jnp.isfinite(value), value, 0)[:, None]
    return losses.sums(
        value, density, density, row[:, 0], found.real[:, None], integrand.n_channels
    )


def observe(
    integrand: integrator.Integrand,
    settings: integrator.Settings,
    state: train.TrainState,
    key: jax.Array,
    n: int,
) -> train.TrainState:
    """Look at n points, as many of each channel, and let the history be theirs: by it later points
    are shared among channels. Nothing is trained.
    """
    history = moments(integrand, settings._replace(even=1.0), state, key, n)
    return state._replace(extra=state.extra._replace(history=history))


def draw(
    integrand: integrator.Integrand,
    settings: integrator.Settings,
    state: train.TrainState,
    key: jax.Array,
    n: int,
    layout: parallel.Layout | None = None,
) -> Sampled:
    """Draw n weighted points, some places of which may be empty, of all channels."""
    laid, placed = integrator.lay(integrand, settings, state, key, n, layout)
    channel, index = jnp.repeat(laid.channel, laid.real.shape[1]), placed.index
    flat, real = placed.x.reshape(-1, integrand.dim), laid.real.reshape(-1)
    index = None if index is None else index.reshape(-1, index.shape[-1])
    value, good = mixture.evaluated(
        integrand._replace(signed=True),  # what must not be negative is to be seen
        state.params.weights,
        state.extra,
        flat,
        channel,
        index,
    )
    log_density = (placed.log_flow + placed.log_grid).reshape(-1)
    weight = jnp.where(real, jnp.where(good, value, jnp.nan) * jnp.exp(-log_density), 0)
    return Sampled(flat, channel, weight, log_density, real, index)


_drawn = jax.jit(draw, static_argnames=("integrand", "settings", "n", "layout"))


def sample(
    integrand: integrator.Integrand,
    settings: integrator.Settings,
    state: train.TrainState,
    key: jax.Array,
    n: int,
    *,
    chunk: int = 8192,
    layout: parallel.Layout | None = None,
) -> Sampled:
    """Draw at least n weighted points in chunks, and bring the real ones to the host.

    layout: devices that share a chunk (None: one), which draw the same points as one would.
    Raises ValueError where weights are no finite numbers, or negative where they must not be, and
    says how many.
    """
    parts = []
    if layout is not None:
        state = parallel.place_state(layout, state)
    for k in range(-(-n // chunk)):
        drawn = _drawn(integrand, settings, state, jax.random.fold_in(key, k), chunk, layout)
        one = jax.device_get(drawn)
        parts.append(jax.tree.map(lambda x, real=one.real: x[real], one))
    found = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    bad, negative = ~np.isfinite(found.weight), found.weight < 0
    if bad.any():
        raise ValueError(f"integrand: {bad.sum()} of {len(bad)} weights are no finite numbers")
    if negative.any() and not integrand.signed:
        raise ValueError(
            f"integrand: {negative.sum()} of {len(bad)} weights are negative, expected none "
            f"of one that is not signed"
        )
    return found


def check_channels(channel: Any, active: Any) -> None:
    """Raise ValueError where points are of channels [point] beyond those of `active` [channel],
    whose part of the integral would be lost.
    """
    last = int(np.max(channel, initial=-1))
    if last >= len(active):
        raise ValueError(f"active: {len(active)} channels, expected {last + 1}, as the points have")


def estimate(sampled: Sampled, active: Any = (True,)) -> vegas.Estimate:
    """Give the integral of weighted points: the sum over channels of their mean weights.

    active: [channel], those that have a part of the integral. The relative standard deviation is
    that of optimal shares of points, the sum of standard deviations over the integral; negative is
    the share of the integral of the absolute value that has that sign. Raises ValueError for an
    active channel with fewer than two points, whose part is not known, and for points of channels
    that `active` says nothing of.
    """
    check_channels(sampled.channel, active)
    value = variance = sigma = size = 0.0
    for k in np.flatnonzero(active):
        weight = np.asarray(sampled.weight, float)[np.asarray(sampled.channel) == k]
        if len(weight) < 2:
            raise ValueError(f"channel {k}: {len(weight)} points, expected at least 2")
        value += weight.mean()
        size += np.abs(weight).mean()
        variance += weight.var(ddof=1) / len(weight)
        sigma += weight.std(ddof=1)
    n = len(sampled.weight)
    rsd = sigma / abs(value) if value else np.inf
    negative = (size - value) / 2 / size if size else 0.0
    found: Any = value, variance**0.5, n, rsd, negative
    return vegas.Estimate(*found)
