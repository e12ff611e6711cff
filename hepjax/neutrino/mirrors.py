"""Other tracks that modules would see much alike: left and right of a string.

Times and numbers of pulses tell how far from a string a track passed, and hardly on which side; a
drift chamber does not know that of its wires either. `sides` takes a track to the other side of
either, or both, of the two strings that have seen most: one reflection at the plane of both
strings, which changes no distance to either, and the two tracks that pass between them where this
one did not, or the other way around. They differ by some degrees, and the likelihood has a top near
each. Where all is on one string, a track is turned about it. `planes` reflects a direction at the
planes that all pulses lie close to.

>>> string = jnp.array([0.0, 0, 0, 100, 100])
>>> place = jnp.stack([string, 0 * string, jnp.array([0.0, 17, 34, 0, 17])], -1)
>>> pulses = Pulses(place, None, None, None, jnp.ones(5, bool))
>>> along = jnp.array([1.0, 0, 0])
>>> event = Truth(jnp.array([-50.0, 10, 0]), along, *[jnp.float32(0)] * 5)
>>> found = sides(pulses, event)
>>> found.position[0].tolist(), [round(float(y), 2) for y in found.direction[:, 1]]
([-50.0, -10.0, 0.0], [0.0, -0.2, 0.2])
"""

import jax
import jax.numpy as jnp

from hepjax import matrices
from hepjax.neutrino.data import Pulses, Truth

THICK = 5.0
"""Modules closer than this in the level plane belong to one string, m."""


def sides(pulses: Pulses, event: Truth) -> Truth:
    """Pass the two strings of most pulses on other sides: events [3] from one, fields of pulses
    [pulse, ...]; on the other side of both, of the second, of the first.
    """
    one, other = _strings(pulses)
    level, way = event.direction[:2], event.position[:2] - one
    slope = jnp.maximum(jnp.sqrt((level**2).sum()), 1e-6)
    ahead = jnp.where(slope > 1e-6, level / slope, jnp.array([1.0, 0.0]))
    passed = -_cross(ahead, way), _cross(ahead, other - one - way)
    between = jnp.sqrt(((other - one) ** 2).sum())
    unit = jnp.where(between > 0, (other - one) / jnp.maximum(between, 1e-6), ahead)
    along = ahead @ way

    def passing(first: float, second: float) -> tuple[jax.Array, jax.Array]:
        sine = (second * passed[1] - first * passed[0]) / jnp.maximum(between, 1e-6)
        sine = jnp.clip(sine, -1, 1)
        cosine = jnp.sqrt(1 - sine**2) * jnp.where(unit @ ahead < 0, -1, 1)
        new = cosine * unit - sine * _left(unit)
        place = one - first * passed[0] * _left(new) + along * new
        return (
            jnp.append(place, event.position[2]),
            jnp.append(slope * new, event.direction[2]),
        )

    each = [passing(*signs) for signs in ((-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0))]
    same = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(each), *jnp.shape(x))), event)
    place, direction = (jnp.stack(x) for x in zip(*each))
    return same._replace(position=place, direction=direction)


def planes(pulses: Pulses, direction: jax.Array) -> jax.Array:
    """Give mirror images [2, 3] of a direction: at the upright plane, and at any plane, that fits
    the places of pulses best.
    """
    weight = jnp.where(pulses.mask, 1.0, 0.0)
    weight = weight / jnp.maximum(weight.sum(), 1)
    away = jnp.where(pulses.mask[:, None], pulses.position - weight @ pulses.position, 0)
    spread = (weight[:, None] * away).T @ away + 1e-3 * jnp.diag(jnp.arange(3.0))
    flat = matrices.eigh(spread[:2, :2])[1][:, 0]
    normal = jnp.stack([jnp.append(flat, 0), matrices.eigh(spread)[1][:, 0]])
    return direction - 2 * (normal @ direction)[:, None] * normal


def _strings(pulses: Pulses) -> tuple[jax.Array, jax.Array]:
    """Give the places [2] of the two strings of most pulses; the same twice if there is one."""
    level = pulses.position[:, :2]
    near = ((level[:, None] - level) ** 2).sum(-1) < THICK**2
    number = jnp.where(pulses.mask, (near & pulses.mask).sum(-1), -1)
    first = jnp.argmax(number)
    rest = jnp.where(near[first], -1, number)
    second = jnp.where(rest.max() > 0, jnp.argmax(rest), first)
    return level[first], level[second]


def _left(a: jax.Array) -> jax.Array:
    return jnp.stack([-a[1], a[0]])


def _cross(a: jax.Array, b: jax.Array) -> jax.Array:
    return a[0] * b[1] - a[1] * b[0]
