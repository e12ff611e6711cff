"""Sums over colour against the matrices of Gell-Mann, by explicit contraction."""

import itertools

import numpy as np
import pytest

from hepjax.integration.amplitudes import colour

LAMBDA = np.zeros((8, 3, 3), complex)
LAMBDA[0][[0, 1], [1, 0]] = 1
LAMBDA[1][[0, 1], [1, 0]] = -1j, 1j
LAMBDA[2][[0, 1], [0, 1]] = 1, -1
LAMBDA[3][[0, 2], [2, 0]] = 1
LAMBDA[4][[0, 2], [2, 0]] = -1j, 1j
LAMBDA[5][[1, 2], [2, 1]] = 1
LAMBDA[6][[1, 2], [2, 1]] = -1j, 1j
LAMBDA[7] = np.diag([1, 1, -2]) / np.sqrt(3)
T = LAMBDA / 2

QUARKS = (1, 2)  # a ket and a bra
CHAINS = (((1, 3), (3, 4), (4, 2)), ((1, 4), (4, 3), (3, 2)))


def flow_of_chain(order):
    """bra 2, gluons in their order, ket 1: T^a T^b between the quarks."""
    ends = [2, *order, 1]
    return tuple(sorted(itertools.pairwise(ends)))


def test_legs():
    assert colour.of_leg(3, 8, False) == ((0, 3), (3, 0))
    assert colour.of_leg(3, 3, False) == ((0, 3),)
    assert colour.of_leg(3, 3, True) == ((3, 0),)
    assert colour.of_leg(3, 1, True) == ()


def test_products_and_neighbours():
    a, b = (colour.of_leg(k, 8, False) for k in (1, 2))
    assert colour.times(a, b) == ((0, 1), (1, 2), (2, 0))
    assert colour.times(b, a) == ((0, 2), (1, 0), (2, 1))
    quark = colour.of_leg(3, 3, False)
    assert colour.times(colour.times(a, b), quark) == ((0, 1), (1, 2), (2, 3))
    trace = ((0, 0), (5, 6))
    assert colour.is_trace(trace)
    assert colour.times(trace, quark) == ((0, 3), (5, 6))
    assert colour.beside(((4, 5),), quark) == ((0, 3), (4, 5))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_chains_of_gluons_between_quarks(n):
    """tr(T^a T^b ... T^c^+ T^d^+) summed over all gluons, for all orders of both chains."""
    gluons = tuple(range(3, 3 + n))
    for one, other in itertools.product(itertools.permutations(gluons), repeat=2):
        expected = 0.0
        for values in itertools.product(range(8), repeat=n):
            of = dict(zip(gluons, values))
            first, second = np.eye(3, dtype=complex), np.eye(3, dtype=complex)
            for g in one:
                first = first @ T[of[g]]
            for g in other:
                second = second @ T[of[g]]
            expected += np.trace(first @ second.conj().T).real
        found = colour.overlap(flow_of_chain(one), flow_of_chain(other), gluons)
        assert found == pytest.approx(expected)


def test_traces_of_four_gluons():
    gluons = (1, 2, 3, 4)

    def flow(order):
        return tuple(sorted(zip(order, (*order[1:], order[0]))))

    orders = [(1, 2, 3, 4), (1, 3, 2, 4), (1, 2, 4, 3)]
    found = colour.matrix(tuple(map(flow, orders)), gluons)
    tensors = [
        np.einsum("aij,bjk,ckl,dli->" + "".join("abcd"[order.index(g)] for g in gluons), T, T, T, T)
        for order in orders
    ]
    for i, j in itertools.product(range(3), repeat=2):
        expected = (tensors[i] * tensors[j].conj()).sum().real
        assert found[i, j] == pytest.approx(expected)


def test_two_quark_lines_exchange_a_gluon():
    """sum |T^a T^a|^2 = (N^2 - 1) / 4 by flows: crossed lines, and straight ones over -N."""
    crossed, straight = ((1, 4), (3, 2)), ((1, 2), (3, 4))
    weights = np.array([0.5, -0.5 / colour.N])
    total = weights @ colour.matrix((crossed, straight), ()) @ weights
    assert total == pytest.approx(np.einsum("aij,akl,bij,bkl->", T, T, T.conj(), T.conj()).real)


def test_a_gluon_without_a_partner_has_no_trace():
    """A flow in which a gluon closes on itself is not seen by any other."""
    alone = ((1, 2), (3, 3))
    for other in (alone, ((1, 3), (3, 2))):
        assert colour.overlap(alone, other, (3,)) == pytest.approx(0, abs=1e-12)
