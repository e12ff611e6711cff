"""Derivatives of cross-sections with respect to theory parameters, from one sample of points.

A `Family` is an integrand with parameters theta in two places: by `path` points of the cube are
mapped to momenta, and by `theta` the physics at these momenta is computed; both are the same
numbers, and a family whose maps are fixed does not look at `path`. The derivative of an integral
over points of density q is the mean of df / q, and has two parts (`slopes`): the score part, at
fixed momenta, and the pathwise part, of momenta that move with the parameters, which also carries
limits that depend on them. Their sum is unbiased whatever the map is; where an integrand ends with
a root, at a threshold, the score part alone has no finite variance, and a map that moves with the
threshold has. `total` adds points up, `binned` does in bins, and `fit` finds parameters by counts
in bins, whose Fisher information is made of the same slopes.

>>> def family(x, channel, path, theta):  # exp(-theta y) from 0 to the limit `path`
...     return integrator.Values(path[0] * jnp.exp(-theta[0] * path[0] * x[:, 0]))
>>> x = (np.arange(1000)[:, None] + 0.5) / 1000
>>> even = sampling.Sampled(x, np.zeros(1000, int), None, np.zeros(1000), None)
>>> found = total(slopes(family, integrator.Integrand(None, 1), None, even, np.array([1.0])))
>>> float(found.score[0].round(4)), float(found.path[0].round(4))
(-0.2642, 0.3679)
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import train
from hepjax.integration import integrator, mixture, sampling

Family = Callable[[Any, Any, Any, Any], integrator.Values]
"""function(x [point, dim], channel [point], path [parameter], theta [parameter]) -> Values."""


class Slopes(NamedTuple):
    """Of each point: weight [point], the derivatives of it at fixed momenta, score [point,
    parameter], and by moving them, path [point, parameter], and channel [point].
    """

    weight: np.ndarray
    score: np.ndarray
    path: np.ndarray
    channel: np.ndarray


class Gradient(NamedTuple):
    """An integral and its error; its slope and the parts of it, all [parameter], with errors."""

    value: Any
    error: Any
    slope: Any
    slope_error: Any
    score: Any
    score_error: Any
    path: Any
    path_error: Any


class Histogram(NamedTuple):
    """value, error: [bin] of the integral in bins; slope, slope_error: [bin, parameter]."""

    value: Any
    error: Any
    slope: Any
    slope_error: Any


class Fit(NamedTuple):
    """theta: [..., parameter]; covariance: [..., parameter, parameter]."""

    theta: Any
    covariance: Any


def at(family: Family, like: integrator.Integrand, theta: Any) -> integrator.Integrand:
    """Give the integrand of fixed parameters [parameter], with the sizes of `like`."""
    return like._replace(function=lambda x, channel: family(x, channel, theta, theta))


@functools.partial(jax.jit, static_argnames=("family", "like"))
def _slopes(
    family: Family, like: integrator.Integrand, state: Any, x: Any, channel: Any, theta: Any
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    extra: Any = None if state is None else state.extra
    weights = None if state is None else state.params.weights

    def value(path: jax.Array, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = mixture.checked(like, family(x, channel, path, theta), len(x))
        whole, good = mixture.weighted(like, weights, extra, found, channel)
        return whole, jnp.where(good, whole, jnp.nan)

    parts, whole = jax.jacfwd(value, (1, 0), has_aux=True)(theta, theta)
    return whole, parts


def slopes(
    family: Family,
    like: integrator.Integrand,
    state: train.TrainState | None,
    sampled: sampling.Sampled,
    theta: Any,
    *,
    chunk: int = 8192,
) -> Slopes:
    """Differentiate the weights of points that were drawn, at parameters [parameter] that need not
    be those of the training.

    like: the sizes of the integrand; state: that the points were drawn with (None: of one channel).
    Raises ValueError for discrete numbers, and for values or slopes that are no finite numbers, of
    which it says how many.
    """
    if like.discrete:
        raise ValueError(f"like: discrete numbers {like.discrete}, expected none")
    n, parts = len(sampled.x), []
    theta = jnp.asarray(theta, float)
    for k in range(0, n, chunk):
        rows = np.minimum(np.arange(k, k + chunk), n - 1)  # the last call has the same shape
        x, channel = jnp.asarray(sampled.x[rows]), jnp.asarray(sampled.channel[rows])
        parts.append(jax.device_get(_slopes(family, like, state, x, channel, theta)))
    density = np.exp(-np.asarray(sampled.log_density, float))
    found = jax.tree.map(lambda *x: np.concatenate(x)[:n], *parts)
    weight, (score, path) = jax.tree.map(lambda x: (x.T * density).T, found)
    bad = ~np.isfinite(np.column_stack([weight, score, path])).all(1)
    if bad.any():
        raise ValueError(f"family: {bad.sum()} of {n} values or slopes are no finite numbers")
    return Slopes(weight, score, path, np.asarray(sampled.channel))


def binned(found: Slopes, place: Any, n_bins: int, active: Any = (True,)) -> Histogram:
    """Add up in bins, place [point] the bin of each point (none: any other number); active:
    [channel].

    The bin of a point must not depend on the parameters: what is binned is a function of momenta
    that stay, or of numbers of the cube. Raises ValueError as `sampling.estimate` does.
    """
    sampling.check_channels(found.channel, active)
    place = np.asarray(place)
    columns = np.column_stack([found.weight, found.score + found.path])
    mean = np.zeros((n_bins, columns.shape[1]))
    variance = np.zeros_like(mean)
    for channel in np.flatnonzero(active):
        mine = found.channel == channel
        n = mine.sum()
        if n < 2:
            raise ValueError(f"channel {channel}: {n} points, expected at least 2")
        there = mine & (place >= 0) & (place < n_bins)
        first, second = (
            np.stack([np.bincount(place[there], x, n_bins) for x in columns[there].T ** power], 1)
            / n
            for power in (1, 2)
        )
        mean += first
        variance += (second - first**2) / (n - 1)
    error = np.sqrt(np.maximum(variance, 0))
    return Histogram(mean[:, 0], error[:, 0], mean[:, 1:], error[:, 1:])


def total(found: Slopes, active: Any = (True,)) -> Gradient:
    """Add up all points: the integral, its slope, and the two parts of that."""
    none = np.zeros_like(found.path)
    one = np.zeros(len(found.weight), int)
    whole, score, path = (
        binned(part, one, 1, active)
        for part in (found, found._replace(path=none), found._replace(score=none))
    )
    parts = [x[0] for part in (whole, score, path) for x in (part.slope, part.slope_error)]
    return Gradient(whole.value[0], whole.error[0], *parts)


def fisher(value: Any, slope: Any) -> np.ndarray:
    """Give the information [parameter, parameter] that expected counts [bin] of slopes [bin,
    parameter] have.
    """
    relative = slope / np.asarray(value)[:, None]
    return relative.T @ slope


def fit(counts: Any, expected: Histogram, theta: Any, *, n_steps: int = 20) -> Fit:
    """Find parameters by counts [..., bin], Poisson of an expectation whose logarithm is linear
    about theta [parameter].

    expected: counts and slopes at theta. The covariance is that of the maximum of the likelihood,
    with the errors of the expectation beside those of the counts. Raises ValueError for a bin
    without expectation, and where the bins do not tell the parameters.
    """
    value, theta = np.asarray(expected.value, float), np.asarray(theta, float)
    if not (value > 0).all():
        raise ValueError(f"expected: {(value <= 0).sum()} bins of no counts, expected some in all")
    relative = expected.slope / value[:, None]
    if np.linalg.matrix_rank(relative) < len(theta):
        raise ValueError(f"expected: {len(value)} bins do not tell {len(theta)} parameters")
    shift = np.zeros((*np.shape(counts)[:-1], len(theta)))
    for _ in range(n_steps):
        now = value * np.exp(shift @ relative.T)
        information = np.einsum("bi,bj,...b->...ij", relative, relative, now)
        pull = (np.asarray(counts) - now) @ relative
        shift = shift + np.linalg.solve(information, pull[..., None])[..., 0]
    now = value * np.exp(shift @ relative.T)
    inverse = np.linalg.inv(np.einsum("bi,bj,...b->...ij", relative, relative, now))
    spread = now + (expected.error / value * now) ** 2
    middle = np.einsum("bi,bj,...b->...ij", relative, relative, spread)
    return Fit(theta + shift, inverse @ middle @ inverse)
