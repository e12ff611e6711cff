"""Pixels in a solenoid, in the box: helices through cylinders and disks, with what makes it hard.

The detector is that of the TrackML challenge's pixels, as ACTS' generic detector has them (figures
from arXiv:1904.06778): four cylinders and seven disks on either side, in a field of 2 T along the
beam. A particle follows a helix and is turned in each layer that it crosses, by the Gaussian of
multiple scattering (Highland's formula); layers lose hits, and noise adds some. It loses no energy,
makes no showers, and leaves the detector where it leaves the last layer: what turns back is not
followed. Modules do not overlap.

`crossings` is the physics, a pure and differentiable function of origins, directions, momenta and
unit random numbers; `event` draws collisions, of which one is hard, with decays in flight and
photon conversions, and makes an `io.hits.Event` of them, as `io.trackml` reads it.

>>> one = event(jax.random.key(1), Beam(pile_up=2.0))
>>> hits.validate(one)
>>> sorted(set(one.hits["volume"].tolist()))
[7, 8, 9]
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import runs
from hepjax.io import hits
from hepjax.tracking.fits import TESLA_MM
from hepjax.tracking.simulation.decays import (
    K_SHORT,
    K_SHORT_CTAU,
    MASS,
    PID,
    hagedorn,
    highland,
    kaon_to_pions,
)

FIELD = 2.0
RADII = np.array([32.0, 72.0, 116.0, 172.0])
HALF_LENGTH = 491.0
DISKS = np.array([600.0, 700.0, 820.0, 960.0, 1100.0, 1300.0, 1500.0])
INNER, OUTER = 30.0, 176.0
"""mm: cylinders and their half length; disks along the beam and their radii."""

SURFACE = np.concatenate([-DISKS[::-1], RADII, DISKS])
IS_DISK = np.r_[np.ones(7, bool), np.zeros(4, bool), np.ones(7, bool)]
VOLUME = np.repeat([7, 8, 9], [7, 4, 7])
LAYER = 2 * np.concatenate([np.arange(1, 8), np.arange(1, 5), np.arange(1, 8)])
N_SURFACES = len(SURFACE)
"""By surface: place of a disk or radius of a cylinder, mm; volumes, layers as in TrackML."""

RADIATION_LENGTHS = 0.025
RESOLUTION = 0.0144, 0.0162
"""Across and along, mm: pixels of 50 and 56 um."""

N_NEWTON = 5


class Beam(NamedTuple):
    """What an event is made of.

    pile_up: mean number of soft collisions, Poisson, beside the hard one; density: charged
    particles of a soft one, a unit of pseudorapidity; n_jets, n_in_jet: of the hard one, mean;
    decays, conversions: of the number of particles; spread_z, spread_xy: of the collisions, mm;
    efficiency: of a layer; noise: hits of noise for each true one.
    """

    pile_up: float = 15.0
    density: float = 6.5
    n_jets: float = 6.0
    n_in_jet: float = 10.0
    decays: float = 0.03
    conversions: float = 0.03
    spread_z: float = 55.5
    spread_xy: float = 0.0125
    efficiency: float = 0.985
    noise: float = 0.1


BEAM = Beam()


class Tracks(NamedTuple):
    """Particles at their origin.

    origin: [particle, 3] mm; momentum: [particle, 3] GeV; mass: [particle] GeV; charge: [particle].
    """

    origin: Any
    momentum: Any
    mass: Any
    charge: Any


class State(NamedTuple):
    """Where particles are [particle, 3], azimuth of their direction, and their slope dz/ds."""

    position: jax.Array
    azimuth: jax.Array
    slope: jax.Array


def moved(state: State, curvature: jax.Array, arc: jax.Array) -> State:
    """Move particles along their helices by arcs in the transverse plane [particle], mm."""
    half = 0.5 * curvature * arc
    chord = arc * jnp.sinc(half / np.pi)
    along = jnp.stack([jnp.cos(state.azimuth + half), jnp.sin(state.azimuth + half)], -1)
    xy = state.position[:, :2] + chord[:, None] * along
    z = state.position[:, 2] + arc * state.slope
    return State(jnp.concatenate([xy, z[:, None]], -1), state.azimuth + 2 * half, state.slope)


def arc_to(state: State, curvature: jax.Array, layer: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Find the arc to the layer [particle] that each particle meets next, and whether it does."""
    surface, is_disk = jnp.asarray(SURFACE)[layer], jnp.asarray(IS_DISK)[layer]
    slope = jnp.where(jnp.abs(state.slope) < 1e-6, 1e-6, state.slope)
    to_disk = (surface - state.position[:, 2]) / slope
    xy = state.position[:, :2]
    ahead = xy[:, 0] * jnp.cos(state.azimuth) + xy[:, 1] * jnp.sin(state.azimuth)
    excess = (xy**2).sum(-1) - surface**2
    to_cylinder = -ahead + jnp.sqrt(jnp.maximum(ahead**2 - excess, 1e-6))

    def newton(_: Any, arc: jax.Array) -> jax.Array:
        there = moved(state, curvature, arc)
        x, y = there.position[:, 0], there.position[:, 1]
        rate = 2 * (x * jnp.cos(there.azimuth) + y * jnp.sin(there.azimuth))
        off = x**2 + y**2 - surface**2
        return arc - off / jnp.where(jnp.abs(rate) < 1.0, 1.0, rate)

    to_cylinder = jax.lax.fori_loop(0, N_NEWTON, newton, to_cylinder)
    arc = jnp.where(is_disk, to_disk, to_cylinder)
    there = moved(state, curvature, arc).position
    radius = jnp.hypot(there[:, 0], there[:, 1])
    on_disk = (radius > INNER) & (radius < OUTER)
    on_cylinder = (jnp.abs(there[:, 2]) < HALF_LENGTH) & (jnp.abs(radius - surface) < 1e-2)
    on_cylinder &= excess < 0
    met = (arc > 1e-3) & (jnp.abs(curvature * arc) < np.pi / 2)
    return arc, met & jnp.where(is_disk, on_disk, on_cylinder)


def crossings(tracks: Tracks, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Follow particles through all layers: where they cross, and whether they do.

    noise: [particle, layer, 2] unit normal numbers, of the scattering in each layer. Returns
    positions [particle, layer, 3] mm, differentiable by all that is given, and [particle, layer]
    bool. Layers are taken in the order in which the helix without scattering meets them.
    """
    pt = jnp.hypot(tracks.momentum[:, 0], tracks.momentum[:, 1])
    p = jnp.sqrt((tracks.momentum**2).sum(-1))
    curvature = -TESLA_MM * FIELD * tracks.charge / pt
    azimuth = jnp.arctan2(tracks.momentum[:, 1], tracks.momentum[:, 0])
    start = State(tracks.origin, azimuth, tracks.momentum[:, 2] / pt)
    n = len(pt)
    every = jnp.arange(N_SURFACES)
    arc, met = jax.vmap(lambda k: arc_to(start, curvature, jnp.full(n, k)))(every)
    order = jnp.argsort(jnp.where(met, arc, jnp.inf), axis=0)  # [place, particle]

    def cross(state: State, layer: jax.Array) -> tuple[State, tuple]:
        arc, met = arc_to(state, curvature, layer)
        there = moved(state, curvature, jnp.where(met, arc, 0.0))
        steep = jnp.sqrt(1 + there.slope**2)
        xy = there.position[:, :2]
        outwards = xy[:, 0] * jnp.cos(there.azimuth) + xy[:, 1] * jnp.sin(there.azimuth)
        radial = jnp.abs(outwards) / jnp.maximum(jnp.hypot(*xy.T), 1e-3)
        into = jnp.where(jnp.asarray(IS_DISK)[layer], jnp.abs(there.slope), radial) / steep
        depth = RADIATION_LENGTHS / jnp.maximum(into, 0.05)
        kick = highland(p, tracks.mass, depth)[:, None] * noise[jnp.arange(n), layer]
        kick = jnp.where(met[:, None], kick, 0.0)
        turned = there._replace(
            azimuth=there.azimuth + kick[:, 0] * steep, slope=there.slope + kick[:, 1] * steep**2
        )
        return turned, (there.position, met)

    _, (position, met) = jax.lax.scan(cross, start, order)
    back = jnp.argsort(order, axis=0)
    position = jnp.take_along_axis(position, back[..., None], 0)
    return jnp.swapaxes(position, 0, 1), jnp.take_along_axis(met, back, 0).T


def event(key: jax.Array, beam: Beam = BEAM) -> hits.Event:
    """Draw one event: hits sorted by module, all particles that left any, and the truth.

    hits: x, y, z, module, volume, layer, as `io.trackml` reads them; particles: too, and
    is_primary.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    tracks, kind, is_primary = _particles(rng, beam)
    noise = rng.normal(size=(len(kind), N_SURFACES, 2)).astype(np.float32)
    found, there = _followed(tracks, noise)
    there = there & (rng.random(there.shape) < beam.efficiency)
    particle, layer = np.nonzero(there)
    position = _smeared(rng, found[there].astype(float), layer)
    stray, stray_layer = _noise(rng, position, layer, rng.poisson(beam.noise * len(layer)))
    position, layer = np.concatenate([position, stray]), np.concatenate([layer, stray_layer])
    module = _module(position, layer)
    order = np.lexsort((np.arctan2(position[:, 1], position[:, 0]), module))
    kept, number = np.unique(particle, return_inverse=True)
    place = np.argsort(order)[: len(particle)]
    truth = np.stack([place, number], -1)[np.lexsort((place, number))]
    table = dict(zip(hits.POSITION, position[order].T))
    surface = layer[order]
    table |= {"module": module[order], "layer": LAYER[surface], "volume": VOLUME[surface]}
    chosen = Tracks(*(np.asarray(x, float)[kept] for x in tracks))
    return hits.Event(table, _columns(chosen, kind[kept], is_primary[kept]), truth)


def events(n_events: int, seed: int, beam: Beam = BEAM, *, first: int = 0) -> list[hits.Event]:
    """Draw events, each by its own number, from `first` on."""
    drawn = []
    with runs.progress(n_events, "simulate") as advance:
        for k in range(first, first + n_events):
            drawn.append(event(jax.random.fold_in(jax.random.key(seed), k), beam))
            advance(1)
    return drawn


_compiled = jax.jit(crossings)


def _followed(tracks: Tracks, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow any number of particles by few compiled shapes, the last particle repeated."""
    n = len(noise)
    index = np.minimum(np.arange(-(-n // 512) * 512), n - 1)
    padded = jax.tree.map(lambda x: np.asarray(x, np.float32)[index], (tracks, noise))
    position, there = _compiled(*padded)
    return np.asarray(position)[:n], np.asarray(there)[:n]


def _smeared(rng: np.random.Generator, position: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Move hits [hit, 3] on their surfaces by the resolution."""
    r, phi = np.hypot(position[:, 0], position[:, 1]), np.arctan2(position[:, 1], position[:, 0])
    across, along = (rng.normal(scale=scale, size=len(r)) for scale in RESOLUTION)
    phi = phi + across / r
    r = r + np.where(IS_DISK[layer], along, 0)
    z = position[:, 2] + np.where(IS_DISK[layer], 0, along)
    return np.stack([r * np.cos(phi), r * np.sin(phi), z], -1)


def _noise(
    rng: np.random.Generator, position: np.ndarray, layer: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw hits of noise as true ones are spread, at other azimuths: [hit, 3] mm, layers [hit]."""
    of = rng.integers(0, max(len(layer), 1), n if len(layer) else 0)
    r, phi = np.hypot(position[of, 0], position[of, 1]), rng.uniform(-np.pi, np.pi, len(of))
    disk = IS_DISK[layer[of]]
    r = np.where(disk, rng.uniform(INNER, OUTER, len(of)), r)
    z = np.where(disk, position[of, 2], rng.uniform(-HALF_LENGTH, HALF_LENGTH, len(of)))
    return np.stack([r * np.cos(phi), r * np.sin(phi), z], -1), layer[of]


N_PHI, N_ALONG = 32, 14


def _module(position: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Number modules [hit]: 32 of the azimuth, 14 along a cylinder or 2 across a disk, a layer."""
    phi = np.arctan2(position[:, 1], position[:, 0])
    sector = np.floor((phi + np.pi) / (2 * np.pi) * N_PHI).astype(int) % N_PHI
    far = np.hypot(position[:, 0], position[:, 1]) > (INNER + OUTER) / 2
    along = np.floor((position[:, 2] + HALF_LENGTH) / (2 * HALF_LENGTH) * N_ALONG).astype(int)
    place = np.where(IS_DISK[layer], far, np.clip(along, 0, N_ALONG - 1))
    return (layer * N_ALONG + place) * N_PHI + sector


def _momenta(pt: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)


def _particles(rng: np.random.Generator, beam: Beam) -> tuple[Tracks, np.ndarray, np.ndarray]:
    """Draw the particles of an event, the kind of each, and whether it is from a collision."""
    n_soft = rng.poisson(beam.pile_up)
    vertex = rng.normal(size=(n_soft + 1, 3)) * [beam.spread_xy, beam.spread_xy, beam.spread_z]
    size = rng.gamma(2, 8 * beam.density / 2, n_soft + 1)  # as wide as charged multiplicities are
    of = np.repeat(np.arange(n_soft + 1), rng.poisson(size))
    soft = _momenta(
        hagedorn(rng, len(of)), rng.uniform(-4, 4, len(of)), rng.uniform(-np.pi, np.pi, len(of))
    )
    n_jets = rng.poisson(beam.n_jets)
    jet = np.repeat(np.arange(n_jets), rng.poisson(beam.n_in_jet, n_jets))
    axis = rng.normal(scale=1.4, size=n_jets), rng.uniform(-np.pi, np.pi, n_jets)
    eta, phi = (x[jet] + rng.normal(scale=0.15, size=len(jet)) for x in axis)
    hard = _momenta(hagedorn(rng, len(jet), 8.0), eta, phi)
    origin = np.concatenate([vertex[of], np.broadcast_to(vertex[-1], (len(jet), 3))])
    p = np.concatenate([soft, hard])
    kind = np.where(rng.random(len(p)) < 0.12, "kaon", "pion")
    parts = [(origin, p, kind, np.ones(len(p), bool))]
    mother = rng.integers(0, len(p), rng.poisson(beam.decays * len(p)))
    p0 = p[mother]
    flown = origin[mother] + p0 / K_SHORT * rng.exponential(K_SHORT_CTAU, (len(p0), 1))
    for daughter in kaon_to_pions(rng, p0):
        parts.append((flown, daughter, np.full(len(p0), "pion"), np.zeros(len(p0), bool)))
    mother = rng.integers(0, len(p), rng.poisson(beam.conversions * len(p)))
    p0 = p[mother]
    radius = rng.choice(RADII[:3], (len(p0), 1))
    flown = origin[mother] + p0 / np.hypot(p0[:, :1], p0[:, 1:2]) * radius
    share = rng.random((len(p0), 1))
    bend = rng.normal(scale=MASS["electron"], size=(len(p0), 3))
    for one in (share * p0 + bend, (1 - share) * p0 - bend):
        parts.append((flown, one, np.full(len(p0), "electron"), np.zeros(len(p0), bool)))
    origin, p, kind, is_primary = (np.concatenate(x) for x in zip(*parts))
    seen = np.hypot(p[:, 0], p[:, 1]) > 0.05  # below, a particle turns back before any layer
    charge = rng.choice([-1.0, 1.0], len(kind))
    mass = np.vectorize(MASS.get, otypes=[float])(kind)
    tracks = Tracks(*(x[seen] for x in (origin, p, mass, charge)))
    return tracks, kind[seen], is_primary[seen]


def _columns(tracks: Tracks, kind: np.ndarray, is_primary: np.ndarray) -> dict[str, np.ndarray]:
    """Describe particles as `io.trackml` does."""
    charge = np.asarray(tracks.charge).astype(int)
    sign = np.where(kind == "electron", -charge, charge)
    return {
        "key": 1 + np.arange(len(kind)),
        "pid": sign * np.vectorize(PID.get, otypes=[int])(kind),
        **hits.kinematics(np.asarray(tracks.momentum)),
        "charge": charge,
        **dict(zip(("vx", "vy", "vz"), np.asarray(tracks.origin).T)),
        "is_primary": is_primary,
    }
