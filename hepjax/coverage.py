"""Do posteriors cover what they say? Ranks of the truth among samples, and what they must be.

If a posterior is right, the truth is one more sample of it: whatever number is computed of the
truth and of M samples, the truth's rank among them is uniform (arXiv:1804.06788). `ranks` gives it
as a number in (0, 1), ties and the gaps between M samples filled at random, so that it is exactly
uniform for any M. With the log-density as that number, `levels` gives the highest-density level at
which the truth lies: a 90 % region must hold it in 90 % of events. `coverage` counts that,
`coverage_against` does so in bins, which an average can hide; `probability_curve` does it at all
levels, with the band in which a right posterior stays and the probability of its largest distance.

>>> rng = np.random.default_rng(0)
>>> true, samples = rng.normal(size=2000), rng.normal(size=(50, 2000))
>>> at = levels(-(true**2), -(samples**2))
>>> found = coverage(at, [0.5, 0.9])
>>> bool((abs(found.value - found.nominal) < 3 * found.error).all())
True
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from hepjax import counting

NOMINAL = (0.5, 0.68, 0.9)


class Coverage(NamedTuple):
    """How often regions of nominal probability hold the truth."""

    nominal: np.ndarray  # [level]
    value: np.ndarray  # [level]
    error: np.ndarray  # [level] binomial
    n: float  # effective number of events


class ProbabilityCurve(NamedTuple):
    """Share of events whose level is below each nominal one, against what it must be."""

    nominal: np.ndarray  # [point] from 0 to 1
    value: np.ndarray  # [point]
    low: np.ndarray  # [point] end of the band in which a right posterior lies
    high: np.ndarray  # [point]
    distance: float  # the largest |value - nominal| at any level, Kolmogorov's and Smirnov's
    p_value: float  # probability of a larger one if the posterior is right
    n: float  # effective number of events


def ranks(true: ArrayLike, samples: ArrayLike, *, seed: int = 0) -> np.ndarray:
    """Place the truth among samples: [event], in (0, 1), uniform where the posterior is right.

    true: [event] any number computed of the truth; samples: [sample, event] the same of samples.
    The rank of M samples is (samples below + u) / (M + 1) with u uniform from `seed`; samples equal
    to the truth count below or above at random. ValueError on NaN; infinities are fine.
    """
    x = counting.read("true", true)
    s = counting.read("samples", samples, axes="[sample, event]")
    if s.shape[1] != len(x) or not len(s):
        counting.fail("samples", f"shape {s.shape}", f"[sample, event] of {len(x)}, with samples")
    for name, values in (("true", x), ("samples", s)):
        if np.isnan(values).any():
            at = tuple(int(i) for i in np.argwhere(np.isnan(values))[0])
            counting.fail(name, f"nan at {at}", "numbers")
    below, equal = (s < x).sum(0), (s == x).sum(0)
    u = np.random.default_rng(seed).random(len(x))
    return (below + u * (equal + 1)) / (len(s) + 1)


def levels(log_prob: ArrayLike, sampled: ArrayLike, *, seed: int = 0) -> np.ndarray:
    """Highest-density level of the truth: [event], the probability where the density is higher.

    log_prob: [event] of the truth; sampled: [sample, event] of samples of the same density.
    """
    return 1 - ranks(log_prob, sampled, seed=seed)


def coverage(
    level: ArrayLike, nominal: Sequence[float] = NOMINAL, weight: ArrayLike | None = None
) -> Coverage:
    """Share of events whose level lies within each nominal one, with its binomial error.

    level, weight: [event]. The error is that of the nominal share where none or all are within.
    """
    x, p, w = _read(level, nominal, weight)
    inside = x <= p[:, None]
    total, total2 = w.sum(), (w**2).sum()
    value = inside @ w / total
    error = counting.efficiency_error(value, inside @ w**2, total, total2)
    at_end = (value <= 0) | (value >= 1)
    error = np.where(at_end, np.sqrt(p * (1 - p) * total2) / total, error)
    return Coverage(p, value, error, counting.effective_number(w))


def coverage_against(
    x: ArrayLike,
    level: ArrayLike,
    edges: ArrayLike,
    nominal: Sequence[float] = NOMINAL,
    weight: ArrayLike | None = None,
) -> dict[float, counting.EfficiencyCurve]:
    """Coverage in bins of x, for each nominal level, with intervals of one standard deviation.

    x: [event] energy, zenith, number of modules, ...; level, weight: [event]; edges: [bin + 1].
    """
    at = counting.read("level", level, len(counting.read("x", x)))
    w = counting.weights(weight, len(at))
    _read(at, nominal, w)
    return {float(p): counting.efficiency_against(x, at <= p, edges, w) for p in nominal}


def probability_curve(
    level: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    n_points: int = 101,
    confidence: float = counting.ONE_SIGMA,
) -> ProbabilityCurve:
    """Distribution of levels or ranks [event] against the uniform one that it must be.

    The band is binomial at each point for itself, of the nominal share, `confidence` inside it.
    With weights the effective number of events stands for their number.
    """
    if n_points < 2:
        counting.fail("n_points", n_points, "2 or more")
    if not 0 < confidence < 1:
        counting.fail("confidence", confidence, "a number in (0, 1)")
    x, p, w = _read(level, np.linspace(0, 1, n_points), weight)
    order = np.argsort(x, kind="stable")
    x, w = x[order], w[order]
    share = np.append(0.0, np.cumsum(w)) / w.sum()
    value = share[np.searchsorted(x, p, side="right")]
    n = counting.effective_number(w)
    distance = float(np.max(np.maximum(share[1:] - x, x - share[:-1])))
    tail = (1 - confidence) / 2
    low, high = (_binomial_quantile(q, n, p) for q in (tail, 1 - tail))
    p_value = float(stats.kstwo.sf(distance, max(round(n), 1)))
    return ProbabilityCurve(p, value, low, high, distance, p_value, n)


def _binomial_quantile(q: float, n: float, p: np.ndarray) -> np.ndarray:
    """Quantile of a share of n events at probability p [point]; the normal's where n is large."""
    if n < 1e4:
        return stats.binom.ppf(q, round(n), p).clip(0, None) / max(round(n), 1)
    return np.clip(p + special.ndtri(q) * np.sqrt(p * (1 - p) / n), 0, 1)


def _read(
    level: ArrayLike, nominal: ArrayLike, weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = counting.read("level", level)
    p = counting.finite("nominal", counting.read("nominal", nominal, axes="[level]"))
    w = counting.weights(weight, len(x))
    x, w = x[w != 0], w[w != 0]
    if not w.sum() > 0:
        counting.fail("weight", f"a sum of {w.sum()}", "above 0")
    for name, values in (("level", x), ("nominal", p)):
        bad = ~((values >= 0) & (values <= 1))
        if bad.any():
            counting.fail(name, values[bad][0], "numbers from 0 to 1")
    return x, p, w
