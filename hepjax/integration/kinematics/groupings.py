"""Channels of a process: how its outgoing particles may come of one another.

A propagator makes a matrix element large where some of the outgoing particles have its mass. So the
particles are divided into groups in all ways in which each group can come of one particle by the
vertices of the Standard Model; each way is a layout of phase space (`layouts`) with maps for the
masses of its groups, and a channel of the integration. The heaviest group takes the recoil.

>>> from hepjax.integration.amplitudes import tree
>>> [layout.groups for layout in suggested(tree.build("g g > t t~"))]
[(0, 1)]
>>> len(suggested(tree.build("g g > t t~ g")))
4
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from hepjax.integration.amplitudes import recursion, standard_model
from hepjax.integration.kinematics.layouts import Layout, Node, Split, leaves


def suggested(plan: recursion.Plan, *, most: int = 2) -> tuple[Layout, ...]:
    """List the layouts of a process: each group comes of one particle, by no more electroweak
    vertices than the process has, with mass and width at the default parameters.

    most: particles in a group.
    """
    fields = [recursion.conjugate(pid) for pid in plan.process.outgoing]
    found = []
    for parts in _partitions(tuple(range(len(fields)))):
        if len(parts) == 1 or max(map(len, parts)) > most:
            continue
        for made in itertools.product(*(_joined(part, fields) for part in parts)):
            if sum(one.order for one in made) <= plan.qed:
                nodes = sorted((one.node for one in made), key=lambda node: _weight(node, fields))
                found.append(Layout(tuple(nodes)))
    return tuple(dict.fromkeys(found))


class Made(NamedTuple):
    """A group, the field that it comes of, as incoming, and its electroweak vertices."""

    node: Node
    field: int
    order: int


def _mass(pid: int) -> tuple[float, float]:
    one, known = recursion.particle(pid), standard_model.DEFAULT
    return standard_model.value(known, one.mass), standard_model.value(known, one.width)


def _weight(node: Node, fields: list[int]) -> float:
    return sum(_mass(fields[k])[0] for k in leaves(node))


def _partitions(items: tuple[int, ...]) -> Iterator[list[tuple[int, ...]]]:
    """List the ways to divide items into parts."""
    if not items:
        yield []
        return
    for k in range(len(items)):
        for rest in itertools.combinations(items[1:], k):
            left = tuple(x for x in items[1:] if x not in rest)
            for parts in _partitions(left):
                yield [(items[0], *rest), *parts]


def _joined(part: tuple[int, ...], fields: list[int]) -> list[Made]:
    """List the groups that vertices make of some particles."""
    if len(part) == 1:
        return [Made(part[0], fields[part[0]], 0)]
    found = []
    for k in range(len(part) - 1):
        for rest in itertools.combinations(part[1:], k):
            one, other = (part[0], *rest), tuple(x for x in part[1:] if x not in rest)
            for a, b in itertools.product(_joined(one, fields), _joined(other, fields)):
                first, second = a.field, b.field
                if not recursion.ordered(first, second):
                    first, second = second, first
                for vertex in recursion.vertices(first, second):
                    if abs(vertex.field) < 1000:  # others stand for two bosons
                        node = _split(a.node, b.node, vertex.field, fields)
                        found.append(Made(node, vertex.field, a.order + b.order + vertex.order))
    return list(dict.fromkeys(found))


def _split(first: Node, second: Node, field: int, fields: list[int]) -> Split:
    """Join two groups; a pole that they cannot reach has no peak, and lies not above the least
    mass.
    """
    mass, width = _mass(field)
    least = _weight(first, fields) + _weight(second, fields)
    if width and mass > least:
        return Split(first, second, mass=mass, width=width)
    return Split(first, second, mass=min(mass, least))
