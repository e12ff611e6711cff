"""Flows of the sphere: densities of directions, from nearly even to a thousandth of a degree wide.

Even points of the sphere go through layers, each of which turns them (a quaternion), and then maps
them as its kinds say (`sphere_layers`). The last layer, towards the data, is the one that has the
mean direction and the width: what it is given of a point is its difference to the mean, taken
before anything else, which is what float32 needs. All parameters of an event are one row of
numbers, as a network predicts them; zeros are nearly even. To turn a density, turn the first
quaternion: the others are relative.

`size` counts the numbers, `log_prob` gives the density by area, 1 / sr, and `sample` draws with
it; `forward` and `inverse` are the maps. `entropy` and `area` are of samples.

>>> plan = Plan(n_layers=2)
>>> params = jnp.zeros(size(plan))
>>> n, log_p = sample(jax.random.key(0), plan, params, 5)
>>> n.shape, bool(jnp.allclose(log_p, log_prob(plan, params, n), atol=1e-4))
((5, 3), True)
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import sphere
from hepjax.flows import sphere_layers as layers


class Plan(NamedTuple):
    """What a flow is made of; static.

    bins: of each vertical spline, one more than of its parts; circular ones have twice as many;
    kinds: the maps of each layer, in the order of points that come from the data.
    """

    n_layers: int = 6
    bins: int = 3
    kinds: tuple[layers.Kind, ...] = (layers.ZOOM, layers.VERTICAL, layers.CIRCULAR)


DEFAULT = Plan()


def size(plan: Plan) -> int:
    """Count the numbers that an event's flow needs; raises ValueError for a plan of nothing."""
    if plan.n_layers < 1 or plan.bins < 2:
        raise ValueError(
            f"plan: {plan.n_layers} layers, {plan.bins} bins, expected at least 1 and 2"
        )
    return plan.n_layers * _width(plan)


def log_prob(plan: Plan, params: Any, n: Any) -> jax.Array:
    """Give the logarithm of the density, 1 / sr, at directions n [..., 3] -> [...].

    params: [..., size]; leading axes broadcast. Raises ValueError for other shapes.
    """
    return inverse(plan, params, n)[1] - math.log(sphere.AREA)


def sample(key: jax.Array, plan: Plan, params: Any, n_samples: int) -> tuple[jax.Array, jax.Array]:
    """Draw directions [n_samples, ..., 3] and their log_prob [n_samples, ...] for params [...,
    size].
    """
    params = jnp.asarray(params)
    even = sphere.uniform(key, (n_samples, *params.shape[:-1]), params.dtype)
    n, log_det = forward(plan, params, even)
    return n, -log_det - math.log(sphere.AREA)


def forward(plan: Plan, params: Any, z: Any) -> tuple[jax.Array, jax.Array]:
    """Map even points z [..., 3] to directions [..., 3], and give the logarithm of the ratio of
    areas [...]; otherwise as `log_prob`.
    """
    rows, start, log_det = _prepared(plan, params, z)

    def layer(carry: tuple, given: tuple) -> tuple[tuple, None]:
        (x, y, z), log_det = carry
        axes, parts = _layer(plan, *given)
        point = layers.of_vector(x, y, z)
        for kind, part in list(zip(plan.kinds, parts))[::-1]:
            point, more = kind.forward(part, plan.bins, point)
            log_det = log_det + more
        return (_back(axes, point), log_det), None

    (vector, log_det), _ = jax.lax.scan(layer, (start, log_det), rows, reverse=True)
    return jnp.stack(vector, -1), log_det


def inverse(plan: Plan, params: Any, n: Any) -> tuple[jax.Array, jax.Array]:
    """Map directions n [..., 3] to even points [..., 3]; otherwise as `forward`."""
    rows, start, log_det = _prepared(plan, params, n)

    def layer(carry: tuple, given: tuple) -> tuple[tuple, None]:
        vector, log_det = carry
        axes, parts = _layer(plan, *given)
        point = _seen(axes, vector)
        for kind, part in zip(plan.kinds, parts):
            point, more = kind.inverse(part, plan.bins, point)
            log_det = log_det + more
        return ((point.x, point.y, point.high - point.low), log_det), None

    (vector, log_det), _ = jax.lax.scan(layer, (start, log_det), rows)
    return jnp.stack(vector, -1), log_det


def entropy(key: jax.Array, plan: Plan, params: Any, n_samples: int = 1000) -> jax.Array:
    """Estimate the entropy [...] of flows of params [..., size] by the mean of samples."""
    return -sample(key, plan, params, n_samples)[1].mean(0)


def area(log_prob: Any, level: float) -> jax.Array:
    """Estimate the area, sr [...], of the smallest region that has a fraction `level` of the
    density, from the log_prob [n_samples, ...] of its own samples.

    The region is where the density is above a quantile of that of samples; its area the mean of 1
    over the density of those within. Raises ValueError for a level that is not within 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: {level}, expected between 0 and 1")
    log_prob = jnp.asarray(log_prob)
    within = log_prob >= jnp.quantile(log_prob, 1 - level, axis=0)
    return jnp.where(within, jnp.exp(-jnp.where(within, log_prob, 0.0)), 0.0).mean(0)


def _width(plan: Plan) -> int:
    return 4 + sum(kind.size(plan.bins) for kind in plan.kinds)


def _turns(n_layers: int) -> np.ndarray:
    """Give the quaternions between axes of layers whose parameters are zero [layer, 4].

    The axes are those of an octahedron in turn, so that small zooms of layers cancel.
    """
    axes = np.concatenate([np.eye(3), -np.eye(3)])[[2, 0, 1, 5, 3, 4]]
    with jax.ensure_compile_time_eval():
        to = np.asarray(sphere.toward(jnp.asarray(axes, jnp.float32)))[np.arange(n_layers) % 6]
        to = to / np.linalg.norm(to, axis=-1, keepdims=True)
        back = np.roll(to, 1, 0) * [1, -1, -1, -1]
        between = np.array(sphere.multiply(jnp.asarray(back), jnp.asarray(to)))
    between[0] = [1, 0, 0, 0]
    return between


def _prepared(plan: Plan, params: Any, n: Any) -> tuple[tuple, tuple, jax.Array]:
    """Check shapes, and give what a scan goes over, the vector and a log_det of zeros."""
    params, n = jnp.asarray(params), jnp.asarray(n)
    if not params.shape or params.shape[-1] != size(plan):
        raise ValueError(f"params: {params.shape}, expected [..., {size(plan)}]")
    if not n.shape or n.shape[-1] != 3:
        raise ValueError(f"n: {n.shape}, expected [..., 3]")
    shape = jnp.broadcast_shapes(params.shape[:-1], n.shape[:-1])
    dtype = jnp.result_type(params, n)
    rows = jnp.moveaxis(params.astype(dtype), -1, 0)
    rows = rows.reshape(plan.n_layers, _width(plan), *rows.shape[1:])
    parts: Any = jnp.unstack(jnp.broadcast_to(n, (*shape, 3)).astype(dtype), axis=-1)
    turns = jnp.asarray(_turns(plan.n_layers), dtype)
    return (turns, rows), tuple(parts), jnp.zeros(shape, dtype)


def _layer(plan: Plan, turn: jax.Array, row: jax.Array) -> tuple[tuple, list]:
    """Give the axes of a layer, and the parameters of each kind."""
    numbers = jnp.unstack(row)  # and not one by one: the gradients would be many scatters
    w, x, y, z = 1 + numbers[0], *numbers[1:4]
    a, b, c, d = jnp.unstack(turn)
    q = (
        a * w - b * x - c * y - d * z,
        a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x,
        a * z + b * y - c * x + d * w,
    )
    parts, start = [], 4
    for kind in plan.kinds:
        parts.append(numbers[start : start + kind.size(plan.bins)])
        start += kind.size(plan.bins)
    return sphere.axes(*q), parts


def _seen(axes: tuple, vector: tuple) -> layers.Point:
    """See a vector from the third of the axes, by its difference to the nearer end of it."""
    first, second, third = axes
    up = sum(a * b for a, b in zip(third, vector)) > 0
    off = [b - jnp.where(up, a, -a) for a, b in zip(third, vector)]
    near = (off[0] * off[0] + off[1] * off[1] + off[2] * off[2]) / 4
    x, y = (axis[0] * off[0] + axis[1] * off[1] + axis[2] * off[2] for axis in (first, second))
    return layers.Point(x, y, jnp.where(up, near, 1 - near), jnp.where(up, 1 - near, near))


def _back(axes: tuple, point: layers.Point) -> tuple:
    """Undo `_seen`."""
    z = point.high - point.low
    return tuple(point.x * a + point.y * b + z * c for a, b, c in zip(*axes))
