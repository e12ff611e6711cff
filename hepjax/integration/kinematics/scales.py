"""Scales of a hard process, by the momenta of its particles in the rest frame of the partons.

Each takes momenta [point, leg, 4], GeV, incoming ones first, and gives the squared scales of
renormalisation and of factorisation [point], GeV^2. A scale is a choice, and cross-sections at
leading order depend on it: to compare with other programs it must be theirs.

>>> import numpy as np
>>> p = np.array([[[300, 0, 0, 300], [300, 0, 0, -300], [300, 80, 0, 240], [300, -80, 0, -240.0]]])
>>> float(transverse(p)[0][0] ** 0.5).__round__(3)
180.0
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hepjax import lorentz

Scale = Callable[[Any], tuple[jax.Array, jax.Array]]
"""momenta [point, leg, 4] -> squared scales of renormalisation and of factorisation [point]."""


def fixed(renormalisation: float, factorisation: float | None = None) -> Scale:
    """Give the same scales, GeV, for all points; one for both unless there are two."""

    def scale(momenta: Any) -> tuple[jax.Array, jax.Array]:
        like = jnp.asarray(momenta)[:, 0, 0]
        other = renormalisation if factorisation is None else factorisation
        return jnp.full_like(like, renormalisation**2), jnp.full_like(like, other**2)

    return scale


def transverse(momenta: Any) -> tuple[jax.Array, jax.Array]:
    """Take the geometric mean of the transverse masses of the first two outgoing particles."""
    p = jnp.asarray(momenta)[:, 2:4]
    square = jnp.sqrt(jnp.prod(_transverse_square(p), -1))
    return square, square


def half_sum(momenta: Any) -> tuple[jax.Array, jax.Array]:
    """Take half of the sum of transverse masses of all outgoing particles."""
    square = (jnp.sqrt(_transverse_square(jnp.asarray(momenta)[:, 2:])).sum(-1) / 2) ** 2
    return square, square


def clustered(momenta: Any) -> tuple[jax.Array, jax.Array]:
    """Take the transverse mass of what is left when a heavy pair and a parton are clustered.

    Of the outgoing particles, two heavy ones and a parton, in this order, that of least transverse
    mass is put back into the beam that it flies along, unless the heavy pair is nearer to each
    other by the measure of the k_T algorithm; the other two have a transverse mass in their rest
    frame, m, to the axis of what comes in. Both scales are m, but that of renormalisation is (its
    transverse mass)^(1/4) m^(3/4) where a heavy one was put back, or a parton that is harder than
    m. Two particles: their transverse mass. This is what
    MadGraph's events have for scales, for gg > tt~g in all but one of a thousand (where a top and
    the gluon are a pair). Raises ValueError for another number of particles.
    """
    p = jnp.asarray(momenta)
    n = p.shape[1] - 2
    if n == 2:
        return transverse(p)
    if n != 3:
        raise ValueError(f"momenta: {n} outgoing particles, expected 2 or 3")
    out = p[:, 2:]
    alone = _transverse_square(out)
    first = jnp.argmin(alone, -1)
    emitted = jnp.take_along_axis(out, first[:, None, None], 1)[:, 0]
    forward = emitted[:, 3] * p[:, 0, 3] > 0
    axis = jnp.where(forward[:, None], p[:, 1], p[:, 0])  # the beam that is left as it was
    left = out.sum(1) - emitted
    masses = jnp.sqrt(jnp.maximum(lorentz.mass_squared(out), 0))
    other = jnp.where(first[:, None] == jnp.arange(3), 0.0, masses)
    heaviest = other.max(-1)
    seen = out[:, :2]  # a heavy one that was not emitted
    one = jnp.where((first == 0)[:, None], seen[:, 1], seen[:, 0])
    central = _across(one, left, axis) + heaviest**2
    pair = _pair(out[:, 0], out[:, 1])
    together = _transverse_square(out[:, 2]) + lorentz.mass_squared(out[:, 0] + out[:, 1])
    is_pair = pair < alone.min(-1)
    emission = jnp.take_along_axis(alone, first[:, None], 1)[:, 0]
    harder = jnp.where(first == 2, jnp.maximum(emission, central), emission)
    renormalisation = jnp.where(is_pair, together, (harder * central**3) ** 0.25)
    return renormalisation, jnp.where(is_pair, together, central)


def _transverse_square(p: jax.Array) -> jax.Array:
    """Give the squared transverse mass."""
    return p[..., 0] ** 2 - p[..., 3] ** 2


def _across(p: jax.Array, whole: jax.Array, axis: jax.Array) -> jax.Array:
    """Give the squared momentum of p [point, 4] across a massless axis, in the rest frame of the
    whole, by products alone.
    """
    square = lorentz.mass_squared(whole)
    share = lorentz.dot(p, axis) / lorentz.dot(whole, axis)
    energy = lorentz.dot(p, whole)
    return 2 * share * energy - share**2 * square - lorentz.mass_squared(p)


def _pair(one: jax.Array, other: jax.Array) -> jax.Array:
    """Give the measure of the k_T algorithm of two particles, with their masses."""

    def eta(p: jax.Array) -> jax.Array:
        return jnp.arcsinh(p[:, 3] / jnp.hypot(p[:, 1], p[:, 2]))

    pt = [p[:, 1] ** 2 + p[:, 2] ** 2 for p in (one, other)]
    phi = [jnp.arctan2(p[:, 2], p[:, 1]) for p in (one, other)]
    apart = 2 * (jnp.cosh(eta(one) - eta(other)) - jnp.cos(phi[0] - phi[1]))
    heavier = jnp.maximum(*(lorentz.mass_squared(p) for p in (one, other)))
    return heavier + jnp.minimum(*pt) * apart
