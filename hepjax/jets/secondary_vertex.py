"""Secondary vertices of jets, found the classical way, all jets at once and inside a jitted step.

A track near its jet is a straight line, so the vertex that fits some tracks best is the solution of
three linear equations. `find` starts with the tracks that miss the primary vertex, fits them to a
common point, drops the track that fits worst until all do, takes in tracks that fit there better
than in the primary vertex, and fits once more; then it looks for another vertex among the tracks
that are left. Its idea is that of ATLAS' SV1 (ATL-PHYS-PUB-2017-011), which builds vertices out of
pairs instead and treats material. In order: the records, `find`, and its parts `lines_of`, `fit`.

>>> import numpy as np
>>> flat = Lines(np.eye(3, dtype=np.float32).reshape(1, 3, 1, 3), np.ones((1, 3, 1)), None)
>>> fit(flat, np.ones((1, 3), bool))[0].round(3).tolist()
[[1.0, 1.0, 1.0]]
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax import lorentz

SEED, WORST, NEAR = 2.0, 9.0, 6.0
"""Significance of a track that misses the primary vertex; chi2 above which a track is dropped, and
below which one is taken in."""
PION = 0.13957
PRIOR = 1e-6  # 1 / mm^2: a vertex is within a metre


class Tracks(NamedTuple):
    """What a fit wants of tracks, all [jet, track]: pt, GeV; eta, phi; impact parameters d0, dz and
    their resolutions, mm.
    """

    pt: Any
    eta: Any
    phi: Any
    d0: Any
    d0_error: Any
    dz: Any
    dz_error: Any


class Lines(NamedTuple):
    """Tracks as weighted linear equations for a common point V: rows @ V = values.

    rows: [jet, track, 2, 3] and values: [jet, track, 2], both over the errors, of the transverse
    and the longitudinal distance; mask: [jet, track].
    """

    rows: Any
    values: Any
    mask: Any


class Vertices(NamedTuple):
    """Vertices of jets, all [jet, vertex], 0 where none was found.

    p4: [jet, vertex, 4] of their tracks (as pions), GeV; n_tracks; energy_fraction: of the energy
    of the jet's tracks; flight: transverse, mm, signed along the jet's axis; significance: the
    flight along the axis over its error; delta_r: between flight and axis; chi2: over degrees of
    freedom; mask: True = found.
    """

    p4: Any
    n_tracks: Any
    energy_fraction: Any
    flight: Any
    significance: Any
    delta_r: Any
    chi2: Any
    mask: Any


def find(tracks: Tracks, mask: Any, jet_p4: Any, n_vertices: int = 1) -> Vertices:
    """Find up to n_vertices in each jet, one after the other, in float32 and without a gradient.

    mask: [jet, track] True = real; jet_p4: [jet, 4] GeV, whose direction is the axis. A track
    belongs to one vertex at most.
    """
    tracks = Tracks(*(jax.lax.stop_gradient(jnp.asarray(x, jnp.float32)) for x in tracks))
    tracks = Tracks(*(jnp.where(mask, x, 1 if "error" in k else 0) for k, x in _named(tracks)))
    jet_p4 = jax.lax.stop_gradient(jnp.asarray(jet_p4, jnp.float32))
    lines = lines_of(tracks, jnp.asarray(mask))
    p4 = lorentz.from_pt_eta_phi_mass(
        tracks.pt, tracks.eta, tracks.phi, jnp.full_like(tracks.pt, PION)
    )
    p4 = jnp.where(mask[..., None], p4, 0)

    def one(left: Any, _: None) -> tuple[Any, Vertices]:
        used, point = _search(lines, left)
        return left & ~used, _describe(lines, p4, used, point, jet_p4)

    _, found = jax.lax.scan(one, lines.mask, None, length=n_vertices)
    return Vertices(*(jnp.swapaxes(x, 0, 1) for x in found))


def _named(tracks: Tracks) -> Any:
    return tracks._asdict().items()


def lines_of(tracks: Tracks, mask: Any) -> Lines:
    """Write tracks as equations for their common point."""
    cos, sin, slope = jnp.cos(tracks.phi), jnp.sin(tracks.phi), jnp.sinh(tracks.eta)
    zero = jnp.zeros_like(cos)
    across = jnp.stack([sin, -cos, zero], -1) / tracks.d0_error[..., None]
    along = jnp.stack([-cos * slope, -sin * slope, zero + 1], -1) / tracks.dz_error[..., None]
    values = jnp.stack([tracks.d0 / tracks.d0_error, tracks.dz / tracks.dz_error], -1)
    rows = jnp.where(mask[..., None, None], jnp.stack([across, along], -2), 0)
    return Lines(rows, jnp.where(mask[..., None], values, 0), mask)


def fit(lines: Lines, used: Any) -> tuple[jax.Array, jax.Array]:
    """Fit a point to the tracks used [jet, track]: its position [jet, 3], mm, and covariance.

    With fewer than two tracks the point is undetermined and comes out near the primary vertex.
    """
    root, right = _equations(lines, used)
    unit = jnp.broadcast_to(jnp.eye(3, dtype=root.dtype), root.shape)
    return _solve(root, right[..., None])[..., 0], _solve(root, unit)


def _equations(lines: Lines, used: Any) -> tuple[jax.Array, jax.Array]:
    """Cholesky's root [jet, 3, 3] of the normal equations of the tracks used, and their right side
    [jet, 3].
    """
    rows, values = jnp.asarray(lines.rows), jnp.asarray(lines.values)
    weight = jnp.asarray(used).astype(rows.dtype)
    matrix = jnp.einsum("jt,jtka,jtkb->jab", weight, rows, rows)
    right = jnp.einsum("jt,jtka,jtk->ja", weight, rows, values)
    return _root(matrix + PRIOR * jnp.eye(3, dtype=matrix.dtype)), right


def _root(matrix: jax.Array) -> jax.Array:
    """Lower triangular L [..., 3, 3] of positive matrices, L L^T = matrix, written out: no call of
    a library for each of many small matrices.
    """
    a, zero = matrix, jnp.zeros_like(matrix[..., 0, 0])
    first = jnp.sqrt(a[..., 0, 0])
    b, c = a[..., 1, 0] / first, a[..., 2, 0] / first
    second = jnp.sqrt(jnp.maximum(a[..., 1, 1] - b**2, PRIOR))
    d = (a[..., 2, 1] - b * c) / second
    third = jnp.sqrt(jnp.maximum(a[..., 2, 2] - c**2 - d**2, PRIOR))
    rows = [[first, zero, zero], [b, second, zero], [c, d, third]]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def _solve(root: jax.Array, right: jax.Array) -> jax.Array:
    """Solve L L^T x = right [..., 3, column]."""
    x: list[Any] = [None] * 3
    for i in (0, 1, 2):
        known = sum((root[..., i, k, None] * x[k] for k in range(i)), start=0.0)
        x[i] = (right[..., i, :] - known) / root[..., i, i, None]
    for i in (2, 1, 0):
        known = sum((root[..., k, i, None] * x[k] for k in range(i + 1, 3)), start=0.0)
        x[i] = (x[i] - known) / root[..., i, i, None]
    return jnp.stack(x, -2)


def _point(lines: Lines, used: Any) -> jax.Array:
    root, right = _equations(lines, used)
    return _solve(root, right[..., None])[..., 0]


def _chi2(lines: Lines, point: Any) -> jax.Array:
    distance = jnp.einsum("jtka,ja->jtk", lines.rows, point) - lines.values
    return (distance**2).sum(-1)


def _search(lines: Lines, left: Any) -> tuple[jax.Array, jax.Array]:
    """Choose the tracks [jet, track] of a vertex among those that are left, and fit it [jet, 3]."""
    alone = (lines.values**2).sum(-1)  # chi2 with the primary vertex
    place = jnp.arange(left.shape[1])

    def drop(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        used, _, count = state
        chi2 = jnp.where(used, _chi2(lines, _point(lines, used)), -1)
        bad = chi2.max(1) > WORST
        worst = place == chi2.argmax(1)[:, None]
        return used & ~(worst & bad[:, None]), bad.any(), count + 1

    def going(state: tuple[Any, Any, Any]) -> Any:
        return state[1] & (state[2] < left.shape[1])

    start = (left & (alone > SEED**2), jnp.array(True), 0)
    used, _, _ = jax.lax.while_loop(going, drop, start)
    near = _chi2(lines, _point(lines, used))
    some = used.sum(1, keepdims=True) >= 2
    used |= left & some & (near < NEAR) & (near < alone)
    used &= used.sum(1, keepdims=True) >= 2
    return used, _point(lines, used)


def _describe(lines: Lines, p4: Any, used: Any, point: Any, jet_p4: Any) -> Vertices:
    _, covariance = fit(lines, used)
    total = jnp.where(used[..., None], p4, 0).sum(1)
    share = total[:, 0] / jnp.maximum(p4[..., 0].sum(1), 1e-9)
    axis = jet_p4[:, 1:] / jnp.maximum(lorentz.momentum(jet_p4), 1e-9)[:, None]
    flight = (point * axis).sum(1)
    error = jnp.sqrt(jnp.einsum("ja,jab,jb->j", axis, covariance, axis))
    length = jnp.sqrt((point**2).sum(1))
    towards = jnp.concatenate([length[:, None], point], 1)
    apart = lorentz.delta_r(jnp.where(length[:, None] > 1e-6, towards, jet_p4), jet_p4)
    count = used.sum(1)
    chi2 = jnp.where(used, _chi2(lines, point), 0).sum(1) / jnp.maximum(2 * count - 3, 1)
    across = jnp.sign(flight) * jnp.hypot(point[:, 0], point[:, 1])
    some = count > 0
    numbers = (count, share, across, flight / error, jnp.minimum(apart, 4.0), chi2)
    numbers = (jnp.where(some, x, 0).astype(jnp.float32) for x in numbers)
    return Vertices(jnp.where(some[:, None], total, 0), *numbers, some)
