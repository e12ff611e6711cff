"""The carrying out of a plan by its tables: amplitudes of many points.

First the wavefunctions of the legs, then level by level the sums of products of currents, with
their propagators, and at the end what meets the last leg. Masses, widths and couplings are arrays
by which all can be differentiated. Slots, rows and so on are those of `tables`.

>>> plan = recursion.plan(standard_model.parse("e- e+ > mu- mu+"))
>>> p = np.array([[[50, 0, 0, 50], [50, 0, 0, -50], [50, 30, 0, 40], [50, -30, 0, -40.0]]])
>>> with jax.enable_x64(True):
...     evaluate(plan, p, None, standard_model.DEFAULT).shape
(1, 4, 1)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration.amplitudes import (
    currents,
    recursion,
    standard_model,
    tables,
    wavefunctions,
)
from hepjax.integration.amplitudes.recursion import Plan
from hepjax.integration.amplitudes.standard_model import Parameters
from hepjax.integration.amplitudes.tables import Tables, kind


class _Hand(NamedTuple):
    """What the steps of a plan have at hand: sums of incoming momenta [component, set, point];
    propagators [pole, point] and masses [pole]; factors of left and right hands [factor].
    """

    momenta: jax.Array
    poles: jax.Array
    masses: jax.Array
    left: jax.Array
    right: jax.Array


def evaluate(plan: Plan, momenta: Any, signs: Any, parameters: Parameters) -> jax.Array:
    """Give the amplitudes of strands [strand, helicity, point], of which `Tables.ends` makes flows.

    momenta: [point, leg, 4]; signs: helicities [point, leg], None: all that do not vanish.
    """
    made = tables.tables(plan, signs is None)
    flat = jnp.asarray(momenta).transpose(1, 2, 0)
    n_in = len(plan.process.incoming)
    inward = jnp.where(np.arange(len(flat))[:, None, None] < n_in, flat, -flat)
    hand = _hand(made, inward, parameters)
    states = _externals(plan, flat, None if signs is None else signs.T, parameters)
    slots = {of: jnp.stack([states[one] for one in some], 1) for of, some in made.states.items()}
    found: dict[str, jax.Array] = {}
    for level in made.levels:
        found = {of: _level_sum(of, level, slots, hand) for of in level.sizes}
        for of, rows in level.poles.items():
            found[of] = _propagate(of, found[of], rows, made, hand)
        for of, x in found.items():
            slots[of] = jnp.concatenate([slots[of], x], 1) if of in slots else x
    (x,) = found.values()
    digits = range(made.helicities[:, plan.last].max() + 1)
    last = [states[plan.last, digit][:, None] for digit in digits]
    join = currents.dot if recursion.particle(plan.fields[plan.last]).kind == "vector" else _sum
    joined = jnp.concatenate([*(join(x, one) for one in last), jnp.zeros_like(x[0, :1])])
    rows = made.close + x.shape[1] * made.helicities[:, plan.last]
    return _take(joined, np.where(made.close < 0, len(joined) - 1, rows), 0)


def _take(x: jax.Array, index: Any, axis: int = 1) -> jax.Array:
    """Take rows by numbers, which are known to be there."""
    at = x.at[:, index] if axis else x.at[index]
    return at.get(mode="promise_in_bounds", wrap_negative_indices=False)


def _sum(a: jax.Array, b: jax.Array) -> jax.Array:
    return (a * b).sum(0)


def _externals(
    plan: Plan, flat: jax.Array, signs: jax.Array | None, parameters: Parameters
) -> dict[tuple[int, int], jax.Array]:
    """Give the wavefunctions of legs by leg and number of helicity [component, point]."""
    alike: dict[tuple, list[int]] = {}
    for leg, field in enumerate(plan.fields):
        incoming = leg < len(plan.process.incoming)
        is_fermion = recursion.is_fermion(field)
        key = (incoming, field > 0) if is_fermion else (tables.helicities(field), incoming)
        alike.setdefault((is_fermion, *key), []).append(leg)
    found = {}
    for legs in alike.values():
        states = _alike(plan, legs, flat[np.array(legs)].swapaxes(0, 1), parameters)
        if signs is not None:
            _, *rest = tables.helicities(plan.fields[legs[0]])
            chosen = states[0]
            for helicity, other in zip(rest, states[1:]):
                chosen = jnp.where(signs[np.array(legs)] == helicity, other, chosen)
            states = [chosen]
        for digit, state in enumerate(states):
            found |= {(leg, digit): state[:, k] for k, leg in enumerate(legs)}
    return found


def _alike(
    plan: Plan, legs: list[int], momenta: jax.Array, parameters: Parameters
) -> list[jax.Array]:
    """Give the wavefunctions of legs of one kind, helicity by helicity [component, leg, point];
    momenta: [component, leg, point].
    """
    field, incoming = plan.fields[legs[0]], legs[0] < len(plan.process.incoming)
    names = [recursion.particle(plan.fields[leg]).mass for leg in legs]
    masses = jnp.stack([jnp.asarray(standard_model.value(parameters, x), float) for x in names])
    found = []
    for helicity in tables.helicities(field):
        if kind(field) == "scalar":
            found.append(jnp.ones_like(momenta[:1]) + 0j)
        elif kind(field) == "vector":
            vector = wavefunctions.polarisation(momenta, masses[:, None], helicity)
            found.append(vector if incoming else vector.conj())
        else:  # a ket is an incoming fermion or an outgoing antifermion
            spinor = wavefunctions.u if incoming == (field > 0) else wavefunctions.v
            state = spinor(momenta, masses[:, None], helicity)
            found.append(state if field > 0 else wavefunctions.bar(state))
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
    of_name = standard_model.factors(parameters)
    pairs = [
        (_hands(standard_model.factor(name, of_name)), weight) for name, weight in made.factors
    ]
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
        a, b = _take(slots[group.kinds[0]], first), _take(slots[group.kinds[1]], second)
        momenta = [_take(hand.momenta, x) for x in (p, q)] if group.how == "three" else ()
        hands = [_take(x, factor, 0)[:, None] for x in (hand.left, hand.right)]
        return _make(group.how, a, b, momenta, hands if chiral else hands[0])

    whole = (group.first, group.second, *group.momenta, group.factor)
    if len(group.first) == 1:
        return product([x[0] for x in whole])
    shape = (tables.COMPONENTS[group.kinds[-1]], len(group.rows), hand.momenta.shape[-1])
    total, _ = jax.lax.scan(
        lambda x, k: (x + product(k), None), jnp.zeros(shape, complex), [*map(jnp.asarray, whole)]
    )
    return total


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
