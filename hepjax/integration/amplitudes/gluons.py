"""Amplitudes of n gluons by the recursion of Berends and Giele, at tree level.

The amplitude is a sum over orders of the legs, each a product of what colour and what kinematics
make (`ordered`; Nucl. Phys. B 306, 759; hep-ph/9601359 for the rules). Currents of all pieces of
an order stand in one array, [component, piece, point], and those of one length are made at once of
two tables of shorter ones, so that a compiler sees a few operations a length. Quartic vertices go
through a tensor. `squared` sums all colours, in the basis of (n - 2)! orders with the first and the
last leg held (Del Duca, Dixon and Maltoni, hep-ph/9910563), and all helicities; for many legs
`leading_colour` is an estimate by one order and one set of helicities, drawn by `draw`.

Momenta are [..., leg, 4] (E, px, py, pz), GeV, the two incoming legs first, all of positive energy;
helicities are those of the particles as they fly, +1 or -1.

>>> with jax.enable_x64(True):
...     p = np.array([[50, 0, 0, 50], [50, 0, 0, -50], [50, 30, 0, 40], [50, -30, 0, -40.0]])
...     found = abs(ordered(p, np.array([1, 1, 1, 1]))) ** 2
...     print(np.allclose(found, parke_taylor(p, 0, 1)))
True
"""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration.amplitudes import currents, wavefunctions

N_COLOURS = 3
MOST_LEGS = 7
"""Of a sum over all colours."""


def ordered(momenta: Any, helicities: Any, reference: Any = None) -> jax.Array:
    """Give the amplitude of gluons in the order of the legs, without couplings [...], complex.

    momenta: [..., leg, 4]; helicities: [..., leg] +-1; reference: [4], a light-like vector to which
    all polarisations are made orthogonal (None: they have no time component). Generators of colour
    are normalised to 1 (hep-ph/9601359). Raises ValueError for other shapes and without float64.
    """
    inward, vectors, shape = _legs(momenta, helicities, reference)
    return _ordered(inward, vectors).reshape(shape)


def parke_taylor(momenta: Any, first: int, second: int) -> jax.Array:
    """Give |amplitude|^2 of the order of the legs if two have the other helicity than all others,
    counted as if all legs came in [...] (Phys. Rev. Lett. 56, 2459).
    """
    p = jnp.asarray(momenta, float)
    p = p * np.where(np.arange(p.shape[-2]) < 2, 1.0, -1.0)[:, None]

    def square(i: int, j: int) -> jax.Array:
        return 2 * currents.dot(p[..., i, :].T, p[..., j, :].T).T

    n = p.shape[-2]
    around = math.prod((square(k, (k + 1) % n) for k in range(n)), start=jnp.ones(()))
    return square(first, second) ** 4 / around


def squared(momenta: Any, alpha_s: Any) -> jax.Array:
    """Give |M|^2 of two gluons to n - 2, summed over colours and helicities, averaged over those of
    the incoming legs, identical outgoing ones counted once [...], GeV^(8 - 2n).

    momenta: [..., leg, 4]; alpha_s: the strong coupling. Raises ValueError above seven legs.
    """
    n = np.shape(momenta)[-2]
    if not 4 <= n <= MOST_LEGS:
        raise ValueError(f"momenta: {n} legs, expected 4 to {MOST_LEGS}")
    orders, colours = jnp.asarray(_held_orders(n)), jnp.asarray(colour_matrix(n))
    chosen = helicity_table(n)
    half = chosen[chosen[:, 0] > 0]  # parity: all turned over gives the same

    def of(total: jax.Array, helicity: jax.Array) -> tuple[jax.Array, None]:
        inward, vectors, _ = _legs(momenta, helicity)
        x = jax.vmap(lambda order: _ordered(inward[:, order], vectors[:, order]))(orders)
        parts = (y * (colours @ y) for y in (jnp.real(x), jnp.imag(x)))
        return total + sum(parts, jnp.zeros(())).sum(0), None

    shape = np.shape(momenta)[:-2]
    total, _ = jax.lax.scan(of, jnp.zeros(math.prod(shape)), jnp.asarray(half))
    return 2 * total.reshape(shape) * (4 * np.pi * alpha_s) ** (n - 2) / _average(n)


def leading_colour(momenta: Any, order: Any, helicities: Any, alpha_s: Any) -> jax.Array:
    """Estimate |M|^2 at the leading power of the number of colours by one order of the legs and one
    set of helicities [...]; normalised as `squared`.

    order: [..., leg - 1] a permutation of the legs 1 to n - 1, the first leg held; helicities:
    [..., leg]. With both drawn by `draw` for each point its mean is the sum over all; that differs
    from the full one by terms of 1 / 9 and less, and not at all for four and five legs.
    """
    n = np.shape(momenta)[-2]
    shape = jnp.broadcast_shapes(
        np.shape(momenta)[:-2], jnp.shape(order)[:-1], jnp.shape(helicities)[:-1]
    )
    whole = jnp.broadcast_to(jnp.asarray(order), (*shape, n - 1)).reshape(-1, n - 1)
    whole = jnp.concatenate([jnp.zeros_like(whole[:, :1]), whole], 1).T
    inward, vectors, _ = _legs(jnp.broadcast_to(momenta, (*shape, n, 4)), helicities)
    inward, vectors = (jnp.take_along_axis(x, whole[None], 1) for x in (inward, vectors))
    value = (jnp.abs(_ordered(inward, vectors)) ** 2).reshape(shape)
    ways = math.factorial(n - 1) * len(helicity_table(n))
    colours = float(N_COLOURS ** (n - 2) * (N_COLOURS**2 - 1))
    return value * ways * colours * (4 * np.pi * alpha_s) ** (n - 2) / _average(n)


def draw(key: jax.Array, n_legs: int, shape: tuple[int, ...] = ()) -> tuple[jax.Array, jax.Array]:
    """Draw orders [*shape, leg - 1] of the legs but the first, and helicities [*shape, leg], each
    set with the same probability.
    """
    of_order, of_helicity = jax.random.split(key)
    sorted_legs = jnp.broadcast_to(jnp.arange(1, n_legs), (*shape, n_legs - 1))
    order = jax.random.permutation(of_order, sorted_legs, axis=-1, independent=True)
    table = jnp.asarray(helicity_table(n_legs))
    return order, table[jax.random.randint(of_helicity, shape, 0, len(table))]


@functools.lru_cache(maxsize=8)
def helicity_table(n_legs: int) -> np.ndarray:
    """List the helicities of n legs that do not make the amplitude vanish [set, leg]: of incoming
    legs turned over and outgoing ones, at least two are of each sign.
    """
    table = np.array(list(itertools.product((1, -1), repeat=n_legs)))
    turned = table * np.where(np.arange(n_legs) < 2, -1, 1)
    return table[abs(turned.sum(1)) <= n_legs - 4]


@functools.lru_cache(maxsize=8)
def colour_matrix(n_legs: int) -> np.ndarray:
    """Give the products of chains of structure constants from the first to the last leg, summed
    over all colours [order, order]; generators are normalised to 1.
    """
    chain = _structure_constants() * math.sqrt(2)
    whole = chain
    for _ in range(n_legs - 3):
        whole = np.tensordot(whole, chain, 1)
    orders = _held_orders(n_legs)[:, 1:-1] - 1
    flat = whole.ravel()
    turned = [flat @ np.transpose(whole, (0, *(order + 1), n_legs - 1)).ravel() for order in orders]
    number = {tuple(order): k for k, order in enumerate(orders)}
    # the sum depends on one order as seen from the other
    relative = [[number[tuple(np.argsort(one)[other])] for other in orders] for one in orders]
    return np.array(turned)[np.array(relative)]


def _structure_constants() -> np.ndarray:
    """Give the structure constants [a, b, c] of generators with tr(T^a T^b) = delta / 2."""
    matrices = []
    for i, j in itertools.combinations(range(N_COLOURS), 2):
        for value in (1.0, -1j):
            one = np.zeros((N_COLOURS, N_COLOURS), complex)
            one[i, j], one[j, i] = value / 2, np.conj(value) / 2
            matrices.append(one)
    for k in range(1, N_COLOURS):
        diagonal = np.array([1.0] * k + [-k] + [0.0] * (N_COLOURS - k - 1))
        matrices.append(np.diag(diagonal) / math.sqrt(2 * k * (k + 1)) + 0j)
    t = np.array(matrices)
    product = np.einsum("aij,bjk->abik", t, t)
    commutator = product - product.transpose(1, 0, 2, 3)
    return np.real(-2j * np.einsum("abij,cji->abc", commutator, t))


def _held_orders(n_legs: int) -> np.ndarray:
    """List the orders of legs with the first and the last held [order, leg]."""
    inner = itertools.permutations(range(1, n_legs - 1))
    return np.array([(0, *order, n_legs - 1) for order in inner])


def _average(n_legs: int) -> int:
    """Give states of the incoming legs, times the ways to order outgoing ones."""
    return (2 * (N_COLOURS**2 - 1)) ** 2 * math.factorial(n_legs - 2)


def _legs(
    momenta: Any, helicities: Any, reference: Any = None
) -> tuple[jax.Array, jax.Array, tuple[int, ...]]:
    """Give incoming momenta and polarisations [component, leg, point], and the shape of points."""
    if not jax.config.jax_enable_x64:  # type: ignore
        raise ValueError("amplitude: expected float64, which is off: jax_enable_x64")
    p, signs = jnp.asarray(momenta, float), jnp.asarray(helicities)
    n = p.shape[-2] if p.ndim > 1 else 0
    if n < 4 or p.shape[-1] != 4:
        raise ValueError(f"momenta: {p.shape}, expected [..., leg, 4] of at least 4 legs")
    if signs.shape[-1:] != (n,):
        raise ValueError(f"helicities: {signs.shape}, expected [..., {n}]")
    shape = jnp.broadcast_shapes(p.shape[:-2], signs.shape[:-1])
    signs = jnp.broadcast_to(signs, (*shape, n)).reshape(-1, n).T
    p = jnp.broadcast_to(p, (*shape, n, 4)).reshape(-1, n, 4).transpose(2, 1, 0)
    comes_in = np.arange(n)[:, None] < 2
    plus = wavefunctions.polarisation(p, 0.0, 1)
    vectors = jnp.where((signs > 0) == comes_in, plus, plus.conj())
    vectors = vectors * jnp.where(signs > 0, 1.0, -1.0)
    if reference is not None:
        q = jnp.asarray(reference, float)[:, None, None]
        vectors = vectors - currents.dot(vectors, q) / currents.dot(p, q) * p
    return jnp.where(comes_in, p, -p), vectors, shape


def _ordered(inward: jax.Array, vectors: jax.Array) -> jax.Array:
    """Give the amplitude [point] of incoming momenta and polarisations [component, leg, point].

    The pieces of length L that start at leg s are rows of `made`, one length behind the other.
    """
    n = inward.shape[1]
    # of a piece, the sum of its legs' momenta
    sums = jnp.concatenate([jnp.zeros_like(inward[:, :1]), jnp.cumsum(inward, 1)], 1)
    made, momenta = vectors[:, :-1], inward[:, :-1]
    tensors = jnp.zeros((6, *made.shape[1:]), made.dtype)  # of single legs there are none
    row = np.concatenate([[0], np.cumsum(n - 1 - np.arange(n - 1))])
    for length in range(2, n):
        starts, parts = np.arange(n - length), np.arange(1, length)[:, None]
        first, second = row[parts - 1] + starts, row[length - parts - 1] + starts + parts
        a, b = made[:, first], made[:, second]
        found = currents.three_vectors(a, b, momenta[:, first], momenta[:, second])
        total = found.sum(1) / math.sqrt(2)
        quartic = currents.tensor_vector(tensors[:, second], a)
        quartic = quartic - currents.tensor_vector(tensors[:, first], b)
        total = total + quartic.sum(1) / 2
        p = sums[:, starts + length] - sums[:, starts]
        if length < n - 1:
            total = total / currents.dot(p, p)
            tensors = jnp.concatenate([tensors, currents.two_vectors_tensor(a, b).sum(1)], 1)
        made, momenta = jnp.concatenate([made, total], 1), jnp.concatenate([momenta, p], 1)
    return currents.dot(made[:, -1], vectors[:, -1])
