"""Doublets: what a pair of hits says of being two successive hits of one particle.

`features` looks at the pair alone: its slope, where its line passes the beam, how far it turns.
`support` asks the other hits: each track has three hits or more, so one of the next or of the last
modules should hold a hit near the line, and the least kink to any hit there tells much more than
the pair itself. Both are for tracks that are nearly straight, between planes across the beam.

>>> position, n = jnp.array([[1.0, 0, 0], [2.0, 0, 10], [3.0, 0, 20]]), 3
>>> hits = neighbours.table(np.arange(3), n_modules=n, width=1)
>>> pair = jnp.array([0]), jnp.array([1])
>>> float(support(hits, position, jnp.arange(3), pair, reach=1)[0, 0])
0.0
>>> features(position, jnp.arange(3), pair).shape
(1, 12)
"""

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.tracking import neighbours

FAR = 1.0
"""Kink where there is no hit to turn to, and the largest one that is told apart."""

RESOLUTION = 1e-4
"""Kinks well below this, in units of slope, are rounding of the positions."""


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


def support(
    hits: neighbours.Table,
    position: jax.Array,
    module: jax.Array,
    pairs: tuple[jax.Array, jax.Array],
    *,
    reach: int = 4,
    chunk: int = 4096,
) -> jax.Array:
    """Find the least kink to a hit of the modules around each pair [pair, 2 reach], scaled.

    hits: by module; position: [hit, 3] mm; module: [hit]; pairs: as for `features`; reach: modules
    behind the receiver, then before the sender, that are looked at; chunk: pairs at a time. A kink
    is the difference of slopes, in both projections; its logarithm is 0 at `RESOLUTION` and 1 at
    `FAR`, where it ends.
    """
    n_modules = hits.index.shape[0]
    span = position[hits.index]  # [module, place, 3]
    there = jnp.asarray(hits.mask)

    def one(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        a, b = (position[i] for i in pair)
        d = b - a
        slope = d[:2] / jnp.where(d[2] == 0, 1, d[2])
        steps = jnp.arange(1, reach + 1)
        target = jnp.concatenate([module[pair[1]] + steps, module[pair[0]] - steps])
        inside = (target >= 0) & (target < n_modules)
        target = jnp.clip(target, 0, n_modules - 1)
        start = jnp.concatenate([jnp.tile(b, (reach, 1)), jnp.tile(a, (reach, 1))])
        to = span[target] - start[:, None]
        dz = jnp.where(to[..., 2] == 0, 1, to[..., 2])
        kink = ((to[..., :2] / dz[..., None] - slope) ** 2).sum(-1)
        kept = there[target] & inside[:, None] & (to[..., 2] != 0)
        return jnp.where(kept, kink, FAR**2).min(-1, initial=FAR**2)

    least = jnp.sqrt(jax.lax.map(one, pairs, batch_size=min(chunk, len(pairs[0]))))
    return jnp.log(least / RESOLUTION + 1) / np.log(FAR / RESOLUTION + 1)
