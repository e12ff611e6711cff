"""The steps of a plan as tables of numbers, so that all of a kind are done at once.

A `Strand` is a current with one flow of colour; flows whose currents are multiples of each other
(the two orders of two gluons, what a gluon's trace takes off) are one strand with several factors.
A slot is a strand at given helicities of its legs; those that vanish, as a massless fermion keeps
its handedness, are left out. Slots of one kind of components stand in one array, [component, slot,
point], those of fewer legs first. A `Group` says how slots of a number of legs are made by one kind
of vertex: sums, term by term, of products of two slots. `evaluation` carries the groups out.

>>> found = tables(recursion.plan(standard_model.parse("g g > t t~"), last=2))
>>> [(group.how, group.first.shape) for level in found.levels for group in level.groups]
[('three', (1, 4)), ('ket', (1, 8)), ('ket', (2, 16))]
"""

import collections
import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hepjax.integration.amplitudes import recursion, standard_model
from hepjax.integration.amplitudes.recursion import Current, Plan, Step

BASE = 3
"""Helicities of legs are the digits of a number in this base."""

COMPONENTS = {"vector": 4, "ket": 4, "bra": 4, "scalar": 1, "tensor": 6, "auxiliary": 1}
PROPAGATING = ("vector", "ket", "bra", "scalar")

Slot = tuple[int, int]
"""A strand, and the helicities of its legs."""


class Term(NamedTuple):
    """A product of two strands by a vertex."""

    first: int
    second: int
    how: str
    coupling: str


class Strand(NamedTuple):
    """A current of one flow: the sum of terms with weights, of which the first is 1."""

    current: Current
    terms: tuple[tuple[Term, float], ...] = ()


class Made(NamedTuple):
    """What is known of a slot: the handedness of the massless fermion that it is (+-1, 0 for all
    else), and products of slots, with weights, of which it is the sum.
    """

    hand: int
    products: tuple[tuple[Slot, Slot, Term, float], ...] = ()


class Group(NamedTuple):
    """Products of one kind of vertex [term, row], padded with the factor 0.

    kinds: of the first, the second and what is made; rows: those of the level and kind that are
    made; first, second: slots; momenta: of both, numbers of `Tables.momenta`; factor: number of
    `Tables.factors`.
    """

    how: str
    kinds: tuple[str, str, str]
    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray
    momenta: tuple[np.ndarray, np.ndarray]
    factor: np.ndarray


class Level(NamedTuple):
    """What is made of currents of fewer legs.

    sizes: number of rows of each kind; poles: of each kind that propagates, the propagator of each
    row, a number of `Tables.poles`; there is none at the end.
    """

    sizes: dict[str, int]
    groups: tuple[Group, ...]
    poles: dict[str, np.ndarray]


class Tables(NamedTuple):
    """A plan in numbers.

    states: of each kind, leg and number of its helicity of the slots of one leg; momenta: sets of
    legs; poles: number of `momenta`, and field; factors: couplings and weights, of which the first
    is 0; close: rows of the last level [strand, helicity], -1 for what vanishes; ends: what flows
    are made of [flow, strand]; helicities: numbers of those of all legs [helicity, leg].
    """

    states: dict[str, list[tuple[int, int]]]
    levels: tuple[Level, ...]
    momenta: tuple[int, ...]
    poles: tuple[tuple[int, int], ...]
    factors: tuple[tuple[str, float], ...]
    close: np.ndarray
    ends: np.ndarray
    helicities: np.ndarray


def kind(field: int) -> str:
    """Tell the kind of components of a field."""
    if abs(field) in (recursion.TWO_VECTORS, recursion.TWO_HIGGS):
        return "auxiliary"
    if abs(field) > 1000:
        return "tensor"
    one = recursion.particle(field).kind
    return one if one != "fermion" else "ket" if field > 0 else "bra"


def helicities(pid: int) -> tuple[int, ...]:
    """List the helicities of a particle."""
    one = standard_model.PARTICLES[abs(pid)]
    if one.kind == "scalar":
        return (0,)
    return (-1, 0, 1) if one.kind == "vector" and one.mass else (-1, 1)


def strands(plan: Plan) -> tuple[list[Strand], np.ndarray, list[int]]:
    """List strands, those of single legs first; what flows are made of [flow, strand], and which
    strands are meant there.
    """
    n = len(plan.fields)
    found = [Strand(Current(1 << leg, field, 0)) for leg, field in enumerate(plan.fields)]
    number = {strand: k for k, strand in enumerate(found)}
    known = {found[leg].current: [(leg, 1.0)] for leg in range(n)}
    for made, group in itertools.groupby(plan.steps, key=lambda step: step.made):
        steps = list(group)
        known[made] = []
        for flow in range(len(steps[0].terms)):
            terms = _collected(steps, flow, known)
            size = terms[0][1] if terms else 0.0
            strand = Strand(made, tuple((term, round(x / size, 12)) for term, x in terms))
            if terms and strand not in number:
                number[strand] = len(found)
                found.append(strand)
            known[made].append((number.get(strand, 0), size))
    used = sorted({k for k, factor in known[plan.close] if factor})
    ends = np.zeros((len(plan.flows), len(used)))
    for flow, of in enumerate(plan.ends):
        for k, weight in of:
            strand, factor = known[plan.close][k]
            if factor:
                ends[flow, used.index(strand)] += weight * factor
    return found, ends, used


def work(plan: Plan) -> int:
    """Count the products of slots of a plan, as if each leg had two helicities."""
    found, _, _ = strands(plan)
    return sum(len(strand.terms) << strand.current.legs.bit_count() for strand in found)


def _collected(
    steps: list[Step], flow: int, known: dict[Current, list[tuple[int, float]]]
) -> list[tuple[Term, float]]:
    """Add up what one flow of a current is made of."""
    total: dict[Term, float] = {}
    for step in steps:
        first, second = known[step.first], known[step.second]
        for k, weight in step.terms[flow]:
            (one, a), (two, b) = first[k // len(second)], second[k % len(second)]
            if a and b:
                term = Term(one, two, step.vertex.how, step.vertex.coupling)
                total[term] = total.get(term, 0.0) + weight * a * b
    return sorted((term, x) for term, x in total.items() if abs(x) > 1e-12)


@functools.lru_cache(maxsize=64)
def tables(plan: Plan, summed: bool = True) -> Tables:
    """Give the tables of a plan; summed: over helicities, otherwise each leg has a single one, as
    yet unknown.
    """
    found, ends, used = strands(plan)
    slots = _slots(plan, found, summed)
    by_level = [_rows(found, slots, n, plan.last) for n in range(1, len(plan.fields))]
    place: dict[Slot, int] = {}
    standing: collections.Counter[str] = collections.Counter()
    for rows in by_level:
        for of, each in rows.items():
            place |= {slot: standing[of] + k for k, slot in enumerate(each)}
            standing[of] += len(each)
    momenta = tuple(sorted({strand.current.legs for strand in found}))
    factors = {("one", 0.0): 0}
    for made in slots.values():
        for *_, term, weight in made.products:
            factors.setdefault((term.coupling, weight), len(factors))
    legs = {k: momenta.index(strand.current.legs) for k, strand in enumerate(found)}
    poles: dict[tuple[int, int], int] = {}
    levels = []
    for rows in by_level[1:]:
        groups = tuple(_groups(rows, found, slots, place, legs, factors))
        of_rows = {
            of: np.array(
                [poles.setdefault((legs[k], found[k].current.field), len(poles)) for k, _ in each]
            )
            for of, each in rows.items()
            if of in PROPAGATING and rows is not by_level[-1]
        }
        levels.append(Level({of: len(each) for of, each in rows.items()}, groups, of_rows))
    states = {
        of: [(leg, code // BASE**leg) for leg, code in each] for of, each in by_level[0].items()
    }
    (last_rows,) = by_level[-1].values()
    close, table = _closing(plan, slots, used, last_rows)
    return Tables(states, tuple(levels), momenta, tuple(poles), tuple(factors), close, ends, table)


def _slots(plan: Plan, found: list[Strand], summed: bool) -> dict[Slot, Made]:
    """List what does not vanish, strand by strand."""
    slots: dict[Slot, Made] = {}
    of_strand: list[list[tuple[int, int]]] = []  # helicities and handedness
    for k, strand in enumerate(found):
        made: dict[int, Made] = {}
        if not strand.terms:
            for digit, hand in _states(plan, k) if summed else [(0, 0)]:
                made[digit * BASE**k] = Made(hand)
        for term, weight in strand.terms:
            fields = tuple(found[j].current.field for j in (term.first, term.second))
            for (one, a), (two, b) in itertools.product(
                of_strand[term.first], of_strand[term.second]
            ):
                hand = _hand(fields, strand.current.field, (a, b), term.coupling)
                if hand is None:
                    continue
                old = made.get(one + two, Made(hand))
                product = ((term.first, one), (term.second, two), term, weight)
                made[one + two] = Made(hand, (*old.products, product))
        of_strand.append([(code, one.hand) for code, one in made.items()])
        slots |= {(k, code): one for code, one in made.items()}
    return slots


def _states(plan: Plan, leg: int) -> Iterator[tuple[int, int]]:
    """List numbers of helicities of a leg, with handedness: right for u and left for v of +."""
    field = plan.fields[leg]
    chiral = recursion.is_fermion(field) and not recursion.particle(field).mass
    is_u = (leg < len(plan.process.incoming)) == (field > 0)
    for digit, helicity in enumerate(helicities(field)):
        yield digit, (helicity if is_u else -helicity) if chiral else 0


def _hand(fields: tuple[int, ...], made: int, hands: tuple[int, int], coupling: str) -> int | None:
    """Give the handedness of what two slots make, None if nothing."""
    if not recursion.is_fermion(fields[1]):
        return 0
    known = {hand for hand in (*hands, -1 if coupling == "w" else 0) if hand}
    if len(known) > 1:
        return None
    chiral = recursion.is_fermion(made) and not recursion.particle(made).mass
    return known.pop() if known and chiral else 0


def _rows(
    found: list[Strand], slots: dict[Slot, Made], n_legs: int, last: int
) -> dict[str, list[Slot]]:
    """Sort the slots of a number of legs by their kind, and by how they are made."""
    rows: dict[str, list[Slot]] = {}
    for slot in slots:
        current = found[slot[0]].current
        if current.legs.bit_count() == n_legs and slot[0] != last:
            rows.setdefault(kind(current.field), []).append(slot)

    def made(slot: Slot) -> tuple[int, list[str]]:
        products = slots[slot].products
        return len(products), sorted({product[2].how for product in products})

    return {of: sorted(each, key=made) for of, each in rows.items()}


def _groups(
    rows: dict[str, list[Slot]],
    found: list[Strand],
    slots: dict[Slot, Made],
    place: dict[Slot, int],
    legs: dict[int, int],
    factors: dict[tuple[str, float], int],
) -> Iterator[Group]:
    """List the groups of a level."""
    listed: dict[tuple[str, tuple[str, str, str]], dict[int, list[tuple[int, ...]]]] = {}
    for of, each in rows.items():
        for row, slot in enumerate(each):
            for one, two, term, weight in slots[slot].products:
                first, second = (kind(found[k].current.field) for k, _ in (one, two))
                entry = place[one], place[two], legs[one[0]], legs[two[0]]
                of_row = listed.setdefault((term.how, (first, second, of)), {}).setdefault(row, [])
                of_row.append((*entry, factors[term.coupling, weight]))
    for (how, kinds), by_row in listed.items():
        most = max(map(len, by_row.values()))
        padded = [[*some, *[(*some[0][:4], 0)] * (most - len(some))] for some in by_row.values()]
        first, second, p, q, factor = np.array(padded).transpose(2, 1, 0)
        yield Group(how, kinds, np.array(list(by_row)), first, second, (p, q), factor)


def _closing(
    plan: Plan, slots: dict[Slot, Made], used: list[int], rows: list[Slot]
) -> tuple[np.ndarray, np.ndarray]:
    """Give what of the last level meets the last leg [strand, helicity], and the helicities."""
    states = [(code, one.hand) for (k, code), one in slots.items() if k == plan.last]
    found: dict[int, dict[int, int]] = {}
    for row, (strand, code) in enumerate(rows):
        for other, hand in states:
            if hand * slots[strand, code].hand >= 0:
                found.setdefault(code + other, {})[used.index(strand)] = row
    codes = sorted(found)
    close = np.array([[found[code].get(k, -1) for code in codes] for k in range(len(used))])
    digits = np.array(codes)[:, None] // BASE ** np.arange(len(plan.fields)) % BASE
    return close, digits
