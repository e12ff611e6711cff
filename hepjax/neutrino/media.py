"""Ice and water: how fast light goes, how far until it is scattered, how far until absorbed.

The coefficients, one over the lengths, may depend on the height, in layers (as ice laid down by
snow does); between two heights a path sees their mean, which is a difference of cumulated
coefficients. So a photon on its way through the dust layer of the South Pole is treated as one that
was there. Scattering lengths are effective ones, after which a direction is forgotten. Factors on
both lengths, unknown as they are, come from outside (`data.Truth`).

`south_pole` is ice, with a coarse profile or that of a table, `mediterranean`, `pacific` and
`south_china_sea` are water, `layered` and `uniform` make others.

>>> ice = south_pole()
>>> start, end = jnp.array([100.0, -100.0]), jnp.array([200.0, -120.0])
>>> scattering, absorption = coefficients(ice, start, end)
>>> [round(1 / float(x)) for x in scattering]
[33, 14]
>>> round(float(jnp.degrees(jnp.arctan(tangent(ice)))))
41
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.neutrino.detectors import DEPTH

LIGHT = 0.299792458
"""Speed of light, m / ns."""

THINNEST = 2.0
"""Paths that go less than this up or down see the mean over so much, m: a difference of nearly
equal numbers has no digits.
"""

COARSE_DEPTH = np.arange(1400.0, 2501.0, 50.0)
COARSE_SCATTERING = np.array(
    [13, 16, 25, 14, 25, 38, 24, 26, 40, 29, 40, 25, 10, 7, 22, 48, 30, 50, 70, 45, 48, 75, 80]
)
COARSE_ABSORPTION = 3 * np.array(
    [15, 20, 28, 16, 27, 45, 28, 28, 45, 32, 50, 30, 12, 9, 27, 55, 33, 50, 70, 48, 50, 77, 82]
)
"""The ice of the South Pole as here by default: depths and lengths, m, rounded."""


class Medium(NamedTuple):
    """What light meets.

    phase_index: sets the Cherenkov angle; group_index: the speed; delay: ns, time constant of
    scattered light (tau of Pandel's function); low, step: m, height of the first node and distance
    of nodes; scattering, absorption: [node] coefficients, 1/m, cumulated from the first node up to
    each. Outside the first and last layer go on.
    """

    phase_index: float
    group_index: float
    delay: float
    low: float
    step: float
    scattering: Any
    absorption: Any


def tangent(medium: Medium) -> float:
    """Give the tangent of the Cherenkov angle of a fast particle."""
    return float(np.sqrt(medium.phase_index**2 - 1))


def uniform(
    scattering: float,
    absorption: float,
    *,
    delay: float,
    phase_index: float = 1.345,
    group_index: float = 1.38,
) -> Medium:
    """Make a medium that is everywhere the same; lengths in m, delay in ns."""
    for name, length in (("scattering", scattering), ("absorption", absorption), ("delay", delay)):
        if not length > 0:
            raise ValueError(f"{name}: {length}, expected a positive number")
    steps = [np.array([0, 1 / length], np.float32) for length in (scattering, absorption)]
    return Medium(phase_index, group_index, delay, 0.0, 1.0, *steps)


def layered(
    height: Any,
    scattering: Any,
    absorption: Any,
    *,
    delay: float,
    phase_index: float = 1.32,
    group_index: float = 1.356,
) -> Medium:
    """Make a medium of layers from lengths [node], m, at ascending heights [node], m.

    Lengths are taken to be linear between the given ones and resampled, the coefficients, on an
    even grid of as many layers as the smallest distance asks for. Raises ValueError for heights
    that do not ascend and for lengths that are not positive.
    """
    height, *lengths = (np.asarray(x, np.float64) for x in (height, scattering, absorption))
    if len(height) < 2 or np.any(np.diff(height) <= 0):
        raise ValueError(f"height: expected two or more, ascending, found {height.tolist()}")
    for name, length in zip(("scattering", "absorption"), lengths):
        if length.shape != height.shape or not np.all(length > 0):
            raise ValueError(f"{name}: expected {len(height)} positive lengths")
    n = int(np.ceil((height[-1] - height[0]) / np.diff(height).min()))
    edges = np.linspace(height[0], height[-1], n + 1)
    step = edges[1] - edges[0]
    middle = (edges[1:] + edges[:-1]) / 2
    total = []
    for length in lengths:
        each = step / np.interp(middle, height, length)
        total.append(np.concatenate([[0], np.cumsum(each)]).astype(np.float32))
    return Medium(phase_index, group_index, delay, float(edges[0]), float(step), *total)


def south_pole(path: Path | str | None = None, *, depth: float = DEPTH) -> Medium:
    """Make the ice of the South Pole; z = 0 is at this depth, m.

    path: parquet table (needs pyarrow) with depth, scattering_len and absorption_len, m, instead of
    the coarse profile, which has the dust layer below 2000 m and the clear ice underneath, rounded.
    """
    if path is None:
        columns = [COARSE_DEPTH, COARSE_SCATTERING, COARSE_ABSORPTION]
    else:
        from pyarrow import parquet

        table = parquet.read_table(path)
        names = ("depth", "scattering_len", "absorption_len")
        missing = [name for name in names if name not in table.schema.names]
        if missing:
            raise ValueError(
                f"{path}: no column {', '.join(missing)}, found {', '.join(table.schema.names)}"
            )
        columns = [table[name].to_numpy() for name in names]
    below, scattering, absorption = (np.asarray(x, np.float64)[::-1] for x in columns)
    return layered(depth - below, scattering, absorption, delay=557.0)


def mediterranean() -> Medium:
    """Make the water of KM3NeT, of lengths near the published ones at 470 nm."""
    return uniform(265.0, 60.0, delay=600.0)


def pacific() -> Medium:
    """Make the water of P-ONE, whose absorption length is near 28 m (arXiv:2108.04961)."""
    return uniform(200.0, 28.0, delay=600.0)


def south_china_sea() -> Medium:
    """Make the water of TRIDENT, whose absorption length is near 27 m (arXiv:2207.04519)."""
    return uniform(200.0, 27.0, delay=600.0)


def coefficients(medium: Medium, start: jax.Array, end: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give the mean scattering and absorption coefficients, 1/m, of straight ways between heights
    start and end, m, which broadcast.
    """
    total = jnp.stack([jnp.asarray(medium.scattering), jnp.asarray(medium.absorption)], -1)
    if len(total) == 2:  # a uniform medium
        one = jnp.zeros(jnp.broadcast_shapes(jnp.shape(start), jnp.shape(end)), total.dtype)
        slope = (total[1] - total[0]) / medium.step
        return one + slope[0], one + slope[1]
    middle = (start + end) / 2
    half = jnp.maximum(jnp.abs(end - start), THINNEST) / 2
    node = jnp.arange(len(total) - 1, dtype=total.dtype)[:, None]
    rows = jnp.concatenate([total[:-1], jnp.diff(total, axis=0), node], -1)
    both = [_cumulated(medium, rows, middle + sign * half) for sign in (1, -1)]
    # a product, since XLA would look all up again for each use of a difference: three times faster
    minus = jnp.concatenate([jnp.eye(2), -jnp.eye(2)]).astype(total.dtype)
    ends = jnp.concatenate(both, -1)
    difference = jnp.matmul(ends, minus, precision=jax.lax.Precision.HIGHEST)
    return difference[..., 0] / (2 * half), difference[..., 1] / (2 * half)


def _cumulated(medium: Medium, rows: jax.Array, z: jax.Array) -> jax.Array:
    """Read cumulated coefficients at heights z; rows: [layer, 5] both at its lower end, both of the
    layer, and its number.

    The number is read, too: XLA may compute an index twice, rounded in two ways at the edge of two
    layers, and one of them with the number of the other would be off by a layer.
    """
    at = (z - medium.low) / medium.step
    index = jnp.floor(jax.lax.stop_gradient(at)).astype(jnp.int32)
    row = rows[jnp.clip(index, 0, len(rows) - 1)]
    return row[..., :2] + row[..., 2:4] * (at[..., None] - row[..., 4:])
