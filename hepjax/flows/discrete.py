"""Discrete numbers drawn one after the other: helicities, flavours, colours of a point.

The probability of d1, d2, ... is p(d1) p(d2 | d1) ...: each number has a small network that sees
those before it as zeros and ones, and whatever else is given. The last layers begin at zero, so
that all values are as likely, or as likely as a prior says (`init`); a value that the prior forbids
stays forbidden. `forward` takes even numbers of the unit interval to values, as the coupling flow
takes points, and `log_prob` tells how likely values are, which is what a training differentiates.
`one_hot` makes what a coupling flow is told of them. Parameters may have leading axes, of channels
or of tiles of points, which the points then have too.

>>> parameters = init(jax.random.key(0), (2, 3))
>>> value, log_p = forward(parameters, np.array([[0.7, 0.1], [0.2, 0.9]]))
>>> value.tolist(), np.exp(log_p).astype(float).round(3).tolist()
([[1, 0], [0, 2]], [0.167, 0.167])
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Settings(NamedTuple):
    """How large the networks are: layers of `width`."""

    width: int = 32
    n_hidden: int = 1


DEFAULT = Settings()


class Number(NamedTuple):
    """Of one discrete number: layers of kernel [..., out, in] and bias [..., out, 1], and the
    logarithms of the prior probabilities [..., value, 1], which stay.
    """

    layers: list[dict[str, jax.Array]]
    log_prior: jax.Array


Parameters = list[Number]


def init(
    key: jax.Array,
    sizes: Sequence[int],
    settings: Settings = DEFAULT,
    *,
    n_given: int = 0,
    prior: Sequence[Any] | None = None,
) -> Parameters:
    """Draw the networks of numbers of so many values each, float32.

    n_given: other numbers that they may depend on; prior: [value] probabilities of each number,
    0 for what is forbidden (None: even). Raises ValueError for a number without values, and for
    probabilities of another shape or sign.
    """
    found = []
    for k, size in enumerate(sizes):
        if size < 1:
            raise ValueError(f"sizes[{k}]: {size}, expected at least 1")
        even = np.ones(size) if prior is None else np.asarray(prior[k], float)
        if even.shape != (size,) or not (even >= 0).all() or not even.sum() > 0:
            raise ValueError(f"prior[{k}]: {even.tolist()}, expected {size} probabilities")
        with np.errstate(divide="ignore"):
            log_prior = jnp.asarray(np.log(even / even.sum())[:, None], jnp.float32)
        widths = [sum(sizes[:k]) + n_given, *[settings.width] * settings.n_hidden, size]
        layers = []
        for j, (n_in, n) in enumerate(itertools.pairwise(widths)):
            keys = jax.random.split(jax.random.fold_in(key, k * len(widths) + j))
            bound = 0.0 if j == settings.n_hidden else max(n_in, 1) ** -0.5
            kernel = jax.random.uniform(keys[0], (n, n_in), jnp.float32, -bound, bound)
            bias = jax.random.uniform(keys[1], (n, 1), jnp.float32, -bound, bound)
            layers.append({"kernel": kernel, "bias": bias})
        found.append(Number(layers, log_prior))
    return found


def one_hot(value: Any, sizes: Sequence[int]) -> jax.Array:
    """Give values [..., number] as zeros and ones [..., sum of sizes], float32."""
    parts = [jax.nn.one_hot(value[..., k], size) for k, size in enumerate(sizes)]
    return jnp.concatenate(parts, -1).astype(jnp.float32)


def n_values(parameters: Parameters) -> tuple[int, ...]:
    """Tell how many values each number has."""
    return tuple(one.log_prior.shape[-2] for one in parameters)


def forward(parameters: Parameters, z: Any, given: Any = None) -> tuple[jax.Array, jax.Array]:
    """Take even numbers z [..., point, number] to values [..., point, number], and give the
    logarithm of their probability [..., point].

    given: [..., point, n_given]. Raises ValueError for another number of numbers.
    """
    z = jnp.asarray(z)
    _check(parameters, z.shape)
    values, log_p = [], jnp.zeros(z.shape[:-1], jnp.float32)
    for k, one in enumerate(parameters):
        log_each = _log_each(one, _told(parameters, values, given, z), z.shape[:-1])
        until = jnp.cumsum(jnp.exp(log_each), -2)[..., :-1, :]
        value = (z[..., None, :, k] >= until).sum(-2)
        last = log_each.shape[-2] - 1 - jnp.argmax((log_each > -jnp.inf)[..., ::-1, :], -2)
        values.append(jnp.minimum(value, last))  # and not what is forbidden, by rounding
        log_p = log_p + _taken(log_each, values[-1])
    return jnp.stack(values, -1), log_p


def log_prob(parameters: Parameters, value: Any, given: Any = None) -> jax.Array:
    """Give the logarithm of the probability [..., point] of values [..., point, number]; otherwise
    as `forward`.
    """
    value = jnp.asarray(value)
    _check(parameters, value.shape)
    log_p = jnp.zeros(value.shape[:-1], jnp.float32)
    for k, one in enumerate(parameters):
        before = [value[..., j] for j in range(k)]
        log_each = _log_each(one, _told(parameters, before, given, value), value.shape[:-1])
        log_p = log_p + _taken(log_each, value[..., k])
    return log_p


def _check(parameters: Parameters, shape: tuple[int, ...]) -> None:
    if shape[-1] != len(parameters):
        raise ValueError(f"points: {shape}, expected {len(parameters)} discrete numbers")


def _told(parameters: Parameters, values: list[jax.Array], given: Any, like: Any) -> jax.Array:
    """Give what a network sees [..., number, point]."""
    parts = [jnp.zeros((*like.shape[:-2], 0, like.shape[-2]), jnp.float32)]
    parts += [jax.nn.one_hot(v, n, axis=-2) for v, n in zip(values, n_values(parameters))]
    if given is not None:
        parts.append(jnp.moveaxis(jnp.asarray(given, jnp.float32), -1, -2))
    return jnp.concatenate(parts, -2)


def _log_each(one: Number, x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Give the logarithms of the probabilities of all values [..., value, point]."""
    n_in = one.layers[0]["kernel"].shape[-1]
    if n_in != x.shape[-2]:
        raise ValueError(f"given: a network looks at {n_in} numbers, found {x.shape[-2]}")
    for k, layer in enumerate(one.layers):
        product = jnp.matmul(layer["kernel"], x, precision=jax.lax.Precision.HIGHEST)
        x = product + layer["bias"]
        x = jax.nn.relu(x) if k < len(one.layers) - 1 else x
    prior = jax.lax.stop_gradient(one.log_prior)
    return jax.nn.log_softmax(jnp.broadcast_to(x + prior, (*x.shape[:-1], shape[-1])), -2)


def _taken(log_each: jax.Array, value: jax.Array) -> jax.Array:
    return jnp.take_along_axis(log_each, value[..., None, :], -2)[..., 0, :]
