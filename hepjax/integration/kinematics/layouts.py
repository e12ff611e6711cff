"""Phase space of hadron collisions: groups of particles, each with a momentum across the beams.

A `Layout` puts the outgoing particles into groups. A group has a squared mass, by a map that is
dense at the pole of what it comes from, and falls apart in steps of two; all groups but the last
have a momentum across the beams, an azimuth, and a rapidity seen from the last one, which takes the
recoil; the rapidity of the whole fixes how much of each hadron is used. So cuts on momenta across
the beams are limits of a map, as in arXiv:2302.10449, and n particles take 3n - 2 numbers.
`forward` makes points of numbers, `inverse` gives numbers back, each with the logarithm of its
Jacobian, of the measure dx1 dx2 prod d^3p / (2E) delta^4, GeV^(2n - 4). Layouts are the channels of
an integration; `groupings` lists those of a process.

>>> space = Space((173.0, 173.0, 0.0), energy=13_000.0, min_pt=20.0, hard=(2,))
>>> with jax.enable_x64(True):
...     at = forward(space, Layout((2, Split(0, 1))), np.full((1, 7), 0.3))
>>> at.momenta.shape, bool(np.abs(np.asarray(at.momenta)[0, 2:].sum(0)[1:]).max() < 1e-9)
((1, 5, 4), True)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import lorentz
from hepjax.integration.kinematics import maps, phasespace


class Split(NamedTuple):
    """Two particles, or groups, that come from one.

    The squared mass is spread like (s - mass^2)^-exponent, or as a Breit-Wigner peak where there is
    a width, GeV.
    """

    first: Node
    second: Node
    exponent: float = 0.7
    mass: float = 0.0
    width: float = 0.0


Node = int | Split
"""A particle by its number, or a group."""


class Layout(NamedTuple):
    """Groups, at least two; the last one takes the recoil."""

    groups: tuple[Node, ...]


class Space(NamedTuple):
    """What all layouts of a process share.

    masses: [particle] GeV; energy: of the collision, GeV; min_pt: GeV, that hard particles have at
    least where they are a group of their own, and the softness of what others get; hard: those
    particles, which a cut is for; exponent of the spectrum of momenta across the beams, squared.
    """

    masses: tuple[float, ...]
    energy: float
    min_pt: float
    hard: tuple[int, ...] = ()
    exponent: float = 2.0


class Points(NamedTuple):
    """momenta: [point, 2 + particle, 4] in the rest frame of the partons, which come first; first,
    second: [point] shares of the hadrons; log_jacobian: [point], -inf where there is no room.
    """

    momenta: jax.Array
    first: jax.Array
    second: jax.Array
    log_jacobian: jax.Array


def forward(space: Space, layout: Layout, numbers: Any) -> Points:
    """Make points of numbers [point, 3n - 2] of the cube.

    Raises ValueError for a layout that does not have each particle once, and for another number of
    numbers.
    """
    numbers = _checked(space, layout, jnp.asarray(numbers, float))
    left = iter(jnp.moveaxis(numbers, -1, 0))
    mass: dict[Node, Any] = dict(enumerate(map(jnp.asarray, space.masses)))
    log = jnp.zeros(len(numbers))
    for k, group in enumerate(layout.groups):
        others = layout.groups[:k] + layout.groups[k + 1 :]
        most = space.energy - sum(_least(space, other) for other in others)
        log += _spread(space, group, left, most, mass)
    across, more = _across(space, layout, left, mass)
    whole, first, second, last = _along(space, layout, left, across, mass)
    made: dict[int, jax.Array] = {}
    for group, p in zip(layout.groups, whole):
        log += _decay(group, p, left, mass, made)
    total = jnp.sqrt(first * second) * space.energy
    momenta = jnp.stack([*_beams(total), *(made[k] for k in range(len(space.masses)))], 1)
    log = jnp.where(last > -jnp.inf, log + more + last, -jnp.inf)
    return Points(momenta, first, second, log)


def inverse(space: Space, layout: Layout, at: Points) -> tuple[jax.Array, jax.Array]:
    """Give the numbers [point, 3n - 2] of points, and the logarithm of d numbers / d Phi [point],
    -inf for points that the layout does not come to; log_jacobian of `at` is not looked at.
    """
    out = jnp.moveaxis(at.momenta[:, 2:], 1, 0)
    p = {group: out[np.array(leaves(group))].sum(0) for group in layout.groups}
    mass: dict[Node, Any] = dict(enumerate(map(jnp.asarray, space.masses)))
    found: list[jax.Array] = []
    log = jnp.zeros(len(at.first))
    for k, group in enumerate(layout.groups):
        others = layout.groups[:k] + layout.groups[k + 1 :]
        most = space.energy - sum(_least(space, other) for other in others)
        log += _collect(space, group, out, most, mass, found)
    log += _across_inverse(space, layout, p, mass, found)
    room = jnp.log(space.energy**2 / lorentz.mass_squared(out.sum(0)))
    found.append(jnp.log(at.first / at.second) / (2 * room) + 0.5)
    log -= jnp.log(room) - np.log(space.energy**2)
    for group in layout.groups:
        log += _decay_inverse(group, p[group], out, mass, found)
    numbers = jnp.stack(found, -1)
    inside = ((numbers > -1e-9) & (numbers < 1 + 1e-9)).all(-1)
    return numbers, jnp.where(inside, log, -jnp.inf)


def leaves(node: Node) -> tuple[int, ...]:
    """List the particles of a group."""
    return (node,) if isinstance(node, int) else (*leaves(node.first), *leaves(node.second))


def _least(space: Space, node: Node) -> float:
    """Give the least mass of a group, GeV."""
    return sum(space.masses[k] for k in leaves(node))


def _checked(space: Space, layout: Layout, numbers: jax.Array) -> jax.Array:
    n = len(space.masses)
    there = sorted(k for group in layout.groups for k in leaves(group))
    if there != list(range(n)) or len(layout.groups) < 2:
        raise ValueError(f"layout: particles {there}, expected 0 to {n - 1} in two groups or more")
    if numbers.shape[-1] != 3 * n - 2:
        raise ValueError(f"numbers: {numbers.shape[-1]}, expected {3 * n - 2} for {n} particles")
    return numbers


def _beams(total: jax.Array) -> list[jax.Array]:
    """Give the momenta [point, 4] of two partons in their rest frame."""
    half, none = total / 2, jnp.zeros_like(total)
    return [jnp.stack([half, none, none, sign * half], -1) for sign in (1, -1)]


def _spread(space: Space, node: Node, left: Iterator, most: Any, mass: dict[Node, Any]) -> Any:
    """Give a mass to a group and to all that is in it; returns the logarithm of the Jacobian."""
    if isinstance(node, int):
        return 0.0
    low = _least(space, node) ** 2
    if node.width:
        s, log = maps.breit_wigner(next(left), low, most**2, node.mass, node.width)
    else:
        pole = node.mass**2
        s, log = maps.power(next(left), low - pole, most**2 - pole, node.exponent)
        s = s + pole
    mass[node] = jnp.sqrt(s)
    log += _spread(space, node.first, left, mass[node] - _least(space, node.second), mass)
    return log + _spread(space, node.second, left, mass[node] - mass[node.first], mass)


def _collect(
    space: Space, node: Node, out: jax.Array, most: Any, mass: dict[Node, Any], found: list
) -> Any:
    """Take `_spread` back."""
    if isinstance(node, int):
        return 0.0
    s = lorentz.mass_squared(out[np.array(leaves(node))].sum(0))
    low, pole = _least(space, node) ** 2, node.mass**2
    if node.width:
        u, log = maps.breit_wigner_inverse(s, low, most**2, node.mass, node.width)
    else:
        s = jnp.maximum(s, low + 1e-12)
        u, log = maps.power_inverse(s - pole, low - pole, most**2 - pole, node.exponent)
    found.append(u)
    mass[node] = jnp.sqrt(s)
    log += _collect(space, node.first, out, mass[node] - _least(space, node.second), mass, found)
    return log + _collect(space, node.second, out, mass[node] - mass[node.first], mass, found)


def _softness(space: Space, group: Node, mass: Any) -> tuple[Any, Any, Any]:
    """Give what is added to the squared momentum across the beams of a group, so that the spectrum
    is a power of the sum, and the limits of the sum, GeV^2.
    """
    hard = group in space.hard
    soft = jnp.zeros(()) if hard else mass**2 + space.min_pt**2
    low = space.min_pt**2 if hard else soft
    return soft, low, soft + space.energy**2 / 4


def _across(
    space: Space, layout: Layout, left: Iterator, mass: dict[Node, Any]
) -> tuple[list[tuple[jax.Array, jax.Array]], Any]:
    """Draw px, py of all groups but the last, [group] pairs; the azimuth of later groups is seen
    from the first. Also the logarithm of the Jacobian.
    """
    made, log, start = [], 0.0, 0.0
    for group in layout.groups[:-1]:
        soft, low, high = _softness(space, group, mass[group])
        square, more = maps.power(next(left), low, high, space.exponent)
        phi = 2 * np.pi * next(left) + start
        start = phi if not made else start
        pt = jnp.sqrt(jnp.maximum(square - soft, 0))
        made.append((pt * jnp.cos(phi), pt * jnp.sin(phi)))
        log += more + np.log(2 * np.pi / 4)
    return made, log


def _across_inverse(
    space: Space, layout: Layout, p: dict[Node, Any], mass: dict[Node, Any], found: list
) -> Any:
    """Take `_across` and the rapidities of `_along` back."""
    log, start, last = 0.0, 0.0, p[layout.groups[-1]]
    seen, rapidities = [], []
    for k, group in enumerate(layout.groups[:-1]):
        soft, low, high = _softness(space, group, mass[group])
        square = p[group][:, 1] ** 2 + p[group][:, 2] ** 2
        u, more = maps.power_inverse(square + soft, low, high, space.exponent)
        phi = jnp.arctan2(p[group][:, 2], p[group][:, 1])
        seen += [u, (phi - start) / (2 * np.pi) % 1]
        start = phi if k == 0 else start
        room = _room(space, _mt(p[group], mass[group]), _mt(last, mass[layout.groups[-1]]))
        rapidities.append((_rapidity(p[group]) - _rapidity(last)) / (2 * room) + 0.5)
        log += more - np.log(2 * np.pi / 4) - jnp.log(2 * room)
    found += [*seen, *rapidities]
    return log


def _mt(p: Any, mass: Any) -> jax.Array:
    """Give sqrt(mass^2 + pt^2) of p [..., 4]."""
    return jnp.sqrt(mass**2 + p[..., 1] ** 2 + p[..., 2] ** 2)


def _rapidity(p: jax.Array) -> jax.Array:
    return jnp.arctanh(p[..., 3] / p[..., 0])


def _room(space: Space, one: Any, other: Any) -> jax.Array:
    """Give how far two groups of transverse masses can be apart in rapidity."""
    return jnp.arccosh(jnp.maximum(space.energy**2 / (2 * one * other), 1 + 1e-12))


def _along(
    space: Space, layout: Layout, left: Iterator, across: list, mass: dict[Node, Any]
) -> tuple[list[jax.Array], jax.Array, jax.Array, Any]:
    """Draw rapidities.

    Returns momenta of groups, each [point, 4], in the rest frame of all, the shares of the hadrons,
    and the logarithm of the Jacobian, -inf without room.
    """
    px, py = (-sum(x) for x in zip(*across))
    rows = [jnp.stack([jnp.zeros_like(x), x, y, jnp.zeros_like(x)], -1) for x, y in across]
    rows.append(jnp.stack([jnp.zeros_like(px), px, py, jnp.zeros_like(px)], -1))
    mt = [_mt(row, mass[group]) for row, group in zip(rows, layout.groups)]
    y, log = [], -2 * np.log(space.energy)
    for one in mt[:-1]:
        room = _room(space, one, mt[-1])
        y.append((2 * next(left) - 1) * room)
        log += jnp.log(2 * room)
    y.append(jnp.zeros_like(px))
    energy = sum(m * jnp.cosh(x) for m, x in zip(mt, y))
    along = sum(m * jnp.sinh(x) for m, x in zip(mt, y))
    total = jnp.sqrt(energy**2 - along**2)
    shift = jnp.arctanh(along / energy)
    inside = total < space.energy * (1 - 1e-12)
    room = jnp.log(space.energy / jnp.where(inside, total, space.energy / 2))
    boost = (2 * next(left) - 1) * room
    first, second = (jnp.exp(sign * boost) * total / space.energy for sign in (1, -1))
    log = jnp.where(inside, log + jnp.log(2 * room), -jnp.inf)
    momenta = []
    for row, m, x in zip(rows, mt, y):
        away = x - shift
        whole = [m * jnp.cosh(away), row[:, 1], row[:, 2], m * jnp.sinh(away)]
        momenta.append(jnp.stack(whole, -1))
    return momenta, first, second, log


def _momentum(node: Split, mass: dict[Node, Any]) -> jax.Array:
    """Give the momentum [point] of the two parts in the rest frame of a group."""
    m, a, b = mass[node], mass[node.first], mass[node.second]
    inside = (m - a - b) * (m + a + b) * (m - a + b) * (m + a - b)
    return jnp.sqrt(jnp.maximum(inside, 0)) / (2 * m)


def _decay(
    node: Node, p: jax.Array, left: Iterator, mass: dict[Node, Any], made: dict[int, jax.Array]
) -> Any:
    """Let a group of momentum p [point, 4] fall apart, evenly in its rest frame; returns the
    logarithm of the Jacobian.
    """
    if isinstance(node, int):
        made[node] = p
        return 0.0
    size, cos, phi = _momentum(node, mass), 2 * next(left) - 1, 2 * np.pi * next(left)
    sin = jnp.sqrt(jnp.maximum(1 - cos**2, 0))
    way = [sin * jnp.cos(phi), sin * jnp.sin(phi), cos]
    energies = [jnp.sqrt(size**2 + mass[part] ** 2) for part in (node.first, node.second)]
    log = jnp.log(np.pi * size / mass[node])
    for part, energy, sign in zip((node.first, node.second), energies, (1, -1)):
        rest = jnp.stack([energy, *(sign * size * x for x in way)], -1)
        log += _decay(part, phasespace.boost(rest, p, mass[node]), left, mass, made)
    return log


def _decay_inverse(
    node: Node, p: jax.Array, out: jax.Array, mass: dict[Node, Any], found: list
) -> Any:
    """Take `_decay` back."""
    if isinstance(node, int):
        return 0.0
    parts = [out[np.array(leaves(part))].sum(0) for part in (node.first, node.second)]
    rest = phasespace.boost(parts[0], p * np.array([1, -1, -1, -1.0]), mass[node])
    size = _momentum(node, mass)
    found.append((rest[:, 3] / jnp.maximum(size, 1e-300) + 1) / 2)
    found.append(jnp.arctan2(rest[:, 2], rest[:, 1]) / (2 * np.pi) % 1)
    log = -jnp.log(np.pi * size / mass[node])
    for part, momentum in zip((node.first, node.second), parts):
        log += _decay_inverse(part, momentum, out, mass, found)
    return log
