"""Small matrices by plain arithmetic: inverses, solutions, eigenvalues.

Matrices of a dozen rows, many at once: one operation of elimination for all of them is quicker than
a call of LAPACK for each, on a GPU most of all. And it cannot stand still: jaxlib 0.10 shares the
calls of a large batch among the threads of the pool that made it wait for them, so on two cores two
batches at once wait for each other for ever (tests/test_matrices.py shows it).

>>> a = jnp.array([[2.0, 1.0], [1.0, 2.0]])
>>> (3 * inverse(a)).round(5).tolist()
[[2.0, -1.0], [-1.0, 2.0]]
>>> values, vectors = eigh(a)
>>> values.round(5).tolist()
[1.0, 3.0]
"""

import jax
import jax.numpy as jnp
import numpy as np

N_SWEEPS = 7
"""Of Jacobi's method over all pairs of rows; its error falls by squares, and is that of float32
after five for 12 rows, of float64 after six.
"""


def solve(a: jax.Array, b: jax.Array) -> jax.Array:
    """Solve a [..., n, n] x = b [..., n] by elimination without pivots, as positive and triangular
    matrices allow; x [..., n].
    """
    return _eliminated(a, b[..., None])[..., 0]


def inverse(a: jax.Array) -> jax.Array:
    """Invert a [..., n, n], positive or triangular as in `solve`."""
    return _eliminated(a, jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape))


def _eliminated(a: jax.Array, b: jax.Array) -> jax.Array:
    """Give a^-1 b of a [..., n, n] and b [..., n, m] (Gauss and Jordan)."""
    n = a.shape[-1]
    both = jnp.concatenate([a, b], -1)
    for k in range(n):
        row = both[..., k, :] / both[..., k, k, None]
        others = both - both[..., :, k, None] * row[..., None, :]
        both = jnp.where((np.arange(n) == k)[:, None], row[..., None, :], others)
    return both[..., n:]


def eigh(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Find eigenvalues [..., n], ascending, and eigenvectors [..., n, n], in columns, of symmetric
    matrices a [..., n, n], by Jacobi's rotations of all rows in pairs (Brent and Luk 1985).
    """
    n = a.shape[-1]
    size = n + n % 2
    a = jnp.pad(a, [(0, 0)] * (a.ndim - 2) + [(0, size - n)] * 2)
    vectors = jnp.broadcast_to(jnp.eye(size, dtype=a.dtype), a.shape)
    order = _next_pairs(size)

    def turn(state: tuple, _: None) -> tuple[tuple, None]:
        a, vectors = state
        diagonal = jnp.diagonal(a, axis1=-2, axis2=-1)
        first, second = diagonal[..., 0::2], diagonal[..., 1::2]
        across = jnp.diagonal(a[..., 0::2, 1::2], axis1=-2, axis2=-1)
        half = (second - first) / 2
        far = jnp.abs(half) + jnp.sqrt(half**2 + across**2)
        tangent = jnp.where(half < 0, -1, 1) * across / jnp.where(far > 0, far, 1)
        cosine = 1 / jnp.sqrt(1 + tangent**2)
        sine = tangent * cosine
        a = _rotated(jnp.swapaxes(_rotated(a, cosine, sine), -1, -2), cosine, sine)
        vectors = _rotated(vectors, cosine, sine)
        return (a[..., order, :][..., order], vectors[..., order]), None

    (a, vectors), _ = jax.lax.scan(turn, (a, vectors), None, N_SWEEPS * (size - 1))
    values, vectors = jnp.diagonal(a, axis1=-2, axis2=-1), vectors[..., :n, :]
    odd = jnp.abs(vectors).max(-2) == 0  # the row that was added
    rank = jnp.argsort(jnp.where(odd, jnp.inf, values), axis=-1)[..., :n]
    return (
        jnp.take_along_axis(values, rank, -1),
        jnp.take_along_axis(vectors, rank[..., None, :], -1),
    )


def _rotated(a: jax.Array, cosine: jax.Array, sine: jax.Array) -> jax.Array:
    """Rotate neighbouring columns of a [..., n, 2 pair]."""
    even, odd = a[..., 0::2], a[..., 1::2]
    cosine, sine = cosine[..., None, :], sine[..., None, :]
    pairs = jnp.stack([cosine * even - sine * odd, sine * even + cosine * odd], -1)
    return pairs.reshape(a.shape)


def _next_pairs(size: int) -> np.ndarray:
    """Give the order of rows that puts each beside another one, all in size - 1 times: the first
    stays and the others go round.
    """
    ring = np.concatenate([np.arange(1, size, 2), np.arange(2, size, 2)[::-1]])
    order = np.arange(size)
    order[ring] = np.roll(ring, 1)
    return order
