"""A Kalman filter with a combinatorial search: the tracker that experiments run (arXiv:2106.13593).

It knows the geometry and the material of the detector in the box (`simulation.solenoid`). Triplets
of hits that keep their direction are seeds (`seeds`). From its three hits each seed is followed
outwards, layer by layer in the order in which its helix meets them: the state is taken there
through the field, its errors with it, widened by the scattering; the hits close to where it is
expected, and the possibility that the layer saw nothing, are branches, of which the best few go on,
each updated by its hit. `find` takes the best branch of each seed and lets the longest take their
hits first, of equals the one of least chi2; a track of three hits shares none.

State: position [mm], azimuth and slope dz/ds of the direction, curvature [1/mm]; on a layer
two of the three coordinates are free. All seeds of an event are followed at once, on device.

>>> Settings().n_branches
3
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.io import hits
from hepjax.tracking import data, detectors, edge_filter, fits, neighbours, tracks
from hepjax.tracking.detectors import PIXELS
from hepjax.tracking.simulation import solenoid
from hepjax.tracking.simulation.decays import MASS, highland

STEP = 1024
"""Seeds are padded to multiples of this."""


class Settings(NamedTuple):
    """The search.

    max_kink: of a seed, in units of `doublets.turn`; first: layers that seeds begin on; n_branches:
    of a seed that go on; max_chi2: of a hit, two degrees of freedom; hole: price, in chi2, of a
    layer that saw nothing, of which a track has at most max_holes, and not more than it found
    hits behind its seed; n_steps: layers that are met, at most;
    min_hits: of a track; min_pt, max_d0: GeV and mm, of a seed.
    """

    max_kink: float = 0.02
    first: tuple[int, ...] = (7, 8, 6, 11)
    n_branches: int = 3
    max_chi2: float = 20.0
    hole: float = 8.0
    max_holes: int = 2
    n_steps: int = 9
    min_hits: int = 3
    min_pt: float = 0.4
    max_d0: float = 3.0


DEFAULT = Settings()


class Branches(NamedTuple):
    """Tracks in the making, of one seed.

    state: [branch, 6]; covariance: [branch, 6, 6]; score: [branch] chi2 with the price of holes;
    hit: [branch, step] found, -1 for none.
    """

    state: jax.Array
    covariance: jax.Array
    score: jax.Array
    hit: jax.Array
    n_holes: jax.Array


def seeds(event: hits.Event, links: np.ndarray, settings: Settings = DEFAULT) -> np.ndarray:
    """List triplets of hits [seed, 3], outwards, that keep their direction.

    links: [link, 2] cells whose hits are compared (`module_map`). Raises ValueError for an event
    that no shape of the detector holds.
    """
    position, layer = data.position(event), PIXELS.layers(event)
    ends = _pairs(event, links)
    direction = np.asarray(PIXELS.direction(position, tuple(ends.T)))
    following = tracks.triplets(*ends.T)
    following = following[np.isin(layer[ends[following[:, 0], 0]], settings.first)]
    straight = tracks.kinks(direction, following) < settings.max_kink
    a, b = following[straight].T
    found = np.stack([ends[a, 0], ends[a, 1], ends[b, 1]], -1)
    points = position[found]
    hard = settings.min_pt * np.abs(_curvature(points)) < fits.TESLA_MM * solenoid.FIELD
    return found[hard & (_impact(points) < settings.max_d0)]


def _pairs(event: hits.Event, links: np.ndarray) -> np.ndarray:
    """List the pairs in the geometric window [pair, 2]."""
    _, left, n_lost = edge_filter.remaining(edge_filter.Filter((), links), event, PIXELS)
    if n_lost:
        raise ValueError(f"event: {n_lost} pairs beyond the room of the largest shape, expected 0")
    return edge_filter.listed(left)


def _curvature(points: np.ndarray) -> np.ndarray:
    """Give the curvature, 1/mm, of circles through three points [seed, 3, 3], seen along z; above 0
    to the left.
    """
    a, b, c = (points[:, k, :2] for k in range(3))
    (x1, y1), (x2, y2) = (b - a).T, (c - a).T
    sides = [np.linalg.norm(u - v, axis=-1) for u, v in ((a, b), (b, c), (a, c))]
    return 2 * (x1 * y2 - y1 * x2) / np.maximum(np.prod(sides, 0), 1e-9)


def _impact(points: np.ndarray) -> np.ndarray:
    """Give how far circles through three points [seed, 3, 3] pass the beam line [seed], mm."""
    kappa = _curvature(points)
    kappa = np.where(np.abs(kappa) < 1e-9, 1e-9, kappa)
    first, last = points[:, 0, :2], points[:, 2, :2]
    chord, middle = last - first, (first + last) / 2
    length = np.linalg.norm(chord, axis=-1)
    radius = 1 / np.abs(kappa)
    left = np.stack([-chord[:, 1], chord[:, 0]], -1) / np.maximum(length, 1e-9)[:, None]
    depth = np.sqrt(np.maximum(radius**2 - length**2 / 4, 0)) * np.sign(kappa)
    centre = middle + left * depth[:, None]
    return np.abs(np.linalg.norm(centre, axis=-1) - radius)


def propagate(state: jax.Array, layer: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Take one state [6] to a layer, and tell whether it meets it."""
    there, met = _propagated(state, layer)
    return jnp.where(met, there, state), met


def _propagated(state: jax.Array, layer: jax.Array) -> tuple[jax.Array, jax.Array]:
    at = solenoid.State(state[None, :3], state[None, 3], state[None, 4])
    arc, met = solenoid.arc_to(at, state[None, 5], layer[None])
    moved = solenoid.moved(at, state[None, 5], arc)
    parts = moved.position[0], moved.azimuth, moved.slope, state[None, 5]
    return jnp.concatenate(parts), met[0]


def _transport(state: jax.Array, covariance: jax.Array, layer: jax.Array) -> tuple:
    """Take state and covariance to a layer, and widen them by the scattering in it."""
    there, met = propagate(state, layer)
    slope = jax.jacfwd(lambda x: _propagated(x, layer)[0])(state)
    slope = jnp.where(met, slope, jnp.eye(6))
    moved = slope @ covariance @ slope.T
    return there, moved + jnp.where(met, _scattering(there, layer), 0), met


def _scattering(state: jax.Array, layer: jax.Array) -> jax.Array:
    """Give the covariance [6, 6] that one layer adds."""
    steep = jnp.sqrt(1 + state[4] ** 2)
    pt = fits.pt_of(state[5], solenoid.FIELD)
    xy = state[:2]
    outwards = jnp.abs(xy[0] * jnp.cos(state[3]) + xy[1] * jnp.sin(state[3]))
    radial = outwards / jnp.maximum(jnp.hypot(*xy), 1e-3)
    into = jnp.where(jnp.asarray(solenoid.IS_DISK)[layer], jnp.abs(state[4]), radial) / steep
    depth = solenoid.RADIATION_LENGTHS / jnp.maximum(into, 0.05)
    kick = highland(pt * steep, MASS["pion"], depth)
    return jnp.diag(jnp.zeros(6).at[3].set((kick * steep) ** 2).at[4].set((kick * steep**2) ** 2))


def _axes(state: jax.Array, layer: jax.Array) -> jax.Array:
    """Give the two directions [2, 3] in which a layer measures: across, and along."""
    r = jnp.maximum(jnp.hypot(state[0], state[1]), 1e-3)
    c, s = state[0] / r, state[1] / r
    across = jnp.stack([-s, c, jnp.zeros(())])
    disk = jnp.asarray(solenoid.IS_DISK)[layer]
    along = jnp.where(disk, jnp.stack([c, s, jnp.zeros(())]), jnp.array([0.0, 0.0, 1.0]))
    return jnp.stack([across, along])


NOISE = jnp.diag(jnp.array(solenoid.RESOLUTION) ** 2)


def _update(
    state: jax.Array, covariance: jax.Array, hit: jax.Array, layer: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Update a state on a layer by a hit [3]."""
    h = jnp.pad(_axes(state, layer), ((0, 0), (0, 3)))
    gain = covariance @ h.T @ jnp.linalg.inv(h @ covariance @ h.T + NOISE)
    kept = jnp.eye(6) - gain @ h
    new = kept @ covariance @ kept.T + gain @ NOISE @ gain.T
    return state + gain @ (h[:, :3] @ (hit - state[:3])), new


def _chi2(state: jax.Array, covariance: jax.Array, hit: jax.Array, layer: jax.Array) -> jax.Array:
    """Give the chi2 of hits [hit, 3] on a layer, against where a state expects them [hit]."""
    axes = _axes(state, layer)
    away = (hit - state[:3]) @ axes.T
    inverse = jnp.linalg.inv(axes @ covariance[:3, :3] @ axes.T + NOISE)
    return jnp.einsum("hi,ij,hj->h", away, inverse, away)


def follow(
    seed: jax.Array,
    of_seed: jax.Array,
    position: jax.Array,
    table: neighbours.Table,
    kappa: jax.Array,
    settings: Settings,
) -> Branches:
    """Follow one seed: three hits [3], on layers [3], of an event, with the curvature by them.

    position: [hit, 3] mm; table: hits by cell of `detectors.PIXELS`.
    """
    start = position[seed]
    state, covariance = _begin(start, kappa)
    score = jnp.zeros(())
    for k in range(3):
        if k:
            state, covariance, _ = _transport(state, covariance, of_seed[k])
        score += _chi2(state, covariance, start[k : k + 1], of_seed[k])[0]
        state, covariance = _update(state, covariance, start[k], of_seed[k])
    n = settings.n_branches
    branches = Branches(
        jnp.broadcast_to(state, (n, 6)),
        jnp.broadcast_to(covariance, (n, 6, 6)),
        jnp.where(jnp.arange(n) == 0, score, jnp.inf),
        jnp.full((n, settings.n_steps), -1),
        jnp.zeros(n, int),
    )
    every = jnp.arange(solenoid.N_SURFACES)
    at = solenoid.State(
        *(jnp.repeat(x[None], len(every), 0) for x in (state[:3], state[3], state[4]))
    )
    arc, met = solenoid.arc_to(at, jnp.full(len(every), state[5]), every)
    met &= (every != of_seed[2]) & (arc > 0.1)
    order = jnp.argsort(jnp.where(met, arc, jnp.inf))[: settings.n_steps]

    def step(branches: Branches, k: jax.Array) -> tuple[Branches, None]:
        return _branch(branches, order[k], k, position, table, settings), None

    return jax.lax.scan(step, branches, jnp.arange(settings.n_steps))[0]


def _begin(start: jax.Array, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Make a state at the first of three hits [3, 3], of errors that are wide."""
    chord = start[1, :2] - start[0, :2]
    length = jnp.hypot(*chord)
    azimuth = jnp.arctan2(chord[1], chord[0]) - kappa * length / 2
    slope = (start[2, 2] - start[0, 2]) / jnp.maximum(jnp.hypot(*(start[2, :2] - start[0, :2])), 1)
    state = jnp.concatenate([start[0], jnp.stack([azimuth, slope, kappa])])
    errors = jnp.array([0.1, 0.1, 0.1, 0.02, 0.05, 3e-4])
    return state, jnp.diag(errors.at[4].multiply((1 + jnp.abs(slope)) ** 2) ** 2)


def _branch(
    branches: Branches,
    layer: jax.Array,
    k: jax.Array,
    position: jax.Array,
    table: neighbours.Table,
    settings: Settings,
) -> Branches:
    """Take branches to a layer and let the best of their hits and holes go on."""
    index, mask = table
    state, covariance, met = jax.vmap(lambda s, c: _transport(s, c, layer))(
        branches.state, branches.covariance
    )
    phi = jnp.arctan2(state[:, 1], state[:, 0])
    n_sectors = detectors.N_SECTORS
    sector = jnp.floor((phi + jnp.pi) / (2 * jnp.pi) * n_sectors).astype(int)
    cells = layer * n_sectors + (sector[:, None] + jnp.arange(-1, 2)) % n_sectors
    near = index[cells].reshape(len(state), -1)
    chi2 = jax.vmap(lambda s, c, x: _chi2(s, c, x, layer))(state, covariance, position[near])
    there = mask[cells].reshape(near.shape) & met[:, None] & (chi2 < settings.max_chi2)
    hole = jnp.where(met, settings.hole, 0.0)[:, None]
    every = branches.score[:, None] + jnp.concatenate([hole, jnp.where(there, chi2, jnp.inf)], 1)
    best, place = jax.lax.top_k(-every.ravel(), settings.n_branches)
    from_, what = jnp.divmod(place, every.shape[1])
    hit = jnp.where(what > 0, near[from_, jnp.maximum(what - 1, 0)], -1)
    state, covariance = state[from_], covariance[from_]
    moved, smaller = jax.vmap(lambda s, c, x: _update(s, c, x, layer))(
        state, covariance, position[jnp.maximum(hit, 0)]
    )
    found = hit >= 0
    return Branches(
        jnp.where(found[:, None], moved, state),
        jnp.where(found[:, None, None], smaller, covariance),
        -best,
        branches.hit[from_].at[:, k].set(hit),
        branches.n_holes[from_] + (met[from_] & ~found),
    )


@functools.partial(jax.jit, static_argnames="settings")
def _all(
    seed: Any, of_seed: Any, kappa: Any, position: Any, table: Any, settings: Settings
) -> Branches:
    return jax.vmap(lambda s, of, k: follow(s, of, position, table, k, settings))(
        seed, of_seed, kappa
    )


def find(event: hits.Event, links: np.ndarray, settings: Settings = DEFAULT) -> np.ndarray:
    """Find the tracks of one event: pairs (hit, track) [pair, 2].

    links: [link, 2] cells whose hits make seeds. Raises ValueError for an event that no shape of
    the detector holds.
    """
    if not hits.n_hits(event):
        return np.zeros((0, 2), int)
    found = seeds(event, links, settings)
    if not len(found):
        return np.zeros((0, 2), int)
    position = data.position(event).astype(np.float32)
    cell = PIXELS.cells(event)
    width = -(-int(np.bincount(cell).max()) // 16) * 16
    table = neighbours.table(cell, n_modules=PIXELS.n_cells, width=width)
    n_hits = -(-len(position) // STEP) * STEP
    padded = np.pad(position, ((0, n_hits - len(position)), (0, 0)))
    parts, scores = [np.zeros((0, 3 + settings.n_steps), int)], [np.zeros(0)]
    layer, kappa = PIXELS.layers(event), _curvature(position[found]).astype(np.float32)
    for first in range(0, len(found), STEP):
        some = np.minimum(np.arange(first, first + STEP), len(found) - 1)
        branches = _all(found[some], layer[found[some]], kappa[some], padded, table, settings)
        n_holes, added = np.asarray(branches.n_holes[:, 0]), np.asarray(branches.hit[:, 0]) >= 0
        good = n_holes <= np.minimum(settings.max_holes, added.sum(1))
        best = np.concatenate([found[some], np.asarray(branches.hit[:, 0])], 1)
        kept = np.flatnonzero(good[: len(found) - first])
        parts.append(best[kept])
        scores.append(np.asarray(branches.score[:, 0])[kept])
    return _chosen(np.concatenate(parts), np.concatenate(scores), settings.min_hits)


def _chosen(listed: np.ndarray, score: np.ndarray, min_hits: int) -> np.ndarray:
    """Make tracks of the hits [seed, place] of the best branches: the longest first, of equals the
    one of least chi2, each with at most one hit that a track before it has, and none for tracks of
    three hits.
    """
    size = (listed >= 0).sum(1)
    taken: set[int] = set()
    parts = [np.zeros((0, 2), int)]
    for row in np.lexsort((score, -size)):
        mine = listed[row][listed[row] >= 0]
        shared = len(taken.intersection(mine.tolist()))
        if len(mine) < min_hits or shared > (len(mine) > 3):
            continue
        taken.update(mine.tolist())
        parts.append(np.stack([mine, np.full(len(mine), len(parts) - 1)], -1))
    return np.concatenate(parts)
