"""Fits of tracks: straight lines without a field, helices in a solenoid, with chi2 and pulls.

Hits of tracks are padded, [track, hit, 3] with a mask (`arrays`), in any order but along the helix.
`line` solves for offset and slope in both projections. `helix` begins with a parabola over the
chord and goes on by Gauss and Newton on the distances of hits from the helix, in the transverse
plane and along z; its parameters are those of the point of closest approach to the beam line: d0
[mm], phi0 [rad], curvature kappa [1/mm], z0 [mm] and tan of the dip angle. `pt_of` turns curvature
into momentum.

The turn of a positive kappa is to the left, seen from positive z; d0 is positive where the beam
line is to the left of the track. No scattering is allowed for.

>>> z = jnp.array([[0.0, 10.0, 20.0]])
>>> position = jnp.stack([1 + 0.1 * z, -0.2 * z, z], -1)
>>> found = line(position, jnp.ones((1, 3), bool), 0.01)
>>> [round(abs(float(x)), 3) for x in found.parameters[0]]
[1.0, 0.0, 0.1, 0.2]
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.tracking import tracks

TESLA_MM = 2.99792458e-4
"""pt [GeV] of a unit charge in 1 T at a radius of 1 mm."""

ITERATIONS = 8
PERIGEE = ("d0", "phi0", "kappa", "z0", "tan_lambda")


class Fit(NamedTuple):
    """Parameters of tracks with what is known of them.

    parameters: [track, parameter]; covariance: [track, parameter, parameter]; chi2: [track];
    n_dof: [track] measurements less parameters; where it is below 0 the rest means nothing.
    """

    parameters: jax.Array
    covariance: jax.Array
    chi2: jax.Array
    n_dof: jax.Array


def arrays(
    position: np.ndarray, pairs: np.ndarray, *, max_hits: int = 32, step: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Lay out the hits of tracks as the fits take them, by their distance from the origin.

    position: [hit, 3] mm; pairs: (hit, track) [pair, 2]; the number of tracks is padded to a
    multiple of step, so that few shapes are compiled. Returns positions [track, max_hits, 3] and
    mask [track, max_hits]. Raises ValueError for a track of more than max_hits hits.
    """
    hit, track = pairs[np.lexsort(((position[pairs[:, 0]] ** 2).sum(-1), pairs[:, 1]))].T
    size = np.bincount(track)
    if size.max(initial=0) > max_hits:
        raise ValueError(f"track {size.argmax()}: {size.max()} hits, expected at most {max_hits}")
    place = np.arange(len(hit)) - np.repeat(np.cumsum(size) - size, size)
    n = -(-max(len(size), 1) // step) * step
    laid, mask = np.zeros((n, max_hits, 3), np.float32), np.zeros((n, max_hits), bool)
    laid[track, place], mask[track, place] = position[hit], True
    return laid, mask


def line(position: jax.Array, mask: jax.Array, resolution: float, *, at: float = 0.0) -> Fit:
    """Fit straight lines x(z), y(z): parameters x and y [mm] at z = `at`, dx/dz, dy/dz.

    position: [track, hit, 3] mm; mask: [track, hit] True = real; resolution: of x and of y, mm.
    """
    there = mask.astype(position.dtype)
    z = jnp.where(mask, position[..., 2], 0)
    n = jnp.maximum(there.sum(1), 1)
    middle = (z * there).sum(1) / n
    lever = (z - middle[:, None]) * there
    spread = jnp.maximum((lever**2).sum(1), 1e-12)
    xy = jnp.where(mask[..., None], position[..., :2], 0)
    mean = xy.sum(1) / n[:, None]
    slope = jnp.einsum("th,thc->tc", lever, xy) / spread[:, None]
    from_ = (at - middle)[:, None]
    residual = (xy - mean[:, None] - slope[:, None] * (z - middle[:, None])[..., None]) * (
        there[..., None]
    )
    variance = resolution**2
    offset_variance = variance * (1 / n + (at - middle) ** 2 / spread)
    mixed, slope_variance = variance * (at - middle) / spread, variance / spread
    eye = jnp.eye(2, dtype=position.dtype)
    blocks = [[offset_variance, mixed], [mixed, slope_variance]]
    covariance = jnp.block([[x[:, None, None] * eye for x in row] for row in blocks])
    return Fit(
        jnp.concatenate([mean + from_ * slope, slope], -1),
        covariance,
        (residual**2).sum((1, 2)) / variance,
        2 * mask.sum(1) - 4,
    )


def helix(position: jax.Array, mask: jax.Array, resolution: tuple[float, float]) -> Fit:
    """Fit helices around the z axis: parameters as in `PERIGEE`.

    position: [track, hit, 3] mm, in the order in which the particle met them; mask: [track, hit];
    resolution: across the track in the transverse plane, and along z, mm.
    """
    return jax.vmap(lambda x, m: _helix(x, m, resolution))(position, mask)


def _helix(position: jax.Array, mask: jax.Array, resolution: tuple[float, float]) -> Fit:
    def residuals(p: jax.Array) -> jax.Array:
        across, along = _apart(p, position)
        both = jnp.stack([across / resolution[0], along / resolution[1]], -1)
        return jnp.where(mask[:, None], both, 0).reshape(-1)

    scale = jnp.array([1.0, 1e-2, 1e-4, 1.0, 1e-1], position.dtype)

    def turn(_: int, p: jax.Array) -> jax.Array:
        slope = jax.jacfwd(residuals)(p) * scale
        return p - scale * jnp.linalg.lstsq(slope, residuals(p))[0]

    p = jax.lax.fori_loop(0, ITERATIONS, turn, _start(position, mask))
    slope = jax.jacfwd(residuals)(p) * scale
    covariance = jnp.linalg.pinv(slope.T @ slope) * scale[:, None] * scale
    return Fit(p, covariance, (residuals(p) ** 2).sum(), 2 * mask.sum() - 5)


def _apart(p: jax.Array, position: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Measure how far points [hit, 3] are from a helix: to its side, and along z [hit], mm.

    Both are finite for a straight line, kappa = 0.
    """
    d0, phi0, kappa, z0, tan_lambda = p
    forward = jnp.array([jnp.cos(phi0), jnp.sin(phi0)])
    left = jnp.array([-jnp.sin(phi0), jnp.cos(phi0)])
    ahead, aside = position[:, :2] @ forward, position[:, :2] @ left + d0
    bent = kappa * (kappa * (ahead**2 + aside**2) - 2 * aside)
    across = (2 * aside - kappa * (ahead**2 + aside**2)) / (1 + jnp.sqrt(jnp.maximum(1 + bent, 0)))
    sine, cosine = kappa * ahead, 1 - kappa * aside
    small = jnp.abs(sine) < 1e-4
    angle = jnp.arctan2(jnp.where(small, 1e-4, sine), cosine)
    length = jnp.where(small, ahead / cosine, ahead * angle / jnp.where(small, 1.0, sine))
    return across, position[:, 2] - z0 - tan_lambda * length


def _start(position: jax.Array, mask: jax.Array) -> jax.Array:
    """Guess the parameters [5] by a parabola over the chord from the first hit to the last."""
    there = mask.astype(position.dtype)
    n = jnp.maximum(there.sum(), 1)
    xy = jnp.where(mask[:, None], position[:, :2], 0)
    first = xy[jnp.argmax(mask)]
    chord = xy[len(mask) - 1 - jnp.argmax(mask[::-1])] - first
    size = jnp.sqrt((chord**2).sum()) + 1e-9
    along = chord / size
    aside = jnp.array([-along[1], along[0]])
    u, v = ((xy - first) @ x / size * there for x in (along, aside))
    design = jnp.stack([there, u, u**2], -1)
    base, slope, bend = jnp.linalg.lstsq(design, v)[0]
    near = -(first @ along) / size  # where the chord is closest to the beam line
    lean = slope + 2 * bend * near
    kappa = 2 * bend / size / (1 + lean**2) ** 1.5
    point = first + size * (near * along + (base + slope * near + bend * near**2) * aside)
    phi0 = jnp.arctan2(along[1], along[0]) + jnp.arctan(lean)
    d0 = -point @ jnp.array([-jnp.sin(phi0), jnp.cos(phi0)])
    p = jnp.array([d0, phi0, kappa, 0.0, 0.0])
    _, z = _apart(p, position)
    _, shifted = _apart(p.at[4].set(1.0), position)
    length = jnp.where(mask, z - shifted, 0)
    z = jnp.where(mask, z, 0)
    mean = length.sum() / n
    lever = (length - mean) * there
    tan_lambda = (lever * z).sum() / jnp.maximum((lever**2).sum(), 1e-12)
    return p.at[3].set(z.sum() / n - tan_lambda * mean).at[4].set(tan_lambda)


def pt_of(kappa: jax.Array, field: float) -> jax.Array:
    """Give the transverse momentum, GeV, of unit charges by their curvature, 1/mm; field: T."""
    return TESLA_MM * field / jnp.maximum(jnp.abs(kappa), 1e-12)


def pulls(fit: Fit, truth: jax.Array) -> jax.Array:
    """Compare with true parameters, in units of the stated error [track, parameter]."""
    error = jnp.sqrt(jnp.diagonal(fit.covariance, axis1=1, axis2=2))
    return (fit.parameters - truth) / error


def transverse_momenta(
    position: np.ndarray, pairs: np.ndarray, resolution: tuple[float, float], field: float
) -> np.ndarray:
    """Fit helices to the tracks of one event and give their transverse momenta [track], GeV.

    position: [hit, 3] mm; pairs: (hit, track) [pair, 2]; resolution: as for `helix`; field: T.
    """
    fitted = _helices(*arrays(position, pairs), resolution)
    n_tracks = int(pairs[:, 1].max(initial=-1)) + 1
    return np.asarray(pt_of(fitted.parameters[:, 2], field))[:n_tracks]


def above(
    position: np.ndarray,
    pairs: np.ndarray,
    resolution: tuple[float, float],
    field: float,
    *,
    min_pt: float,
) -> np.ndarray:
    """Keep the tracks of one event above a transverse momentum, GeV, by the fits of helices: pairs
    (hit, track) [pair, 2], numbered anew.
    """
    return tracks.keep(pairs, transverse_momenta(position, pairs, resolution, field) > min_pt)


_helices = jax.jit(helix, static_argnums=2)
