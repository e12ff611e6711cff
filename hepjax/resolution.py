"""How well is a quantity reconstructed? Quantiles of its error, overall and in bins.

Half of the events are better than the median, 68 % and 90 % better than those quantiles; unlike a
root mean square they do not hang on the tails. `quantiles` gives them with intervals that assume no
shape: the share of events below the true quantile is binomial, so the order statistics one standard
deviation of that share below and above enclose it. `quantiles_against` does so in bins of the
energy or of whatever else.

>>> found = quantiles(np.arange(1, 1001), [0.5, 0.9])
>>> found.value.tolist(), bool((found.low < found.value).all())
([500.5, 900.1], True)
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import counting

SHARES = (0.5, 0.68, 0.9)


class Quantiles(NamedTuple):
    """Quantiles of a sample with their intervals of one standard deviation."""

    share: np.ndarray  # [share] of events below
    value: np.ndarray  # [share], nan without events
    low: np.ndarray  # [share]
    high: np.ndarray  # [share]
    n: float  # effective number of events


class QuantileCurve(NamedTuple):
    """Quantiles of a sample in bins of a variable."""

    edges: np.ndarray  # [bin + 1]
    share: np.ndarray  # [share] of events below
    value: np.ndarray  # [share, bin], nan in an empty bin
    low: np.ndarray  # [share, bin]
    high: np.ndarray  # [share, bin]
    n: np.ndarray  # [bin] effective number of events
    outside: int  # events outside the edges


def quantiles(
    x: ArrayLike, share: Sequence[float] = SHARES, weight: ArrayLike | None = None
) -> Quantiles:
    """Quantiles of x [event] with intervals from order statistics; weight [event] at least 0.

    ValueError on NaN, on shares outside (0, 1) and on weights that are negative or all 0.
    """
    x, w, p = _read(x, share, weight)
    if not len(x):
        counting.fail("weight", "no event of weight above 0", "one or more")
    value, low, high = _quantiles(x, w, p)
    return Quantiles(p, value, low, high, counting.effective_number(w))


def quantiles_against(
    at: ArrayLike,
    x: ArrayLike,
    edges: ArrayLike,
    share: Sequence[float] = SHARES,
    weight: ArrayLike | None = None,
) -> QuantileCurve:
    """Quantiles of x [event] in bins of `at` [event]: of an angular error against energy, say.

    edges: [bin + 1]; weight: [event]. Events outside the edges are counted in `outside`.
    """
    values, place = counting.read("x", x), counting.read("at", at)
    if len(place) != len(values):
        counting.fail("at", f"{len(place)} events", f"{len(values)}, as x has")
    real = counting.weights(weight, len(values)) != 0
    values, w, p = _read(values, share, weight)
    grid, index = counting.bins("at", place[real], edges)
    n_bins = len(grid) - 1
    found = np.full((3, len(p), n_bins), np.nan)
    number = np.zeros(n_bins)
    for b in range(n_bins):
        here = index == b
        if here.any():
            found[..., b] = _quantiles(values[here], w[here], p)
            number[b] = counting.effective_number(w[here])
    value, low, high = found
    return QuantileCurve(grid, p, value, low, high, number, int((index < 0).sum()))


def _quantiles(x: np.ndarray, w: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, ...]:
    """Value, low and high [share] of events x with weights above 0.

    The share below an event counts half of its own weight, rescaled so that the first stands at 0
    and the last at 1: numpy's quantiles for equal weights.
    """
    order = np.argsort(x, kind="stable")
    x, w = x[order], w[order]
    below = np.cumsum(w) - w / 2
    span = below[-1] - below[0]
    place = (below - below[0]) / (span if span > 0 else 1.0)
    step = np.sqrt(p * (1 - p) / counting.effective_number(w))
    low, value, high = (np.interp(q, place, x) for q in (p - step, p, p + step))
    return value, low, high


def _read(
    x: ArrayLike, share: Sequence[float], weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = counting.read("x", x)
    w = counting.weights(weight, len(values))
    if (w < 0).any():
        counting.fail("weight", w[w < 0][0], "0 or more")
    p = counting.finite("share", counting.read("share", share, axes="[share]"))
    if not ((p > 0) & (p < 1)).all():
        counting.fail("share", p, "numbers in (0, 1)")
    return counting.finite("x", values[w > 0]), w[w > 0], p
