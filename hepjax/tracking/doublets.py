"""Doublets: what a pair of hits says by itself of being two successive hits of one particle.

Where its line or its turn passes the beam, how steep it is, how far it turns. `straight` is for
tracks that are nearly straight, between planes across the beam; `helical` for a solenoid, where the
azimuth grows with the radius by half the curvature and the slope in r and z stays. `slope` and
`turn` are what stays along a track in each. What other pairs say of a pair is in `partners`.

>>> position = jnp.array([[1.0, 0, 0], [2.0, 0, 10], [3.0, 0, 20]])
>>> pair = jnp.array([0]), jnp.array([1])
>>> straight(position, jnp.arange(3), pair).shape, helical(position, jnp.arange(3), pair).shape
((1, 12), (1, 13))
"""

from typing import Any

import jax
import jax.numpy as jnp


def straight(
    position: jax.Array, module: jax.Array, pairs: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """Describe pairs by themselves, scaled to order one [pair, 12].

    position: [hit, 3] mm; module: [hit]; pairs: (senders, receivers), [pair] each, the receiver
    further along z. A pair of one z has slopes of 0.
    """
    a, b = (position[i] for i in pairs)
    d = b - a
    dz = jnp.where(d[:, 2] == 0, 1, d[:, 2])
    slope = jnp.where(d[:, 2:] == 0, 0, d[:, :2] / dz[:, None])
    steep = jnp.sqrt((slope**2).sum(-1) + 1e-10)
    vertex_z = a[:, 2] - (a[:, :2] * slope).sum(-1) / steep**2
    impact = (a[:, 0] * slope[:, 1] - a[:, 1] * slope[:, 0]) / steep
    radius = jnp.hypot(a[:, 0], a[:, 1]), jnp.hypot(b[:, 0], b[:, 1])
    turn = jnp.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a[:, :2] * b[:, :2]).sum(-1))
    step = (module[pairs[1]] - module[pairs[0]]).astype(a.dtype)
    return jnp.stack(
        [
            jnp.tanh(vertex_z / 200),
            jnp.tanh(vertex_z / 2000),
            jnp.log(jnp.abs(impact) + 0.01) / 3,
            jnp.tanh(impact / 5),
            jnp.log(steep + 1e-3) / 2,
            jnp.log(radius[0] / 10 + 0.1),
            jnp.log(radius[1] / 10 + 0.1),
            turn,
            jnp.log(jnp.abs(turn) + 1e-3) / 3,
            a[:, 2] / 300,
            step - 2,
            jnp.abs(step - 2),
        ],
        -1,
    )


def slope(position: Any, pairs: tuple[Any, Any]) -> jax.Array:
    """Give dx/dz and dy/dz of pairs [pair, 2]; of one z, the differences themselves, in mm."""
    d = position[pairs[1]] - position[pairs[0]]
    return d[:, :2] / jnp.where(d[:, 2:] == 0, 1, d[:, 2:])


def _cylindrical(position: jax.Array, pairs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
    """Give r of both hits, z of both, and the turn between them [pair] each."""
    a, b = (position[i] for i in pairs)
    dphi = jnp.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a[:, :2] * b[:, :2]).sum(-1))
    return jnp.hypot(a[:, 0], a[:, 1]), jnp.hypot(b[:, 0], b[:, 1]), a[:, 2], b[:, 2], dphi


LEVER = 100.0
"""Radius, mm, over which a turn is told."""


def turn(position: Any, pairs: tuple[Any, Any]) -> jax.Array:
    """Give the turn over `LEVER` of radius, rad, and the polar angle, rad, of pairs [pair, 2].

    Both stay along a helix from the beam line that is much wider than the detector.
    """
    ra, rb, za, zb, dphi = _cylindrical(position, pairs)
    dr = jnp.maximum(jnp.abs(rb - ra), 1.0)
    return jnp.stack([LEVER * dphi / dr, jnp.arctan2(dr, zb - za)], -1)


def helical(
    position: jax.Array, module: jax.Array, pairs: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """Describe pairs in a solenoid by themselves, scaled to order one [pair, 13].

    position: [hit, 3] mm; module: [hit] number of the layer; pairs: (senders, receivers), [pair]
    each.
    """
    ra, rb, za, zb, dphi = _cylindrical(position, pairs)
    dr = jnp.where(jnp.abs(rb - ra) < 1e-3, 1e-3, rb - ra)
    z0 = za - ra * (zb - za) / dr
    bend = LEVER * dphi / dr
    steps = (module[pairs[1]] - module[pairs[0]]).astype(position.dtype)
    return jnp.stack(
        [
            10 * bend,
            jnp.log(jnp.abs(bend) + 1e-4) / 3,
            jnp.log(jnp.abs(dphi) + 1e-4) / 3,
            jnp.tanh(z0 / 100),
            jnp.log(jnp.abs(z0) + 1) / 3,
            jnp.arcsinh((zb - za) / dr) / 2,
            ra / 100,
            rb / 100,
            za / 500,
            zb / 500,
            dr / 100,
            jnp.arcsinh((zb - za) / 50) / 3,
            steps / 10,
        ],
        -1,
    )
