"""Are probabilities what they say? Reliability, calibration error, and one temperature to mend it.

A classifier that says 0.8 should be right in 80 % of such cases; networks are usually too sure.
`reliability` compares what is said with what is true in bins, with its errors, and sums the gap up
as the expected calibration error; `temperature` finds the one number by which logits are divided so
that the cross-entropy of a validation sample is smallest (arXiv:1706.04599), which changes neither
the order of classes nor any ROC curve of two.

>>> rng = np.random.default_rng(0)
>>> logits = rng.normal(size=(20_000, 3))
>>> label = (logits + rng.gumbel(size=logits.shape)).argmax(1)
>>> found = temperature(3 * logits, label)
>>> bool(abs(found.value - 3) < 3 * found.error)
True
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from hepjax import counting
from hepjax.counting import Value


class Reliability(NamedTuple):
    """What is said and what is true, in bins of what is said.

    said: [bin] mean probability; true: [bin] share of events for which it holds; error: [bin] of
    that share; n: [bin] effective number of events; calibration_error: mean of |said - true| over
    events, with its error; noise: what a perfect classifier would have in a sample of this size.
    """

    said: np.ndarray
    true: np.ndarray
    error: np.ndarray
    n: np.ndarray
    calibration_error: Value
    noise: float


def temperature(logits: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None) -> Value:
    """Find the temperature T by which logits should be divided, and its statistical error.

    logits: [event, class]; label: [event] class index; weight: [event]. The error is that of a
    maximum likelihood, for weights with their spread in it. Raises ValueError where no temperature
    between 1/1000 and 1000 is best: all labels right, for instance.
    """
    x, y, w = _read(logits, label, weight)
    at = np.arange(len(y))

    def slopes(beta: float) -> tuple[np.ndarray, np.ndarray]:
        """First and second derivative of each event's cross-entropy by beta = 1 / T."""
        p = special.softmax(beta * x, axis=1)
        mean = (p * x).sum(1)
        return mean - x[at, y], (p * x**2).sum(1) - mean**2

    low, high = 1e-3, 1e3
    ends = [np.sum(w * slopes(beta)[0]) for beta in (low, high)]
    if not ends[0] < 0 < ends[1]:
        raise ValueError(
            "logits, label: no temperature from 1/1000 to 1000 makes cross-entropy least"
        )
    found = optimize.root_scalar(lambda b: np.sum(w * slopes(b)[0]), bracket=(low, high))
    beta = float(found.root)
    first, second = slopes(beta)
    error = np.sqrt(np.sum((w * first) ** 2)) / np.sum(w * second)
    return Value(float(1 / beta), float(error / beta**2))


def reliability(
    logits: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    n_bins: int = 15,
    of_class: int | None = None,
    n_toys: int = 200,
    seed: int = 0,
) -> Reliability:
    """Compare probabilities softmax(logits) with the truth, in bins of as many events each.

    logits: [event, class]; label: [event] class index; weight: [event]; of_class: whose
    probability (None: that of the class that the network chooses). The error of the calibration
    error is found by resampling the events, the noise by drawing labels from the probabilities.
    """
    x, y, w = _read(logits, label, weight)
    p = special.softmax(x, axis=1)
    chosen = p.argmax(1) if of_class is None else np.full(len(p), of_class)
    if of_class is not None and not 0 <= of_class < p.shape[1]:
        raise ValueError(f"of_class: found {of_class}, expected a class from 0 to {p.shape[1] - 1}")
    said, true = p[np.arange(len(p)), chosen], (chosen == y).astype(float)
    cuts = np.quantile(said, np.linspace(0, 1, n_bins + 1)[1:-1])
    index = np.searchsorted(cuts, said, side="right")
    rng = np.random.default_rng(seed)

    def gap(said: np.ndarray, true: np.ndarray, index: np.ndarray, w: np.ndarray) -> float:
        total = np.bincount(index, w * (said - true), n_bins)
        return float(np.abs(total).sum() / w.sum())

    copies, perfect = [], []
    for _ in range(n_toys):
        rows = rng.integers(0, len(said), len(said))
        copies.append(gap(said[rows], true[rows], index[rows], w[rows]))
        perfect.append(gap(said, (rng.random(len(said)) < said).astype(float), index, w))
    total, total2 = np.bincount(index, w, n_bins), np.bincount(index, w**2, n_bins)
    some = total > 0
    share = np.bincount(index, w * true, n_bins)[some] / total[some]
    passed2 = np.bincount(index, w**2 * true, n_bins)[some]
    return Reliability(
        np.bincount(index, w * said, n_bins)[some] / total[some],
        share,
        counting.efficiency_error(share, passed2, total[some], total2[some]),
        total[some] ** 2 / total2[some],
        Value(gap(said, true, index, w), float(np.std(copies, ddof=1))),
        float(np.mean(perfect)),
    )


def _read(
    logits: ArrayLike, label: ArrayLike, weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = counting.finite("logits", counting.read("logits", logits, axes="[event, class]"))
    if x.shape[1] < 2:
        raise ValueError(f"logits: expected two classes or more, found {x.shape}")
    w = counting.weights(weight, len(x))
    if np.any(w < 0) or not w.sum() > 0:
        raise ValueError("weight: expected numbers of at least 0, some above")
    used = w > 0
    y = counting.classes("label", counting.read("label", label, len(x))[used], None, x.shape[1])
    return x[used], y, w[used]
