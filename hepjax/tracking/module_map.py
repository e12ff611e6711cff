"""A module map: which cells of a detector follow each other on a track, learned from events.

Of all pairs of cells only few are joined by particles from the middle of the detector. `learn`
collects those that true edges join, `coverage` tells the share of other edges that they hold: a map
of too few events misses rare pairs.

>>> cell, true = np.array([0, 3, 3, 7]), np.array([[0, 1], [0, 2], [1, 3]])
>>> links = learn([(cell, true)])
>>> links.tolist(), coverage(links, cell, np.array([[2, 3], [0, 3]]))
([[0, 3], [3, 7]], 0.5)
"""

from collections.abc import Iterable

import numpy as np


def learn(
    sample: Iterable[tuple[np.ndarray, np.ndarray]], *, min_count: int = 1, n_sectors: int = 1
) -> np.ndarray:
    """List the pairs of cells [link, 2] that true edges join, sorted.

    sample: [event] of the cell of each hit [hit], and true edges [edge, 2]; min_count: edges that a
    pair of cells needs; n_sectors: of the azimuth, where a cell is layer * n_sectors + sector: what
    is seen at one azimuth holds at all of them, of which few events fill each.
    """
    joined = [cell[true] for cell, true in sample]
    every = np.concatenate([*joined, np.zeros((0, 2), np.int64)])
    layer, sector = np.divmod(every, n_sectors)
    turned = np.concatenate([layer, np.diff(sector) % n_sectors], -1)
    kinds, count = np.unique(turned, axis=0, return_counts=True)
    first, last, step = kinds[count >= min_count].T[:, :, None]
    start = np.arange(n_sectors)
    links = first * n_sectors + start, last * n_sectors + (start + step) % n_sectors
    return np.unique(np.stack(links, -1).reshape(-1, 2), axis=0)


def coverage(links: np.ndarray, cell: np.ndarray, true: np.ndarray) -> float:
    """Tell the share of true edges [edge, 2] whose cells are linked; nan without any."""
    if not len(true):
        return float("nan")
    n = int(max(cell.max(initial=0), links.max(initial=0))) + 1
    ends = cell[true]
    return float(np.isin(ends[:, 0] * n + ends[:, 1], links[:, 0] * n + links[:, 1]).mean())
