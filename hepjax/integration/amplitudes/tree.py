"""Squared matrix elements of any tree-level process, summed over helicities and colours.

`build` makes the plan of a process (`recursion`), and `squared` carries it out for any number of
points at once, in float64: currents of one kind and number of legs together, by `tables`, so that a
compiler sees a few operations whatever the process. Spins and colours of incoming particles are
averaged, and identical outgoing ones counted once; one set of helicities may be asked for in place
of their sum, and the squares of single flows of colour. All is differentiable, in momenta and in
parameters. Memory grows with the number of points: some hundreds at once are fastest on a CPU.

>>> with jax.enable_x64(True):
...     p = np.array([[[50, 0, 0, 50], [50, 0, 0, -50], [50, 30, 0, 40], [50, -30, 0, -40.0]]])
...     value = squared(build("e- e+ > mu- mu+"), p)
>>> value.shape
(1,)
"""

import collections
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration.amplitudes import (
    colour,
    currents,
    recursion,
    standard_model,
    tables,
    wavefunctions,
)
from hepjax.integration.amplitudes.recursion import Plan
from hepjax.integration.amplitudes.standard_model import PARTICLES, Parameters, Process
from hepjax.integration.amplitudes.tables import Tables


def build(process: str | Process, qed: int | None = None) -> Plan:
    """Plan a process, such as "g g > t t~ g".

    qed: number of electroweak couplings, None: the least. Raises ValueError for what is no
    process of the Standard Model.
    """
    if isinstance(process, str):
        process = standard_model.parse(process)
    return recursion.plan(process, qed)


def squared(
    plan: Plan,
    momenta: Any,
    parameters: Parameters = standard_model.DEFAULT,
    helicity: Any = None,
) -> jax.Array:
    """Give |M|^2, averaged and summed [...], in GeV^(8 - 2 legs).

    momenta: [..., leg, 4] (E, px, py, pz), GeV, incoming legs first, all of positive energy;
    helicity: [..., leg] the only one of the sum that is meant, None: all. Raises ValueError for
    another number of legs, and without float64.
    """
    x, ends, shape = _closed(plan, momenta, parameters, helicity)
    weights = jnp.asarray(ends.T @ colour.matrix(plan.flows, plan.gluons) @ ends)
    parts = (y * jnp.tensordot(weights, y, 1) for y in (jnp.real(x), jnp.imag(x)))
    return sum(parts, jnp.zeros(())).sum((0, 1)).reshape(shape) / average(plan.process)


def flow_squares(
    plan: Plan,
    momenta: Any,
    parameters: Parameters = standard_model.DEFAULT,
    helicity: Any = None,
) -> jax.Array:
    """Give |M|^2 of each flow of colour alone, summed over helicities [..., flow].

    The flows are `plan.flows`, pairs (leg of a colour, leg of the anticolour that it goes to),
    counted from 1; at the leading power of the number of colours an event has one of them with a
    probability in proportion. Arguments as of `squared`.
    """
    x, ends, shape = _closed(plan, momenta, parameters, helicity)
    parts = (jnp.tensordot(ends, y, 1) ** 2 for y in (jnp.real(x), jnp.imag(x)))
    return sum(parts, jnp.zeros(())).sum(1).T.reshape(*shape, len(plan.flows))


def amplitudes(
    plan: Plan,
    momenta: Any,
    parameters: Parameters = standard_model.DEFAULT,
    helicity: Any = None,
) -> jax.Array:
    """Give the amplitude of each flow, at the helicities of `helicity_table` [..., helicity, flow],
    complex. Arguments as of `squared`.
    """
    x, ends, shape = _closed(plan, momenta, parameters, helicity)
    found = jnp.tensordot(ends + 0j, x, 1).transpose(2, 1, 0)
    return found.reshape(*shape, *found.shape[1:])


def helicity_table(plan: Plan) -> np.ndarray:
    """List the helicities of a sum, less those that vanish as massless fermions keep their
    handedness [helicity, leg].
    """
    states = [tables.helicities(field) for field in plan.fields]
    found = tables.tables(plan).helicities
    return np.array([[of[k] for of, k in zip(states, row)] for row in found])


def average(process: Process) -> float:
    """Give the number by which a sum is divided: states of incoming particles, and ways to order
    identical outgoing ones.
    """
    states = math.prod(
        len(tables.helicities(pid)) * PARTICLES[abs(pid)].colour for pid in process.incoming
    )
    counts = collections.Counter(process.outgoing).values()
    return states * math.prod(math.factorial(n) for n in counts)


class _Hand(NamedTuple):
    """What the steps of a plan have at hand: sums of incoming momenta [component, set, point];
    propagators [pole, point] and masses [pole]; factors of left and right hands [factor].
    """

    momenta: jax.Array
    poles: jax.Array
    masses: jax.Array
    left: jax.Array
    right: jax.Array


def _closed(
    plan: Plan, momenta: Any, parameters: Parameters, helicity: Any
) -> tuple[jax.Array, np.ndarray, tuple[int, ...]]:
    """Give amplitudes [strand, helicity, point], what flows are made of, shape of the points."""
    flat, signs, shape = _flattened(plan, momenta, helicity)
    made = tables.tables(plan, helicity is None)
    n_in = len(plan.process.incoming)
    inward = jnp.where(np.arange(len(flat))[:, None, None] < n_in, flat, -flat)
    hand = _hand(made, inward, parameters)

    def state(leg: int, digit: int) -> jax.Array:
        sign = tables.helicities(plan.fields[leg])[digit] if signs is None else signs[leg]
        return _external(plan, leg, sign, flat[leg], parameters)

    slots = {of: jnp.stack([state(*one) for one in some], 1) for of, some in made.states.items()}
    found: dict[str, jax.Array] = {}
    for level in made.levels:
        found = {of: _level_sum(of, level, slots, hand) for of in level.sizes}
        for of, rows in level.poles.items():
            found[of] = _propagate(of, found[of], rows, made, hand)
        for of, x in found.items():
            slots[of] = jnp.concatenate([slots[of], x], 1) if of in slots else x
    (x,) = found.values()
    digits = range(made.helicities[:, plan.last].max() + 1)
    last = [state(plan.last, digit)[:, None] for digit in digits]
    join = currents.dot if recursion.particle(plan.fields[plan.last]).kind == "vector" else _sum
    joined = jnp.concatenate([*(join(x, one) for one in last), jnp.zeros_like(x[0, :1])])
    rows = made.close + x.shape[1] * made.helicities[:, plan.last]
    return joined[np.where(made.close < 0, len(joined) - 1, rows)], made.ends, shape


def _sum(a: jax.Array, b: jax.Array) -> jax.Array:
    return (a * b).sum(0)


def _flattened(
    plan: Plan, momenta: Any, helicity: Any
) -> tuple[jax.Array, jax.Array | None, tuple[int, ...]]:
    """Give momenta [leg, component, point], helicities [leg, point], and the shape of points."""
    if not jax.config.jax_enable_x64:  # type: ignore
        raise ValueError("amplitude: expected float64, which is off: jax_enable_x64")
    n, p = len(plan.fields), jnp.asarray(momenta, float)
    if p.shape[-2:] != (n, 4):
        raise ValueError(f"momenta: {p.shape}, expected [..., {n}, 4]")
    shape, signs = p.shape[:-2], None
    if helicity is not None:
        signs = jnp.asarray(helicity)
        if signs.shape[-1:] != (n,):
            raise ValueError(f"helicity: {signs.shape}, expected [..., {n}]")
        shape = jnp.broadcast_shapes(shape, signs.shape[:-1])
        signs = jnp.broadcast_to(signs, (*shape, n)).reshape(-1, n).T
    p = jnp.broadcast_to(p, (*shape, n, 4)).reshape(-1, n, 4)
    return p.transpose(1, 2, 0), signs, shape


def _external(
    plan: Plan, leg: int, helicity: Any, momentum: jax.Array, parameters: Parameters
) -> jax.Array:
    """Give the wavefunction of a leg [component, point]; helicity: a number, or [point]."""
    field = plan.fields[leg]
    one, incoming = recursion.particle(field), leg < len(plan.process.incoming)
    mass = standard_model.value(parameters, one.mass)

    def state(helicity: int) -> jax.Array:
        if one.kind == "scalar":
            return jnp.ones_like(momentum[:1]) + 0j
        if one.kind == "vector":
            found = wavefunctions.polarisation(momentum, mass, helicity)
            return found if incoming else found.conj()
        # a ket is an incoming fermion or an outgoing antifermion
        spinor = wavefunctions.u if incoming == (field > 0) else wavefunctions.v
        found = spinor(momentum, mass, helicity)
        return found if field > 0 else wavefunctions.bar(found)

    if isinstance(helicity, int):
        return state(helicity)
    first, *rest = tables.helicities(field)
    found = state(first)
    for other in rest:
        found = jnp.where(helicity == other, state(other), found)
    return found


def _hand(made: Tables, inward: jax.Array, parameters: Parameters) -> _Hand:
    """Prepare what the steps need; inward: incoming momenta [leg, component, point]."""
    n = len(inward)
    of_legs = np.array([[float(legs >> leg & 1) for leg in range(n)] for legs in made.momenta])
    momenta = jnp.stack([of_legs @ inward[:, k] for k in range(4)])
    particles = [recursion.particle(field) for _, field in made.poles]

    def values(names: list[str]) -> jax.Array:
        return jnp.array([standard_model.value(parameters, name) for name in names], float)

    masses, widths = (values([getattr(one, of) for one in particles]) for of in ("mass", "width"))
    p = momenta[:, np.array([legs for legs, _ in made.poles], int)]
    poles = 1j / (currents.dot(p, p) + (1j * masses * widths - masses**2)[:, None])
    of_name = _factors(parameters)
    pairs = [(_hands(_factor(name, of_name)), weight) for name, weight in made.factors]
    left, right = (jnp.array([of[k] * x + 0j for of, x in pairs]) for k in range(2))
    return _Hand(momenta, poles, masses, left, right)


def _level_sum(of: str, level: tables.Level, slots: dict[str, jax.Array], hand: _Hand) -> jax.Array:
    """Add up what the groups of a level make of a kind [component, row, point]."""
    total: Any = 0.0
    for group in level.groups:
        if group.kinds[-1] != of:
            continue
        some = _group_sum(group, slots, hand)
        if len(group.rows) < level.sizes[of]:
            whole = jnp.zeros((len(some), level.sizes[of], some.shape[-1]), some.dtype)
            some = whole.at[:, group.rows].set(some)
        total = total + some
    return total


def _group_sum(group: tables.Group, slots: dict[str, jax.Array], hand: _Hand) -> jax.Array:
    """Add up products of slots [component, row, point]."""
    chiral = group.how in ("ket", "bra", "pair")

    def product(k: Any) -> jax.Array:
        first, second, p, q, factor = k
        a, b = slots[group.kinds[0]][:, first], slots[group.kinds[1]][:, second]
        momenta = (hand.momenta[:, p], hand.momenta[:, q]) if group.how == "three" else ()
        hands = hand.left[factor][:, None], hand.right[factor][:, None]
        return _make(group.how, a, b, momenta, hands if chiral else hands[0])

    whole = (group.first, group.second, *group.momenta, group.factor)
    total = product([x[0] for x in whole])
    if len(group.first) > 1:
        rest = [jnp.asarray(x[1:]) for x in whole]
        total, _ = jax.lax.scan(lambda x, k: (x + product(k), None), total, rest)
    return total


def _factors(parameters: Parameters) -> dict[str, Any]:
    """Give the factors of all vertices by name; pairs are of left and right hands."""
    c = standard_model.couplings(parameters)
    ratio = parameters.mass_higgs**2 / c.vev
    found: dict[str, Any] = {
        "one": 1.0,
        "i": 1j,
        "sin": c.sin,
        "cos": c.cos,
        "strong": 1j * c.g_s,
        "three strong": -1j * c.g_s,
        "strong strong": 1j * c.g_s**2,
        "weak": -1j * c.g,
        "weak weak": 1j * c.g**2,
        "w": (1j * c.g / 2**0.5, 0.0),
        "hw": 1j * c.g * c.mass_w,
        "hz": 1j * c.g * parameters.mass_z / c.cos,
        "hhw": c.g**2 / 2,
        "hhz": c.g**2 / 2 / c.cos**2,
        "hhh": -3j * ratio,
        "hhhh": -1j * ratio / c.vev,
    }
    for pid, one in standard_model.PARTICLES.items():
        if one.kind == "fermion":
            mass = standard_model.value(parameters, one.mass)
            right = -one.charge * c.sin**2
            found[f"photon {pid}"] = 1j * c.e * one.charge
            found[f"z {pid}"] = tuple(1j * c.g / c.cos * x for x in (one.isospin + right, right))
            found[f"yukawa {pid}"] = -1j * mass / c.vev
    return found


def _factor(coupling: str, factors: dict[str, Any]) -> Any:
    """Give the factor of a vertex; names that are not one factor are products."""
    if coupling in factors:
        return factors[coupling]
    for start in ("weak weak", "weak", "one", "i"):
        if coupling.startswith(start + " "):
            rest = (factors[name] for name in coupling.removeprefix(start).split())
            return factors[start] * math.prod(rest)
    raise KeyError(coupling)


def _make(how: str, a: Any, b: Any, momenta: Any, factor: Any) -> jax.Array:
    """Make a current of two by a vertex; factor: of both hands where they may differ."""
    match how:
        case "ket":
            return currents.slash_ket(a, b, *factor)
        case "bra":
            return currents.bra_slash(b, a, *factor)
        case "pair":
            return currents.bra_ket_vector(a, b, *factor)
        case "three":
            return factor * currents.three_vectors(a, b, *momenta)
        case "tensor":
            return factor * currents.two_vectors_tensor(a, b)
        case "tensor vector":
            return factor * currents.tensor_vector(b, a)
        case "pair scalar":
            return factor * currents.bra_ket_scalar(a, b)
        case "vectors":
            return factor * currents.vectors_scalar(a, b)
    return factor * a * b  # a scalar and anything


def _hands(factor: Any) -> tuple[Any, Any]:
    """Give the factors of left and of right hands."""
    return factor if isinstance(factor, tuple) else (factor, factor)


def _propagate(of: str, x: jax.Array, rows: np.ndarray, made: Tables, hand: _Hand) -> jax.Array:
    """Give rows of currents [component, row, point] their propagators."""
    fields = [made.poles[row] for row in rows]
    massive = np.array([bool(recursion.particle(field).mass) for _, field in fields])
    factor, p = hand.poles[rows], hand.momenta[:, np.array([legs for legs, _ in fields])]
    masses = hand.masses[rows][:, None]
    if of == "scalar":
        return x * factor
    if of == "vector":
        inverse = jnp.where(
            massive[:, None], 1 / jnp.where(massive[:, None], masses, 1.0) ** 2, 0.0
        )
        along = p * (currents.dot(p, x) * inverse) if massive.any() else 0.0
        return (along - x) * factor
    propagate = currents.propagate_ket if of == "ket" else currents.propagate_bra
    return propagate(x, p, masses if massive.any() else 0.0) * factor
