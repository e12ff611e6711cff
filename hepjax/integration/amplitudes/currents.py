"""What two currents make of each other: the Lorentz part of vertices and propagators.

A current is what a set of external particles looks like from one line: a ket (a spinor), a bra (a
row), a vector, a scalar, or an antisymmetric tensor, which stands for two vectors of a quartic
vertex on their way to the third. Arrays have the components first, [4, ...], [6, ...], [1, ...];
what follows is broadcast. Momenta p flow into the vertex. No couplings, no factors of i but those
of the propagators' numerators; `tree` brings them.

>>> p = np.array([2.0, 0, 0, 1])
>>> np.asarray(propagate_ket(np.array([1.0, 0, 0, 0]), p, 1.0)).real.tolist()
[1.0, 0.0, 3.0, 0.0]
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def dot(a: Any, b: Any) -> jax.Array:
    """Multiply four-vectors [4, ...]."""
    return a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]


def _sigma(v: Any, spinor: Any, sign: int) -> tuple[jax.Array, jax.Array]:
    """Multiply a two-spinor by v0 + sign v.sigma from the left."""
    a, b = spinor
    w = v[1] - 1j * v[2], v[1] + 1j * v[2]
    return (
        (v[0] + sign * v[3]) * a + sign * w[0] * b,
        sign * w[1] * a + (v[0] - sign * v[3]) * b,
    )


def _sigma_right(v: Any, row: Any, sign: int) -> tuple[jax.Array, jax.Array]:
    """Multiply a row of two by v0 + sign v.sigma from the right."""
    a, b = row
    w = v[1] - 1j * v[2], v[1] + 1j * v[2]
    return (
        a * (v[0] + sign * v[3]) + sign * b * w[1],
        sign * a * w[0] + b * (v[0] - sign * v[3]),
    )


def slash_ket(v: Any, ket: Any, left: Any = 1.0, right: Any = 1.0) -> jax.Array:
    """Give v-slash (left P_L + right P_R) ket."""
    lower, upper = _sigma(v, ket[:2], 1), _sigma(v, ket[2:], -1)
    return jnp.stack([*(right * x for x in upper), *(left * x for x in lower)])


def bra_slash(bra: Any, v: Any, left: Any = 1.0, right: Any = 1.0) -> jax.Array:
    """Give bra v-slash (left P_L + right P_R)."""
    lefts, rights = _sigma_right(v, bra[2:], 1), _sigma_right(v, bra[:2], -1)
    return jnp.stack([*(left * x for x in lefts), *(right * x for x in rights)])


def bra_ket_vector(bra: Any, ket: Any, left: Any = 1.0, right: Any = 1.0) -> jax.Array:
    """Give bra gamma^mu (left P_L + right P_R) ket [4, ...]."""

    def pauli(row: Any, column: Any) -> tuple[jax.Array, ...]:
        a, b = row[0] * column[1], row[1] * column[0]
        c, d = row[0] * column[0], row[1] * column[1]
        return c + d, a + b, -1j * (a - b), c - d

    one, other = pauli(bra[2:], ket[:2]), pauli(bra[:2], ket[2:])
    space = (right * y - left * x for x, y in zip(one[1:], other[1:]))
    return jnp.stack([left * one[0] + right * other[0], *space])


def bra_ket_scalar(bra: Any, ket: Any) -> jax.Array:
    """Give bra ket [1, ...]."""
    return (bra[0] * ket[0] + bra[1] * ket[1] + bra[2] * ket[2] + bra[3] * ket[3])[None]


def three_vectors(a: Any, b: Any, p_a: Any, p_b: Any) -> jax.Array:
    """Give the Yang-Mills vertex of two vectors of incoming momenta, index of the third open."""
    return dot(a, b) * (p_a - p_b) + dot(a, 2 * p_b + p_a) * b - dot(b, 2 * p_a + p_b) * a


PAIRS = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
"""Components of a tensor."""


def two_vectors_tensor(a: Any, b: Any) -> jax.Array:
    """Give a^mu b^nu - a^nu b^mu [6, ...]."""
    return jnp.stack([a[i] * b[j] - a[j] * b[i] for i, j in PAIRS])


def tensor_vector(g: Any, c: Any) -> jax.Array:
    """Give g^mu,nu c_nu [4, ...]."""
    low = jnp.stack([c[0], -c[1], -c[2], -c[3]])
    parts: list[Any] = [0.0] * 4
    for k, (i, j) in enumerate(PAIRS):
        parts[i] = parts[i] + g[k] * low[j]
        parts[j] = parts[j] - g[k] * low[i]
    return jnp.stack(parts)


def vectors_scalar(a: Any, b: Any) -> jax.Array:
    """Give a.b [1, ...]."""
    return dot(a, b)[None]


def propagate_ket(ket: Any, p: Any, mass: Any) -> jax.Array:
    """Give (p-slash + mass) ket."""
    return slash_ket(p, ket) + mass * ket


def propagate_bra(bra: Any, p: Any, mass: Any) -> jax.Array:
    """Give bra (-p-slash + mass); p flows in, against the fermion."""
    return mass * bra - bra_slash(bra, p)


def propagate_vector(v: Any, p: Any, mass: Any) -> jax.Array:
    """Give -v, with the longitudinal part of the unitary gauge for massive ones."""
    if isinstance(mass, float) and mass == 0:
        return -v
    return p * (dot(p, v) / mass**2) - v
