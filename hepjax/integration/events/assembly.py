"""From momenta to events for a parton shower: flavours, colours, masses, weights in picobarn.

Unweighting (`unweighting`) leaves points, each with a weight of one or more. `of_pair` gives
momenta and flavours to points of a process of two particles; `states` draws a flow of colour and
helicities for each event, or `choose` a flow alone by `tree.flow_squares`; `colour_lines` writes it
down; `assembled` makes events of all that for `io.lhe`, and `head` says what they add up to.

Weights are in picobarn, their mean is the cross-section (the strategy 4 of Les Houches event files,
-4 where some are negative; arXiv:hep-ph/0109068). By strategy 3 all events count the same, and
Pythia takes them as one whatever is written: there is no place for what stands above the limit of
unweighting, nor a unit for varied weights. `picobarn` sets the scale, so that the sum is right
whatever the limit was.

>>> quarks = colour_lines([((2, 1),), ((1, 2),)], np.array([0, 1]), n_legs=4)
>>> quarks[:, :2].tolist()  # the quark is the first in one event, the second in the other
[[[501, 0], [0, 501]], [[0, 501], [501, 0]]]
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import lorentz
from hepjax.integration.amplitudes import colour, recursion, standard_model, tree
from hepjax.integration.hadrons import pdf, processes
from hepjax.io import lhe

FIRST_LINE = 501
"""The number of the first line of colour, as is customary."""

NEAR = 1e-9
"""How well momenta add up and are on their shells, relative to the energy of the event."""

MOST_NEGATIVE = 1e-3
"""Share of an integrand, in parts that are negative, that events can do without."""


def choose(size: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw one of some options for each event [event], by their sizes [event, option].

    Raises ValueError for an event whose sizes are negative, not finite, or all zero.
    """
    size = np.asarray(size, float)
    total = np.cumsum(size, 1)
    bad = ~(np.isfinite(size).all(1) & (size >= 0).all(1) & (total[:, -1] > 0))
    if bad.any():
        k = int(np.argmax(bad))
        raise ValueError(f"size: {size[k]} in event {k}, expected some above 0 and none below")
    drawn = rng.uniform(size=len(size)) * total[:, -1]
    return np.minimum((total <= drawn[:, None]).sum(1), np.argmax(total >= total[:, -1:], 1))


def without_negative(parts: Any) -> np.ndarray:
    """Take parts of an integrand [event, part] for 0 where they are negative, as densities of
    partons can be where they are small.

    Raises ValueError where such parts are more than MOST_NEGATIVE of all, since events of positive
    weight cannot have them.
    """
    parts = np.asarray(parts, float)
    share = np.maximum(-parts, 0).sum() / np.abs(parts).sum()
    if share > MOST_NEGATIVE:
        raise ValueError(
            f"parts: {share:.2g} of them is negative, expected up to {MOST_NEGATIVE}: these "
            "densities of partons give no events of positive weight"
        )
    return np.maximum(parts, 0)


def of_pair(
    pair: processes.Pair,
    densities: pdf.PDF,
    u: Any,
    channel: Any,
    outgoing: tuple[int, int],
    mass: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Give momenta [event, 4, 4] GeV, in the frame of the beams, and PDG codes [event, 4] to points
    u [event, 3] of a process of two particles, each of a channel [event].

    outgoing: PDG codes, of one mass, GeV. Flavours are drawn by their parts of the integrand, the
    azimuth evenly.
    """
    at = processes.kinematics(pair, jnp.asarray(u, float), jnp.asarray(channel))
    q2 = pair.scale2(at.s)
    columns = np.array([[pdf.column(pid) for pid in both] for both in pair.partons])
    one, other = (pdf.xf(densities, x, q2) for x in (at.first, at.second))
    sizes = one[:, columns[:, 0]] * other[:, columns[:, 1]] * pair.partonic(at.s, at.cos)
    flavour = choose(without_negative(sizes), rng)
    s, first, second, cos = (np.asarray(x) for x in at[:4])
    phi, sin = rng.uniform(0, 2 * np.pi, len(s)), np.sqrt(1 - cos**2)
    size = np.sqrt(s / 4 - mass**2)
    space = size[:, None] * np.stack([sin * np.cos(phi), sin * np.sin(phi), cos], 1)
    rest = np.stack([np.concatenate([np.sqrt(s / 4)[:, None], p], 1) for p in (space, -space)], 1)
    pid = np.concatenate(
        [np.array(pair.partons)[flavour], np.tile(np.array(outgoing), (len(s), 1))], 1
    )
    return in_beams(rest, first, second, pair.energy), pid


def in_beams(outgoing: Any, first: Any, second: Any, energy: float) -> np.ndarray:
    """Take outgoing momenta [event, particle, 4] from their rest frame to that of the beams, behind
    the incoming ones [event, 2 + particle, 4].

    first, second: [event] shares of the beams, the first of which goes along z; energy: of both,
    GeV.
    """
    p, first, second = (np.asarray(x, float) for x in (outgoing, first, second))
    up, down = ((p[..., 0] + sign * p[..., 3]) for sign in (1, -1))
    factor = np.sqrt(first / second)[:, None]
    up, down = up * factor, down / factor
    boosted = np.stack([(up + down) / 2, p[..., 1], p[..., 2], (up - down) / 2], -1)
    zero = np.zeros_like(first)
    sides = ((first * energy / 2, 1), (second * energy / 2, -1))
    incoming = np.stack([np.stack([e, zero, zero, sign * e], 1) for e, sign in sides], 1)
    return np.concatenate([incoming, boosted], 1)


def states(
    plan: recursion.Plan,
    momenta: Any,
    rng: np.random.Generator,
    parameters: standard_model.Parameters = standard_model.DEFAULT,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a flow of colour [event] and helicities [event, leg] for momenta [event, leg, 4]:
    helicities by their parts of |M|^2, then a flow, of those that are there at the leading power of
    the number of colours, by the squares of its amplitude with these.

    Helicities are those in the rest frame of the incoming particles, which is another thing than in
    the frame of the beams for particles with mass.
    """
    p4 = np.asarray(momenta, float)
    momenta = lorentz.boost_to_rest(p4, p4[:, None, :2].sum(2))
    by_helicity, by_flow = (np.asarray(x) for x in _sizes(plan, momenta, parameters))
    by_flow = by_flow * tree.leading(plan)
    chosen = choose(np.maximum(by_helicity, 0), rng)
    flow = choose(by_flow[np.arange(len(chosen)), chosen], rng)
    return flow, tree.helicity_table(plan)[chosen]


@functools.partial(jax.jit, static_argnames="plan")
def _sizes(plan: recursion.Plan, momenta: Any, parameters: Any) -> tuple[jax.Array, jax.Array]:
    """Give |M|^2 [event, helicity], and squares of flows [event, helicity, flow]."""
    parts = tree.amplitudes(plan, momenta, parameters)
    weights = jnp.asarray(colour.matrix(plan.flows, plan.gluons))
    whole = jnp.einsum("ehf,fg,ehg->eh", parts.conj(), weights, parts).real
    return whole, jnp.abs(parts) ** 2


def colour_lines(
    flows: Sequence[colour.Flow], chosen: Any, n_legs: int, *, n_incoming: int = 2
) -> np.ndarray:
    """Give the lines of colour and of anticolour of each leg [event, leg, 2], 0 for none.

    flows: pairs of legs, numbered from 1, whose indices are joined, as in a plan: seen as if all
    came in, the first has the anticolour and the second the colour; chosen: [event] which of them.
    """
    lines = np.zeros((len(flows), n_legs, 2), int)
    for row, flow in zip(lines, flows):
        for k, (upper, lower) in enumerate(sorted(flow, key=lambda pair: pair[::-1])):
            for leg, end in ((upper, 1), (lower, 0)):
                row[leg - 1, end if leg <= n_incoming else 1 - end] = FIRST_LINE + k
    return lines[np.asarray(chosen, int)]


def picobarn(carried: Any, cross_section: float) -> np.ndarray:
    """Scale the weights of kept events [event] such that their mean is the cross-section, pb, of
    all weighted points, which is known better than their number.

    Raises ValueError where they add up to nothing.
    """
    carried = np.asarray(carried, float)
    mean = carried.mean() if len(carried) else 0.0
    if not mean:
        raise ValueError(f"carried: {len(carried)} weights with mean 0, expected another mean")
    return carried * (cross_section / mean)


def assembled(
    momenta: Any,
    pid: Any,
    weight: Any,
    *,
    colours: Any,
    scale: Any,
    alpha_s: Any,
    alpha_em: Any = 1 / 132.507,
    masses: Mapping[int, float] | None = None,
    process: Any = 1,
    spin: Any = 9.0,
    variations: Any = None,
) -> lhe.Events:
    """Make events of two incoming particles and any outgoing ones.

    momenta: [event, leg, 4] GeV, incoming ones first, the first of them along z; pid: [event, leg];
    weight: [event] pb; colours: [event, leg, 2] as `colour_lines` gives them; scale: GeV, alpha_s,
    alpha_em, process: a number or [event]; masses: by PDG code, 0 for those not named; spin:
    helicities, a number or [event, leg], 9 unknown; variations: [event, variation] pb. Raises
    ValueError, which names the event, where momenta do not add up, are not on their shells or not
    along the beams, and where colours do not fit particles or each other.
    """
    p4, pid, colours = np.asarray(momenta, float), np.asarray(pid), np.asarray(colours)
    n, legs = pid.shape
    for name, values, shape in (("momenta", p4, (n, legs, 4)), ("colours", colours, (n, legs, 2))):
        if values.shape != shape:
            raise ValueError(f"{name}: {values.shape}, expected {shape} by the shape of pid")
    mass = np.zeros(pid.shape)
    for code, value in (masses or {}).items():
        mass[np.abs(pid) == abs(code)] = value
    _check_momenta(p4, mass)
    _check_colours(pid, colours)
    incoming = np.arange(legs) < 2

    def legwise(values: Any) -> np.ndarray:
        return np.broadcast_to(values, (n, legs)).reshape(-1).copy()

    def eventwise(values: Any) -> np.ndarray:
        return np.broadcast_to(values, (n,)).copy()

    return lhe.Events(
        offsets=legs * np.arange(n + 1),
        process=eventwise(process),
        weight=eventwise(weight),
        scale=eventwise(scale),
        alpha_em=eventwise(alpha_em),
        alpha_s=eventwise(alpha_s),
        pid=pid.reshape(-1),
        status=legwise(np.where(incoming, -1, 1)),
        mothers=np.tile(np.where(incoming[:, None], 0, np.array([1, 2])), (n, 1)),
        colours=colours.reshape(-1, 2),
        p4=p4.reshape(-1, 4),
        mass=legwise(mass),
        lifetime=np.zeros(n * legs),
        spin=legwise(np.asarray(spin, float)),
        variations=np.zeros((n, 0)) if variations is None else np.asarray(variations, float),
    )


def _check_momenta(p4: np.ndarray, mass: np.ndarray) -> None:
    scale = np.abs(p4[:, :2, 0]).sum(1)
    excess = np.abs(p4[:, :2].sum(1) - p4[:, 2:].sum(1)).max(1)
    square = p4[..., 0] ** 2 - (p4[..., 1:] ** 2).sum(-1)
    off = np.abs(square - mass**2).max(1)
    aside = np.abs(p4[:, :2, 1:3]).max((1, 2))
    wrong = (p4[:, 0, 3] <= 0) | (p4[:, 1, 3] >= 0) | (p4[..., 0] <= 0).any(1)
    for what, size, limit in (
        ("what comes in and goes out differs by", excess, NEAR * scale),
        ("squares differ from those of masses by", off, NEAR * scale**2),
        ("incoming ones are away from z by", aside, NEAR * scale),
        ("none is along z, or against it, or an energy is not positive:", wrong, 0.5),
    ):
        bad = ~(size <= limit)
        if bad.any():
            k = int(np.argmax(bad))
            raise ValueError(f"momenta: {what} {size[k]} in event {k}; {bad.sum()} such events")


def _check_colours(pid: np.ndarray, colours: np.ndarray) -> None:
    """Compare lines with particles, and the two ends of each line."""
    kinds = {abs(k): standard_model.PARTICLES[k].colour for k in standard_model.PARTICLES}
    one = np.zeros((*pid.shape, 2), bool)
    for code in np.unique(np.abs(pid)):
        kind, found = kinds.get(int(code), 1), np.abs(pid) == code
        one[found & (pid > 0), 0] = kind != 1
        one[found, 1] = kind == 8
        one[found & (pid < 0), 1] = kind != 1
    fits = ((colours > 0) == one).all((1, 2))
    ends = [np.concatenate([colours[:, :2, k], colours[:, 2:, 1 - k]], 1) for k in (0, 1)]
    first, last = (np.sort(end, 1) for end in ends)
    fits &= (first == last).all(1) & ((np.diff(first, axis=1) > 0) | (first[:, 1:] == 0)).all(1)
    fits &= ((ends[0] != ends[1]) | (ends[0] == 0)).all(1)
    if not fits.all():
        k = int(np.argmin(fits))
        raise ValueError(f"colours: {colours[k].tolist()} of {pid[k].tolist()} in event {k}")


def head(
    events: lhe.Events,
    cross_section: float,
    error: float,
    *,
    beams: tuple[int, int] = (2212, 2212),
    energies: tuple[float, float] = (6500.0, 6500.0),
    pdf_set: int = 0,
    groups: tuple[lhe.Group, ...] = (),
    text: str = "",
) -> lhe.Head:
    """Give the head of a file of all these events: the cross-section and its error, pb, shared
    among the processes by the weights of their events.

    beams: PDG codes; energies: GeV; pdf_set: its number in LHAPDF; groups: of further weights.
    """
    weight, found = np.asarray(events.weight), []
    for number in np.unique(events.process).tolist():
        own = weight[np.asarray(events.process) == number]
        share = own.sum() / weight.sum()
        size = np.abs(own).sum() / np.abs(weight).sum()
        numbers = (cross_section * share, error * size**0.5, np.abs(own).max())
        found.append(lhe.Process(number, *map(float, numbers)))
    strategy = -4 if (weight < 0).any() else 4
    both = (pdf_set, pdf_set)
    return lhe.Head(
        beams, energies, tuple(found), strategy, pdf_sets=both, groups=groups, text=text
    )
