"""Detectors, as far as a tracker must know them: which hits are compared, what stays on a track.

A `Detector` sorts the hits of an event into cells, small groups of which only some are compared
(`edge_filter`), and tells what is known of a pair of hits. `VELO` has planes across the beam and no
field. `PIXELS` has cylinders and disks in a solenoid, cut into sectors of the azimuth; which of its
cells are compared is learned from events (`module_map`).

>>> VELO.n_cells, PIXELS.n_cells
(52, 1152)
>>> event = hits.Event({"x": np.array([32.0]), "y": np.zeros(1), "z": np.zeros(1),
...     "volume": np.array([8]), "layer": np.array([2])}, {}, np.zeros((0, 2), int))
>>> PIXELS.layers(event).tolist(), PIXELS.cells(event).tolist()
([7], [480])
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.io import hits
from hepjax.tracking import doublets, neighbours, partners

CHUNK = 8192
"""Pairs that a network looks at in one go, of which rooms are multiples."""


class Shape(NamedTuple):
    """Room for one event: its hits, the hits of a cell, pairs in the window, and pairs that the
    first network keeps, and those after it.
    """

    n_hits: int
    width: int
    n_pairs: int
    n_kept: int
    n_left: int


class Detector(NamedTuple):
    """What is the same for all events of a detector.

    n_cells: groups of hits; cells: the cell of each hit of an event [hit]; layers: the number of
    its layer [hit]; links: makes the links [link, 2] of cells to compare, None where they are
    learned; coordinates: of positions [hit, 3], a pytree that `accept` looks at; accept: which
    pairs are looked at; describe: pairs by themselves [pair, feature]; direction: what stays along
    a track [pair, 2]; shapes: rooms for its events, the smallest first; n_sectors: of the azimuth,
    cells of a layer that are alike (`module_map`); overlaps: whether modules of a layer do, so
    that particles have two hits in it (`tracks.merged`).
    """

    n_cells: int
    cells: Callable[[hits.Event], np.ndarray]
    layers: Callable[[hits.Event], np.ndarray]
    links: Callable[[], np.ndarray] | None
    coordinates: Callable[[Any], Any]
    accept: neighbours.Accept
    describe: Callable[[Any, Any, tuple[Any, Any]], jax.Array]
    direction: partners.Direction
    shapes: tuple[Shape, ...]
    n_sectors: int = 1
    overlaps: bool = False


N_MODULES = 52
STEPS = (1, 2, 3, 4, 5, 6)
"""Differences of modules that a true edge of the Velo bridges: all but 0.04 %."""

MAX_SLOPE = 1.25


def _module(event: hits.Event) -> np.ndarray:
    return event.hits["module"]


VELO_SHAPES = (
    Shape(1024, 48, 20 * CHUNK, 12 * CHUNK, 2 * CHUNK),
    Shape(1792, 64, 52 * CHUNK, 30 * CHUNK, 5 * CHUNK),
    Shape(2560, 96, 100 * CHUNK, 60 * CHUNK, 10 * CHUNK),
    Shape(3584, 128, 192 * CHUNK, 115 * CHUNK, 18 * CHUNK),
    Shape(5632, 192, 460 * CHUNK, 275 * CHUNK, 45 * CHUNK),
    Shape(9216, 320, 1200 * CHUNK, 700 * CHUNK, 110 * CHUNK),
)

VELO = Detector(
    N_MODULES,
    _module,
    _module,
    functools.partial(neighbours.steps, N_MODULES, STEPS),
    lambda position: position,
    neighbours.window(MAX_SLOPE),
    doublets.straight,
    doublets.slope,
    VELO_SHAPES,
)

N_LAYERS = 18
N_SECTORS = 64
"""Of the azimuth, a layer."""

MAX_TURN = 7.1e-4
"""Azimuth a mm of radius, rad: half the curvature of 0.42 GeV in 2 T."""

SLACK = 0.02
MAX_Z0 = 250.0


VOLUMES = {7: 0, 8: 7, 9: 11}
"""Of TrackML's pixels, and the number of the first layer of each."""


def _layer(event: hits.Event) -> np.ndarray:
    volume, layer = event.hits["volume"], event.hits["layer"]
    first = np.array([VOLUMES.get(v, -1) for v in range(int(volume.max(initial=0)) + 1)])[volume]
    found = first + layer // 2 - 1
    if len(found) and (first.min() < 0 or found.max() >= N_LAYERS):
        raise ValueError(f"volume: {sorted(set(volume.tolist()))}, expected pixels only, 7 to 9")
    return found


def _sector(event: hits.Event) -> np.ndarray:
    phi = np.arctan2(event.hits["y"], event.hits["x"])
    sector = np.floor((phi + np.pi) / (2 * np.pi) * N_SECTORS).astype(np.int64) % N_SECTORS
    return _layer(event) * N_SECTORS + sector


def pixels(event: hits.Event) -> hits.Event:
    """Keep the pixels of a TrackML event, and the particles that left hits in them."""
    return hits.select(event, np.isin(event.hits["volume"], list(VOLUMES)))


def _cylindrical(position: jax.Array) -> tuple[jax.Array, ...]:
    x, y, z = jnp.moveaxis(jnp.asarray(position), -1, 0)
    return jnp.hypot(x, y), jnp.arctan2(y, x), z


PIXEL_SHAPES = tuple(
    Shape(n_hits, width, n_pairs * CHUNK, n_pairs * CHUNK, n_left * CHUNK)
    for n_hits, width, n_pairs, n_left in (
        (4096, 32, 5, 3),
        (6144, 48, 10, 5),
        (9216, 64, 22, 10),
        (14_336, 96, 52, 20),
        (24_576, 128, 150, 50),
        (49_152, 224, 600, 150),
        (98_304, 400, 2400, 500),
    )
)
"""0.0016 pairs in the window for each pair of hits, up to 200 collisions."""

PIXELS = Detector(
    N_LAYERS * N_SECTORS,
    _sector,
    _layer,
    None,
    _cylindrical,
    neighbours.window_in_field(MAX_TURN, SLACK, MAX_Z0),
    doublets.helical,
    doublets.turn,
    PIXEL_SHAPES,
    N_SECTORS,
    overlaps=True,
)
