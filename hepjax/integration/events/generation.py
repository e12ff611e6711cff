"""Unweighted events of a process: what a point does not say is drawn, and all is written to a file.

A point of an integrator has momenta and a weight. `of_particles` and `of_pair` draw the flavours by
their parts of the integrand, helicities and flows of colour by the amplitudes, and give the scales;
`write` makes an event file of it, with the weights of other scales.

>>> Drawn._fields[:3]
('p4', 'pid', 'colours')
"""

import functools
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration.amplitudes import recursion, standard_model, tree
from hepjax.integration.events import assembly, variations
from hepjax.integration.hadrons import hadronic, pdf, processes
from hepjax.io import lhe

CHUNK = 512
"""Events whose amplitudes are computed at once."""


class Drawn(NamedTuple):
    """Events without weights.

    p4: [event, leg, 4] GeV in the frame of the beams; pid: PDG codes, spin: helicities, 9 unknown,
    [event, leg]; colours: [event, leg, 2] lines of colour and anticolour; scale: [event, 2] GeV, of
    renormalisation and of factorisation, by which a shower starts; alpha_s: [event]; alpha_em;
    power: of alpha_s in the cross-section; masses: by PDG code, GeV; energy: of the collision, GeV.
    """

    p4: np.ndarray
    pid: np.ndarray
    colours: np.ndarray
    spin: np.ndarray
    scale: np.ndarray
    alpha_s: np.ndarray
    alpha_em: float
    power: int
    masses: dict[int, float]
    energy: float


def of_particles(
    process: hadronic.Process,
    densities: pdf.PDF,
    u: Any,
    channel: Any,
    rng: np.random.Generator,
) -> Drawn:
    """Draw events for points u [event, 3n - 2] of a process, each of a channel [event]."""
    each = hadronic.cases(process)
    look = functools.partial(_looked_at, process, densities)
    at, size, scale = _chunked(look, u, channel)
    chosen = assembly.choose(assembly.without_negative(size), rng)
    pid = np.array([case.pids for case in each])[chosen]
    colours, spin = np.zeros((*pid.shape, 2), int), np.full(pid.shape, 9.0)
    term_of = np.array([case.term for case in each])[chosen]
    for k in np.unique(term_of):
        rows = np.flatnonzero(term_of == k)
        plan = process.terms[k].plan
        order = np.array([each[j].way.order for j in chosen[rows]])
        legs = np.take_along_axis(at.momenta[rows], order[..., None], 1)
        lines, helicity = _coloured(plan, legs, rng, process.parameters)
        names = np.array([*plan.process.incoming, *plan.process.outgoing])
        own = np.take_along_axis(pid[rows], order, 1)
        is_turned = (own * names < 0).any(1)  # particles and antiparticles exchanged
        lines[is_turned] = lines[is_turned][..., ::-1]
        for found, values in ((colours, lines), (spin, helicity)):
            back = np.empty_like(found[rows])
            np.put_along_axis(back, _like(order, back), values, 1)
            found[rows] = back
    power = len(process.space.masses) - process.terms[0].plan.qed
    squares = np.stack(scale, 1)
    return Drawn(
        assembly.in_beams(at.momenta[:, 2:], at.first, at.second, process.space.energy),
        pid,
        colours,
        spin,
        np.sqrt(squares),
        np.asarray(process.coupling(jnp.asarray(squares[:, 0]))),
        float(process.parameters.alpha_em),
        power,
        {abs(code): m for code, m in zip(each[0].pids[2:], process.space.masses) if m},
        process.space.energy,
    )


@functools.partial(jax.jit, static_argnames="process")
def _looked_at(process: hadronic.Process, densities: pdf.PDF, u: Any, channel: Any) -> tuple:
    """Give points, the parts of their cases [point, case], and the squared scales."""
    at = hadronic.points(process, u, channel)
    return at, hadronic.parts(process, densities, at), process.scale(at.momenta)


def of_pair(
    process: processes.Pair,
    densities: pdf.PDF,
    u: Any,
    channel: Any,
    rng: np.random.Generator,
) -> Drawn:
    """Draw events for points u [event, 3] of a process of two particles, each of a channel
    [event]; flows of colour are those of the Standard Model, helicities are not told.
    """
    legs, mass = process.outgoing, process.mass
    p4, pid = assembly.of_pair(process, densities, u, channel, legs, mass, rng)
    colours = np.zeros((*pid.shape, 2), int)
    for case in np.unique(pid, axis=0):
        rows = np.flatnonzero((pid == case).all(1))
        plan = tree.build(standard_model.Process(tuple(case[:2].tolist()), legs))
        if len(plan.flows) == 1:  # nothing is to be drawn
            colours[rows] = assembly.colour_lines(plan.flows, np.zeros(len(rows)), 4)
            continue
        parameters = standard_model.DEFAULT._replace(mass_top=mass or 173.0, width_top=0.0)
        colours[rows], _ = _coloured(plan, p4[rows], rng, parameters)
    s = np.asarray(processes.kinematics(process, jnp.asarray(u), jnp.asarray(channel)).s)
    scale = np.sqrt(np.asarray(process.scale2(jnp.asarray(s))))
    return Drawn(
        p4,
        pid,
        colours,
        np.full(pid.shape, 9.0),
        np.stack([scale, scale], 1),
        np.full(len(s), process.alpha_s),
        process.alpha_em,
        process.power,
        {abs(code): mass for code in legs if mass},
        process.energy,
    )


def write(
    path: str | Path,
    drawn: Drawn,
    weight: Any,
    cross_section: tuple[float, float],
    densities: pdf.PDF,
    coupling: hadronic.Coupling,
    *,
    pdf_set: int = 0,
    text: str = "",
) -> lhe.Events:
    """Write an event file, .lhe or .lhe.gz, with the weights of seven pairs of scales.

    weight: [event] 1 or more, that what stands above the limit of unweighting carries;
    cross_section: with its error, pb; coupling: alpha_s by the squared scale; pdf_set: its number
    in LHAPDF; text: of the header. Returns the events.
    """
    energies = (drawn.energy / 2, drawn.energy / 2)
    share = variations.shares(drawn.p4, energies)
    given = densities, coupling, drawn.power, share, drawn.pid[:, :2], drawn.scale
    weights = assembly.picobarn(weight, cross_section[0])
    made = assembly.assembled(
        drawn.p4,
        drawn.pid,
        weights,
        colours=drawn.colours,
        scale=drawn.scale[:, 1],
        alpha_s=drawn.alpha_s,
        alpha_em=drawn.alpha_em,
        masses=drawn.masses,
        spin=drawn.spin,
        variations=weights[:, None] * np.asarray(variations.scales(*given)),
    )
    groups = variations.groups(pdf_set=pdf_set or None)
    words = {"energies": energies, "pdf_set": pdf_set, "groups": groups, "text": text}
    lhe.write(path, assembly.head(made, *cross_section, **words), made)
    return made


def _coloured(
    plan: recursion.Plan,
    momenta: np.ndarray,
    rng: np.random.Generator,
    parameters: standard_model.Parameters,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw lines of colour [event, leg, 2] and helicities [event, leg] for momenta [.., leg, 4]."""
    draw = functools.partial(assembly.states, plan, rng=rng, parameters=parameters)
    flows, spins = _chunked(draw, momenta)
    return assembly.colour_lines(plan.flows, flows, momenta.shape[1]), spins


def _chunked(function: Any, *given: Any) -> Any:
    """Call a function of arrays in chunks of one size, so that it is compiled once; returns arrays
    of the host.
    """
    n, found = len(given[0]), []
    if not n:
        raise ValueError("u: 0 points, expected some")
    for k in range(0, n, CHUNK):
        some = [np.asarray(x[k : k + CHUNK]) for x in given]
        more = CHUNK - len(some[0])
        whole = [np.concatenate([x, np.repeat(x[-1:], more, 0)]) for x in some]
        found.append(jax.device_get(function(*whole)))
    return jax.tree.map(lambda *x: np.concatenate(x)[:n], *found)


def _like(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Give an order [event, leg] as many axes as values have."""
    return order.reshape(*order.shape, *itertools.repeat(1, values.ndim - 2))
