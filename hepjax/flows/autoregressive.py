"""Autoregressive spline flows of unbounded numbers: each is bent as those before it say.

In each step a network gives the spline of coordinate k (`nn.spline`, between -BOUND and BOUND; the
identity outside) from what is given and the coordinates before k (arXiv:1705.07057, 1906.04032);
steps take the coordinates in their order and in the opposite one by turns. Where others mask the
kernels of one network (arXiv:1502.03509), here its hidden channels are groups, and group k is told
by groups up to k alone: products with zeros are not made, and a sample, which others draw by one
pass through the network a coordinate, takes each group once. The last layers begin at zero: the
flow begins as the normal density.

`log_prob` and `sample` are those of the density; `forward` maps normal latent points to data, and
`inverse` back. Points are rows [point, dim].

>>> parameters = init(jax.random.key(0), 2, Settings(n_steps=2, width=8))
>>> x, log_p = sample(jax.random.key(1), parameters, 5)
>>> x.shape, bool(jnp.allclose(log_p, log_prob(parameters, x), atol=1e-5))
((5, 2), True)
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.nn import spline

BOUND = 5.0
"""Where splines end."""


class Group(NamedTuple):
    """A group of hidden channels, or the numbers of a spline: leading axis = step.

    told: kernels of the coordinates before it and of what is given [step, out, in], of the first
    layer; kernel: of the groups of the layer before [step, out, in]; bias [step, out, 1].
    """

    told: jax.Array | None
    kernel: jax.Array | None
    bias: jax.Array


Parameters = list[list[Group]]
"""Of each coordinate, each layer."""


class Settings(NamedTuple):
    """How large a flow is: bins of each spline; hidden layers, all groups of one `width` wide."""

    n_steps: int = 8
    n_bins: int = 8
    width: int = 128
    n_hidden: int = 2


DEFAULT = Settings()


def init(key: jax.Array, dim: int, settings: Settings = DEFAULT, *, n_given: int = 0) -> Parameters:
    """Draw the parameters of a flow of `dim` coordinates, float32.

    Raises ValueError for dim < 1 or a width that is no multiple of it.
    """
    if dim < 1 or settings.width % dim:
        raise ValueError(f"dim: {dim}, expected at least 1 and to divide width {settings.width}")
    wide, n_out = settings.width // dim, 3 * settings.n_bins - 1

    def drawn(key: jax.Array, *shape: int, n_in: int) -> jax.Array:
        bound = max(n_in, 1) ** -0.5
        return jax.random.uniform(key, (settings.n_steps, *shape), jnp.float32, -bound, bound)

    groups = []
    for k in range(dim):
        layers, n_told = [], k + n_given
        for j in range(settings.n_hidden):
            here = jax.random.split(jax.random.fold_in(key, k * settings.n_hidden + j), 2)
            n_in = wide * (k + 1) if j else n_told
            kernel = drawn(here[0], wide, n_in, n_in=n_in)
            bias = drawn(here[1], wide, 1, n_in=n_in)
            layers.append(Group(None, kernel, bias) if j else Group(kernel, None, bias))
        zeros = jnp.zeros((settings.n_steps, n_out, wide * (k + 1)))
        layers.append(Group(None, zeros, jnp.zeros((settings.n_steps, n_out, 1))))
        groups.append(layers)
    return groups


def log_prob(parameters: Parameters, x: Any, given: Any = None) -> jax.Array:
    """Give the logarithm of the density [point] of data x [point, dim]; given: [point, n_given].

    Raises ValueError for another number of coordinates or of what is given.
    """
    z, log_det = inverse(parameters, x, given)
    return _normal(z) + log_det


def sample(
    key: jax.Array, parameters: Parameters, n: int, given: Any = None
) -> tuple[jax.Array, jax.Array]:
    """Draw n points [point, dim] and their log_prob [point]; otherwise as `log_prob`."""
    z = jax.random.normal(key, (n, len(parameters)), parameters[0][0].bias.dtype)
    x, log_det = forward(parameters, z, given)
    return x, _normal(z) - log_det


def forward(parameters: Parameters, z: Any, given: Any = None) -> tuple[jax.Array, jax.Array]:
    """Map normal points z [point, dim] to data, and give log |dx/dz| [point]; as `log_prob`."""
    return _through(parameters, z, given, _step_forward, True)


def inverse(parameters: Parameters, x: Any, given: Any = None) -> tuple[jax.Array, jax.Array]:
    """Map data x [point, dim] to normal points, and give log |dz/dx| [point]; as `log_prob`."""
    return _through(parameters, x, given, _step_inverse, False)


def _normal(z: jax.Array) -> jax.Array:
    return -0.5 * (z * z).sum(-1) - z.shape[-1] * math.log(2 * math.pi) / 2


def _through(
    parameters: Parameters, points: Any, given: Any, step: Any, reverse: bool
) -> tuple[jax.Array, jax.Array]:
    points = jnp.asarray(points)
    dim = len(parameters)
    if points.ndim != 2 or points.shape[1] != dim:
        raise ValueError(f"points: {points.shape}, expected [point, {dim}]")
    told = None if given is None else jnp.asarray(given).T
    first = parameters[0][0].told
    n_told = 0 if first is None else first.shape[-1]
    if n_told != (0 if told is None else len(told)):
        found = None if given is None else jnp.shape(given)
        raise ValueError(f"given: {found}, expected {n_told} numbers a point")

    def one(carry: tuple, here: Parameters) -> tuple[tuple, None]:
        rows, log_det = carry
        rows, more = step(here, rows, told)
        return (rows, log_det + more), None

    n_steps = parameters[0][0].bias.shape[0]
    rows, log_det = points.T, jnp.zeros(len(points), points.dtype)
    rows = rows[::-1] if reverse and n_steps % 2 else rows  # latent points as data, in their order
    (rows, log_det), _ = jax.lax.scan(
        jax.checkpoint(one), (rows, log_det), parameters, reverse=reverse
    )  # computed again in the backward pass: faster than to write and read it all
    return (rows if reverse or n_steps % 2 == 0 else rows[::-1]).T, log_det


def _hidden(layers: list[Group], before: Any, told: Any, seen: list, n: int) -> jax.Array:
    """Give the numbers of a coordinate's spline [number, point], and add its group to those seen.

    seen: of each hidden layer, the channels of groups so far [channel, point]; n: points.
    """
    x = None
    for k, layer in enumerate(layers):
        if layer.told is not None:
            x = jnp.broadcast_to(layer.bias, (len(layer.bias), n))
            x = x if told is None else x + layer.told[:, len(before) :] @ told
            for j, row in enumerate(before):
                x = x + layer.told[:, j, None] * row
        else:
            x = layer.kernel @ seen[k - 1] + layer.bias
        if k < len(layers) - 1:
            x = jax.nn.relu(x)
            seen[k] = x if seen[k] is None else jnp.concatenate([seen[k], x])
    if x is None:
        raise ValueError("parameters: a coordinate has no layers")
    return x


def _step_inverse(here: Parameters, rows: jax.Array, told: Any) -> tuple[jax.Array, jax.Array]:
    """Bend all coordinates at once, and turn their order round."""
    seen: list = [None] * (len(here[0]) - 1)
    n = rows.shape[1]
    numbers = [_hidden(layers, rows[:k], told, seen, n) for k, layers in enumerate(here)]
    z, log_slope = spline.forward_tails(jnp.stack(numbers, 1), rows, BOUND)
    return z[::-1], log_slope.sum(0)


def _step_forward(here: Parameters, rows: jax.Array, told: Any) -> tuple[jax.Array, jax.Array]:
    """Undo `_step_inverse`, one coordinate after the other."""
    seen: list = [None] * (len(here[0]) - 1)
    found, log_det = [], jnp.zeros(rows.shape[1], rows.dtype)
    for layers, z in zip(here, rows[::-1]):
        numbers = _hidden(layers, found, told, seen, rows.shape[1])
        x, log_slope = spline.inverse_tails(numbers, z, BOUND)
        found.append(x)
        log_det = log_det + log_slope
    return jnp.stack(found), log_det
