"""Squared matrix elements of any tree-level process, summed over helicities and colours.

`build` makes the plan of a process (`recursion`), and `squared` carries it out for any number of
points at once, in float64: currents of one kind and number of legs together, by `tables`, so that a
compiler sees a few operations whatever the process. Spins and colours of incoming particles are
averaged, and identical outgoing ones counted once; one set of helicities may be asked for in place
of their sum, and the squares of single flows of colour. All is differentiable, in momenta and in
parameters. Points are taken some at a time, which bounds memory.

>>> with jax.enable_x64(True):
...     p = np.array([[[50, 0, 0, 50], [50, 0, 0, -50], [50, 30, 0, 40], [50, -30, 0, -40.0]]])
...     value = squared(build("e- e+ > mu- mu+"), p)
>>> value.shape
(1,)
"""

import collections
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration.amplitudes import colour, evaluation, recursion, standard_model, tables
from hepjax.integration.amplitudes.recursion import Plan
from hepjax.integration.amplitudes.standard_model import PARTICLES, Parameters, Process

CHUNK = {"cpu": 32}
MANY = 4096
"""Points at once, by where they are: on a CPU currents fit its caches."""


def build(process: str | Process, qed: int | None = None) -> Plan:
    """Plan a process, such as "g g > t t~ g".

    qed: number of electroweak couplings, None: the least. The leg that meets the current of all
    others is the one that leaves the least to do. Raises ValueError for what is no process of the
    Standard Model.
    """
    if isinstance(process, str):
        process = standard_model.parse(process)
    legs = {pid: leg for leg, pid in enumerate((*process.incoming, *process.outgoing))}
    return min((recursion.plan(process, qed, leg) for leg in legs.values()), key=tables.work)


def squared(
    plan: Plan,
    momenta: Any,
    parameters: Parameters = standard_model.DEFAULT,
    helicity: Any = None,
    *,
    chunk: int | None = None,
) -> jax.Array:
    """Give |M|^2, averaged and summed [...], in GeV^(8 - 2 legs).

    momenta: [..., leg, 4] (E, px, py, pz), GeV, incoming legs first, all of positive energy;
    helicity: [..., leg] the only one of the sum that is meant, None: all; chunk: number of points
    that are at once in memory, None: as many as fit a CPU's caches, or thousands elsewhere.
    Parameters are numbers; for a strong coupling of each point multiply by its ratio to
    parameters.alpha_s to the power legs - 2 - `plan.qed`. Raises ValueError for another number of
    legs, parameters that are no numbers, and without float64.
    """
    ends = tables.tables(plan, helicity is None).ends
    weights = ends.T @ colour.matrix(plan.flows, plan.gluons) @ ends / average(plan.process)

    def of(x: jax.Array) -> jax.Array:
        parts = (y * jnp.tensordot(weights, y, 1) for y in (jnp.real(x), jnp.imag(x)))
        return sum(parts, jnp.zeros(())).sum((0, 1))

    return _by_points(of, plan, momenta, parameters, helicity, chunk)


def flow_squares(
    plan: Plan,
    momenta: Any,
    parameters: Parameters = standard_model.DEFAULT,
    helicity: Any = None,
    *,
    chunk: int | None = None,
) -> jax.Array:
    """Give |M|^2 of each flow of colour alone, summed over helicities [..., flow].

    The flows are `plan.flows`; at the leading power of the number of colours an event has one of
    those that are `leading` with a probability in proportion. Sums are neither averaged nor are
    colours counted. Arguments as of `squared`.
    """
    ends = tables.tables(plan, helicity is None).ends

    def of(x: jax.Array) -> jax.Array:
        parts = (jnp.tensordot(ends, y, 1) ** 2 for y in (jnp.real(x), jnp.imag(x)))
        return sum(parts, jnp.zeros(())).sum(1).T

    return _by_points(of, plan, momenta, parameters, helicity, chunk)


def amplitudes(
    plan: Plan,
    momenta: Any,
    parameters: Parameters = standard_model.DEFAULT,
    helicity: Any = None,
    *,
    chunk: int | None = None,
) -> jax.Array:
    """Give the amplitude of each flow, at the helicities of `helicity_table` or at the one asked
    for [..., helicity, flow], complex. Arguments as of `squared`.
    """
    ends = tables.tables(plan, helicity is None).ends

    def of(x: jax.Array) -> jax.Array:
        return jnp.tensordot(ends + 0j, x, 1).transpose(2, 1, 0)

    return _by_points(of, plan, momenta, parameters, helicity, chunk)


def helicity_table(plan: Plan) -> np.ndarray:
    """List the helicities of a sum, less those that vanish as massless fermions keep their
    handedness [helicity, leg].
    """
    states = [tables.helicities(field) for field in plan.fields]
    found = tables.tables(plan).helicities
    return np.array([[of[k] for of, k in zip(states, row)] for row in found])


def leading(plan: Plan) -> np.ndarray:
    """Tell which flows are there at the leading power of the number of colours [flow] bool: an
    octet of quark and antiquark has a trace taken out, at one over that number.
    """
    power: dict[recursion.Current, list[float]] = {}
    for step in plan.steps:
        parts = [power.get(current, [0.0]) for current in (step.first, step.second)]
        pairs = np.add.outer(*map(np.array, parts)).ravel()
        found = [
            min((pairs[k] + (abs(weight) < 0.5) for k, weight in terms), default=np.inf)
            for terms in step.terms
        ]
        known = power.get(step.made, [np.inf] * len(found))
        power[step.made] = [min(x) for x in zip(found, known)]
    close = power.get(plan.close, [0.0])
    of_flow = np.array([min(close[k] for k, _ in terms) for terms in plan.ends])
    return of_flow == of_flow.min()


def average(process: Process) -> float:
    """Give the number by which a sum is divided: states of incoming particles, and ways to order
    identical outgoing ones.
    """
    states = math.prod(
        len(tables.helicities(pid)) * PARTICLES[abs(pid)].colour for pid in process.incoming
    )
    counts = collections.Counter(process.outgoing).values()
    return states * math.prod(math.factorial(n) for n in counts)


def _by_points(
    of: Callable[[jax.Array], jax.Array],
    plan: Plan,
    momenta: Any,
    parameters: Parameters,
    helicity: Any,
    chunk: int | None,
) -> jax.Array:
    """Give a function [point, ...] of amplitudes [strand, helicity, point] for points of any shape
    [...], some at a time.
    """
    p, signs, shape = _flattened(plan, momenta, helicity)
    for name, x in parameters._asdict().items():
        if jnp.ndim(x):
            raise ValueError(f"parameters: {name} is {jnp.shape(x)}, expected a number")
    n = len(p)
    size = min(n, chunk or CHUNK.get(jax.default_backend(), MANY))

    def one(some: tuple[jax.Array, jax.Array | None]) -> jax.Array:
        return of(evaluation.evaluate(plan, *some, parameters))

    if size in (0, n):
        found = one((p, signs))
    else:
        whole = np.minimum(np.arange(-(-n // size) * size), n - 1).reshape(-1, size)
        found = jax.lax.map(one, jax.tree.map(lambda x: x[whole], (p, signs)))
        found = found.reshape(-1, *found.shape[2:])[:n]
    return found.reshape(*shape, *found.shape[1:])


def _flattened(
    plan: Plan, momenta: Any, helicity: Any
) -> tuple[jax.Array, jax.Array | None, tuple[int, ...]]:
    """Give momenta [point, leg, component], helicities [point, leg], and the shape of points."""
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
        signs = jnp.broadcast_to(signs, (*shape, n)).reshape(-1, n)
    return jnp.broadcast_to(p, (*shape, n, 4)).reshape(-1, n, 4), signs, shape
