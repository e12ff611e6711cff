"""TRIDENT's hybrid networks: where on the track light came from, and a line through these points.

For each module that saw light a graph network predicts the emission vector, from the module to the
point of the track that sent its first light, and a weight; the direction is the principal axis of
the weighted emission points (arXiv:2505.23425). So the network answers for each module a question
that has to do with its neighbourhood alone, and the long lever arm of the track comes from the
fit. The convolution is that of arXiv:2401.15324, over the edges to the nearest modules, and sees
what is known of the event as a whole; between convolutions that is updated from all modules.

Here the network works in the frame of the line fit (`frames`) and predicts the difference to the
emission vector that this would give. The sizes of the published `lite` and `large` were not found
in open sources: those here are chosen so that one is fast and the other about twenty times larger.

>>> points = np.array([[[0.0, 0, 0], [0, 1, 10], [0, 1, 20], [0, 0, 30]]])
>>> axis = principal_axis(points, np.full((1, 4), 0.25), np.array([[0.0, 0.3, -0.1]]))
>>> (axis.round(2) + 0.0).tolist(), lite().width, large().width
([[0.0, 0.0, -1.0]], 32, 96)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from hepjax.neutrino import data, directions, frames, media
from hepjax.nn import edgeconv, mlp, model, norm

PLACE = np.array([0, 1, 2, 10])
"""Features in which modules are near: places, and the time, which decides between modules of a
string that are in equal distance.
"""
SQUARINGS = 5
"""Of the covariance: the principal axis has its 32nd power, other axes next to nothing."""
METRES = 30.0
"""An output of 1, m."""
MOST = 6.0
"""Largest logarithm of weights, either way."""


class Trident(linen.Module):
    """Four numbers of each pulse [event, pulse, 4]: change of its emission vector along the axes
    of the event's frame, in METRES, and the logarithm of its weight.

    width, n_layers: of the convolutions; k: neighbours; depth: dense layers on edges; dtype: of
    the matrix products of the convolutions.
    """

    width: int = 32
    n_layers: int = 2
    k: int = 6
    depth: int = 1
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: frames.Features, train: bool = False) -> jax.Array:
        """Compute the numbers, float32; what they are for padding means nothing."""
        mask, width = inputs.mask, self.width
        index, real = edgeconv.neighbours(inputs.pulse[..., PLACE], mask, self.k)
        x = linen.Dense(width, dtype=self.dtype, name="embedding")(inputs.pulse)
        whole = linen.Dense(width, dtype=self.dtype, name="whole")(inputs.whole)
        for k in range(self.n_layers):
            fields = ((width,) * self.depth, "mean", mlp.gelu, True, self.dtype)
            change = edgeconv.EdgeUpdate(*fields, name=f"edges_{k}")(x, mask, index, real, whole)
            own = linen.Dense(width, dtype=self.dtype, name=f"own_{k}")
            x = x + own(jnp.concatenate([change, norm.LayerNorm(name=f"norm_{k}")(x)], -1))
            mean = _mean(x, mask)
            update = mlp.MLP((width, width), mlp.gelu, dtype=self.dtype, name=f"update_{k}")
            whole = whole + update(jnp.concatenate([mean, whole], -1))
        x = norm.LayerNorm(name="last_norm")(x)
        around = linen.Dense(2 * width, name="hidden_whole")(norm.LayerNorm(name="w_norm")(whole))
        hidden = mlp.gelu(linen.Dense(2 * width, name="hidden")(x) + around[:, None])
        last = linen.initializers.variance_scaling(1e-2, "fan_in", "truncated_normal")
        return linen.Dense(4, kernel_init=last, name="head")(hidden).astype(jnp.float32)


def lite(**fields: Any) -> Trident:
    """Configure the fast one: two convolutions of width 32, one dense layer on edges."""
    return Trident(**{"width": 32, "n_layers": 2, "k": 6, "depth": 1, **fields})


def large(**fields: Any) -> Trident:
    """Configure the large one: four convolutions of width 96, two dense layers on edges."""
    return Trident(**{"width": 96, "n_layers": 4, "k": 8, "depth": 2, **fields})


def network(net: model.Model, medium: media.Medium) -> directions.Network:
    """Put a Trident and the line fit of its points together; pulses: one of a module."""

    def init(key: jax.Array, pulses: data.Pulses) -> model.Variables:
        return net.init(key, frames.features(pulses, frames.frame(pulses), medium))

    def reconstruct(variables: Any, pulses: data.Pulses) -> directions.Reconstruction:
        found = frames.frame(pulses)
        inputs = frames.features(pulses, found, medium)
        out = net.apply(variables, inputs)
        vector = _before(pulses, found, medium) + METRES * out[..., :3]
        point = pulses.position + frames.turn_back(found, vector)
        weight = weights(out[..., 3], pulses.mask)
        return directions.Reconstruction(
            direction(point, weight, vector, pulses, found, medium), point, weight
        )

    return directions.Network(init, reconstruct)


def direction(
    point: jax.Array,
    weight: jax.Array,
    vector: jax.Array,
    pulses: data.Pulses,
    found: frames.Frame,
    medium: media.Medium,
) -> jax.Array:
    """Fit a line to weighted points [event, pulse, 3]; its sign is that in which they were passed,
    of emission vectors [event, pulse, 3] m, whose length light took the time of. Returns [event,
    3]; of fewer than two points the direction of the frame's line.
    """
    length = jnp.sqrt((vector**2).sum(-1) + 1.0)
    left = jnp.where(pulses.mask, pulses.time - found.line.time[:, None], 0)
    left = left - length * medium.group_index / media.LIGHT
    late = jnp.where(pulses.mask, left - (weight * left).sum(-1, keepdims=True), 0)
    apart = jnp.where(pulses.mask[..., None], point - _centre(point, weight)[:, None], 0)
    passed = ((weight * late)[..., None] * apart).sum(-2) * 1e-4
    return principal_axis(point, weight, passed + 1e-3 * found.line.direction)


def principal_axis(point: Any, weight: Any, start: Any) -> jax.Array:
    """Find the direction [event, 3] in which weighted points spread most, on the side of `start`.

    point: [event, pulse, 3]; weight: [event, pulse], sum 1, 0 for padding; start: [event, 3], not
    0. A power of the covariance is applied to start: unlike an eigenvector that has a finite
    gradient where two axes are alike, and where points do not spread at all, which leaves start.
    """
    point, weight, start = (jnp.asarray(x) for x in (point, weight, start))
    apart = jnp.where((weight > 0)[..., None], point - _centre(point, weight)[:, None], 0)
    spread = jnp.einsum("ep,epi,epj->eij", weight, apart, apart, precision="highest")
    power = spread + 1e-6 * jnp.eye(3, dtype=spread.dtype)
    for _ in range(SQUARINGS):
        power = power / jnp.trace(power, axis1=-2, axis2=-1)[:, None, None]
        power = jnp.einsum("eij,ejk->eik", power, power, precision="highest")
    power = power / jnp.trace(power, axis1=-2, axis2=-1)[:, None, None]
    axis = jnp.einsum("eij,ej->ei", power, start, precision="highest")
    size = jnp.abs(axis).max(-1, keepdims=True)
    axis = axis / jax.lax.stop_gradient(jnp.where(size > 0, size, 1))
    square = (axis**2).sum(-1, keepdims=True)
    return axis / jnp.sqrt(jnp.where(square > 0, square, 1))


def weights(logit: jax.Array, mask: jax.Array) -> jax.Array:
    """Turn logarithms of weights [event, pulse], bounded by MOST, to weights that sum up to 1 over
    the pulses that are real; all 0 where there are none.
    """
    bounded = jnp.where(mask, MOST * jnp.tanh(logit / MOST), -jnp.inf)
    raw = jnp.where(mask, jnp.exp(jnp.where(mask, bounded, 0)), 0)
    return raw / jnp.maximum(raw.sum(-1, keepdims=True), 1e-9)


def _before(pulses: data.Pulses, found: frames.Frame, medium: media.Medium) -> jax.Array:
    """Give the emission vectors [event, pulse, 3], m, in the frame, if the line is the track."""
    away = jnp.where(pulses.mask[..., None], pulses.position - found.line.origin[:, None], 0)
    local = frames.turn(found, away)
    across = jnp.sqrt((local[..., :2] ** 2).sum(-1))
    return jnp.stack([-local[..., 0], -local[..., 1], -across / media.tangent(medium)], -1)


def _centre(point: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.where((weight > 0)[..., None], weight[..., None] * point, 0).sum(-2)


def _mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    total = jnp.where(mask[..., None], x, 0).sum(-2)
    return total / jnp.maximum(mask.sum(-1, keepdims=True), 1)
