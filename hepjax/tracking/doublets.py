"""Doublets: what a pair of hits says by itself of being two successive hits of one particle.

Its slope, where its line passes the beam, how far it turns: for tracks that are nearly straight,
between planes across the beam. What other pairs say of it is in `partners`.

>>> position = jnp.array([[1.0, 0, 0], [2.0, 0, 10], [3.0, 0, 20]])
>>> pair = jnp.array([0]), jnp.array([1])
>>> features(position, jnp.arange(3), pair).shape
(1, 12)
"""

import jax
import jax.numpy as jnp


def features(
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
