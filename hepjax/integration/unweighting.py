"""From weighted points to events of equal weight; what is heavier than the limit carries it.

A point is kept with probability |w| / limit. Above the limit it is kept for sure, with a weight of
|w| / limit instead of 1, so that the cross-section stays right whatever the limit is. `limit` finds
one such that what stands above holds a given share of the total weight; 0 is the largest weight.
An efficiency depends on how many points were looked at, since the largest weight grows with them:
`Unweighting` says n and the share beside it.

>>> found = efficiency(np.array([1.0, 1.0, 1.0, 5.0]), overweight=0.25)
>>> float(found.limit), float(found.efficiency)
(3.0, 0.5)
"""

from typing import NamedTuple

import numpy as np


class Unweighting(NamedTuple):
    """limit: the weight that is kept for sure; efficiency: share of points that are kept;
    overweight_fraction: share of the total weight above the limit; n: points looked at.
    """

    limit: float
    efficiency: float
    overweight_fraction: float
    n: int


def limit(weight: np.ndarray, overweight: float = 0.0) -> float:
    """Find the limit [point] -> number above which stands a share of the total weight, what exceeds
    it: sum max(|w| - limit, 0) = overweight sum |w|.

    Raises ValueError for a share that is none, and for weights that are all zero or no numbers.
    """
    size = np.sort(np.abs(np.asarray(weight, float)))[::-1]
    if not 0 <= overweight < 1:
        raise ValueError(f"overweight: {overweight}, expected 0 to 1")
    if not len(size) or not np.isfinite(size).all() or size[0] == 0:
        raise ValueError(f"weight: {len(size)} points, expected finite numbers, not all of them 0")
    if not overweight:
        return float(size[0])
    count = np.arange(1, len(size) + 1)
    excess = np.cumsum(size) - count * size  # with the limit at each of the weights
    k = int(np.searchsorted(excess, overweight * size.sum(), side="right"))
    return float((size[:k].sum() - overweight * size.sum()) / k)


def efficiency(weight: np.ndarray, overweight: float = 0.0) -> Unweighting:
    """Give what `unweight` would keep of points [point]. Raises ValueError as `limit` does."""
    size, most = np.abs(np.asarray(weight, float)), limit(weight, overweight)
    kept = np.minimum(size / most, 1).mean()
    above = np.maximum(size - most, 0).sum() / size.sum()
    return Unweighting(most, float(kept), float(above), len(size))


def unweight(
    weight: np.ndarray, most: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the points that are kept: their index [event] and weight [event], 1 or more, with the
    sign of the integrand; in units of `most`.
    """
    weight = np.asarray(weight, float)
    ratio = np.abs(weight) / most
    index = np.flatnonzero(rng.uniform(size=len(weight)) < ratio)
    return index, np.sign(weight[index]) * np.maximum(ratio[index], 1)
