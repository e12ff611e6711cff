"""Coupling flows of the unit cube: one part of the coordinates bends the other by splines.

A block passes some coordinates through a small network, which gives the splines that the others are
mapped by (`nn.spline`). Blocks come in pairs: of pair k the first has the coordinates whose number
has bit k set for conditions, the second the others, so that after 2 ceil(log2 d) blocks each
coordinate has been bent by each other (arXiv:2001.05486). The last layer of each network begins at
zero: the flow begins as the identity.

`forward` takes points of the latent cube to those of the data, `inverse` takes them back, which is
the faster way and that of a training; both give the logarithm of their Jacobian. Parameters may
have leading axes, of channels or of tiles of points, which the points then have too. `bijectors`
has the face of distrax.

>>> parameters = init(jax.random.key(0), 2, Settings(n_bins=4))
>>> x, log_det = jax.jit(forward)(parameters, np.full((5, 2), 0.4, np.float32))
>>> x.shape, log_det.shape, bool(np.allclose(x, 0.4))
((5, 2), (5,), True)
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.nn import spline

Parameters = list[list[dict[str, jax.Array]]]
"""Of each block, each layer: kernel [..., out, in] and bias [..., out, 1]."""


class Settings(NamedTuple):
    """How large a flow is: bins of each spline, and layers of `width` in each network."""

    n_bins: int = 10
    width: int = 32
    n_hidden: int = 2


DEFAULT = Settings()


def conditions(dim: int) -> np.ndarray:
    """Tell for each block which coordinates its network sees [block, dim]; of one, none."""
    if dim < 1:
        raise ValueError(f"dim: {dim}, expected at least 1")
    if dim == 1:
        return np.zeros((1, 1), bool)
    bits = np.arange(dim)[None] >> np.arange((dim - 1).bit_length())[:, None] & 1 > 0
    return np.stack([bits, ~bits], 1).reshape(-1, dim)


def init(key: jax.Array, dim: int, settings: Settings = DEFAULT, *, n_given: int = 0) -> Parameters:
    """Draw the parameters of a flow of `dim` coordinates, float32.

    n_given: numbers beside the point that the flow may depend on. Raises ValueError for dim < 1.
    """
    blocks = []
    for k, seen in enumerate(conditions(dim)):
        n_out = int((~seen).sum()) * spline.n_parameters(settings.n_bins)
        sizes = [int(seen.sum()) + n_given, *[settings.width] * settings.n_hidden, n_out]
        layers = []
        for j, (n_in, n) in enumerate(itertools.pairwise(sizes)):
            keys = jax.random.split(jax.random.fold_in(key, k * len(sizes) + j))
            bound = 0.0 if j == settings.n_hidden else max(n_in, 1) ** -0.5
            kernel = jax.random.uniform(keys[0], (n, n_in), jnp.float32, -bound, bound)
            bias = jax.random.uniform(keys[1], (n, 1), jnp.float32, -bound, bound)
            layers.append({"kernel": kernel, "bias": bias})
        blocks.append(layers)
    return blocks


def forward(parameters: Parameters, z: Any, given: Any = None) -> tuple[jax.Array, jax.Array]:
    """Map latent points z [..., point, dim] to data, and give log |dx/dz| [..., point].

    given: [..., point, n_given], what the flow was told to depend on. Raises ValueError for
    parameters of another dimension.
    """
    return _pass(parameters, z, given, spline.inverse, -1)


def inverse(parameters: Parameters, x: Any, given: Any = None) -> tuple[jax.Array, jax.Array]:
    """Map data x [..., point, dim] to latent points, and give log |dz/dx| [..., point]; this is the
    logarithm of the density of the flow, whose latent points are even. Otherwise as `forward`.
    """
    return _pass(parameters, x, given, spline.forward, 1)


def _pass(
    parameters: Parameters, points: Any, given: Any, bend: Callable, way: int
) -> tuple[jax.Array, jax.Array]:
    """Go through the blocks, in their order or (-1) the other way round."""
    points = jnp.asarray(points)
    plan = conditions(points.shape[-1])
    if len(plan) != len(parameters):
        raise ValueError(f"points: {points.shape}, the flow has {len(parameters)} blocks")
    rows = list(jnp.moveaxis(points, -1, 0))  # a coordinate each, points last
    beside = [] if given is None else list(jnp.moveaxis(jnp.asarray(given), -1, 0))
    log_det = jnp.zeros_like(rows[0])
    for layers, seen in list(zip(parameters, plan))[::way]:
        told = [rows[k] for k in np.flatnonzero(seen)] + beside
        n_in = layers[0]["kernel"].shape[-1]
        if n_in != len(told):
            raise ValueError(
                f"points: {points.shape}, {len(beside)} given numbers, the flow looks at {n_in}, "
                f"expected {len(told)}"
            )
        bent = np.flatnonzero(~seen)
        x = jnp.stack([rows[k] for k in bent], -2)  # [..., bent, point]
        found = _network(layers, told, rows[0])
        shape = (*found.shape[:-2], -1, len(bent), found.shape[-1])
        y, log_slope = bend(jnp.moveaxis(found.reshape(shape), -3, 0), x)
        log_det = log_det + log_slope.sum(-2)
        for j, k in enumerate(bent):
            rows[k] = y[..., j, :]
    return jnp.stack(rows, -1), log_det


def _network(layers: list[dict[str, jax.Array]], told: list[jax.Array], like: jax.Array) -> Any:
    """Give the numbers of all splines of a block [..., number, point]."""
    if told:
        x = jnp.stack(told, -2)
    else:
        x = jnp.zeros((*like.shape[:-1], 0, like.shape[-1]), like.dtype)
    for k, layer in enumerate(layers):
        product = jnp.matmul(layer["kernel"], x, precision=jax.lax.Precision.HIGHEST)
        x = product + layer["bias"]  # both ways through a flow must see the same splines
        x = jax.nn.relu(x) if k < len(layers) - 1 else x
    return x
