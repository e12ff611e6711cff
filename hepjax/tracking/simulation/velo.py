"""A Velo in the box: straight tracks through planes of pixels, with what makes tracking hard.

The detector is modelled on LHCb's (arXiv:1312.5085, figures from its simulated events): 52 modules
at `MODULE_Z`, alternately on either side of the beam, each an L of silicon around it on two faces
1.2 mm apart, whose edges overlap; pixels of 55 um. There is no magnetic field. A particle goes
straight and is turned in each layer that it crosses, by the Gaussian of multiple scattering
(Highland's formula, Review of Particle Physics 2024, eq. 34.16); layers lose hits, and noise adds
some.

`crossings` is the physics, a pure and differentiable function of origins, slopes, momenta and
unit random numbers; `event` draws collisions, decays in flight and photon conversions, and makes an
`io.hits.Event` of them. It is no substitute for a simulation of the experiment: particles are drawn
from simple spectra, whose parameters are `Beam`'s.

>>> one = event(jax.random.key(1), Beam(n_collisions=2.0))
>>> hits.validate(one)
>>> bool((np.diff(one.hits["module"]) >= 0).all())
True
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import runs
from hepjax.io import hits, velo
from hepjax.tracking.simulation.decays import (
    K_SHORT,
    K_SHORT_CTAU,
    MASS,
    PID,
    highland,
    kaon_to_pions,
)

MODULE_Z = np.concatenate(
    [
        np.arange(-287.5, -199, 12.5),
        [-137.5, -125.0],
        np.arange(-62.5, 276, 12.5),
        [312.5, 325.0, 387.5, 400.0, 487.5, 500.0, 587.5, 600.0, 637.5, 650.0, 687.5, 700.0],
        [737.5, 750.0],
    ]
)
"""Centres of the modules along the beam, mm; those of even number are at negative x."""

LAYER_OFFSET = 0.59
LAYER_Z = np.stack([MODULE_Z - LAYER_OFFSET, MODULE_Z + LAYER_OFFSET], -1).reshape(-1)
LAYER_MODULE = np.repeat(np.arange(len(MODULE_Z)), 2)
LAYERS = np.arange(len(LAYER_Z))

INNER, WIDE, LOW, HIGH, OVERLAP = 5.1, 37.4, 33.1, 38.4, 0.4
"""The L, mm, in coordinates (x + y, x - y) / sqrt(2): see `inside`."""

RADIATION_LENGTHS = 0.02
"""Of a face, share of the box around the beam included."""

PITCH = 0.055
MIN_MODULES = 3


class Beam(NamedTuple):
    """What an event is made of.

    n_collisions: mean number, Poisson, of those with particles; n_prompt: charged particles of a
    collision, mean; n_decays, n_conversions: pairs from decays in flight and from photons, a
    collision, mean; spread_z, spread_xy: of the collisions, mm; efficiency: of a layer; noise:
    hits of noise for each true one.
    """

    n_collisions: float = 7.0
    n_prompt: float = 60.0
    n_decays: float = 3.0
    n_conversions: float = 6.0
    spread_z: float = 60.0
    spread_xy: float = 0.04
    efficiency: float = 0.985
    noise: float = 0.05


BEAM = Beam()


class Tracks(NamedTuple):
    """Particles at their origin.

    origin: [particle, 3] mm; slope: [particle, 2] dx/dz, dy/dz; forward: [particle] bool, towards
    positive z; momentum: [particle] GeV; mass: [particle] GeV.
    """

    origin: Any
    slope: Any
    forward: Any
    momentum: Any
    mass: Any


def inside(x: Any, y: Any, layer: np.ndarray) -> jax.Array:
    """Tell whether points [..., hit] lie on the silicon of their layer [hit].

    Even layers carry the long arm of the L, odd ones the short arm and a strip behind the long one.
    """
    side = np.where(LAYER_MODULE[layer] % 2 == 0, -1.0, 1.0)
    u, v = (x + y) / np.sqrt(2) * side, (x - y) / np.sqrt(2) * side
    long = (u > INNER) & (u < WIDE) & (v > -HIGH) & (v < LOW)
    short = (u > -INNER) & (u <= INNER + OVERLAP) & (v > INNER) & (v < LOW)
    return jnp.where(layer % 2 == 0, long, short)


def crossings(tracks: Tracks, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Follow particles through all layers: where they cross, and whether there is silicon.

    noise: [particle, layer, 2] unit normal numbers, of the scattering. Returns positions [particle,
    layer, 2] mm, differentiable by all that is given, and [particle, layer] bool. Kicks are in
    slope, that is tan of the angle, correct for particles near the beam.
    """
    z = jnp.asarray(LAYER_Z)
    distance = z - tracks.origin[:, 2:]
    ahead = jnp.where(tracks.forward[:, None], distance > 0, distance < 0)
    straight = tracks.origin[:, None, :2] + tracks.slope[:, None] * distance[..., None]
    steep = 1 + (tracks.slope**2).sum(-1)
    depth = RADIATION_LENGTHS * jnp.sqrt(steep)
    width = highland(tracks.momentum, tracks.mass, depth) * steep
    met = ahead & inside(straight[..., 0], straight[..., 1], LAYERS)
    kick = jnp.where(met[..., None], width[:, None, None] * noise, 0)
    between = z[None, :] - z[:, None]  # [from layer, to layer]
    lever = jnp.stack([jnp.maximum(between, 0), jnp.minimum(between, 0)])
    turned = jnp.einsum("pjc,djk->dpkc", kick, lever)
    moved = jnp.where(tracks.forward[:, None, None], turned[0], turned[1])
    position = straight + moved
    return position, ahead & inside(position[..., 0], position[..., 1], LAYERS)


def event(key: jax.Array, beam: Beam = BEAM) -> hits.Event:
    """Draw one event: hits sorted by module, particles in three modules or more, and the truth.

    Hits of two particles in one pixel are one hit of both; hits of other particles are of none.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    tracks, kind, is_decay = _particles(rng, beam)
    noise = rng.normal(size=(len(kind), len(LAYER_Z), 2)).astype(np.float32)
    found, there = _followed(tracks, noise)
    there = there & (rng.random(there.shape) < beam.efficiency)
    particle, layer = np.nonzero(there)
    crossed = np.unique(np.stack([particle, LAYER_MODULE[layer]], -1), axis=0)[:, 0]
    is_known = np.bincount(crossed, minlength=len(kind))[particle] >= MIN_MODULES
    xy = found[there] + rng.normal(scale=PITCH / np.sqrt(12), size=(len(layer), 2))
    pixel = np.concatenate([layer[:, None], np.round(xy / PITCH).astype(int)], -1)
    _, first, hit = np.unique(pixel, axis=0, return_index=True, return_inverse=True)
    xy, layer = xy[first], layer[first]
    stray = _noise(rng, rng.poisson(beam.noise * len(first)))
    xy, layer = np.concatenate([xy, stray[0]]), np.concatenate([layer, stray[1]])
    order = np.lexsort((xy[:, 0], LAYER_MODULE[layer]))
    place = np.argsort(order)
    kept, number = np.unique(particle[is_known], return_inverse=True)
    truth = np.unique(np.stack([number, place[hit.reshape(-1)[is_known]]], -1), axis=0)[:, ::-1]
    xy, layer = xy[order], layer[order]
    table = {"x": xy[:, 0], "y": xy[:, 1], "z": LAYER_Z[layer], "module": LAYER_MODULE[layer]}
    chosen = Tracks(*(np.asarray(x)[kept] for x in tracks))
    return hits.Event(table, _columns(rng, chosen, kind[kept], is_decay[kept]), truth)


def cached(folder: Path, n_events: int, seed: int) -> Path:
    """Give a folder of simulated events as JSON files, drawn unless they are there."""
    path = Path(folder) / f"velo_{n_events}_{seed}"
    path.mkdir(parents=True, exist_ok=True)
    with runs.progress(n_events, "simulate") as advance:
        for k in range(n_events):
            file = path / f"velo_event_{k}.json"
            if not file.exists():
                key = jax.random.fold_in(jax.random.key(seed), k)
                runs.write_json(file, velo.to_json(event(key)))
            advance(1)
    return path


_compiled = jax.jit(crossings)


def _followed(tracks: Tracks, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow any number of particles by few compiled shapes, the last particle repeated."""
    n = len(noise)
    index = np.minimum(np.arange(-(-n // 256) * 256), n - 1)
    padded = jax.tree.map(lambda x: np.asarray(x)[index], (tracks, noise))
    position, there = _compiled(*padded)
    return np.asarray(position)[:n], np.asarray(there)[:n]


def _noise(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw hits of noise [hit, 2] mm and their layers [hit], denser near the beam as tracks are."""
    many = 6 * n + 20  # a quarter of them is on silicon
    radius = INNER * (HIGH / INNER) ** rng.random(many)
    angle, layer = rng.uniform(0, 2 * np.pi, many), rng.integers(0, len(LAYER_Z), many)
    xy = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    on = np.flatnonzero(np.asarray(inside(xy[:, 0], xy[:, 1], layer)))[:n]
    return xy[on], layer[on]


def _spectrum(rng: np.random.Generator, n: int, softest: float, mean: float) -> np.ndarray:
    """Draw momenta [particle, 3], GeV: flat in pseudorapidity, exponential in pt."""
    pt, eta = softest + rng.exponential(mean, n), rng.uniform(-4.5, 5, n)
    phi = rng.uniform(0, 2 * np.pi, n)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)


def _particles(rng: np.random.Generator, beam: Beam) -> tuple[Tracks, np.ndarray, np.ndarray]:
    """Draw the particles of an event, the kind of each, and whether it is from a decay."""
    n = max(1, rng.poisson(beam.n_collisions))
    spread = [beam.spread_xy, beam.spread_xy, beam.spread_z]
    collisions = rng.normal(size=(n, 3)) * spread

    def origins(mean: float) -> np.ndarray:
        return collisions[np.repeat(np.arange(n), rng.poisson(mean, n))]

    prompt = origins(beam.n_prompt)
    kaon = rng.random(len(prompt)) < 0.12
    parts = [(prompt, _spectrum(rng, len(prompt), 0.08, 0.4), np.where(kaon, "kaon", "pion"))]
    mother = origins(beam.n_decays)
    p = _spectrum(rng, len(mother), 0.3, 0.8)
    flown = mother + p / K_SHORT * rng.exponential(K_SHORT_CTAU, (len(p), 1))
    for daughter in kaon_to_pions(rng, p):
        parts.append((flown, daughter, np.full(len(p), "pion")))
    mother = origins(beam.n_conversions)
    p = _spectrum(rng, len(mother), 0.05, 0.3)
    along = rng.choice(LAYER_Z, len(p)) - mother[:, 2]
    along = np.sign(p[:, 2]) * np.abs(along)
    flown = mother + p / p[:, 2:] * along[:, None]
    share = rng.random((len(p), 1))
    bend = rng.normal(scale=MASS["electron"], size=(len(p), 3))
    for one in (share * p + bend, (1 - share) * p - bend):
        parts.append((flown, one, np.full(len(p), "electron")))
    origin, p, kind = (np.concatenate(x) for x in zip(*parts))
    is_decay = np.repeat([False, True, True, False, False], [len(x[0]) for x in parts])
    momentum = np.linalg.norm(p, axis=-1)
    mass = np.vectorize(MASS.get, otypes=[float])(kind)
    arrays = origin, p[:, :2] / p[:, 2:], p[:, 2] > 0, momentum, mass
    single = (np.asarray(x, bool if x.dtype == bool else np.float32) for x in arrays)
    return Tracks(*single), kind, is_decay


def _columns(
    rng: np.random.Generator, tracks: Tracks, kind: np.ndarray, is_decay: np.ndarray
) -> dict[str, np.ndarray]:
    """Describe particles as `io.velo` does."""
    n = len(kind)
    charge = rng.choice([-1, 1], n)
    sign = np.where(kind == "electron", -charge, charge)
    slope, forward = np.asarray(tracks.slope, float), np.asarray(tracks.forward)
    steep = np.hypot(*slope.T)
    eta = np.where(forward, 1, -1) * np.arcsinh(1 / np.maximum(steep, 1e-6))
    p = np.asarray(tracks.momentum, float)
    flip = np.where(forward, 1, -1)
    is_long = forward & (p > 3) & (eta > 2) & (eta < 5)
    never = np.zeros(n, bool)
    return {
        "key": np.arange(n),
        "pid": sign * np.vectorize(PID.get, otypes=[int])(kind),
        "p": p,
        "pt": p / np.cosh(eta),
        "eta": eta,
        "phi": np.arctan2(flip * slope[:, 1], flip * slope[:, 0]),
        "charge": charge,
        "is_long": is_long,
        "is_down": never,
        "has_velo": ~never,
        "has_ut": is_long,
        "has_scifi": is_long,
        "from_beauty": never,
        "from_charm": never,
        "from_strange": is_decay,
    }
