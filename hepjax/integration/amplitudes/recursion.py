"""Which currents make which: the vertices of the Standard Model, applied to sets of legs.

All legs are taken as incoming: an outgoing particle is its antiparticle coming in. A current of a
set of legs is a field with one line open, and is made of the currents of two parts of the set by a
vertex; so all tree diagrams are summed without that one of them is written down (Dyson-Schwinger
recursion, hep-ph/0002082; Berends and Giele, Nucl. Phys. B306, 759). Vertices of four bosons go
through fields that do not propagate. `plan` lists the steps, once and for all, those that end
nowhere left out; `tree` carries them out. Each current knows the number of its electroweak
couplings and, for each flow of colour, its components.

>>> steps = plan(standard_model.parse("u u~ > d d~"))
>>> len(steps.flows), steps.qed
(2, 0)
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hepjax.integration.amplitudes import colour, standard_model
from hepjax.integration.amplitudes.standard_model import (
    PARTICLES,
    PARTNER,
    SELF_CONJUGATE,
    Particle,
    Process,
)

GLUON, PHOTON, Z, W, HIGGS = 21, 22, 23, 24, 25
GLUON_TENSOR = 1021
TENSOR_PLUS, TENSOR_MINUS, TENSOR_NEUTRAL = 1024, -1024, 1023
TWO_VECTORS, TWO_HIGGS = 1025, 1026
"""Fields that stand for two bosons of a quartic vertex; they do not propagate."""

CARTAN = {PHOTON: "sin", Z: "cos"}
"""How the third weak boson is made of photon and Z."""


class Vertex(NamedTuple):
    """What two fields make: the field, how (`tree`), the coupling by name, its order in e,
    and how colours go: first.second, beside, or both ways with a minus between them.
    """

    field: int
    how: str
    coupling: str
    order: int = 1
    colours: str = "beside"
    sign: int = 1


class Current(NamedTuple):
    """Name of a current: legs, a bit each; field; number of electroweak couplings."""

    legs: int
    field: int
    order: int


Terms = tuple[tuple[tuple[int, float], ...], ...]
"""What each flow is the sum of: indices, with weights."""


class Step(NamedTuple):
    """One vertex of one pair of currents: first and second make `made`.

    terms: [flow of made] of the pairs of their flows, numbered row by row; their weights have the
    signs of vertex and fermions in them.
    """

    first: Current
    second: Current
    made: Current
    vertex: Vertex
    sign: int
    terms: Terms = ()


class Plan(NamedTuple):
    """How to compute a process.

    fields: [leg] as incoming; steps: in their order; close: the current of all legs but one,
    `last`; flows: of the amplitude; ends: [flow] of the flows of that current; gluons: legs,
    numbered from 1; qed: the number of electroweak couplings.
    """

    process: Process
    fields: tuple[int, ...]
    steps: tuple[Step, ...]
    close: Current
    last: int
    flows: tuple[colour.Flow, ...]
    ends: Terms
    gluons: tuple[int, ...]
    qed: int


def particle(field: int) -> Particle:
    """Give the particle of a field."""
    return PARTICLES[abs(field)]


def conjugate(field: int) -> int:
    """Give the field of the antiparticle."""
    return field if field in SELF_CONJUGATE else -field


def is_fermion(field: int) -> bool:
    """Tell whether a field is a fermion: a ket above 0, a bra below."""
    return abs(field) < 20


RANK = (HIGGS, GLUON, PHOTON, Z, W, -W)
"""The order of bosons in a vertex; fields that do not propagate come after them."""


def ordered(first: int, second: int) -> bool:
    """Tell whether two fields stand in the order that `vertices` takes."""

    def rank(field: int) -> tuple[bool, int]:
        bosons = RANK.index(field) if field in RANK else len(RANK)
        return is_fermion(field), (field > 0) if is_fermion(field) else bosons

    return rank(first) <= rank(second)


def vertices(first: int, second: int) -> Iterator[Vertex]:
    """List what two fields make, in this order: bosons before fermions, bras before kets."""
    if is_fermion(first) and is_fermion(second):
        if first < 0 < second:
            yield from _pair(-first, second)
    elif is_fermion(second):
        yield from _emission(first, second)
    elif not is_fermion(first):
        yield from _bosons(first, second)


def _pair(bra: int, ket: int) -> Iterator[Vertex]:
    """List the bosons that a bra and a ket make."""
    one = PARTICLES[ket]
    if bra == ket:
        if one.colour == 3:
            yield Vertex(GLUON, "pair", "strong", 0, "octet")
        if one.charge:
            yield Vertex(PHOTON, "pair", f"photon {ket}", 1, "singlet")
        yield Vertex(Z, "pair", f"z {ket}", 1, "singlet")
        if one.mass:
            yield Vertex(HIGGS, "pair scalar", f"yukawa {ket}", 1, "singlet")
    elif PARTNER.get(ket) == bra:
        charge = W if PARTICLES[ket].isospin > 0 else -W
        yield Vertex(charge, "pair", "w", 1, "singlet")


def _emission(boson: int, fermion: int) -> Iterator[Vertex]:
    """List the fermions that a boson and a fermion make."""
    of, side = abs(fermion), "ket" if fermion > 0 else "bra"
    one = PARTICLES[of]
    if boson == GLUON and one.colour == 3:
        yield Vertex(fermion, side, "strong", 0, "times")
    elif boson == PHOTON and one.charge:
        yield Vertex(fermion, side, f"photon {of}")
    elif boson == Z:
        yield Vertex(fermion, side, f"z {of}")
    elif boson == HIGGS and one.mass:
        yield Vertex(fermion, f"{side} scalar", f"yukawa {of}")
    elif abs(boson) == W and of in PARTNER:
        raised = (boson > 0) == (fermion > 0)  # a W+ makes an up ket of a down ket
        if (one.isospin < 0) == raised:
            other = PARTNER[of]
            yield Vertex(other if fermion > 0 else -other, side, "w")


def _bosons(first: int, second: int) -> Iterator[Vertex]:
    """List the bosons that two bosons make."""
    if first == second == GLUON:
        yield Vertex(GLUON, "three", "three strong", 0, "commutator")
        yield Vertex(GLUON_TENSOR, "tensor", "one", 0, "commutator")
    elif (first, second) == (GLUON, GLUON_TENSOR):
        yield Vertex(GLUON, "tensor vector", "strong strong", 0, "commutator")
    for weak in (_weak_bosons, _higgs):
        yield from weak(first, second)


def _weak_bosons(first: int, second: int) -> Iterator[Vertex]:
    """List what the commutator of two weak bosons makes, W+ above W-, photon and Z as W3."""
    for made, sign, how in _commutator(first, second):
        mixing = " ".join(CARTAN[x] for x in (first, second) if x in CARTAN)
        if abs(first) < 1000 and abs(second) < 1000:
            tensor = {W: TENSOR_PLUS, -W: TENSOR_MINUS, 0: TENSOR_NEUTRAL}[made]
            yield Vertex(tensor, "tensor", f"one {mixing}".strip(), 0, "beside", sign)
        fields = (PHOTON, Z) if made == 0 else (made,)
        for field in fields:
            with_field = " ".join(x for x in (mixing, CARTAN.get(field, "")) if x)
            coupling = f"{'weak' if how == 'three' else 'weak weak'} {with_field}".strip()
            order = 1 if how == "three" else 2
            yield Vertex(field, how, coupling, order, "beside", sign)


def _commutator(first: int, second: int) -> Iterator[tuple[int, int, str]]:
    """Give the charge that two weak fields make, the sign, and whether one is a tensor."""
    neutral = {PHOTON: 3, Z: 3, TENSOR_NEUTRAL: 3, W: 1, -W: -1}
    neutral |= {TENSOR_PLUS: 1, TENSOR_MINUS: -1}
    if first not in neutral or second not in neutral or abs(first) > 1000:
        return
    a, b = neutral[first], neutral[second]
    how = "tensor vector" if abs(second) > 1000 else "three"
    if a == 3 and b != 3:
        yield (W if b > 0 else -W), b, how
    elif b == 3 and a != 3:
        yield (W if a > 0 else -W), -a, how
    elif a + b == 0:
        yield 0, a, how


def _higgs(first: int, second: int) -> Iterator[Vertex]:
    """List what vertices with Higgs bosons make."""
    massive = {W, -W, Z}
    if first == HIGGS and second == HIGGS:
        yield Vertex(HIGGS, "scalars", "hhh")
        yield Vertex(TWO_HIGGS, "scalars", "one", 0)
    elif first == HIGGS and second in massive:
        yield Vertex(second, "scalar vector", f"h{'w' if abs(second) == W else 'z'}")
    elif first in massive and conjugate(first) == second:
        kind = "w" if abs(first) == W else "z"
        yield Vertex(HIGGS, "vectors", f"h{kind}")
        yield Vertex(TWO_VECTORS, "vectors", f"hh{kind}", 2)
    elif first == HIGGS and second == TWO_HIGGS:
        yield Vertex(HIGGS, "scalars", "hhhh", 2)
    elif first == HIGGS and second == TWO_VECTORS:
        yield Vertex(HIGGS, "scalars", "i", 0)
    elif first in massive and second == TWO_HIGGS:
        yield Vertex(first, "vector scalar", f"i hh{'w' if abs(first) == W else 'z'}", 2)


Flows = dict[Current, dict[colour.Flow, None]]


def plan(process: Process, qed: int | None = None, last: int | None = None) -> Plan:
    """Find all steps of a process.

    qed: number of electroweak couplings of the amplitude, None: the least there is; last: the leg
    that meets the current of all others, None: that of the least work. Raises ValueError for a
    process that no vertices make, or not of that order.
    """
    fields = (*process.incoming, *(conjugate(pid) for pid in process.outgoing))
    if last is None:
        each = {field: leg for leg, field in enumerate(fields)}.values()
        return min((plan(process, qed, leg) for leg in each), key=_work)
    flows: Flows = {}
    for leg, field in enumerate(fields):
        if leg != last:
            own = colour.of_leg(leg + 1, particle(field).colour, field < 0)
            flows[Current(1 << leg, field, 0)] = {own: None}
    whole = (1 << len(fields)) - 1 - (1 << last)
    steps = _grow(flows, fields, whole)
    wanted = conjugate(fields[last])
    orders = sorted(c.order for c in flows if c.legs == whole and c.field == wanted)
    order = orders[0] if qed is None and orders else qed
    if order not in orders:
        text = " ".join(map(standard_model.name, process.incoming))
        text += " > " + " ".join(map(standard_model.name, process.outgoing))
        what = "" if qed is None else f" with {qed} electroweak couplings"
        raise ValueError(f"process {text}: no tree diagram{what}, orders there are {orders}")
    close = Current(whole, wanted, order)
    own = colour.of_leg(last + 1, particle(fields[last]).colour, fields[last] < 0)
    gluons = tuple(leg for leg, field in enumerate(fields, 1) if field == GLUON)
    complete = [closed(flow, own) for flow in flows[close]]
    kept = tuple(sorted({x for x in complete if not any((g, g) in x for g in gluons)}))
    weight = 2 if fields[last] == GLUON else 1  # of 2 tr(V T^a)
    if is_fermion(fields[last]):
        order_of = (1 << last, whole) if fields[last] < 0 else (whole, 1 << last)
        weight = _sign(*order_of, fields)
    ends = _gathered(((flow, k, weight) for k, flow in enumerate(complete)), kept)
    chosen = (step._replace(terms=_terms(step, flows)) for step in _needed(steps, close))
    return Plan(process, fields, tuple(chosen), close, last, kept, ends, gluons, order)


def _work(of: Plan) -> int:
    """Estimate the work of a plan: products of currents, of two helicities a leg."""
    return sum(sum(map(len, step.terms)) << step.made.legs.bit_count() for step in of.steps)


def _grow(flows: Flows, fields: tuple[int, ...], whole: int) -> list[Step]:
    """Make the currents of all parts of a set of legs, with the steps that make them."""
    by_legs: dict[int, list[Current]] = {}
    for current in flows:
        by_legs.setdefault(current.legs, []).append(current)
    steps = []
    parts = (legs for legs in range(1, whole + 1) if legs & whole == legs)
    for legs in sorted(parts, key=lambda legs: (legs.bit_count(), legs)):
        part = (legs - 1) & legs
        while part:
            other = legs ^ part
            for first, second in itertools.product(by_legs.get(part, ()), by_legs.get(other, ())):
                twice = part > other and ordered(second.field, first.field)
                if twice or not ordered(first.field, second.field):
                    continue
                for vertex in vertices(first.field, second.field):
                    order = first.order + second.order + vertex.order
                    made = Current(legs, vertex.field, order)
                    found = {
                        flow: None
                        for one, two in itertools.product(flows[first], flows[second])
                        for flow, _ in joined(vertex, one, two)
                    }
                    if not found:
                        continue
                    if made not in flows:
                        by_legs.setdefault(legs, []).append(made)
                    flows.setdefault(made, {}).update(found)
                    sign = _sign(part, other, fields) if is_fermion(second.field) else 1
                    steps.append(Step(first, second, made, vertex, sign))
            part = (part - 1) & legs
    return steps


def _terms(step: Step, flows: Flows) -> Terms:
    """Say of what pairs of flows each flow of a step is made."""
    pairs = itertools.product(flows[step.first], flows[step.second])
    sign = step.sign * step.vertex.sign
    listed = (
        (flow, k, sign * weight)
        for k, (one, two) in enumerate(pairs)
        for flow, weight in joined(step.vertex, one, two)
    )
    return _gathered(listed, tuple(flows[step.made]))


def _gathered(
    listed: Iterable[tuple[colour.Flow, int, float]], of: tuple[colour.Flow, ...]
) -> Terms:
    """Collect (flow, index, weight) by flow; those of no flow in the list are left out."""
    found: dict[colour.Flow, list[tuple[int, float]]] = {flow: [] for flow in of}
    for flow, index, weight in listed:
        if flow in found:
            found[flow].append((index, float(weight)))
    return tuple(tuple(found[flow]) for flow in of)


def _needed(steps: list[Step], close: Current) -> tuple[Step, ...]:
    """Keep the steps on the way to a current."""
    wanted, kept = {close}, []
    for step in reversed(steps):
        if step.made in wanted:
            wanted |= {step.first, step.second}
            kept.append(step)
    kept.reverse()
    return tuple(sorted(kept, key=lambda step: (step.made.legs.bit_count(), step.made)))


def _sign(first: int, second: int, fields: tuple[int, ...]) -> int:
    """Give the sign of bringing the fermions of two sets of legs, one behind the other, into the
    order of the legs.
    """
    fermions = [k for k, field in enumerate(fields) if is_fermion(field)]
    swaps = sum(i > j for i in fermions if first >> i & 1 for j in fermions if second >> j & 1)
    return (-1) ** swaps


def joined(
    vertex: Vertex, first: colour.Flow, second: colour.Flow
) -> Iterator[tuple[colour.Flow, float]]:
    """List the flows that a vertex makes of two, with their factors."""
    coloured = any(b == 0 for _, b in first)
    if vertex.colours == "beside":
        yield colour.beside(first, second), 1.0
    elif vertex.colours == "times":
        is_ket = vertex.how.startswith("ket")
        yield (colour.times(first, second) if is_ket else colour.times(second, first)), 1.0
    elif vertex.colours == "singlet":
        join = colour.times if coloured else colour.beside
        yield join(first, second), 1.0
    elif vertex.colours == "octet":
        yield colour.beside(first, second), 0.5
        yield colour.beside(colour.times(first, second), ((0, 0),)), -0.5 / colour.N
    elif not (colour.is_trace(first) or colour.is_trace(second)):
        yield colour.times(first, second), 1.0
        yield colour.times(second, first), -1.0


def closed(flow: colour.Flow, own: colour.Flow) -> colour.Flow:
    """Join the open indices of a flow with those of the last leg."""
    if not own:
        return flow
    pairs = [pair for pair in flow if 0 not in pair]
    outer = [a for a, b in flow if b == 0 and a], [b for a, b in flow if a == 0 and b]
    mine = [a for a, b in own if b == 0], [b for a, b in own if a == 0]
    if (0, 0) in flow:
        return tuple(sorted([*pairs, (mine[0][0], mine[1][0])]))
    pairs += [*zip(outer[0], mine[1]), *zip(mine[0], outer[1])]
    return tuple(sorted(pairs))
