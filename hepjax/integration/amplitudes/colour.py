"""Colour as flows: lines from the colour of one leg to the anticolour of another.

A quark carries a colour, an antiquark an anticolour, a gluon both, as in its matrix A_ij = A^a
T^a_ij (arXiv:hep-ph/0209271). What a current knows of colour is a `Flow`: pairs (upper, lower)
of legs, numbered from 1, whose indices are joined by a delta; 0 is the open index of the current.
`times` multiplies two such matrices, `beside` sets them side by side. A sum over colours of
products of complete flows is a number, `overlap`: each closed loop gives N = 3, and for each gluon
the part of its matrix that has a trace is taken out.

>>> gluon, quark = of_leg(1, 8, False), of_leg(2, 3, False)
>>> times(gluon, quark)
((0, 1), (1, 2))
"""

import functools
import itertools

import numpy as np

N = 3

Flow = tuple[tuple[int, int], ...]
"""Pairs (upper, lower), sorted."""


def of_leg(leg: int, colour: int, is_bra: bool) -> Flow:
    """Give the flow of an external leg; colour: 1, 3 or 8; is_bra: an anticolour, for 3."""
    if colour == 8:
        return ((0, leg), (leg, 0))
    if colour == 3:
        return ((leg, 0),) if is_bra else ((0, leg),)
    return ()


def times(first: Flow, second: Flow) -> Flow:
    """Join the open lower index of the first to the open upper index of the second."""
    upper = next(a for a, b in first if b == 0)
    lower = next(b for a, b in second if a == 0)
    rest = [pair for pair in first if pair[1] != 0] + [pair for pair in second if pair[0] != 0]
    return tuple(sorted([*rest, (upper, lower)]))


def beside(first: Flow, second: Flow) -> Flow:
    """Set two flows side by side; of open indices each may have one of a kind."""
    return tuple(sorted((*first, *second)))


def is_trace(flow: Flow) -> bool:
    """Tell whether the open indices of a matrix are joined to each other."""
    return (0, 0) in flow


def overlap(one: Flow, other: Flow, gluons: tuple[int, ...]) -> float:
    """Sum the product of a flow and the conjugate of another over the colours of all legs; that of
    gluons over the matrices T^a, of which tr(T^a T^b) = delta / 2.
    """
    total = 0.0
    for k in range(len(gluons) + 1):
        for cut in itertools.combinations(gluons, k):
            total += (-1 / N) ** k * float(N) ** _loops(one, other, frozenset(cut))
    return total / 2 ** len(gluons)


def _loops(one: Flow, other: Flow, cut: frozenset[int]) -> int:
    """Count the closed lines; on gluons that are cut each flow is joined to itself."""
    delta = {}  # ends (flow, is_upper, leg) along a line, and across legs below
    for side, flow in enumerate((one, other)):
        for upper, lower in flow:
            delta[side, True, upper] = side, False, lower
            delta[side, False, lower] = side, True, upper

    def across(end: tuple[int, bool, int]) -> tuple[int, bool, int]:
        side, is_upper, leg = end
        return (side, not is_upper, leg) if leg in cut else (1 - side, is_upper, leg)

    left, count = set(delta), 0
    while left:
        end, count = left.pop(), count + 1
        while True:
            end = delta[end]
            left.discard(end)
            end = across(end)
            if end not in left:
                break
            left.discard(end)
    return count


@functools.lru_cache(maxsize=64)
def matrix(flows: tuple[Flow, ...], gluons: tuple[int, ...]) -> np.ndarray:
    """Give the overlaps of flows [flow, flow]."""
    found = np.zeros((len(flows), len(flows)))
    for i, j in itertools.combinations_with_replacement(range(len(flows)), 2):
        found[i, j] = found[j, i] = overlap(flows[i], flows[j], gluons)
    return found
