"""Wavefunctions of external particles, in the chiral basis, with a leading axis of components.

Spinors are [4, ...]: two left-handed components, then two right-handed ones; polarisation vectors
[4, ...] as momenta, (E, x, y, z). Momenta are physical, of positive energy. Helicity is along the
direction of flight; the small components are m / sqrt(E + p), which needs no difference of energy
and momentum (as in HELAS, KEK-91-11). A bra is the Dirac conjugate, a row.

>>> p = np.array([5.0, 3, 0, 4])
>>> spinor = u(p, 0.0, 1)
>>> bool(np.allclose(np.vdot(spinor, spinor), 2 * 5))
True
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _two(momentum: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Give |p|, and the two-spinors of helicity + and - along p, [2, ...] each."""
    _, x, y, z = momentum
    square = x**2 + y**2 + z**2
    p = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    length = jnp.where(p > 0, p, 1.0)
    apart = jnp.where(z < 0, length - z, 1.0)
    up = jnp.where(z < 0, (x**2 + y**2) / apart, length + z)  # p + z without a difference
    backward = (up <= 0) & (p > 0)
    up = jnp.where(backward, 1.0, jnp.where(p > 0, up, 2.0))
    first = jnp.sqrt(up / jnp.where(p > 0, 2 * length, 2.0))
    first = jnp.where(backward, (x - 1j * y) / (2 * length), first)  # 0, and its derivative
    second = jnp.where(backward, 1.0, (x + 1j * y) / jnp.sqrt(2 * length * up))
    plus = jnp.stack([first, second])
    return p, plus, jnp.stack([-second.conj(), first.conj()])


def _sizes(momentum: Any, mass: Any, p: jax.Array) -> tuple[jax.Array, jax.Array]:
    large = jnp.sqrt(momentum[0] + p)
    return large, mass / large


def u(momentum: Any, mass: Any, helicity: int) -> jax.Array:
    """Give the spinor u of an incoming fermion [4, ...]; momentum: [4, ...] GeV; helicity +-1."""
    p, plus, minus = _two(momentum)
    large, small = _sizes(momentum, mass, p)
    if helicity > 0:
        return jnp.concatenate([small * plus, large * plus])
    return jnp.concatenate([large * minus, small * minus])


def v(momentum: Any, mass: Any, helicity: int) -> jax.Array:
    """Give the spinor v of an outgoing antifermion [4, ...]."""
    p, plus, minus = _two(momentum)
    large, small = _sizes(momentum, mass, p)
    if helicity > 0:
        return jnp.concatenate([-large * minus, small * minus])
    return jnp.concatenate([small * plus, -large * plus])


def bar(spinor: jax.Array) -> jax.Array:
    """Give the Dirac conjugate of a spinor, a row [4, ...]."""
    return jnp.concatenate([spinor[2:], spinor[:2]]).conj()


def polarisation(momentum: Any, mass: Any, helicity: int) -> jax.Array:
    """Give the polarisation vector of an incoming vector boson [4, ...]; helicity -1, 0, 1, of
    which 0 needs a mass.
    """
    energy, x, y, z = momentum
    square = x**2 + y**2 + z**2
    still = square <= 0
    p = jnp.where(still, 0.0, jnp.sqrt(jnp.where(still, 1.0, square)))
    length = jnp.where(still, 1.0, p)
    across = x**2 + y**2
    on_axis = across <= 1e-28 * square
    t = jnp.sqrt(jnp.where(on_axis, 1.0, across))
    cos_phi, sin_phi = jnp.where(on_axis, 1.0, x / t), jnp.where(on_axis, 0.0, y / t)
    cos = jnp.where(still, 1.0, z / length)
    if helicity == 0:
        return jnp.stack([p, energy * x / length, energy * y / length, energy * cos]) / mass + 0j
    sin = (x * cos_phi + y * sin_phi) / length  # on the axis 0, and its derivative, as below
    out = jnp.where(on_axis & ~still, -y / jnp.where(on_axis & ~still, z, 1.0), 0.0)
    one = jnp.stack([jnp.zeros_like(cos), cos * cos_phi, cos * sin_phi, -sin])
    two = jnp.stack([jnp.zeros_like(cos), -sin_phi, cos_phi, out])
    return (-helicity * one - 1j * two) / np.sqrt(2)
