"""Tree amplitudes by brute force, in numpy, for the tests of amplitudes: nothing of hepjax is used.

Feynman rules as in Peskin and Schroeder (covariant derivative d - i g A^a t^a, all fields of a
vertex incoming, unitary gauge), Gell-Mann's matrices, an index of colour for each leg, quartic
vertices as they are. Sums of diagrams with the same fermion lines are kept apart until the end,
where each has the sign of the permutation that brings the ends of its lines into the order of legs.

A node is a sum of subdiagrams with one line open: (legs, field, number of electroweak couplings,
leg at the other end of an open fermion line, closed fermion lines). Arrays are [component, colour
of each leg, colour of the open line]; what has no colour has an index of one value.
"""

import itertools
from collections import Counter
from math import factorial, prod

import numpy as np
from dirac import GAMMA, METRIC, slash

ALPHA, FERMI, ALPHA_S = 1 / 132.507, 1.16639e-5, 0.118
MZ = 91.188
MW = np.sqrt(MZ**2 / 2 + np.sqrt(MZ**4 / 4 - np.pi * ALPHA * MZ**2 / (np.sqrt(2) * FERMI)))
MASS = {5: 4.7, 6: 173.0, 15: 1.777, 23: MZ, 24: MW, 25: 125.0}
WIDTH = {6: 1.4915, 23: 2.441404, 24: 2.0476, 25: 6.382339e-3}
E, GS = np.sqrt(4 * np.pi * ALPHA), np.sqrt(4 * np.pi * ALPHA_S)
COS = MW / MZ
SIN = np.sqrt(1 - COS**2)
G = E / SIN
VEV = 2 * MW / G
G_, A_, Z_, W_, H_ = 21, 22, 23, 24, 25
QUARKS, LEPTONS = range(1, 7), range(11, 17)
LEFT = np.diag([1, 1, 0, 0])
LOW = np.einsum("mn,nij->mij", METRIC, GAMMA)


def _gell_mann():
    t = np.zeros((8, 3, 3), complex)
    for k, (i, j) in zip((0, 3, 5), ((0, 1), (0, 2), (1, 2))):
        t[k, i, j] = t[k, j, i] = t[k + 1, j, i] = 1
        t[k + 1, i, j], t[k + 1, j, i] = -1j, 1j
    t[2], t[7] = np.diag([1, -1, 0]), np.diag([1, 1, -2]) / np.sqrt(3)
    return t / 2


T = _gell_mann()
F = np.real(-2j * np.einsum("aij,bjk,cki->abc", T, T, T) + 2j * np.einsum("bij,ajk,cki", T, T, T))
EPSILON = np.fromfunction(lambda i, j, k: (j - i) * (k - j) * (k - i) / 2, (3, 3, 3))
WEAK = (W_, -W_, Z_, A_)
MIX = np.array([[1, 1, 0, 0], [1j, -1j, 0, 0], [0, 0, np.sqrt(2) * COS, np.sqrt(2) * SIN]]) / 2**0.5
"""W1, W2, W3 by W+ = (W1 - i W2) / sqrt 2, W-, Z and the photon."""
THREE = G * np.einsum("ijk,ix,jy,kz->xyz", EPSILON, MIX, MIX, MIX)
FOUR = G**2 * np.einsum("ije,kle,ix,jy,kz,lw->xyzw", EPSILON, EPSILON, MIX, MIX, MIX, MIX)
PAIRED = [
    np.einsum(f"{one},{two}->mnrs", METRIC, METRIC)
    for one, two in (("mr", "ns"), ("ms", "nr"), ("mn", "rs"))
]


def anti(field):
    return field if field in (G_, A_, Z_, H_) else -field


def is_fermion(field):
    return abs(field) < 20


def colours(field):
    return 8 if field == G_ else 3 if abs(field) in QUARKS else 1


def states(field):
    """Helicities; a massless neutrino has two, as in MadGraph's averages."""
    return (0,) if field == H_ else (-1, 0, 1) if abs(field) in (Z_, W_) else (-1, 1)


def line(bra, boson, ket):
    """The vertex bra boson ket [boson, bra, ket] of fermions bra and ket, or None."""
    isospin = -0.5 if ket % 2 else 0.5
    charge = isospin + (1 / 6 if ket in QUARKS else -1 / 2)
    if bra == ket:
        if boson == G_ and ket in QUARKS:
            return 1j * GS * LOW
        if boson == A_ and charge:
            return 1j * E * charge * LOW
        if boson == Z_:
            return 1j * G / COS * LOW @ (isospin * LEFT - SIN**2 * charge * np.eye(4))
        if boson == H_ and ket in MASS:
            return -1j * MASS[ket] / VEV * np.eye(4)[None]
    elif abs(boson) == W_ and bra - ket == boson // W_ and min(bra, ket) % 2:
        return 1j * G / np.sqrt(2) * LOW @ LEFT
    return None


def cubic(a, b, c):
    """Coefficient and kind of a vertex of three bosons, or None."""
    fields = sorted((a, b, c))
    if fields == [G_] * 3:
        return GS, "vvv"
    if all(x in WEAK for x in fields):
        factor = THREE[tuple(WEAK.index(x) for x in (a, b, c))]
        return (factor, "vvv") if factor else None
    higgs = {(-W_, W_, H_): 1j * G * MW, (Z_, Z_, H_): 1j * G * MZ / COS}
    if tuple(fields) in higgs:
        return higgs[tuple(fields)], "vvs"
    return (-3j * MASS[H_] ** 2 / VEV, "sss") if fields == [H_] * 3 else None


def quartic(fields):
    """Tensor [four components] of a vertex of four bosons without colour, or None."""
    if all(x in WEAK for x in fields):
        a, b, c, d = (WEAK.index(x) for x in fields)
        one, two, three = PAIRED
        total = FOUR[a, b, c, d] * (one - two) + FOUR[a, c, b, d] * (three - two)
        total = total + FOUR[a, d, b, c] * (three - one)
        return -1j * total if abs(total).any() else None
    if list(fields) == [H_] * 4:
        return np.full((1, 1, 1, 1), -3j * MASS[H_] ** 2 / VEV**2)
    two = tuple(sorted(x for x in fields if x != H_))
    factors = {(-W_, W_): G**2 / 2, (Z_, Z_): G**2 / 2 / COS**2}
    if len(two) == 2 and two in factors:
        shape = [1 if x == H_ else 4 for x in fields]
        return 1j * factors[two] * METRIC.reshape(shape)
    return None


def order_of(*fields):
    """Number of electroweak couplings of a vertex."""
    return 0 if G_ in fields else len(fields) - 2


BOSONS = (G_, A_, Z_, W_, -W_, H_)
FERMIONS = (*QUARKS, *LEPTONS)


def makes(*fields):
    """Fields, each with what stands in the open slot of the vertex, that some fields make."""
    fermions = [x for x in fields if is_fermion(x)]
    if fermions and len(fields) == 3:
        return []
    if len(fermions) == 2:
        bra, ket = sorted(fermions)
        if not bra < 0 < ket:
            return []
        return [anti(x) for x in BOSONS if line(-bra, x, ket) is not None]
    if fermions:
        (one,), (boson,) = fermions, (x for x in fields if not is_fermion(x))
        if one > 0:
            return [x for x in FERMIONS if line(x, boson, one) is not None]
        return [-x for x in FERMIONS if line(-one, boson, x) is not None]
    if len(fields) == 2:
        return [anti(x) for x in BOSONS if cubic(*fields, x)]
    if all(x == G_ for x in fields):
        return [G_]
    return [anti(x) for x in BOSONS if quartic((*fields, x)) is not None]


class Tree:
    """The diagrams of a process, of PDG codes; qed: number of electroweak couplings, None: the
    least. All legs are counted as incoming, and the last one is the root.
    """

    def __init__(self, incoming, outgoing, qed=None):
        self.incoming, self.outgoing = incoming, outgoing
        self.legs = (*incoming, *map(anti, outgoing))
        n = len(self.legs)
        self.recipes = {}
        nodes = {1 << k: [(1 << k, f, 0, k if is_fermion(f) else None, frozenset())]
                 for k, f in enumerate(self.legs[:-1])}  # fmt: skip
        for part in sorted(range(1, 1 << (n - 1)), key=lambda x: (x.bit_count(), x)):
            for split in _splits(part):
                for parts in itertools.product(*(nodes.get(x, []) for x in split)):
                    for node in self._made(part, parts):
                        self.recipes.setdefault(node, []).append(parts)
                        if node not in nodes.setdefault(part, []):
                            nodes[part].append(node)
        ends = [x for x in nodes.get((1 << (n - 1)) - 1, []) if x[1] == anti(self.legs[-1])]
        self.orders = sorted({x[2] for x in ends})
        self.qed = self.orders[0] if qed is None else qed
        self.ends = [x for x in ends if x[2] == self.qed]

    def _made(self, part, parts):
        fields = [x[1] for x in parts]
        closed = frozenset().union(*(x[4] for x in parts))
        loose = sorted((x[1], x[3]) for x in parts if x[3] is not None)
        for field in makes(*fields):
            order = sum(x[2] for x in parts) + order_of(*fields, field)
            if len(loose) == 2:
                yield part, field, order, None, closed | {(loose[0][1], loose[1][1])}
            else:
                yield part, field, order, loose[0][1] if loose else None, closed

    def squared(self, momenta, helicity=None):
        """|M|^2, averaged and summed, at one point [leg, 4]; helicity: [leg] the only one."""
        known, total = {}, 0.0
        every = itertools.product(*map(states, self.legs)) if helicity is None else [helicity]
        for some in every:
            total += (abs(self.amplitude(momenta, tuple(some), known)) ** 2).sum()
        count = prod(map(factorial, Counter(self.outgoing).values()))
        return total / count / prod(len(states(f)) * colours(f) for f in self.incoming)

    def amplitude(self, p, helicity, known):
        """Amplitude at a point and helicity [colour of each leg]; known: currents, to share."""
        root, total = len(self.legs) - 1, 0.0
        field = self.legs[root]
        wave = self._current((1 << root, field, 0, None, frozenset()), p, helicity, known)
        for node in self.ends:
            lines = list(node[4])
            if node[3] is not None:
                lines.append((node[3], root) if field > 0 else (root, node[3]))
            x = self._current(node, p, helicity, known, cut=True)
            if x is not None:
                sign = _parity([end for one in lines for end in one])
                total = total + sign * np.tensordot(x, wave, ([0, x.ndim - 1], [0, 2]))
        return np.asarray(total)

    def _wave(self, leg, p, helicity):
        """Wavefunction [component, colour, colour]."""
        field = self.legs[leg]
        if is_fermion(field):
            incoming = leg < len(self.incoming)
            state = spinor(p, MASS.get(abs(field), 0.0), helicity, incoming == (field > 0))
            state = state if field > 0 else state.conj() @ GAMMA[0]
        elif field == H_:
            state = np.ones(1)
        else:
            state = vector(p, MASS.get(abs(field), 0.0), helicity)
            state = state if leg < len(self.incoming) else state.conj()
        return state[:, None, None] * np.eye(colours(field))

    def _current(self, node, p, helicity, known, cut=False):
        legs = [k for k in range(len(self.legs)) if node[0] >> k & 1]
        key = node, tuple(helicity[k] for k in legs)
        if key in known:
            return known[key]
        if len(legs) == 1:
            x = self._wave(legs[0], p[legs[0]], helicity[legs[0]])
        else:
            x = self._sum(node, legs, p, helicity, known)
            if x is not None and not cut:
                x = np.tensordot(propagator(node[1], self._inflow(legs, p)), x, 1)
        if not cut:
            known[key] = x
        return x

    def _inflow(self, legs, p):
        return sum(p[k] if k < len(self.incoming) else -p[k] for k in legs)

    def _sum(self, node, legs, p, helicity, known):
        total = 0.0
        for parts in self.recipes[node]:
            arrays = [self._current(x, p, helicity, known) for x in parts]
            if any(x is None for x in arrays):
                continue
            of = [[k for k in legs if x[0] >> k & 1] for x in parts]
            flows = [self._inflow(some, p) for some in of]
            for lorentz, colour in rules([x[1] for x in parts], node[1], flows):
                total = total + contracted(arrays, of, legs, lorentz, colour)
        return total if np.any(total) else None


def _splits(part):
    """All ways to part a set into two or three."""
    lowest = part & -part
    first = part
    while first:
        if first & lowest and first != part:
            rest = part ^ first
            yield first, rest
            second = (rest - 1) & rest
            while second:
                if second & rest & -rest:
                    yield first, second, rest ^ second
                second = (second - 1) & rest
        first = (first - 1) & part


def _parity(sequence):
    swaps = sum(a > b for a, b in itertools.combinations(sequence, 2))
    return (-1) ** swaps


def rules(fields, made, flows):
    """The vertex as terms (Lorentz tensor, operands and subscripts of colour), indices of those
    that come in first, then the open one.
    """
    if len(fields) == 3:
        if fields[0] == G_:
            one, two, three = PAIRED
            factor = -1j * GS**2
            return [(factor * (one - two), ("ABx,CDx", F, F)),
                    (factor * (three - two), ("ACx,BDx", F, F)),
                    (factor * (three - one), ("ADx,BCx", F, F))]  # fmt: skip
        return [(quartic((*fields, anti(made))), ("ABCD", np.ones((1,) * 4)))]
    if is_fermion(fields[0]) or is_fermion(fields[1]):
        return [_line_rule(fields, made)]
    factor, kind = cubic(*fields, anti(made))
    colour = F if made == G_ else np.ones((1, 1, 1))
    if kind == "sss":
        return [(np.full((1, 1, 1), factor), ("ABC", colour))]
    if kind == "vvs":
        shape = [1 if x == H_ else 4 for x in (*fields, made)]
        return [(factor * METRIC.reshape(shape), ("ABC", colour))]
    k, q, r = (METRIC @ x for x in (*flows, -flows[0] - flows[1]))
    tensor = np.einsum("mn,r->mnr", METRIC, k - q) + np.einsum("nr,m->mnr", METRIC, q - r)
    return [(factor * (tensor + np.einsum("rm,n->mnr", METRIC, r - k)), ("ABC", colour))]


def _line_rule(fields, made):
    slots = [*fields, anti(made)]  # of the vertex; a bra stands for its fermion
    (bra,) = (k for k in range(3) if is_fermion(slots[k]) and slots[k] < 0)
    (ket,) = (k for k in range(3) if is_fermion(slots[k]) and slots[k] > 0)
    boson = 3 - bra - ket
    tensor = line(-slots[bra], slots[boson], slots[ket])
    colour = T if slots[boson] == G_ else np.eye(colours(slots[ket]))[None]
    axes = np.argsort([boson, bra, ket])
    return tensor.transpose(axes), ("ABC", colour.transpose(axes))


def contracted(arrays, of, legs, lorentz, colour):
    """Contract currents with a vertex [component, colour of each leg, open colour]."""
    letter = "abcdefgh"
    places = "mnrs"[: len(arrays) + 1]
    subscripts, *tensors = colour
    names = [
        places[k] + "".join(letter[leg] for leg in some) + "ABCD"[k] for k, some in enumerate(of)
    ]
    out = places[-1] + "".join(letter[k] for k in legs) + "ABCD"[len(arrays)]
    spec = ",".join([places, subscripts, *names]) + "->" + out
    return np.einsum(spec, lorentz, *tensors, *arrays, optimize="greedy")


def propagator(field, p):
    mass, width = MASS.get(abs(field), 0.0), WIDTH.get(abs(field), 0.0)
    factor = 1j / (p @ METRIC @ p - mass**2 + 1j * mass * width)
    if is_fermion(field):
        if field > 0:
            return factor * (slash(p) + mass * np.eye(4))
        return factor * (slash(-p) + mass * np.eye(4)).T
    if field == H_:
        return factor * np.ones((1, 1))
    along = np.outer(p, p) / mass**2 if mass else 0.0
    return -factor * (METRIC - along)


def spinor(p, mass, helicity, is_u):
    """u or v; of a massless momentum and a mass as if that momentum were right."""
    length = np.linalg.norm(p[1:])
    _, both = np.linalg.eigh(np.einsum("k,kij->ij", p[1:] / length, GAMMA[1:, :2, 2:]))
    large = np.sqrt(p[0] + length)
    small = mass / large
    chi = both[:, int((helicity > 0) == is_u)]
    if not is_u:
        return np.concatenate([large * chi, -small * chi] if helicity > 0
                              else [small * chi, -large * chi])  # fmt: skip
    return np.concatenate([small * chi, large * chi] if helicity > 0
                          else [large * chi, small * chi])  # fmt: skip


def vector(p, mass, helicity):
    length = np.linalg.norm(p[1:])
    way = p[1:] / length
    if helicity == 0:
        return np.array([length, *(p[0] * way)]) / mass
    one = np.cross(way, np.eye(3)[np.argmin(abs(way))])
    one /= np.linalg.norm(one)
    return np.array([0, *(-helicity * one - 1j * np.cross(way, one))]) / np.sqrt(2)
