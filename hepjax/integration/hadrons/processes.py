"""Integrands of hadronic cross-sections: parton densities, channels, cuts and closed forms.

A process of two particles has three numbers: the partonic s, by the map of its channel, the
rapidity of the pair, and cos(theta). The integrand is in picobarn. Channels are those of what is
exchanged, each with a map of s of its own; the prior weights of channels are the densities of the
maps, and the learned ones see s, rapidity and angle.

>>> PROTON
'NNPDF23_lo_as_0130_qed'
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.integration import integrator
from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.hadrons import pdf
from hepjax.integration.kinematics import maps

PROTON = "NNPDF23_lo_as_0130_qed"
"""The set of parton densities that is used where none is named; Pythia brings it."""

QUARKS = (1, 2, 3, 4, 5)

Densities = Callable[[Any, Any], jax.Array]


class Map(NamedTuple):
    """A map of the partonic s: forward(u, low, high) and inverse(s, low, high) of `maps`."""

    forward: Callable[[Any, Any, Any], maps.Mapped]
    inverse: Callable[[Any, Any, Any], maps.Mapped]


def power(exponent: float) -> Map:
    """Give the map of s^-exponent."""
    return Map(
        lambda u, low, high: maps.power(u, low, high, exponent),
        lambda s, low, high: maps.power_inverse(s, low, high, exponent),
    )


def resonance(mass: float, width: float) -> Map:
    """Give the map of a Breit-Wigner peak."""
    return Map(
        lambda u, low, high: maps.breit_wigner(u, low, high, mass, width),
        lambda s, low, high: maps.breit_wigner_inverse(s, low, high, mass, width),
    )


def fixed(scale: float) -> Callable[[Any], Any]:
    """Give the same scale, GeV, at any s: s -> scale^2."""
    return lambda s: jnp.full_like(s, scale**2)


class Pair(NamedTuple):
    """A hadronic process of two particles, in terms of what it needs.

    partonic: (s, cos) -> d sigma / d cos [..., flavour pair], GeV^-2; partons: PDG codes of each
    flavour pair; limits: of s, GeV^2; channels: maps of s; scale2: s -> squared scale of the
    densities; max_cos: s -> largest |cos|; energy: of the collision, GeV; outgoing: PDG codes, of
    one mass, GeV; alpha_s, of which the cross-section has a power.
    """

    partonic: Callable[[Any, Any], Any]
    partons: tuple[tuple[int, int], ...]
    limits: tuple[float, float]
    channels: Sequence[Map]
    scale2: Callable[[Any], Any]
    max_cos: Callable[[Any], Any]
    energy: float
    outgoing: tuple[int, int]
    mass: float = 0.0
    alpha_s: float = 0.118
    power: int = 0


class Kinematics(NamedTuple):
    """Of points: s GeV^2, shares x1 and x2 of the hadrons, cos, and the logarithm of the Jacobian,
    all [point].
    """

    s: jax.Array
    first: jax.Array
    second: jax.Array
    cos: jax.Array
    log_jacobian: jax.Array


def kinematics(pair: Pair, u: jax.Array, channel: jax.Array) -> Kinematics:
    """Take points u [point, 3] of the cube through the map of their channel [point]."""
    mapped = [one.forward(u[:, 0], *pair.limits) for one in pair.channels]
    row = jnp.arange(len(u))
    s, log_s = (jnp.stack(x)[channel, row] for x in zip(*mapped))
    first, second, log_shares = maps.partons(u[:, 1], s, pair.energy)
    most = pair.max_cos(s)
    log_jacobian = log_s + log_shares + jnp.log(2 * most)
    return Kinematics(s, first, second, (2 * u[:, 2] - 1) * most, log_jacobian)


def integrand(pair: Pair, densities: pdf.PDF) -> integrator.Integrand:
    """Make the integrand of a process, pb, for `integrator` and `vegas`."""
    columns = np.array([[pdf.column(pid) for pid in both] for both in pair.partons])
    low, high = pair.limits

    def function(u: jax.Array, channel: jax.Array) -> integrator.Values:
        at = kinematics(pair, u, channel)
        q2 = pair.scale2(at.s)
        flux = [pdf.xf(densities, x, q2) / x[:, None] for x in (at.first, at.second)]
        both = flux[0][:, columns[:, 0]] * flux[1][:, columns[:, 1]]
        sigma = (both * pair.partonic(at.s, at.cos)).sum(-1) * closed_forms.PICOBARN
        log_prior = jnp.stack([one.inverse(at.s, low, high)[1] for one in pair.channels], -1)
        features = jnp.stack([jnp.log(at.s / low) / np.log(high / low), u[:, 1], at.cos], -1)
        value = sigma * jnp.exp(at.log_jacobian)
        return integrator.Values(value, features, jax.nn.log_softmax(log_prior, -1))

    return integrator.Integrand(function, 3, len(pair.channels), 3 if len(pair.channels) > 1 else 0)


def drell_yan(
    vectors: Sequence[closed_forms.Vector],
    masses: tuple[float, float],
    *,
    alpha: float = 0.00781751,
    energy: float = 13_000.0,
    lepton: int = 13,
) -> Pair:
    """Quarks to a lepton pair of a mass between two, GeV, by neutral vectors; the densities are
    taken at that mass.
    """

    def partonic(s: Any, cos: Any) -> Any:
        of = [closed_forms.fermion_pair(s, c, q, lepton, vectors, alpha) for q, c in signed(cos)]
        return jnp.stack(of, -1)

    def signed(cos: Any) -> list[tuple[int, Any]]:
        return [(q, sign * cos) for q in QUARKS for sign in (1, -1)]

    partons = tuple((sign * q, -sign * q) for q in QUARKS for sign in (1, -1))
    channels = [resonance(one.mass, one.width) if one.width else power(2.0) for one in vectors]
    limits = masses[0] ** 2, min(masses[1], energy) ** 2
    given = partonic, partons, limits, channels, lambda s: s, jnp.ones_like, energy
    return Pair(*given, (lepton, -lepton))


def top_pair(
    mass: float = 172.5, *, alpha_s: float = 0.118, scale: float = 172.5, energy: float = 13_000.0
) -> Pair:
    """Quarks and gluons to a pair of top quarks, at a fixed scale, GeV."""

    def partonic(s: Any, cos: Any) -> Any:
        quarks = closed_forms.top_pair_of_quarks(s, cos, mass, alpha_s)
        gluons = closed_forms.top_pair_of_gluons(s, cos, mass, alpha_s)
        return jnp.stack([gluons] + [quarks] * (2 * len(QUARKS)), -1)

    partons = ((21, 21), *((sign * q, -sign * q) for q in QUARKS for sign in (1, -1)))
    limits = (2 * mass) ** 2 * (1 + 1e-12), energy**2 * (1 - 1e-12)
    given = partonic, partons, limits, [power(2.0)], fixed(scale), jnp.ones_like, energy
    return Pair(*given, (6, -6), mass, alpha_s, 2)


def gluons(
    min_pt: float = 50.0, *, alpha_s: float = 0.118, scale: float = 100.0, energy: float = 13_000.0
) -> Pair:
    """Two gluons to two above a transverse momentum, GeV, at a fixed scale."""

    def partonic(s: Any, cos: Any) -> Any:
        return closed_forms.gluon_pair(s, cos, alpha_s)[..., None]

    def max_cos(s: Any) -> Any:
        return jnp.sqrt(jnp.maximum(1 - 4 * min_pt**2 / s, 0))

    limits = (2 * min_pt) ** 2, energy**2 * (1 - 1e-12)
    given = partonic, ((21, 21),), limits, [power(2.0)], fixed(scale), max_cos, energy
    return Pair(*given, (21, 21), 0.0, alpha_s, 2)
