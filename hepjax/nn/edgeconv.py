"""Convolutions over the edges from each point of a cloud to its nearest neighbours.

`neighbours` finds them, `EdgeConv` is the layer (arXiv:1801.07829): a small network of [x_i, x_j -
x_i] for each neighbour j of i, averaged over them, plus a shortcut. The first dense layer of that
network is linear, so it is applied to the points before their values are gathered on edges, which
costs a factor k less. `EdgeUpdate` is the same without batch norm and without anything that one
set could learn of another, for networks that predict numbers and not classes.

For `EdgeConv` a point that has fewer than k real neighbours gets edges to points of value 0 for
the rest, which the average counts. That is what networks trained with weaver-core see, where
padding stands far away and has value 0; here it does not depend on how much padding there is.
Batch norm takes its statistics from edges between real points.

>>> import jax.numpy as jnp
>>> x, mask = jnp.array([[[0.0], [1.0], [3.0], [9.0]]]), jnp.array([[True, True, True, False]])
>>> index, real = neighbours(x, mask, 2)
>>> index[0, :2].tolist(), real[0].tolist()
([[1, 2], [0, 2]], [[True, True], [True, True], [True, True], [False, False]])
"""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.nn import mlp, norm

Drop = Literal["itself", "first"]
"""Which of the k + 1 nearest is no neighbour: the point itself, or the first found."""
Gather = Literal["mean", "sum", "max"]
"""How the edges of a point become one."""


def neighbours(
    points: jax.Array, mask: jax.Array, k: int, drop: Drop = "itself"
) -> tuple[jax.Array, jax.Array]:
    """Find the k nearest other points of each: index [set, point, k] and whether each is real.

    points: [set, point, coordinate]; mask: [set, point] True = real. The distance |a|^2 + |b|^2 -
    2 a.b is in float32. Indices of neighbours that are not real mean nothing. No gradient flows.

    drop: "itself" leaves the point itself out; "first" finds k + 1 with it and leaves out the
    nearest, as the published networks do: of points in one place, where all distances are 0, that
    is the one of lowest index, and the others keep an edge to themselves. Raises ValueError for
    another drop or shape.
    """
    if drop not in ("itself", "first"):
        raise ValueError(f"drop must be 'itself' or 'first', found {drop!r}")
    if mask.shape != points.shape[:-1]:
        raise ValueError(f"mask: expected shape {points.shape[:-1]}, found {mask.shape}")
    n_points = points.shape[1]
    points = jnp.where(mask[..., None], points, 0).astype(
        jnp.promote_types(points.dtype, jnp.float32)
    )
    points = jax.lax.stop_gradient(points)
    square = (points**2).sum(-1)
    exact = jax.lax.Precision.HIGHEST
    product = jnp.einsum("bic,bjc->bij", points, points, precision=exact)
    distance = jnp.maximum(square[:, :, None] + square[:, None] - 2 * product, 0)
    pairs = mask[:, :, None] & mask[:, None]
    if drop == "itself":
        pairs = pairs & ~jnp.eye(n_points, dtype=bool)
    skip = int(drop == "first")
    n_found = min(k + skip, n_points)
    closeness, index = jax.lax.top_k(jnp.where(pairs, -distance, -jnp.inf), n_found)
    closeness, index = closeness[..., skip:], index[..., skip:]
    padding = ((0, 0), (0, 0), (0, k - index.shape[-1]))
    return jnp.pad(index, padding), jnp.pad(closeness > -jnp.inf, padding)


class EdgeConv(linen.Module):
    """Update x [set, point, feature] -> [set, point, widths[-1]] from neighbours index [set, point,
    k].

    widths: of the dense layers on edges, each followed by masked batch norm and a ReLU; the
    shortcut is a dense layer with batch norm. axis_name: pmap's axis; dtype: of the matrix
    products.
    """

    widths: tuple[int, ...]
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, index: jax.Array, real: jax.Array, train: bool = False
    ) -> jax.Array:
        """Convolve; mask: [set, point]; index, real: of `neighbours`. 0 where mask is False."""
        x = jnp.where(mask[..., None], x, 0)
        n_features = x.shape[-1]
        dtype = self.dtype or x.dtype
        kernel = self.param("kernel_0", mlp.uniform, (2 * n_features, self.widths[0])).astype(dtype)
        at_i, at_j = kernel[:n_features] - kernel[n_features:], kernel[n_features:]
        there = jax.vmap(lambda y, where: y[where])(mlp.matmul(x.astype(dtype), at_j), index)
        here = mlp.matmul(x.astype(dtype), at_i)
        edges = jnp.where(real[..., None], there, 0) + here[:, :, None]
        for k, width in enumerate(self.widths):
            if k > 0:
                kernel = self.param(f"kernel_{k}", mlp.uniform, (edges.shape[-1], width))
                edges = mlp.matmul(edges, kernel.astype(dtype))
            layer = norm.MaskedBatchNorm(-1, self.axis_name, self.dtype, name=f"norm_{k}")
            edges = linen.relu(layer(edges, real, train))
        mean = edges.mean(2, dtype=jnp.promote_types(dtype, jnp.float32)).astype(dtype)
        kernel = self.param("shortcut_kernel", mlp.uniform, (n_features, self.widths[-1]))
        short = mlp.matmul(x.astype(dtype), kernel.astype(dtype))
        short = norm.MaskedBatchNorm(-1, self.axis_name, self.dtype, name="shortcut_norm")(
            short, mask, train
        )
        return jnp.where(mask[..., None], linen.relu(mean + short), 0)


class EdgeUpdate(linen.Module):
    """Map x [set, point, feature] to [set, point, widths[-1]] from neighbours index [set, point,
    k], each set by itself.

    widths: of the dense layers on edges, each followed by the activation; gather: over the real
    neighbours of a point, whose result is 0 where it has none; normed: whether x goes through
    layer norm first; dtype: of the matrix products.
    """

    widths: tuple[int, ...]
    gather: Gather = "mean"
    activation: Callable[[jax.Array], jax.Array] = mlp.gelu
    normed: bool = False
    dtype: Any = None

    @linen.compact
    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array,
        index: jax.Array,
        real: jax.Array,
        whole: jax.Array | None = None,
    ) -> jax.Array:
        """Convolve; mask: [set, point]; index, real: of `neighbours`; whole: [set, feature] what
        all edges of a set see too. 0 where mask is False. Raises ValueError for an unknown gather.
        """
        if self.gather not in ("mean", "sum", "max"):
            raise ValueError(f"gather must be 'mean', 'sum' or 'max', found {self.gather!r}")
        x = jnp.where(mask[..., None], x, 0)
        x = norm.LayerNorm(name="norm")(x) if self.normed else x
        n_features, dtype = x.shape[-1], self.dtype or x.dtype
        kernel = self.param("kernel", mlp.uniform, (2 * n_features, self.widths[0])).astype(dtype)
        at_i, at_j = kernel[:n_features] - kernel[n_features:], kernel[n_features:]
        there = jax.vmap(lambda y, where: y[where])(mlp.matmul(x.astype(dtype), at_j), index)
        here = mlp.matmul(x.astype(dtype), at_i)
        here += self.param("bias", linen.initializers.zeros, (self.widths[0],)).astype(dtype)
        if whole is not None:
            of_whole = linen.Dense(self.widths[0], use_bias=False, dtype=dtype, name="whole")
            here += of_whole(whole)[:, None]
        edges = self.activation(there + here[:, :, None])
        for k, width in enumerate(self.widths[1:], 1):
            dense = linen.Dense(width, dtype=dtype, dot_general=mlp.dot, name=f"dense_{k}")
            edges = self.activation(dense(edges))
        return jnp.where(mask[..., None], _gathered(edges, real, self.gather), 0)


def _gathered(edges: jax.Array, real: jax.Array, gather: Gather) -> jax.Array:
    """Make one of the real edges [set, point, k, feature] of each point."""
    if gather == "max":
        some = real.any(2)[..., None]
        top = jnp.where(real[..., None], edges, -jnp.inf).max(2)
        return jnp.where(some, jnp.where(some, top, 0), 0)
    total = jnp.where(real[..., None], edges, 0).sum(2, dtype=jnp.promote_types(edges.dtype, "f4"))
    if gather == "mean":
        total = total / jnp.maximum(real.sum(2), 1)[..., None]
    return total.astype(edges.dtype)
