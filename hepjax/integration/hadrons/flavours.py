"""Partons of a process with jets: the few matrix elements that stand for all flavours.

The strong interaction tells light quarks apart by nothing but whether they are the same, it does
not mind if all particles are exchanged with their antiparticles, and the two hadrons are alike. So
of all partons that may come in and go out beside a pair of heavy quarks, those that are the same
but for this have one matrix element, to whose legs the particles are put in one of several orders.
`with_pair` lists matrix elements, orders and flavours.

>>> [(element, len(ways)) for element, ways in with_pair(1).items()]
[('g g > t t~ g', 1), ('g u > t t~ u', 4), ('u u~ > t t~ g', 2)]
"""

import itertools
from typing import NamedTuple

from hepjax.integration.amplitudes import standard_model

GLUON, QUARKS = 21, (1, 2, 3, 4, 5)
UP, DOWN, TOP = 2, 1, 6


class Way(NamedTuple):
    """How particles are put to the legs of a matrix element.

    order: [leg] which of the particles of the process each leg is, the partons of the hadrons being
    0 and 1; flavours: PDG codes of all particles [case][particle] that this stands for.
    """

    order: tuple[int, ...]
    flavours: tuple[tuple[int, ...], ...]


def with_pair(
    n_jets: int, quarks: tuple[int, ...] = QUARKS, pair: tuple[int, int] = (TOP, -TOP)
) -> dict[str, tuple[Way, ...]]:
    """List the matrix elements of a heavy quark, its antiquark and up to two jets, with their ways.

    quarks: that the hadrons have and that jets are of, without mass. Raises ValueError for more
    jets.
    """
    if not 0 <= n_jets <= 2:
        raise ValueError(f"n_jets: {n_jets}, expected 0, 1 or 2")
    partons = (GLUON, *quarks, *(-q for q in quarks))
    found: dict[str, dict[tuple[int, ...], list[tuple[int, ...]]]] = {}
    for incoming in itertools.product(partons, repeat=2):
        for jets in itertools.combinations_with_replacement(partons, n_jets):
            if _balance(incoming) == _balance(jets) and _is_there(incoming, jets):
                case = (*incoming, *pair, *jets)
                element, order = _standing_for(case)
                found.setdefault(element, {}).setdefault(order, []).append(case)
    return {
        element: tuple(Way(order, tuple(cases)) for order, cases in sorted(of.items()))
        for element, of in sorted(found.items(), key=lambda item: _place(item[0]))
    }


def _balance(pids: tuple[int, ...]) -> tuple[int, ...]:
    """Give what is conserved: quarks less antiquarks, of each flavour there is."""
    return tuple(sorted(pid for pid in pids if pid != GLUON and -pid not in pids))


def _is_there(incoming: tuple[int, ...], jets: tuple[int, ...]) -> bool:
    """Tell whether each quark that comes in, and is not annihilated, goes out once."""
    net = {q: incoming.count(q) - incoming.count(-q) for q in map(abs, (*incoming, *jets))}
    return all(jets.count(q) - jets.count(-q) == n for q, n in net.items() if q != GLUON)


def _standing_for(case: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Find the matrix element of a case, the first of those that are the same, and the order."""
    options = []
    for beams, charge in itertools.product(((0, 1), (1, 0)), (1, -1)):
        heavy = (2, 3) if charge > 0 else (3, 2)
        for jets in itertools.permutations(range(4, len(case))):
            order = (*beams, *heavy, *jets)
            legs = [case[k] if case[k] == GLUON else charge * case[k] for k in order]
            options.append((_named(legs), order))
    return min(options, key=lambda option: (_place(option[0]), option[1]))


def _place(element: str) -> tuple:
    """Put gluons before quarks, and quarks before antiquarks."""
    ranks = {"g": 0, "u": 1, "d": 2, "u~": 3, "d~": 4, "t": 5, "t~": 6, ">": 7}
    words = [ranks[word] for word in element.split()]
    return tuple(sorted(words[:2])), tuple(words)


def _named(legs: list[int]) -> str:
    """Name a process of legs, whose light quarks are u, and d where they are others."""
    known: dict[int, int] = {}
    names = []
    for pid in legs:
        if pid != GLUON and abs(pid) < TOP:
            as_one = known.setdefault(abs(pid), (UP, DOWN)[len(known)] if len(known) < 2 else UP)
            pid = as_one if pid > 0 else -as_one
        names.append(standard_model.name(pid))
    return f"{' '.join(names[:2])} > {' '.join(names[2:])}"
