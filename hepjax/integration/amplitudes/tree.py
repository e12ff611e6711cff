"""Squared matrix elements of any tree-level process, summed over helicities and colours.

`build` makes the plan of a process (`recursion`); `squared` carries it out for any number of points
at once, in float64: helicities are axes of arrays, of which a current has only those of its own
legs, so nothing is computed twice. Spins and colours of incoming particles are averaged, and
identical outgoing ones counted once. All is differentiable, in momenta and in parameters.

>>> with jax.enable_x64(True):
...     p = np.array([[[50, 0, 0, 50], [50, 0, 0, -50], [50, 30, 0, 40], [50, -30, 0, -40.0]]])
...     value = squared(build("e- e+ > mu- mu+"), p)
>>> value.shape
(1,)
"""

import collections
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration.amplitudes import colour, currents, recursion, standard_model, wavefunctions
from hepjax.integration.amplitudes.recursion import Current, Plan, Step, Terms, Vertex
from hepjax.integration.amplitudes.standard_model import Parameters, Process


def build(process: str | Process, qed: int | None = None) -> Plan:
    """Plan a process, such as "g g > t t~ g".

    qed: number of electroweak couplings, None: the least. Raises ValueError for what is no
    process of the Standard Model.
    """
    if isinstance(process, str):
        process = standard_model.parse(process)
    return recursion.plan(process, qed)


def squared(plan: Plan, momenta: Any, parameters: Parameters = standard_model.DEFAULT) -> jax.Array:
    """Give |M|^2, averaged and summed [...], in GeV^(8 - 2 legs).

    momenta: [..., leg, 4] (E, px, py, pz), GeV, incoming legs first, all of positive energy. Raises
    ValueError for another number of legs, and without float64.
    """
    jamps = amplitudes(plan, momenta, parameters)
    weights = jnp.asarray(colour.matrix(plan.flows, plan.gluons))
    real, imaginary = jnp.real(jamps), jnp.imag(jamps)
    total = sum(
        ((x * jnp.tensordot(weights, x, 1)).sum(0) for x in (real, imaginary)), jnp.zeros(())
    )
    summed = total.sum(tuple(range(len(plan.fields))))
    return summed.reshape(np.shape(momenta)[:-2]) / average(plan.process)


def average(process: Process) -> float:
    """Give the number by which a sum is divided: states of incoming particles, and ways to order
    identical outgoing ones.
    """
    states = math.prod(
        len(helicities(pid)) * standard_model.PARTICLES[abs(pid)].colour for pid in process.incoming
    )
    counts = collections.Counter(process.outgoing).values()
    return states * math.prod(math.factorial(n) for n in counts)


def helicities(pid: int) -> tuple[int, ...]:
    """List the helicities of a particle."""
    one = standard_model.PARTICLES[abs(pid)]
    if one.kind == "scalar":
        return (0,)
    return (-1, 0, 1) if one.kind == "vector" and one.mass else (-1, 1)


def amplitudes(
    plan: Plan, momenta: Any, parameters: Parameters = standard_model.DEFAULT
) -> jax.Array:
    """Give the amplitude of each flow of colour and all helicities [flow, *helicity, point].

    momenta: [..., leg, 4]; points are flattened. Raises ValueError as `squared` does.
    """
    if not jax.config.jax_enable_x64:  # type: ignore
        raise ValueError("amplitude: expected float64, which is off: jax_enable_x64")
    n = len(plan.fields)
    momenta = jnp.asarray(momenta, float)
    if momenta.shape[-2:] != (n, 4):
        raise ValueError(f"momenta: {momenta.shape}, expected [..., {n}, 4]")
    flat = momenta.reshape(-1, n, 4).transpose(1, 2, 0)  # [leg, component, point]
    n_in = len(plan.process.incoming)
    inward = jnp.where(np.arange(n)[:, None, None] < n_in, flat, -flat)
    known = {
        Current(1 << leg, field, 0): _external(plan, leg, flat[leg], parameters)
        for leg, field in enumerate(plan.fields)
    }
    factors = _factors(parameters)
    for made, steps in itertools.groupby(plan.steps, key=lambda step: step.made):
        parts = [_made(step, known, inward, factors) for step in steps]
        total = sum(parts[1:], parts[0])
        total = total if made == plan.close else _propagate(made, total, inward, parameters)
        known[made] = jax.lax.optimization_barrier(total)
    last = known[Current(1 << (n - 1), plan.fields[-1], 0)]
    if recursion.particle(plan.fields[-1]).kind == "vector":
        joined = currents.dot(known[plan.close], last)
    else:
        joined = (known[plan.close] * last).sum(0)
    return _gather(joined[None], plan.ends)[0]


def _external(plan: Plan, leg: int, momentum: Any, parameters: Parameters) -> jax.Array:
    """Give the wavefunctions of a leg [component, flow, *helicity, point]."""
    n, field = len(plan.fields), plan.fields[leg]
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

    states = jnp.stack([state(h) for h in helicities(field)], 1)
    axes = (-1 if k == leg else 1 for k in range(n))
    return states.reshape(len(states), 1, *axes, states.shape[-1])


def _inflow(legs: int, inward: jax.Array) -> jax.Array:
    """Sum the momenta of a set of legs [4, 1, *1, point]."""
    n = len(inward)
    total = inward[np.array([k for k in range(n) if legs >> k & 1])].sum(0)
    return total.reshape(4, *[1] * (n + 1), -1)


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


def _made(step: Step, known: dict, inward: Any, factors: dict[str, Any]) -> jax.Array:
    """Give what one step makes [component, flow, *helicity, point]."""
    a, b = known[step.first][:, :, None], known[step.second][:, None]
    momenta = [_inflow(c.legs, inward)[:, None] for c in (step.first, step.second)]
    made = _make(step.vertex, a, b, momenta, _factor(step.vertex.coupling, factors))
    return _gather(made.reshape(len(made), -1, *made.shape[3:]), step.terms)


def _gather(x: jax.Array, terms: Terms) -> jax.Array:
    """Add up flows x [component, flow, ...] with weights, as terms say."""
    parts = []
    for of in terms:
        some = [weight * x[:, k] for k, weight in of]
        parts.append(sum(some[1:], some[0]) if some else jnp.zeros_like(x[:, 0]))
    return jnp.stack(parts, 1)


def _make(vertex: Vertex, a: Any, b: Any, momenta: Any, factor: Any) -> jax.Array:
    """Make a current of two by a vertex."""
    match vertex.how:
        case "ket":
            return currents.slash_ket(a, b, *_hands(factor))
        case "bra":
            return currents.bra_slash(b, a, *_hands(factor))
        case "pair":
            return currents.bra_ket_vector(a, b, *_hands(factor))
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


def _propagate(made: Current, x: Any, inward: Any, parameters: Parameters) -> jax.Array:
    """Give a current its propagator."""
    if abs(made.field) > 1000:
        return x
    one, p = recursion.particle(made.field), _inflow(made.legs, inward)
    mass = standard_model.value(parameters, one.mass)
    width = standard_model.value(parameters, one.width)
    pole = currents.dot(p, p) - mass**2
    factor = 1j / pole if not one.width else 1j / (pole + 1j * mass * width)
    if one.kind == "scalar":
        return x * factor
    if one.kind == "vector":
        return currents.propagate_vector(x, p, mass) * factor
    propagate = currents.propagate_ket if made.field > 0 else currents.propagate_bra
    return propagate(x, p, mass) * factor
