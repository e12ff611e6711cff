"""EdgeConv: each particle looks at its nearest neighbours (arXiv:1801.07829, arXiv:1902.08570).

`nearest` finds the k nearest of the real particles by squared distance; `EdgeConv` builds an edge
to each from the particle's features and the difference to its neighbour's, passes edges through
dense layers with masked batch norm, averages them and adds a shortcut. The first layer is linear
in both ends, so it is applied to particles and gathered, which costs k times less.

A jet with fewer than k others keeps k edges: those that are missing lead to a particle with all
features 0, as they do in the published networks, whose padding is such particles.

>>> import jax.numpy as jnp
>>> points = jnp.array([[[0.0], [1.0], [3.0], [9.0]]])
>>> nearest(points, jnp.array([[True, True, True, False]]), k=2)[0].tolist()
[[1, 2], [0, 2], [1, 0], [4, 4]]
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.nn import norm


def nearest(points: jax.Array, mask: jax.Array, k: int) -> jax.Array:
    """Find the k nearest other real particles of each, nearest first: [jet, particle, k] int32.

    points: [jet, particle, dimension]; mask: [jet, particle]. Index n_particles stands for a
    neighbour that is missing, and for all neighbours of padding. Distances are |a|^2 - 2ab + |b|^2
    in float32, as in the published networks; no gradient flows through the choice.
    """
    points = jax.lax.stop_gradient(points).astype(jnp.promote_types(points.dtype, jnp.float32))
    points = jnp.where(mask[..., None], points, 0)
    n = points.shape[-2]
    squares = (points**2).sum(-1)
    products = jnp.einsum("...if,...jf->...ij", points, points, precision="highest")
    closeness = 2 * products - squares[..., :, None] - squares[..., None, :]
    pair = mask[..., :, None] & mask[..., None, :] & ~jnp.eye(n, dtype=bool)
    closeness = jnp.where(pair, closeness, -jnp.inf)
    found, index = jax.lax.top_k(closeness, min(k, n))
    index = jnp.where(jnp.isneginf(found), n, index)
    missing = [(0, 0)] * (index.ndim - 1) + [(0, max(k - n, 0))]
    return jnp.pad(index, missing, constant_values=n)


class EdgeConv(linen.Module):
    """One block: features [jet, particle, feature] -> [jet, particle, widths[-1]].

    widths: of the layers on edges; axis_name: pmap's axis; dtype: of matrix products.
    """

    widths: tuple[int, ...]
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(
        self, x: jax.Array, neighbours: jax.Array, mask: jax.Array, train: bool = False
    ) -> jax.Array:
        """x must be 0 where mask [jet, particle] is False; neighbours: of `nearest`."""
        options = {"axis_name": self.axis_name}
        n = x.shape[-2]
        real = (mask[..., None] & (neighbours < n)) if train else None
        edges_mask = real if real is not None else jnp.ones(neighbours.shape, bool)
        y = self._first(x, neighbours)
        y = jax.nn.relu(norm.MaskedBatchNorm(name="norm_0", **options)(y, edges_mask, train))
        for i, width in enumerate(self.widths[1:], 1):
            y = self._dense(width, f"dense_{i}")(y)
            y = norm.MaskedBatchNorm(name=f"norm_{i}", **options)(y, edges_mask, train)
            y = jax.nn.relu(y)
        y = y.mean(-2)
        shortcut = x
        if x.shape[-1] != self.widths[-1]:
            shortcut = self._dense(self.widths[-1], "shortcut")(x)
            shortcut = norm.MaskedBatchNorm(name="shortcut_norm", **options)(shortcut, mask, train)
        return jnp.where(mask[..., None], jax.nn.relu(shortcut + y), 0)

    def _dense(self, width: int, name: str) -> linen.Dense:
        return linen.Dense(width, use_bias=False, dtype=self.dtype, name=name)

    def _first(self, x: jax.Array, neighbours: jax.Array) -> jax.Array:
        """Apply W [x_i, x_j - x_i] as (W_a - W_b) x_i + W_b x_j, edges [jet, particle, k, width].
        """
        n_features, width = x.shape[-1], self.widths[0]
        init = linen.initializers.lecun_normal()
        kernel = self.param("dense_0", init, (2 * n_features, width))
        kernel = kernel.astype(self.dtype or x.dtype)
        own = x.astype(kernel.dtype) @ (kernel[:n_features] - kernel[n_features:])
        other = x.astype(kernel.dtype) @ kernel[n_features:]
        other = jnp.pad(other, [(0, 0)] * (other.ndim - 2) + [(0, 1), (0, 0)])
        flat = neighbours.reshape(*neighbours.shape[:-2], -1, 1)
        gathered = jnp.take_along_axis(other, flat, -2)
        return own[..., None, :] + gathered.reshape(*neighbours.shape, width)
