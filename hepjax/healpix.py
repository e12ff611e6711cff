"""Cells of equal area on the sphere, and densities on cells of many sizes.

HEALPix (astro-ph/0409513) divides the sphere into 12 faces and each again and again into four, so
that the cells of one order have the same area. Numbers are those of the NESTED scheme: the four
children of cell p are 4 p to 4 p + 3. A `SkyMap` has small cells where a density is high and large
ones elsewhere, which a narrow posterior needs: at a width of 0.05 degrees equal cells would be a
hundred million.

In order: cells and their centres, numbers of cells of any order (UNIQ), densities on cells: values
at points, equal cells on request, credible regions and their areas. All is numpy in float64.

>>> int(pixel(1, direction(1, np.array(7)))), round(float(area(0) * 12 / np.pi), 6)
(7, 4.0)
>>> flat = SkyMap(np.zeros(12, int), np.arange(12), np.full(12, 1 / (4 * np.pi)))
>>> region(flat, 0.9).area_deg2.round(1).tolist()
37127.7
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

MAX_ORDER = 29
ROW = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
"""Of each face's southern corner: rings of one face's height from the north pole."""

TURN = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])
"""Of each face's middle: its azimuth in units of pi / 4."""

DEG2 = (180 / np.pi) ** 2
"""Square degrees in a steradian."""


class SkyMap(NamedTuple):
    """A density that is constant in cells which cover the sphere once."""

    order: np.ndarray  # [cell] int64, 0 to 29
    pixel: np.ndarray  # [cell] int64, NESTED number in that order
    density: np.ndarray  # [cell] probability per steradian


class Region(NamedTuple):
    """The smallest region that holds some probability."""

    probability: np.ndarray  # [...] of the region, as asked for
    area_deg2: np.ndarray  # [...]
    density: np.ndarray  # [...] per steradian at its edge


def area(order: ArrayLike) -> np.ndarray:
    """Area of a cell [...] of an order [...], sr."""
    return np.pi / 3 / 4.0 ** np.asarray(order)


def direction(order: ArrayLike, pixel: ArrayLike) -> np.ndarray:
    """Unit vector of the centre of cells [..., 3], from the centre of the sphere, float64.

    order, pixel: [...]. Raises ValueError for a pixel that the order does not have.
    """
    k, p = _cells(order, pixel)
    face, x, y = p >> 2 * k, _even_bits(p), _even_bits(p >> 1)
    inside = (np.int64(1) << k) - 1
    n = (inside + 1).astype(np.float64)
    x, y = ((c & inside) + 0.5 for c in (x, y))
    down = ROW[face] - (x + y) / n  # 0 at the north pole, 4 at the south
    cap = np.minimum(np.minimum(down, 4 - down), 1.0)
    low = np.where(cap < 1, cap**2 / 3, 1.0)  # 1 - |z| in the caps
    z = np.where(cap < 1, np.where(down < 2, 1 - low, low - 1), (2 - down) * 2 / 3)
    across = np.sqrt(np.where(cap < 1, low * (2 - low), 1 - z**2))
    phi = np.pi / 4 * (TURN[face] * cap + (x - y) / n) / cap
    return np.stack([across * np.cos(phi), across * np.sin(phi), z], -1)


def pixel(order: int, direction: ArrayLike) -> np.ndarray:
    """Find the cell [...] of one order that holds each direction [..., 3], int64."""
    if not 0 <= order <= MAX_ORDER:
        raise ValueError(f"order: {order}, expected 0 to {MAX_ORDER}")
    v = np.asarray(direction, np.float64)
    if v.ndim < 1 or v.shape[-1] != 3 or not np.isfinite(v).all():
        raise ValueError(f"direction: shape {v.shape}, expected finite [..., 3]")
    v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    n, z, across = 1 << order, v[..., 2], np.hypot(v[..., 0], v[..., 1])
    turn = np.arctan2(v[..., 1], v[..., 0]) * 2 / np.pi % 4  # 0 to 4
    rising, falling = (np.floor(n * (0.5 + turn + s * 0.75 * z)).astype(np.int64) for s in (-1, 1))
    up, low = rising >> order, falling >> order
    belt_face = np.where(up == low, up & 3 | 4, np.where(up < low, up & 3, (low & 3) + 8))
    belt = belt_face, falling & (n - 1), n - 1 - (rising & (n - 1))
    quarter = np.minimum(turn.astype(np.int64), 3)
    reach = n * across * np.sqrt(3 / (1 + np.abs(z)))
    left, right = (
        np.minimum((t * reach).astype(np.int64), n - 1)
        for t in (turn - quarter, 1 - (turn - quarter))
    )
    north = z > 0
    cap = (
        np.where(north, quarter, quarter + 8),
        np.where(north, n - 1 - right, left),
        np.where(north, n - 1 - left, right),
    )
    face, x, y = (np.where(np.abs(z) <= 2 / 3, a, b) for a, b in zip(belt, cap))
    return (face << 2 * order) + _spread_bits(x) + (_spread_bits(y) << 1)


def uniq(order: ArrayLike, pixel: ArrayLike) -> np.ndarray:
    """Number [...] int64 that tells both order and pixel: pixel + 4^(order + 1)."""
    k, p = _cells(order, pixel)
    return p + (np.int64(4) << 2 * k)


def from_uniq(uniq: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Order and pixel [...] of such numbers [...]; raises ValueError for what is none."""
    u = np.asarray(uniq, np.int64)
    if u.size and u.min() < 4:
        raise ValueError(f"uniq: {u.min()}, expected at least 4")
    bits = np.frexp(u.astype(np.float64))[1] - 1  # position of the highest bit, or one more
    bits = np.where(u >> bits > 0, bits, bits - 1)
    order = (bits >> 1) - 1
    return _cells(order, u - (np.int64(4) << 2 * order))


def probability(sky: SkyMap) -> np.ndarray:
    """Probability of each cell [cell]."""
    return sky.density * area(sky.order)


def check(sky: SkyMap, *, source: str = "sky") -> SkyMap:
    """Give a map as it is; raises ValueError unless its cells cover the sphere once, finite."""
    order, pixel = _cells(sky.order, sky.pixel)
    if order.ndim != 1 or order.shape != sky.density.shape:
        raise ValueError(f"{source}: {order.shape} cells and {sky.density.shape} densities")
    first, length = _spans(order, pixel)
    ranked = np.argsort(first)
    end = np.append(0, np.cumsum(length[ranked]))
    if (end[:-1] != first[ranked]).any() or end[-1] != 12 << 2 * MAX_ORDER:
        raise ValueError(f"{source}: {len(order)} cells overlap or leave gaps, expected neither")
    bad = np.flatnonzero(~(np.isfinite(sky.density) & (sky.density >= 0)))
    if len(bad):
        raise ValueError(
            f"{source}: density {sky.density[bad[0]]} of cell {bad[0]}, expected 0 or more"
        )
    return sky


def cell(sky: SkyMap, direction: ArrayLike) -> np.ndarray:
    """Index [...] of the cell of a map that holds each direction [..., 3]."""
    first, _ = _spans(sky.order, sky.pixel)
    ranked = np.argsort(first)
    place = np.searchsorted(first[ranked], pixel(MAX_ORDER, direction), side="right") - 1
    return ranked[place]


def flat(sky: SkyMap, order: int) -> np.ndarray:
    """Densities [12 4^order] on equal cells: the mean where those of the map are smaller."""
    if not 0 <= order <= 13:
        raise ValueError(f"order: {order}, expected 0 to 13, of which 13 has 800 million cells")
    density = np.zeros(12 << 2 * order)
    for k in np.unique(sky.order):
        here = sky.order == k
        if k >= order:
            share = area(k) / area(order)
            np.add.at(density, sky.pixel[here] >> 2 * (k - order), share * sky.density[here])
        else:
            children = (sky.pixel[here, None] << 2 * (order - k)) + np.arange(4 ** (order - k))
            density[children] = sky.density[here, None]
    return density


def region(sky: SkyMap, probability: ArrayLike) -> Region:
    """Smallest region of a probability [...] in (0, 1): its area and the density at its edge.

    The cell at the edge counts in part.
    """
    p = np.asarray(probability, np.float64)
    if not ((p > 0) & (p < 1)).all():
        raise ValueError(f"probability: {probability}, expected numbers in (0, 1)")
    ranked = np.argsort(-sky.density, kind="stable")
    density, size = sky.density[ranked], area(sky.order[ranked])
    held = np.append(0.0, np.cumsum(density * size))
    covered = np.append(0.0, np.cumsum(size))
    p_here = p * held[-1]
    edge = np.clip(np.searchsorted(held, p_here, side="left") - 1, 0, len(density) - 1)
    inside = covered[edge] + (p_here - held[edge]) / density[edge]
    return Region(p, inside * DEG2, density[edge])


def levels(sky: SkyMap) -> np.ndarray:
    """Probability [cell] of all that is at least as dense as each cell, half of itself included."""
    ranked = np.argsort(-sky.density, kind="stable")
    own = probability(sky)[ranked]
    found = np.empty(len(own))
    found[ranked] = (np.cumsum(own) - own / 2) / own.sum()
    return found


def _spans(order: np.ndarray, pixel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First cell of the finest order in each cell, and how many."""
    shift = 2 * (MAX_ORDER - order)
    return pixel << shift, np.int64(1) << shift


def _cells(order: ArrayLike, pixel: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    k, p = np.broadcast_arrays(np.asarray(order), np.asarray(pixel))
    if k.dtype.kind not in "iu" or p.dtype.kind not in "iu":
        raise ValueError(f"order, pixel: {k.dtype} and {p.dtype}, expected integers")
    k, p = k.astype(np.int64), p.astype(np.int64)
    if k.size and not (k.min() >= 0 and k.max() <= MAX_ORDER):
        raise ValueError(f"order: {k.min()} to {k.max()}, expected 0 to {MAX_ORDER}")
    bad = (p < 0) | (p >= np.int64(12) << 2 * k)
    if bad.any():
        raise ValueError(f"pixel: {p[bad].flat[0]} of order {k[bad].flat[0]}, which has no such")
    return k, p


MASKS = (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F)
MASKS += (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF)


def _even_bits(x: np.ndarray) -> np.ndarray:
    """Bits 0, 2, 4, ... moved together."""
    x = x & MASKS[0]
    for k, mask in enumerate(MASKS[1:]):
        x = (x | x >> (1 << k)) & mask
    return x


def _spread_bits(x: np.ndarray) -> np.ndarray:
    """The way back: bits 0, 1, 2, ... moved to 0, 2, 4, ..."""
    for k in reversed(range(5)):
        x = (x | x << (1 << k)) & MASKS[k]
    return x
