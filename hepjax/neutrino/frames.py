"""The frame of an event's own light: where its pulses lie, which way they went, and how late.

A line through the pulses, r = r0 + v (t - t0), points where a track goes to within some degrees
(the line fit of AMANDA, astro-ph/0407044). `line` finds it, robust against noise; `frame` makes
axes of it, in which events of all directions look alike, so that a network need not learn the same
thing for each of them; `features` are what pulses look like there: places, and times against those
of light that a track along the third axis sends out at the Cherenkov angle. Where "up" is, and in
which part of the detector this is, is lost by turning, and is among the features too.

>>> import numpy as np
>>> t = np.arange(5.0)[None]
>>> r = t[..., None] * np.array([0.0, 0.0, -0.3])
>>> found = line(r, t, np.ones((1, 5), bool))
>>> found.direction.round(3).tolist(), round(float(found.speed[0]), 3)
([[0.0, 0.0, -1.0]], 0.3)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.neutrino import data, media

N_TURNS = 4
"""Times that a line is fitted, with less weight for what is far from the last one."""
FAR = 60.0
"""Distance from the line, m, at which a pulse counts half."""
N_PULSE, N_WHOLE = 19, 16
"""Numbers of features of a pulse and of an event."""


class Line(NamedTuple):
    """A line through pulses.

    direction: [event, 3], z upwards where there is none; origin: [event, 3] m; time: [event] ns, at
    the origin; speed: [event] m / ns.
    """

    direction: Any
    origin: Any
    time: Any
    speed: Any


class Frame(NamedTuple):
    """axes: [event, axis, 3] orthonormal, the third one along the line; line: of which it is."""

    axes: Any
    line: Line


class Features(NamedTuple):
    """pulse: [event, pulse, N_PULSE]; whole: [event, N_WHOLE]; mask: [event, pulse]."""

    pulse: Any
    whole: Any
    mask: Any


def line(position: Any, time: Any, mask: Any, charge: Any = 1.0) -> Line:
    """Fit a line to pulses: position [event, pulse, 3] m, time [event, pulse] ns, mask True = real,
    weighted by charge [event, pulse].
    """
    position, time = jnp.asarray(position), jnp.asarray(time)
    base = jnp.where(mask, charge, 0.0).astype(position.dtype)
    weight = base
    for turn in range(N_TURNS):
        total = jnp.maximum(weight.sum(-1, keepdims=True), 1e-9)
        share = weight / total
        origin = (share[..., None] * position).sum(-2)
        start = (share * time).sum(-1)
        t = jnp.where(mask, time - start[..., None], 0.0)
        r = jnp.where(mask[..., None], position - origin[..., None, :], 0.0)
        spread = jnp.maximum((share * t**2).sum(-1), 1e-6)
        velocity = ((share * t)[..., None] * r).sum(-2) / spread[..., None]
        if turn < N_TURNS - 1:
            away = ((r - velocity[..., None, :] * t[..., None]) ** 2).sum(-1)
            weight = base / (1 + away / FAR**2)
    square = (velocity**2).sum(-1)
    moves = square > 1e-12
    speed = jnp.sqrt(jnp.where(moves, square, 1.0))
    up = jnp.array([0.0, 0.0, 1.0], velocity.dtype)
    direction = jnp.where(moves[..., None], velocity / speed[..., None], up)
    return Line(direction, origin, start, jnp.where(moves, speed, 0.0))


def frame(pulses: data.Pulses) -> Frame:
    """Make the frame of each event; its gradient is not needed, and none flows."""
    found = line(pulses.position, pulses.time, pulses.mask, pulses.charge)
    return jax.lax.stop_gradient(Frame(axes(found.direction), found))


def axes(direction: Any) -> jax.Array:
    """Give axes [..., axis, 3] whose third is a direction [..., 3], turned from straight down by
    the smallest angle; they have a jump at straight up.
    """
    x, y, z = (direction[..., k] for k in range(3))
    opposite = z > 1 - 1e-7
    factor = 1 / jnp.where(opposite, 1.0, 1 - z)
    zero = jnp.where(opposite, 0.0, 1.0)
    first = jnp.stack([zero * (1 - x * x * factor), -zero * x * y * factor, x], -1)
    first = jnp.where(opposite[..., None], jnp.array([1.0, 0, 0]), first)
    first = first - direction * (first * direction).sum(-1, keepdims=True)  # what rounding left
    first = first / jnp.sqrt((first**2).sum(-1, keepdims=True))
    second = jnp.cross(direction, first)
    return jnp.stack([first, second, direction], -2)


def turn(frame: Frame, vector: Any) -> jax.Array:
    """Express vectors [event, ..., 3] of the detector along the axes of each event."""
    return jnp.einsum("eij,e...j->e...i", frame.axes, vector, precision="highest")


def turn_back(frame: Frame, vector: Any) -> jax.Array:
    """Take `turn` back."""
    return jnp.einsum("eij,e...i->e...j", frame.axes, vector, precision="highest")


def features(pulses: data.Pulses, frame: Frame, medium: media.Medium) -> Features:
    """Look at pulses from the frame of their event; lengths in 100 m, times in 100 ns, what has no
    limit through arcsinh.
    """
    mask = pulses.mask
    origin, start = frame.line.origin, frame.line.time
    away = jnp.where(mask[..., None], pulses.position - origin[:, None], 0)
    local = turn(frame, away)
    across = jnp.hypot(local[..., 0], local[..., 1])
    unit = local[..., :2] / jnp.maximum(across, 1e-3)[..., None]
    t = jnp.where(mask, pulses.time - start[:, None], 0)
    along = t - local[..., 2] / media.LIGHT
    tangent = media.tangent(medium)
    late = along - across * (medium.group_index * jnp.hypot(1, tangent) - 1) / tangent / media.LIGHT
    z = pulses.position[..., 2]
    scattering, absorption = media.coefficients(medium, z, z)
    each = [
        *(local[..., k] / 100 for k in range(3)),
        *(pulses.position[..., k] / 300 for k in range(3)),
        across / 100,
        jnp.log1p(across / 10),
        unit[..., 0],
        unit[..., 1],
        jnp.arcsinh(t / 100) / 2,
        jnp.arcsinh(along / 100),
        jnp.arcsinh(late / 100),
        jnp.arcsinh(late / 20) / 2,
        jnp.tanh(late / 400),
        jnp.log1p(pulses.charge),
        jnp.log(scattering * 30),
        jnp.log(absorption * 100),
        jnp.ones_like(t),
    ]
    pulse = jnp.where(mask[..., None], jnp.stack(each, -1), 0).astype(jnp.float32)
    share = mask / jnp.maximum(mask.sum(-1, keepdims=True), 1)
    width = jnp.sqrt((share[..., None] * local**2).sum(-2) + 1)
    whole = [
        *(frame.axes[:, k, 2] for k in range(3)),
        *(frame.line.direction[:, k] for k in range(3)),
        *(origin[:, k] / 300 for k in range(3)),
        *(jnp.log(width[:, k] / 50) for k in range(3)),
        frame.line.speed / media.LIGHT,
        jnp.log1p(mask.sum(-1)) - 3,
        jnp.log1p(jnp.where(mask, pulses.charge, 0).sum(-1)) - 3,
        jnp.arcsinh((share * jnp.abs(late)).sum(-1) / 100) - 1,
    ]
    return Features(pulse, jnp.stack(whole, -1).astype(jnp.float32), mask)
