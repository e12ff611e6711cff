"""Hadronic processes of any particles, by matrix elements that are built from the list of legs.

A `Process` adds up `Term`s: one matrix element each, and the flavours that it stands for (see
`flavours`). Its channels are
layouts of phase space (`groupings`, `layouts`), and the densities of their maps are the prior
weights of the channels. `integrand` makes of it what `integrator` and `vegas` take, in picobarn.

>>> chosen = of("g g > t t~ g")
>>> len(chosen.layouts), chosen.space.masses
(4, (173.0, 173.0, 0.0))
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration import integrator
from hepjax.integration.amplitudes import closed_forms, recursion, standard_model, tree
from hepjax.integration.hadrons import flavours, pdf
from hepjax.integration.kinematics import groupings, layouts, scales

PARTONS = (*flavours.QUARKS, flavours.GLUON)

Coupling = Callable[[Any], Any]
"""alpha_s by the squared scale of renormalisation, GeV^2."""


class Cuts(NamedTuple):
    """What jets must have: transverse momentum, GeV; pseudorapidity; distance to each other."""

    min_pt: float = 20.0
    max_eta: float = 5.0
    min_delta_r: float = 0.4


CUTS = Cuts()


class Term(NamedTuple):
    """A matrix element, and the ways in which particles are put to it."""

    plan: recursion.Plan
    ways: tuple[flavours.Way, ...]


class Process(NamedTuple):
    """A hadronic process.

    terms; space: masses and energy; layouts: channels; jets: particles that the cuts are for; cuts;
    scale: of momenta; coupling: alpha_s by the squared scale of renormalisation; parameters of the
    matrix elements, in which alpha_s is that of no scale.
    """

    terms: tuple[Term, ...]
    space: layouts.Space
    layouts: tuple[layouts.Layout, ...]
    jets: tuple[int, ...]
    cuts: Cuts
    scale: scales.Scale
    coupling: Coupling
    parameters: standard_model.Parameters


def of(process: str, **options: Any) -> Process:
    """Take one matrix element, such as "g g > t t~ g", for the partons that it names.

    options: as for `of_all`.
    """
    legs = standard_model.parse(process)
    pids = (*legs.incoming, *legs.outgoing)
    way = flavours.Way(tuple(range(len(pids))), (pids,))
    return of_all({process: (way,)}, **options)


def of_all(
    elements: Mapping[str, tuple[flavours.Way, ...]],
    cuts: Cuts = CUTS,
    scale: scales.Scale = scales.transverse,
    coupling: Coupling | None = None,
    parameters: standard_model.Parameters = standard_model.DEFAULT,
    energy: float = 13_000.0,
    qed: int | None = None,
) -> Process:
    """Add up matrix elements, each put to particles in some ways.

    coupling: None for the alpha_s of the parameters; energy: of the collision, GeV; qed: as in
    `tree.build`.

    Raises ValueError for outgoing particles of other masses, or fewer than two, jets that have a
    mass, incoming particles that are no partons without mass, and no least momentum of jets.
    """
    terms = tuple(Term(tree.build(name, qed), ways) for name, ways in elements.items())
    outgoing = [term.plan.process.outgoing for term in terms]
    masses = {tuple(_mass(pid, parameters) for pid in pids) for pids in outgoing}
    incoming = {pid for term in terms for pid in term.plan.process.incoming}
    wrong = [pid for pid in incoming if abs(pid) not in PARTONS or _mass(pid, parameters)]
    if wrong:
        raise ValueError(f"elements: {wrong[0]} comes in, expected a parton without mass")
    if len(masses) != 1:
        raise ValueError(f"elements: outgoing masses {sorted(masses)}, expected the same of all")
    channels = dict.fromkeys(x for term in terms for x in groupings.suggested(term.plan))
    if not channels:
        raise ValueError(f"elements: {len(outgoing[0])} outgoing particles, expected at least 2")
    jets = tuple(k for k, pid in enumerate(outgoing[0]) if abs(pid) in PARTONS)
    space = layouts.Space(masses.pop(), energy, cuts.min_pt, jets)
    heavy = [k for k in jets if space.masses[k]]
    if heavy:
        raise ValueError(f"elements: a jet of {space.masses[heavy[0]]} GeV, expected no mass")
    if cuts.min_pt <= 0:
        raise ValueError(f"min_pt: {cuts.min_pt}, expected above 0")
    fixed = parameters.alpha_s
    return Process(
        terms,
        space,
        tuple(channels),
        jets,
        cuts,
        scale,
        coupling or (lambda square: jnp.full_like(square, fixed)),
        parameters,
    )


def _mass(pid: int, parameters: standard_model.Parameters) -> float:
    return float(standard_model.value(parameters, recursion.particle(pid).mass))


def top_pair(n_jets: int, **options: Any) -> Process:
    """Give pp > tt~ and up to two jets, of gluons and five flavours of quarks without mass.

    options: as for `of_all`.
    """
    return of_all(flavours.with_pair(n_jets), **options)


def points(process: Process, u: jax.Array, channel: jax.Array) -> layouts.Points:
    """Take numbers u [point, 3n - 2] through the layout of their channel [point]."""
    each = [layouts.forward(process.space, layout, u) for layout in process.layouts]
    row = jnp.arange(len(u))
    return jax.tree.map(lambda *x: jnp.stack(x)[channel, row], *each)


def passes(process: Process, at: layouts.Points) -> jax.Array:
    """Tell whether points lie within the cuts [point] bool."""
    out = at.momenta[:, 2:]
    jets = out[:, np.array(process.jets, int)]
    pt = jnp.hypot(jets[..., 1], jets[..., 2])
    boost = jnp.log(at.first / at.second)[:, None] / 2  # of the partons; jets have no mass
    eta = jnp.arcsinh(jets[..., 3] / jnp.where(pt > 0, pt, 1)) + boost
    phi = jnp.arctan2(jets[..., 2], jets[..., 1])
    cuts = process.cuts
    kept = ((pt >= cuts.min_pt) & (jnp.abs(eta) <= cuts.max_eta)).all(-1)
    for a in range(len(process.jets)):
        for b in range(a):
            turn = jnp.abs(phi[:, a] - phi[:, b])
            turn = jnp.minimum(turn, 2 * np.pi - turn)
            kept &= jnp.hypot(eta[:, a] - eta[:, b], turn) >= cuts.min_delta_r
    return kept & (at.log_jacobian > -jnp.inf)


class Case(NamedTuple):
    """One choice of flavours: number of the term, its way, and PDG codes of all particles."""

    term: int
    way: flavours.Way
    pids: tuple[int, ...]


def cases(process: Process) -> list[Case]:
    """List all choices of flavours, those of one way after the other."""
    ways = [(k, way) for k, term in enumerate(process.terms) for way in term.ways]
    return [Case(k, way, pids) for k, way in ways for pids in way.flavours]


def parts(process: Process, densities: pdf.PDF, at: layouts.Points) -> jax.Array:
    """Give parton densities times |M|^2 of each of the `cases` [point, case]."""
    renormalisation, factorisation = process.scale(at.momenta)
    ratio = process.coupling(renormalisation) / process.parameters.alpha_s
    elements = []
    for term in process.terms:
        power = len(term.plan.fields) - 2 - term.plan.qed
        orders = np.array([way.order for way in term.ways])
        found = tree.squared(term.plan, at.momenta[:, orders], process.parameters)
        elements.append(ratio[:, None] ** power * found)
    each = cases(process)
    of_way = np.repeat(
        np.arange(sum(len(term.ways) for term in process.terms)),
        [len(way.flavours) for term in process.terms for way in term.ways],
    )
    columns = np.array([[pdf.column(pid) for pid in case.pids[:2]] for case in each])
    flux = [pdf.xf(densities, x, factorisation) / x[:, None] for x in (at.first, at.second)]
    luminosity = flux[0][:, columns[:, 0]] * flux[1][:, columns[:, 1]]
    return luminosity * jnp.concatenate(elements, 1)[:, of_way]


def integrand(process: Process, densities: pdf.PDF) -> integrator.Integrand:
    """Make the integrand of a process, pb, for `integrator` and `vegas`."""
    n, n_channels = len(process.space.masses), len(process.layouts)
    measure = np.log(closed_forms.PICOBARN / 2) + (4 - 3 * n) * np.log(2 * np.pi)

    def function(u: jax.Array, channel: jax.Array) -> integrator.Values:
        at = points(process, u, channel)
        kept = passes(process, at)
        value = jnp.where(kept, parts(process, densities, at).sum(-1), 0.0)
        energy = 2 * at.momenta[:, 0, 0]
        value *= jnp.exp(jnp.where(kept, at.log_jacobian, 0.0) + measure - 2 * jnp.log(energy))
        if n_channels == 1:
            return integrator.Values(value)
        back = [layouts.inverse(process.space, layout, at) for layout in process.layouts]
        log_prior = jnp.stack([log for _, log in back], -1)
        features = jnp.clip(jnp.where(kept[:, None], back[-1][0], 0.5), 0, 1)
        log_prior = jnp.where(kept[:, None], jax.nn.log_softmax(log_prior, -1), 0.0)
        return integrator.Values(value, features, log_prior)

    return integrator.Integrand(function, 3 * n - 2, n_channels, 3 * n - 2 if n_channels > 1 else 0)
