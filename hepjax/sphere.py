"""Directions on the sphere, whose small angles survive float32.

A direction is the unit vector [..., 3] along which something travels. Zenith and azimuth say where
it came from, which is the other way: straight down is a zenith of 0. Distances are chords: the
cosine of a small angle has lost it in float32, the difference of two unit vectors has not. In
order: angles and heights between directions, coordinates, points that cover the sphere, and frames
from quaternions, which unlike frames made of a direction alone have no jump anywhere.

The functions of directions alone take arrays of numpy or of jax, and give back the same kind.

>>> import numpy as np
>>> down = direction(np.array(0.0), np.array(0.0))
>>> down.tolist(), round(float(angle(down, np.array([1e-9, 0, -1.0]))), 12)
([-0.0, -0.0, -1.0], 1e-09)
>>> bool(abs(fibonacci(1000).mean(0)).max() < 1e-3)
True
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = Any
"""A numpy or jax array."""

AREA = 4 * math.pi
"""Of the sphere, sr."""


class Frame(NamedTuple):
    """Three axes at right angles, each [..., 3], right-handed."""

    x: jax.Array
    y: jax.Array
    z: jax.Array


def angle(a: Array, b: Array) -> Array:
    """Compute the angle [...] in [0, pi] between unit vectors a and b [..., 3].

    It is 2 asin(|a - b| / 2) written with |a + b| too, so that opposite directions are as exact as
    close ones; the gradient is 0 where they are the same or opposite.
    """
    xp = _namespace(a=a, b=b)
    return 2 * xp.arctan2(_norm(xp, a - b), _norm(xp, a + b))


def height(a: Array, b: Array) -> Array:
    """Compute (1 - cos(angle)) / 2 = |a - b|^2 / 4 [...] in [0, 1] of unit vectors a, b [..., 3].

    This is the fraction of the sphere that is closer to a than b is.
    """
    _namespace(a=a, b=b)
    return ((a - b) ** 2).sum(-1) / 4


def unit(vector: Array) -> Array:
    """Scale vectors [..., 3] to length 1; NaN for a vector of zeros."""
    xp = _namespace(vector=vector)
    return vector / xp.sqrt((vector**2).sum(-1, keepdims=True))


def direction(zenith: Array, azimuth: Array) -> Array:
    """Give the direction of travel [..., 3] of what comes from zenith and azimuth [...], rad."""
    zenith, azimuth = (
        np.broadcast_arrays(zenith, azimuth)
        if _host(zenith, azimuth)
        else (jnp.broadcast_arrays(zenith, azimuth))
    )
    xp = np if _host(zenith) else jnp
    across = xp.sin(zenith)
    from_there = [across * xp.cos(azimuth), across * xp.sin(azimuth), xp.cos(zenith)]
    return -xp.stack(from_there, -1)


def zenith_azimuth(direction: Array) -> tuple[Array, Array]:
    """Tell where a direction [..., 3] comes from: zenith in [0, pi], azimuth in [0, 2 pi), [...].

    Along the poles azimuth is 0.
    """
    xp = _namespace(direction=direction)
    x, y, z = -direction[..., 0], -direction[..., 1], -direction[..., 2]
    across = _norm(xp, direction[..., :2])
    pole = across == 0
    turned = xp.arctan2(xp.where(pole, 0.0, y), xp.where(pole, 1.0, x))
    around = xp.where(turned < 0, turned + 2 * math.pi, turned)
    around = xp.where(around >= 2 * math.pi, 0.0, around)  # of -1e-9, by rounding
    return xp.arctan2(across, z), around.astype(direction.dtype)


def uniform(key: jax.Array, shape: tuple[int, ...] = (), dtype: Any = jnp.float32) -> jax.Array:
    """Draw directions evenly over the sphere [*shape, 3]."""
    low, turn = jax.random.uniform(key, (2, *shape), dtype)
    across = 2 * jnp.sqrt(low * (1 - low))
    around = 2 * math.pi * turn
    return jnp.stack([across * jnp.cos(around), across * jnp.sin(around), 1 - 2 * low], -1)


def fibonacci(n: int) -> np.ndarray:
    """Give n directions that cover the sphere evenly, float64 [n, 3], along a spiral.

    Each stands for an area of 4 pi / n. Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError(f"n: {n}, expected at least 1")
    z = 1 - (2 * np.arange(n) + 1) / n
    turn = math.pi * (3 - math.sqrt(5)) * np.arange(n)
    across = np.sqrt((1 - z) * (1 + z))
    return np.stack([across * np.cos(turn), across * np.sin(turn), z], -1)


def frame(quaternion: jax.Array) -> Frame:
    """Give the axes that a quaternion [..., 4] = (w, x, y, z) of any length turns x, y, z into."""
    _quaternions(quaternion=quaternion)
    return Frame(*(jnp.stack(axis, -1) for axis in axes(*jnp.moveaxis(quaternion, -1, 0))))


def axes(w: Any, x: Any, y: Any, z: Any) -> tuple[list, list, list]:
    """Give what `frame` gives, from the parts of a quaternion [...] to three parts [...] each."""
    over = jax.lax.rsqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = over * w, over * x, over * y, over * z
    first = [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)]
    second = [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)]
    third = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
    return first, second, third


def multiply(a: jax.Array, b: jax.Array) -> jax.Array:
    """Give the quaternion [..., 4] that turns by b first and by a then."""
    _quaternions(a=a, b=b)
    (aw, ax, ay, az), (bw, bx, by, bz) = jnp.moveaxis(a, -1, 0), jnp.moveaxis(b, -1, 0)
    w = aw * bw - ax * bx - ay * by - az * bz
    x = aw * bx + ax * bw + ay * bz - az * by
    y = aw * by - ax * bz + ay * bw + az * bx
    z = aw * bz + ax * by - ay * bx + az * bw
    return jnp.stack([w, x, y, z], -1)


def turned(quaternion: jax.Array, vector: jax.Array) -> jax.Array:
    """Turn vectors [..., 3] by quaternions [..., 4]."""
    _namespace(vector=vector)
    parts = [vector[..., k, None] * axis for k, axis in enumerate(frame(quaternion))]
    return parts[0] + parts[1] + parts[2]


def toward(direction: jax.Array) -> jax.Array:
    """Give the quaternion [..., 4] of the shortest turn from +z to a direction [..., 3].

    From +z to -z the turn is about x.
    """
    _namespace(direction=direction)
    x, y, z = jnp.moveaxis(direction, -1, 0)
    across, opposite = x * x + y * y, z < 0
    below = jnp.where(opposite & (across > 0), 1 - z, 1.0)
    w = jnp.where(opposite, across / below, 1 + z)  # 1 + z, without cancellation
    flat = (w == 0) & (across == 0)
    return jnp.stack([w, jnp.where(flat, 1.0, -y), x, jnp.zeros_like(w)], -1)


def tangents(direction: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give two unit vectors [..., 3] at right angles to each other and to a direction [..., 3].

    They jump where z changes its sign (Duff et al., J. Comput. Graph. Tech. 6 (2017) 1): good for
    Jacobians at one point, not for what must be continuous.
    """
    _namespace(direction=direction)
    x, y, z = jnp.moveaxis(jnp.asarray(direction), -1, 0)
    sign = jnp.where(z >= 0, 1.0, -1.0).astype(z.dtype)
    a = -1 / (sign + z)
    b = x * y * a
    first = jnp.stack([1 + sign * x * x * a, sign * b, -sign * x], -1)
    return first, jnp.stack([b, sign + y * y * a, -y], -1)


def magnified(n: jax.Array, matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Look at directions n [..., 3] through a lens along z: the vector (x, y) / (1 + z), half the
    angle to z where that is small, is multiplied by a matrix [..., 2, 2].

    Both poles stay. The inverse matrix takes it back; a multiple of 1 is the aberration of light,
    others have a bounded ratio of areas that jumps at the far pole. Returns directions and the
    logarithm of the ratio of areas [...], after to before.
    """
    x, y, z = n[..., 0], n[..., 1], n[..., 2]
    far = 1 + jnp.abs(z)
    x, y = x / far, y / far  # of the nearer pole
    at_pole = x * x + y * y < 1e-20
    x, y = jnp.where(at_pole, 1e-10, x), jnp.where(at_pole, 0.0, y)
    half = x * x + y * y
    (a, b), (c, d) = ((matrix[..., k, 0], matrix[..., k, 1]) for k in (0, 1))
    across, up = a * x + b * y, c * x + d * y
    square = across**2 + up**2
    near = jnp.where(z > 0, 1.0, half)
    total = near**2 + square
    log_ratio = jnp.log(jnp.abs(a * d - b * c)) + 2 * jnp.log(near * (1 + half) / total)
    both = 2 * near / total
    seen = jnp.stack([both * across, both * up, (near**2 - square) / total], -1)
    return unit(seen), log_ratio


def _host(*arrays: Array) -> bool:
    return not any(isinstance(x, jax.Array) for x in arrays)


def _namespace(**vectors: Array) -> Any:
    """Find the array library of vectors; raises ValueError for another shape or kind."""
    for name, vector in vectors.items():
        shape, dtype = getattr(vector, "shape", None), getattr(vector, "dtype", None)
        if shape is None or dtype is None:
            raise ValueError(f"{name}: expected an array, found {type(vector).__name__}")
        if not shape or shape[-1] != 3:
            raise ValueError(f"{name}: expected shape [..., 3], found {list(shape)}")
        if dtype.kind in "biuc":
            raise ValueError(f"{name}: expected floating point, found {dtype}")
    return np if _host(*vectors.values()) else jnp


def _quaternions(**quaternions: Any) -> None:
    for name, x in quaternions.items():
        if not x.shape or x.shape[-1] != 4:
            raise ValueError(
                f"{name}: expected shape [..., 4] = (w, x, y, z), found {list(x.shape)}"
            )


def _norm(xp: Any, vector: Array) -> Array:
    """Take the length of vectors; at zero it and its gradient are 0."""
    squared = (vector**2).sum(-1)
    positive = squared > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, squared, 1.0)), 0.0).astype(squared.dtype)
