"""A secondary vertex in each jet, found the classical way, for taggers that want its properties.

A track near its jet is a straight line, so the vertex that fits some tracks best is the solution of
three linear equations, and all jets are solved at once. `find` starts with the tracks that miss the
primary vertex, fits them to a common point, drops the track that fits worst until all do, takes in
tracks that fit there better than in the primary vertex, and fits once more. Its idea is that of
ATLAS' SV1 (ATL-PHYS-PUB-2017-011), which builds vertices out of pairs instead and treats material.

>>> names = VARIABLES
>>> names[:3]
('sv_n_tracks', 'sv_mass', 'sv_energy_fraction')
"""

from typing import NamedTuple

import numpy as np

from hepjax import batch, lorentz
from hepjax.jets import data as jets_data
from hepjax.jets.flavour import data

VARIABLES = (
    *("sv_n_tracks", "sv_mass", "sv_energy_fraction", "sv_flight", "sv_significance"),
    *("sv_delta_r", "sv_chi2"),
)
"""What `find` says of the vertex of a jet."""

SEED, WORST, NEAR = 2.0, 9.0, 6.0
"""Significance of a track that misses the primary vertex; chi2 above which a track is dropped, and
below which one is taken in."""
PION = 0.13957
CHUNK = 20_000  # jets


class Lines(NamedTuple):
    """Tracks as weighted linear equations for a common point V: rows @ V = values.

    rows: [jet, track, 2, 3] and values: [jet, track, 2], both over the errors, of the transverse
    and the longitudinal distance; mask: [jet, track].
    """

    rows: np.ndarray
    values: np.ndarray
    mask: np.ndarray


def find(jets: jets_data.RaggedJets, n_tracks: int = 32) -> np.ndarray:
    """Find a vertex in each jet of Tracks: [jet, variable] in the order of VARIABLES, float32.

    Tracks of the vertex, their mass (as pions), GeV, and their share of the tracks' energy; the
    transverse flight, mm, signed along the jet's axis; the flight over its error; the angle between
    flight and axis; chi2 over degrees of freedom. All 0 where there is no vertex. At most n_tracks
    tracks a jet are looked at.
    """
    n_jets = len(jets.label)
    parts = [
        _find(jets, np.arange(first, min(first + CHUNK, n_jets)), n_tracks)
        for first in range(0, n_jets, CHUNK)
    ]
    return np.concatenate(parts).astype(np.float32)


def _find(jets: jets_data.RaggedJets, rows: np.ndarray, n_tracks: int) -> np.ndarray:
    tracks, mask = batch.pad(jets.particles, rows, n_tracks)
    p4 = np.asarray(jets.p4[rows], np.float64)
    forward = np.where(lorentz.eta(p4) < 0, -1.0, 1.0)
    eta = lorentz.eta(p4)[:, None] + forward[:, None] * tracks.deta
    phi = lorentz.phi(p4)[:, None] + tracks.dphi
    lines = lines_of(tracks, eta, phi, mask)
    alone = np.where(mask, (lines.values**2).sum(-1), 0)  # chi2 with the primary vertex
    used = mask & (alone > SEED**2)
    for _ in range(n_tracks):
        point, _ = fit(lines, used)
        chi2 = np.where(used, _chi2(lines, point), -1)
        worst = chi2.argmax(1)
        bad = chi2.max(1) > WORST
        if not bad.any():
            break
        used[np.flatnonzero(bad), worst[bad]] = False
    point, _ = fit(lines, used)
    some = used.sum(1) >= 2
    near = _chi2(lines, point)
    used |= mask & some[:, None] & (near < NEAR) & (near < alone)
    point, covariance = fit(lines, used)
    some = used.sum(1) >= 2
    found = _describe(tracks, eta, phi, mask, used, point, covariance, p4)
    dof = np.maximum(2 * used.sum(1) - 3, 1)
    chi2 = np.where(used, _chi2(lines, point), 0).sum(1) / dof
    return np.where(some[:, None], np.column_stack([used.sum(1), *found, chi2]), 0)


def lines_of(tracks: data.Tracks, eta: np.ndarray, phi: np.ndarray, mask: np.ndarray) -> Lines:
    """Write tracks [jet, track] with directions eta and phi as equations for their common point."""
    cos, sin, slope, zero = np.cos(phi), np.sin(phi), np.sinh(eta), np.zeros_like(phi)
    d0_error = np.where(mask, tracks.d0_error, 1)[..., None]
    dz_error = np.where(mask, tracks.dz_error, 1)[..., None]
    across = np.stack([sin, -cos, zero], -1) / d0_error
    along = np.stack([-cos * slope, -sin * slope, zero + 1], -1) / dz_error
    values = np.stack([tracks.d0 / d0_error[..., 0], tracks.dz / dz_error[..., 0]], -1)
    rows = np.where(mask[..., None, None], np.stack([across, along], -2), 0)
    return Lines(rows, np.where(mask[..., None], values, 0), mask)


def fit(lines: Lines, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a point to the tracks used [jet, track]: its position [jet, 3], mm, and covariance.

    With fewer than two tracks the point is undetermined and comes out near the primary vertex.
    """
    rows = np.where(used[..., None, None], lines.rows, 0).reshape(len(used), -1, 3)
    values = np.where(used[..., None], lines.values, 0).reshape(len(used), -1)
    matrix = np.einsum("jka,jkb->jab", rows, rows) + 1e-6 * np.eye(3)  # a prior of 1 m
    covariance = np.linalg.inv(matrix)
    return np.einsum("jab,jkb,jk->ja", covariance, rows, values), covariance


def _chi2(lines: Lines, point: np.ndarray) -> np.ndarray:
    distance = np.einsum("jtka,ja->jtk", lines.rows, point) - lines.values
    return (distance**2).sum(-1)


def _describe(
    tracks: data.Tracks,
    eta: np.ndarray,
    phi: np.ndarray,
    mask: np.ndarray,
    used: np.ndarray,
    point: np.ndarray,
    covariance: np.ndarray,
    jet_p4: np.ndarray,
) -> list[np.ndarray]:
    pt = np.where(mask, tracks.pt, 0)
    p4 = lorentz.from_pt_eta_phi_mass(
        np.where(mask, pt, 1), np.where(mask, eta, 0), phi, np.full_like(phi, PION)
    )
    energy = np.where(mask, p4[..., 0], 0)
    total = np.where(used[..., None], p4, 0).sum(1)
    mass = np.sqrt(np.maximum(total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(1), 0))
    share = np.where(used, energy, 0).sum(1) / np.maximum(energy.sum(1), 1e-9)
    axis = jet_p4[:, 1:] / np.maximum(lorentz.momentum(jet_p4), 1e-9)[:, None]
    flight = (point * axis).sum(1)
    error = np.sqrt(np.einsum("ja,jab,jb->j", axis, covariance, axis))
    length = np.linalg.norm(point, axis=1)
    towards = np.column_stack([length, point])
    apart = lorentz.delta_r(np.where(length[:, None] > 1e-6, towards, jet_p4), jet_p4)
    across = np.sign(flight) * np.hypot(point[:, 0], point[:, 1])
    return [mass, share, across, flight / error, np.minimum(apart, 4.0)]
