"""Weights that make classes of events alike in some variables, so that none is learned from those.

Top jets have harder spectra than QCD jets, and b jets than light ones; a tagger that sees the
momentum would tell them apart by it. `fill` compares the histograms of the classes and gives each
bin of each class a weight: "flat" makes every class flat in the variables, "reference" gives all
the shape of one class. Rare bins would get huge weights, so these are capped, and the price is
known: `Balance.effective` says how many unweighted events the weighted ones of a class are worth.
`weights` looks the weights of events up.

>>> pt = np.array([[30.0], [35], [45], [30], [46], [47]])
>>> label = np.array([0, 0, 0, 1, 1, 1])
>>> found = fill(pt, label, [np.array([20.0, 40, 60])], method="reference", percentile=0)
>>> weights(found, pt, label).round(3).tolist()
[1.0, 1.0, 1.0, 2.0, 0.5, 0.5]
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from hepjax import counting

Method = Literal["flat", "reference"]
NEGLIGIBLE = 0.01  # bins of fewer events than this share of the median do not set the level


class Balance(NamedTuple):
    """Weights of a histogram.

    edges: of the bins in each variable; weight: [class, bin, ...]; n: [class] events inside the
    edges; outside: [class] events without a bin, whose weight is 0; effective: [class] number of
    unweighted events of the same statistical power.
    """

    edges: tuple[np.ndarray, ...]
    weight: np.ndarray
    n: np.ndarray
    outside: np.ndarray
    effective: np.ndarray


def fill(
    x: np.ndarray,
    label: np.ndarray,
    edges: Sequence[np.ndarray],
    *,
    method: Method = "flat",
    percentile: float = 10.0,
    class_weights: Sequence[float] | None = None,
    reference: int = 0,
    weight: np.ndarray | None = None,
    clip: bool = False,
) -> Balance:
    """Compute the weights of each bin and class; the sum of weights of a class is proportional to
    class_weights (equal if None), and the mean weight of all events is 1.

    x: [event, variable]; label: [event] class index from 0, -1 for none; edges: of each variable;
    percentile: of the bins of a class, below which a bin ("flat") or above which a ratio
    ("reference") has the weight of the percentile instead of its own; weight: [event] that the
    events have already; clip: count what is outside of the edges in the outermost bins, instead of
    giving it weight 0. Raises ValueError for shapes that do not fit and for a class without events.

    Source: the reweighting of weaver-core, which has the same shapes and another normalisation.
    """
    if method not in ("flat", "reference"):
        raise ValueError(f"method: expected 'flat' or 'reference', found {method!r}")
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile: expected 0 to 100, found {percentile}")
    index, inside = _bins(x, edges, clip)
    label, w = np.asarray(label), counting.weights(weight, len(index))
    n_classes = int(label.max(initial=-1)) + 1
    factors = np.ones(n_classes) if class_weights is None else np.asarray(class_weights, float)
    if len(factors) != n_classes or len(label) != len(index):
        raise ValueError(
            f"label, class_weights: {len(label)} events of {n_classes} classes and {len(factors)} "
            f"weights, expected {len(index)} events and a weight a class"
        )
    shape = (n_classes, *(len(e) - 1 for e in edges))
    used = inside & (label >= 0)
    place = (label[used], *index[used].T)
    counts = np.zeros(shape)
    np.add.at(counts, place, w[used])
    for k in range(n_classes):
        if not counts[k].sum() > 0:
            raise ValueError(f"class {k} has no events inside the edges")
    shapes = [
        _flat(c, percentile) if method == "flat" else _ratio(counts[reference], c, percentile)
        for c in counts
    ]
    total = np.array([(c * s).sum() for c, s in zip(counts, shapes)])
    scaled = np.stack([s * f / t for s, f, t in zip(shapes, factors, total)])
    scaled *= counts.sum() / (scaled * counts).sum()
    each = w[used] * scaled[place]
    number = np.bincount(label[used], minlength=n_classes)
    return Balance(
        tuple(np.asarray(e, float) for e in edges),
        scaled,
        number,
        np.bincount(label[(label >= 0) & ~inside], minlength=n_classes),
        np.array([counting.effective_number(each[label[used] == k]) for k in range(n_classes)]),
    )


def weights(
    balance: Balance, x: np.ndarray, label: np.ndarray, *, clip: bool = False
) -> np.ndarray:
    """Look up the weights of events [event], 0 outside of the edges and for label -1.

    x: [event, variable]; label: [event]; clip: as in `fill`.
    """
    index, inside = _bins(x, balance.edges, clip)
    label = np.asarray(label)
    if label.max(initial=-1) >= len(balance.weight):
        raise ValueError(f"label: class {label.max()}, expected below {len(balance.weight)}")
    found = balance.weight[(np.maximum(label, 0), *index.T)]
    return np.asarray(np.where(inside & (label >= 0), found, 0))


def _flat(counts: np.ndarray, percentile: float) -> np.ndarray:
    """1 / counts, but for bins rarer than the percentile; 0 in empty ones."""
    level = NEGLIGIBLE * np.median(counts[counts > 0])
    target = np.percentile(counts[counts > level], percentile)
    return np.where(counts > 0, np.minimum(target / np.where(counts > 0, counts, 1), 1), 0)


def _ratio(reference: np.ndarray, counts: np.ndarray, percentile: float) -> np.ndarray:
    """The reference over counts, but for ratios above the percentile; 0 in empty bins."""
    ratio = np.where(counts > 0, reference / np.where(counts > 0, counts, 1), 0)
    if not np.any(ratio > 0):
        raise ValueError("a class has no bin in common with the reference")
    return np.minimum(ratio / np.percentile(ratio[ratio > 0], 100 - percentile), 1)


def _bins(x: np.ndarray, edges: Sequence[np.ndarray], clip: bool) -> tuple[np.ndarray, np.ndarray]:
    """Bins [event, variable] of x, and which events have one in each variable."""
    x = np.asarray(x, float)
    if x.ndim != 2 or x.shape[1] != len(edges):
        raise ValueError(f"x: expected [event, {len(edges)}] for the edges given, found {x.shape}")
    found = []
    for k, bounds in enumerate(edges):
        bounds = np.asarray(bounds, float)
        if len(bounds) < 2 or np.any(np.diff(bounds) <= 0):
            raise ValueError(f"edges of variable {k}: expected two or more rising numbers")
        found.append(counting.bins("x", x[:, k], bounds)[1])
        if clip:
            found[-1] = np.where(x[:, k] > bounds[-1], len(bounds) - 2, np.maximum(found[-1], 0))
    index = np.stack(found, -1)
    inside = np.asarray((index >= 0).all(1))
    return np.where(inside[:, None], index, 0), inside
