"""The tracks of a jet as records: from the columns of a file to what a flavour tagger sees.

`Tracks` are the charged constituents, most displaced first; a sample of jets is a
`jets.data.RaggedJets` whose particles are Tracks, so that it is split, batched and padded like any
other. In order: the record; `from_columns`; the impact parameters signed by the lifetime
(`signed_significance`); and `inputs`, the scaled features, computed in the step.

>>> import jax.numpy as jnp
>>> one = jnp.ones((1, 1))
>>> float(signed_significance(0.2 * one, 0.1 * one, jnp.array([[-0.3]]))[0, 0])
-2.0
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch, lorentz
from hepjax.jets import data
from hepjax.jets.flavour.generator import CLASSES

LEAST_PT, MOST_D0, MOST_Z0 = 0.5, 3.5, 5.0
"""Tracks that are kept: above GeV, and within mm of the primary vertex (z0 times sin theta)."""

HITS = ("first", "pixel", "strip")
BUCKETS = (8, 16, 32)
"""Padded lengths [track]."""


class Tracks(NamedTuple):
    """Tracks of jets, padded [jet, track, ...] (0 where none is) or flat [track, ...].

    pt: [...] GeV; deta, dphi: [...] relative to the jet's axis, rad (deta times the sign of the
    jet's eta); sin_theta: [...]; charge: [...] e; lepton: [..., 2] identified as electron, muon;
    d0, dz: [...] impact parameters, mm; d0_error, dz_error: [...] mm; pt_error: [...] relative;
    hits: [..., 3] in the first layer, pixels, strips; origin: [...] int32, events.ORIGINS; vertex:
    [...] int32, the same for tracks of one vertex, 0 the primary.
    """

    pt: Any
    deta: Any
    dphi: Any
    sin_theta: Any
    charge: Any
    lepton: Any
    d0: Any
    d0_error: Any
    dz: Any
    dz_error: Any
    pt_error: Any
    hits: Any
    origin: Any
    vertex: Any


class Inputs(NamedTuple):
    """What a flavour tagger takes: tracks [jet, track, feature] scaled, 0 where masked; jet [jet,
    feature], its log pt and abs(eta), scaled; mask [jet, track] True = real.
    """

    tracks: Any
    jet: Any
    mask: Any


FEATURES = (
    *("d0_significance", "dz_significance", "d0", "z0_sin_theta", "deta", "dphi", "log_pt"),
    *("log_pt_fraction", "delta_r", "charge", "log_d0_error", "log_dz_error", "log_pt_error"),
    *("hits_first", "hits_pixel", "hits_strip", "electron", "muon"),
)
"""Features of a track, in the order of Inputs.tracks."""


def from_columns(columns: Any, classes: Sequence[str] = CLASSES) -> data.RaggedJets:
    """Turn the columns of a file into jets with their Tracks, the most displaced first.

    columns: io.root.Columns as flavour.generator makes them; without truth every origin and vertex
    is 0. A jet without tracks stays. Raises ValueError for a missing branch, named.
    """
    part = columns.particles
    needed = ("pterr", *(f"hits_{name}" for name in HITS))
    missing = [f"part_{name}" for name in needed if f"part_{name}" not in part]
    if missing:
        raise ValueError(f"branches {missing} are missing, which flavour tagging needs")
    plain = data.from_columns(columns, classes)
    values, count = plain.particles.values, batch.lengths(plain.particles)
    jet = np.repeat(np.arange(len(count)), count)
    p4 = np.asarray(values.p4, np.float64)
    pt = lorentz.pt(p4)
    sin_theta = pt / np.maximum(lorentz.momentum(p4), 1e-9)
    kept = (values.charge != 0) & (pt > LEAST_PT) & (np.abs(values.d0) < MOST_D0)
    kept &= np.abs(values.dz * sin_theta) < MOST_Z0
    zero = np.zeros(len(pt), np.int32)
    tracks = Tracks(
        pt=pt,
        deta=values.deta,
        dphi=values.dphi,
        sin_theta=sin_theta,
        charge=values.charge,
        lepton=values.pid[:, 3:],
        d0=values.d0,
        d0_error=values.d0_error,
        dz=values.dz,
        dz_error=values.dz_error,
        pt_error=part["part_pterr"],
        hits=np.stack([part[f"part_hits_{name}"] for name in HITS], -1),
        origin=part.get("part_truth_origin", zero),
        vertex=part.get("part_truth_vertex", zero),
    )
    displaced = np.abs(values.d0) / np.maximum(values.d0_error, 1e-6)
    order = np.lexsort((-displaced, jet))
    order = order[kept[order]]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(jet[kept], minlength=len(count)))])
    sorted_tracks = Tracks(*(_narrow(np.asarray(column)[order]) for column in tracks))
    return plain._replace(particles=batch.Ragged(sorted_tracks, offsets.astype(np.int64)))


def _narrow(x: np.ndarray) -> np.ndarray:
    return x.astype(np.int32 if x.dtype.kind in "iub" and x.ndim == 1 else np.float32)


def signed_significance(value: jax.Array, error: jax.Array, along: jax.Array) -> jax.Array:
    """Divide an impact parameter by its error, with the sign of a lifetime: positive where the
    track crosses the jet's axis in front of the primary vertex.

    value, error: [...] mm; along: [...], positive where a positive value means in front: sin(dphi)
    for d0, eta(jet) - eta(track) for dz.
    """
    return value * jnp.sign(along) / jnp.where(error > 0, error, 1)


def significances(tracks: Tracks, forward: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give the signed significances of d0 and dz [jet, track]; forward: [jet] sign of the eta of
    the jets.
    """
    transverse = signed_significance(tracks.d0, tracks.d0_error, jnp.sin(tracks.dphi))
    along = -tracks.deta * forward[:, None]
    return transverse, signed_significance(tracks.dz, tracks.dz_error, along)


def inputs(jets: data.Jets) -> Inputs:
    """Scale a batch of jets with Tracks into FEATURES, float32, 0 where masked.

    What has long tails goes through asinh, so that no significance is cut off.
    """
    tracks, mask = jets.particles, jnp.asarray(jets.mask)
    pt, eta = lorentz.pt(jets.p4), lorentz.eta(jets.p4)
    real = jets.weight != 0
    pt, eta = jnp.where(real, pt, 1), jnp.where(real, eta, 0)
    transverse, longitudinal = significances(tracks, jnp.where(eta < 0, -1.0, 1.0))
    track_pt = jnp.where(mask, tracks.pt, 1)
    radius = jnp.sqrt(jnp.where(mask, tracks.deta**2 + tracks.dphi**2, 1))

    def log(x: Any) -> jax.Array:
        return jnp.log(jnp.where(mask & (x > 0), x, 1))

    listed = [
        jnp.arcsinh(transverse) / 2,
        jnp.arcsinh(longitudinal) / 2,
        jnp.arcsinh(tracks.d0 / 0.05) / 2,
        jnp.arcsinh(tracks.dz * tracks.sin_theta / 0.05) / 2,
        tracks.deta / 0.15,
        tracks.dphi / 0.15,
        (log(track_pt) - 1.0) * 0.8,
        (log(track_pt) - jnp.log(pt)[:, None] + 2.8) * 0.8,
        radius / 0.15 - 1,
        tracks.charge,
        (log(tracks.d0_error) + 3.2) * 1.5,
        (log(tracks.dz_error) + 2.5) * 1.5,
        (log(tracks.pt_error) + 4) * 2,
        tracks.hits[..., 0],
        tracks.hits[..., 1] - 3,
        tracks.hits[..., 2] / 2 - 4,
        tracks.lepton[..., 0],
        tracks.lepton[..., 1],
    ]
    stacked = jnp.stack([jnp.asarray(f, jnp.float32) for f in listed], -1)
    jet = jnp.stack([(jnp.log(pt) - 4) * 0.8, jnp.abs(eta) - 1], -1)
    kept = jnp.where(mask[..., None], stacked, 0)
    return Inputs(kept, jnp.where(real[:, None], jet, 0).astype(jnp.float32), mask)
