"""From weighted points to events of equal weight; what is heavier than the limit carries it.

A point is kept with probability |w| / limit. Above the limit it is kept for sure, with a weight of
|w| / limit instead of 1, so that the cross-section stays right whatever the limit is. `limit` finds
one such that what stands above holds a given share of the total weight; 0 is the largest weight.
An efficiency depends on how many points were looked at, since the largest weight grows with them:
`Unweighting` says n and the share beside it, and `effective` what overweights cost in statistics.

Channels may have limits of their own (`by_channel`): points are then to be shared among channels in
proportion to these, and a channel of small weights does not pay for another's large ones.
`unweight_channels` keeps points of any shares.

>>> found = efficiency(np.array([1.0, 1.0, 1.0, 5.0]), overweight=0.25)
>>> float(found.limit), float(found.efficiency)
(3.0, 0.5)
"""

from typing import Any, NamedTuple

import numpy as np

N_HALVINGS = 60
"""Halvings that find how large a part of each channel stands above its limit."""


class Unweighting(NamedTuple):
    """limit: the weight that is kept for sure; efficiency: share of points that are kept;
    overweight_fraction: share of the total weight above the limit; n: points looked at.
    """

    limit: float
    efficiency: float
    overweight_fraction: float
    n: int


class ByChannel(NamedTuple):
    """limits: [channel]; share: [channel] of the points, for events of equal weight; efficiency:
    share of points that are kept, if they are shared like this; overweight_fraction, n: as in
    `Unweighting`.
    """

    limits: np.ndarray
    share: np.ndarray
    efficiency: float
    overweight_fraction: float
    n: int


def limit(weight: Any, overweight: float = 0.0, times: Any = None) -> float:
    """Find the limit [point] -> number above which stands a share of the total weight, what exceeds
    it: sum max(|w| - limit, 0) = overweight sum |w|.

    times: [point] how often each point counts (None: once). Raises ValueError for a share that is
    none, and for weights that are all zero or no numbers.
    """
    size = np.abs(np.asarray(weight, float))
    times = np.ones_like(size) if times is None else np.abs(np.asarray(times, float))
    if not 0 <= overweight < 1:
        raise ValueError(f"overweight: {overweight}, expected 0 to 1")
    finite = np.isfinite(size).all() and np.isfinite(times).all()
    if not len(size) or not finite or not (size * times).any():
        raise ValueError(f"weight: {len(size)} points, expected finite numbers, not all of them 0")
    order = np.argsort(-size, kind="stable")
    order = order[times[order] > 0]
    size, times = size[order], times[order]
    if not overweight:
        return float(size[0])
    count, sums = np.cumsum(times), np.cumsum(times * size)
    excess = sums - count * size  # with the limit at each of the weights
    k = int(np.searchsorted(excess, overweight * sums[-1], side="right")) - 1
    return float((sums[k] - overweight * sums[-1]) / count[k])


def efficiency(weight: Any, overweight: float = 0.0, times: Any = None) -> Unweighting:
    """Give what `unweight` would keep of points [point]. Raises ValueError as `limit` does."""
    most = limit(weight, overweight, times)
    size = np.abs(np.asarray(weight, float))
    kept = np.average(np.minimum(size / most, 1), weights=times)
    above = np.average(np.maximum(size - most, 0), weights=times)
    above /= np.average(size, weights=times)
    return Unweighting(most, float(kept), float(above), len(size))


def effective(weight: Any) -> float:
    """Give the share of as many events of equal weight that is as good as these: (sum |w|)^2 / (n
    sum w^2) (Kish), of kept events [event]. Raises ValueError where all weights are 0, or none.
    """
    size = np.abs(np.asarray(weight, float))
    if not size.any():
        raise ValueError(f"weight: {len(size)} events, expected some that are not 0")
    return float(size.sum() ** 2 / (len(size) * (size**2).sum()))


def unweight(weight: Any, most: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the points that are kept: their index [event] and weight [event], 1 or more, with the
    sign of the integrand; in units of `most`.
    """
    weight = np.asarray(weight, float)
    ratio = np.abs(weight) / most
    index = np.flatnonzero(rng.uniform(size=len(weight)) < ratio)
    return index, np.sign(weight[index]) * np.maximum(ratio[index], 1)


def by_channel(weight: Any, channel: Any, n_channels: int, overweight: float = 0.0) -> ByChannel:
    """Find limits of all channels, above which stands a share of the total weight.

    weight: [point], whose mean over a channel is its part of the integral; channel: [point]. Of all
    such limits their sum is the least, and the efficiency the largest: as large a part of the
    points of each channel is above. Raises ValueError as `limit` does, and for a channel without
    points.
    """
    size, channel = np.abs(np.asarray(weight, float)), np.asarray(channel)
    limit(size, overweight)  # which looks at them
    parts = [np.sort(size[channel == k]) for k in range(n_channels)]
    empty = [k for k, part in enumerate(parts) if not len(part)]
    if empty:
        raise ValueError(f"channel {empty[0]}: no points, expected some; n: {len(size)}")
    total = sum(part.mean() for part in parts)

    def limits(above: float) -> np.ndarray:
        return np.array([np.quantile(part, 1 - above) for part in parts])

    def excess(found: np.ndarray) -> float:
        return sum(np.maximum(part - x, 0).mean() for part, x in zip(parts, found))

    low, high = 0.0, 1.0
    for _ in range(N_HALVINGS if overweight else 0):
        middle = (low + high) / 2
        fits = excess(limits(middle)) <= overweight * total
        low, high = (middle, high) if fits else (low, middle)
    found = limits(low)
    kept = sum(np.minimum(part, x).mean() for part, x in zip(parts, found))
    fraction, n = excess(found) / total, len(size)
    return ByChannel(found, found / found.sum(), float(kept / found.sum()), float(fraction), n)


def unweight_channels(
    weight: Any, channel: Any, limits: Any, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the points that are kept, with a limit of each channel: their index [event] and weight
    [event], 1 or more, with the sign of the integrand.

    A channel that has more points than its share (`ByChannel`) gives as many fewer. Units are the
    largest limit over number of points of any channel.
    """
    weight, channel, limits = np.asarray(weight, float), np.asarray(channel), np.asarray(limits)
    trial = limits / np.maximum(np.bincount(channel, minlength=len(limits)), 1)
    own = limits[channel]
    ratio = np.abs(weight) / np.where(own > 0, own, 1)
    chance = np.minimum(ratio, 1) * (trial / trial.max())[channel]
    index = np.flatnonzero(rng.uniform(size=len(weight)) < chance)
    return index, np.sign(weight[index]) * np.maximum(ratio[index], 1)
