"""The secondary vertex of a jet as variables, for taggers that read tables (DL1).

`find` looks for one vertex in each jet with `jets.secondary_vertex` and lists what is known of it.

>>> VARIABLES[:3]
('sv_n_tracks', 'sv_mass', 'sv_energy_fraction')
"""

import functools

import jax
import numpy as np

from hepjax import batch, lorentz
from hepjax.jets import data as jets_data
from hepjax.jets import secondary_vertex

VARIABLES = (
    *("sv_n_tracks", "sv_mass", "sv_energy_fraction", "sv_flight", "sv_significance"),
    *("sv_delta_r", "sv_chi2"),
)
"""What `find` says of the vertex of a jet."""

CHUNK = 20_000  # jets


def find(jets: jets_data.RaggedJets, n_tracks: int = 32) -> np.ndarray:
    """Find a vertex in each jet of Tracks: [jet, variable] in the order of VARIABLES, float32.

    Tracks of the vertex, their mass (as pions), GeV, and their share of the tracks' energy; the
    transverse flight, mm, signed along the jet's axis; the flight over its error; the angle between
    flight and axis; chi2 over degrees of freedom. All 0 where there is no vertex. At most n_tracks
    tracks a jet are looked at.
    """
    size = min(CHUNK, max(8, len(jets.label)))
    rows = np.arange(-(-len(jets.label) // size) * size)
    rows = np.where(rows < len(jets.label), rows, -1).reshape(-1, size)
    parts = [_find(jets, chosen, n_tracks) for chosen in rows]
    return np.concatenate(parts)[: len(jets.label)]


def _find(jets: jets_data.RaggedJets, rows: np.ndarray, n_tracks: int) -> np.ndarray:
    tracks, mask = batch.pad(jets.particles, rows, n_tracks)
    p4 = np.asarray(jets.p4[rows], np.float64)
    forward = np.where(lorentz.eta(p4) < 0, -1.0, 1.0)
    seen = secondary_vertex.Tracks(
        pt=tracks.pt,
        eta=lorentz.eta(p4)[:, None] + forward[:, None] * tracks.deta,
        phi=lorentz.phi(p4)[:, None] + tracks.dphi,
        d0=tracks.d0,
        d0_error=tracks.d0_error,
        dz=tracks.dz,
        dz_error=tracks.dz_error,
    )
    vertex = jax.device_get(_compiled(1)(seen, mask, p4))
    named = vertex._asdict() | {"mass": np.asarray(lorentz.mass(vertex.p4))}
    table = [named[name.removeprefix("sv_")][:, 0] for name in VARIABLES]
    return np.column_stack(table).astype(np.float32)


@functools.cache
def _compiled(n_vertices: int):
    return jax.jit(functools.partial(secondary_vertex.find, n_vertices=n_vertices))
