"""Layers of silicon around the beam: which of them a track crosses, and what that does to it.

A hadron with a b quark flies millimetres, and one of high momentum centimetres, past the first
layers of the detector. So the hits of a track tell where it began, and a track without a hit close
to the beam points back less precisely. In order: `crossed`, the layers with a hit; `count`, the
hits by kind; `lever`, by how much the errors of impact parameters grow.

>>> rng = np.random.default_rng(0)
>>> hit = crossed(np.array([[0.0, 40.0, 0.0]]), ATLAS_LIKE._replace(efficiency=1.0), rng)
>>> count(hit, ATLAS_LIKE).tolist(), lever(hit, ATLAS_LIKE).round(2).tolist()
([[0.0, 3.0, 8.0]], [1.52])
"""

from typing import NamedTuple

import numpy as np


class Silicon(NamedTuple):
    """Cylinders of silicon."""

    radii: tuple[float, ...]  # mm, ascending
    n_pixel: int  # how many of them are pixels; the others are strips
    hits_a_strip_layer: int  # strips in two directions give two
    efficiency: float  # of a layer
    least_hits: int  # of a track


ATLAS_LIKE = Silicon((33.3, 50.5, 88.5, 122.5, 299.0, 371.0, 443.0, 514.0), 4, 2, 0.98, 8)
"""Radii of the barrel of ATLAS in LHC's runs 2 and 3 (arXiv:2007.07624); 8 hits make a track."""


def crossed(vertex: np.ndarray, silicon: Silicon, rng: np.random.Generator) -> np.ndarray:
    """Find the layers [particle, layer] bool outside the production vertex [particle, 3], mm, that
    saw the particle.
    """
    rho = np.hypot(vertex[:, 0], vertex[:, 1])
    seen = rng.random((len(rho), len(silicon.radii))) < silicon.efficiency
    return seen & (rho[:, None] < np.array(silicon.radii))


def count(hit: np.ndarray, silicon: Silicon) -> np.ndarray:
    """Count hits [particle, 3]: in the first layer, in pixels (the first too), in strips."""
    pixel, strip = hit[:, : silicon.n_pixel], hit[:, silicon.n_pixel :]
    counts = (hit[:, 0], pixel.sum(1), silicon.hits_a_strip_layer * strip.sum(1))
    return np.stack(counts, 1).astype(np.float64)


def lever(hit: np.ndarray, silicon: Silicon) -> np.ndarray:
    """Scale the errors of impact parameters [particle]: with the radius of the first hit, 1 for the
    first layer. An estimate: both scattering and extrapolation grow with that radius.
    """
    radii = np.array(silicon.radii)
    first = np.where(hit.any(1), hit.argmax(1), 0)
    return radii[first] / radii[0]
