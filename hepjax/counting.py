"""Counting events: efficiencies, their intervals, and what weights do to both.

A cut keeps k of n events. The efficiency k / n has a binomial error, and near 0 and 1 an interval
that is not symmetric: `efficiency` gives Clopper-Pearson's, which covers at least what it says, or
Wilson's, which covers it on average. `efficiency_against` does so in bins of pt or whatever else,
`accuracy` and `confusion` count the events whose class is found, or taken for another.

With weights w_i, independent events and a Poisson number of them, sum w has the variance sum w^2;
the effective number of events is (sum w)^2 / sum w^2. Doubling all weights changes nothing, where
doubling the events makes errors smaller. Weights may be negative. An event of weight 0 is padding
and is never looked at. All is computed in float64. The checks of input that `metrics` shares live
here too.

>>> result = efficiency(8, 10)
>>> f"{result.value:.2f} in [{result.low:.2f}, {result.high:.2f}]"
'0.80 in [0.59, 0.93]'
"""

from typing import Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

ONE_SIGMA = 0.682689492137086


class Value(NamedTuple):
    """A number and its statistical error."""

    value: float
    error: float  # statistical, one standard deviation


class Efficiency(NamedTuple):
    """A fraction that passes, with its interval."""

    value: np.ndarray  # [...], nan where there is no event
    low: np.ndarray  # [...]
    high: np.ndarray  # [...]


class EfficiencyCurve(NamedTuple):
    """Efficiencies in bins of a variable, with their intervals."""

    edges: np.ndarray  # [bin + 1]
    value: np.ndarray  # [bin], nan in an empty bin
    low: np.ndarray  # [bin]
    high: np.ndarray  # [bin]
    n: np.ndarray  # [bin] effective number of events
    outside: int  # events outside the edges


class Confusion(NamedTuple):
    """How often each true class is predicted as each class."""

    value: np.ndarray  # [true class, predicted class], a row sums to 1; nan where a class is absent
    error: np.ndarray  # [true class, predicted class]
    total: np.ndarray  # [true class] sum of weights


def fail(name: str, found: object, expected: str) -> NoReturn:
    """ValueError that names the argument, what was found and what was expected."""
    raise ValueError(f"{name}: found {found}, expected {expected}")


def read(name: str, x: ArrayLike, n: int | None = None, axes: str = "[event]") -> np.ndarray:
    """x in float64, with the axes written in brackets and n events (any where None)."""
    array = np.asarray(x, dtype=np.float64)
    if array.ndim != axes.count(",") + 1 or (n is not None and len(array) != n):
        fail(name, f"shape {array.shape}", axes + (f" of {n}" if n is not None else ""))
    return array


def finite(name: str, x: np.ndarray) -> np.ndarray:
    """x itself, or ValueError that names its first NaN or infinity."""
    if not np.isfinite(x).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        fail(name, f"{x[at]} at {at}", "finite numbers")
    return x


def weights(weight: ArrayLike | None, n: int) -> np.ndarray:
    """Weights [event], ones where None."""
    return np.ones(n) if weight is None else finite("weight", read("weight", weight, n))


def classes(name: str, label: ArrayLike, n_events: int | None, n_classes: int) -> np.ndarray:
    """Class indices [event] as int64, each below n_classes; any number of events where None."""
    y = read(name, label, n_events)
    bad = ~np.isin(y, np.arange(n_classes))
    if bad.any():
        fail(name, y[bad][0], f"a class index, 0 to {n_classes - 1}")
    return y.astype(np.int64)


def bins(name: str, x: np.ndarray, edges: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Edges [bin + 1] and the bin of each x [event], -1 outside; the last bin holds its end."""
    e = finite("edges", read("edges", edges, axes="[edge]"))
    if len(e) < 2 or not (np.diff(e) > 0).all():
        fail("edges", edges, "two or more rising numbers")
    x = finite(name, x)
    index = np.where(x == e[-1], len(e) - 2, np.searchsorted(e, x, "right") - 1)
    return e, np.where(index < len(e) - 1, index, -1)


def effective_number(weight: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 of weights [event]: as many unit weights have the same relative error."""
    return float(weight.sum() ** 2 / (weight**2).sum())


def efficiency_error(
    value: ArrayLike, passed2: ArrayLike, total: ArrayLike, total2: ArrayLike
) -> np.ndarray:
    """Error of an efficiency sum_passed(w) / sum(w); for unit weights sqrt(eps (1 - eps) / N).

    value: the efficiency [...]; total: sum of w [...]; passed2, total2: sums of w^2 [...].
    """
    value, passed2, total, total2 = map(np.asarray, (value, passed2, total, total2))
    failed2 = np.maximum(total2 - passed2, 0)  # a difference of running sums may round to -1e-17
    return np.sqrt((1 - value) ** 2 * passed2 + value**2 * failed2) / np.abs(total)


def efficiency(
    passed: ArrayLike,
    total: ArrayLike,
    *,
    confidence: float = ONE_SIGMA,
    interval: Literal["clopper-pearson", "wilson"] = "clopper-pearson",
) -> Efficiency:
    """passed / total with its central interval, Clopper-Pearson's or Wilson's.

    passed, total: [...] numbers of events, or effective ones. total 0 gives value nan, interval
    (0, 1). ValueError unless 0 <= passed <= total.
    """
    k, n = np.broadcast_arrays(np.asarray(passed, np.float64), np.asarray(total, np.float64))
    if not (np.isfinite(n) & (k >= 0) & (k <= n)).all():
        fail("passed, total", f"{passed}, {total}", "0 <= passed <= total")
    if not 0 < confidence < 1:
        fail("confidence", confidence, "a number in (0, 1)")
    value = np.divide(k, n, out=np.full(k.shape, np.nan), where=n > 0)
    tail, tiny = (1 - confidence) / 2, 1e-300
    if interval == "wilson":
        z2, m = special.ndtri(tail) ** 2, np.maximum(n, tiny)
        centre = (k + z2 / 2) / (m + z2)
        half = np.sqrt(z2 * (k * (m - k) / m + z2 / 4)) / (m + z2)
        low, high = centre - half, centre + half
    elif interval == "clopper-pearson":
        low = special.betaincinv(np.maximum(k, tiny), n - k + 1, tail)
        high = special.betaincinv(k + 1, np.maximum(n - k, tiny), 1 - tail)
    else:
        fail("interval", interval, "clopper-pearson or wilson")
    return Efficiency(value, np.where(k > 0, low, 0.0), np.where(k < n, high, 1.0))


def efficiency_against(
    x: ArrayLike, passed: ArrayLike, edges: ArrayLike, weight: ArrayLike | None = None
) -> EfficiencyCurve:
    """Efficiency in bins of x, with Clopper-Pearson intervals of one standard deviation.

    x, passed (bool), weight: [event]; edges: [bin + 1]. Weighted bins count effective numbers;
    where negative weights take one out of [0, 1], its interval is value +- binomial error. Events
    outside the edges are counted in `outside`.
    """
    x = read("x", x)
    w = weights(weight, len(x))
    p = classes("passed", read("passed", passed, len(x))[w != 0], None, 2) == 1
    edges, index = bins("x", x[w != 0], edges)
    w, n = w[w != 0], len(edges) - 1
    outside = index < 0
    index, p, w = index[~outside], p[~outside], w[~outside]
    total, total2 = np.bincount(index, w, n), np.bincount(index, w**2, n)
    kept, kept2 = np.bincount(index, w * p, n), np.bincount(index, w**2 * p, n)
    value = np.divide(kept, total, out=np.full(n, np.nan), where=total != 0)
    number = np.divide(total**2, total2, out=np.zeros(n), where=total2 > 0)
    inside = (value >= 0) & (value <= 1)
    counted = efficiency(np.where(inside, value, 0) * number, number)
    beyond = np.isfinite(value) & ~inside
    error = np.zeros(n)
    error[beyond] = efficiency_error(value, kept2, np.where(beyond, total, 1), total2)[beyond]
    low = np.where(beyond, value - error, counted.low)
    high = np.where(beyond, value + error, counted.high)
    return EfficiencyCurve(edges, value, low, high, number, int(outside.sum()))


def accuracy(label: ArrayLike, predicted: ArrayLike, weight: ArrayLike | None = None) -> Value:
    """Fraction of events whose class is found, with its binomial error.

    label, predicted: [event] class index; weight: [event].
    """
    y = read("label", label)
    p, w = read("predicted", predicted, len(y)), weights(weight, len(y))
    right = finite("label", y[w != 0]) == finite("predicted", p[w != 0])
    w = w[w != 0]
    if not w.sum() > 0:
        fail("weight", f"a sum of {w.sum()}", "above 0")
    value = w[right].sum() / w.sum()
    error = efficiency_error(value, (w[right] ** 2).sum(), w.sum(), (w**2).sum())
    return Value(float(value), float(error))


def confusion(
    label: ArrayLike, predicted: ArrayLike, n: int, weight: ArrayLike | None = None
) -> Confusion:
    """Where the events of each class go: P(predicted | true) with binomial errors.

    label, predicted: [event] class index below n; weight: [event].
    """
    y = read("label", label)
    p, w = read("predicted", predicted, len(y)), weights(weight, len(y))
    y, p = (classes(s, x[w != 0], None, n) for s, x in (("label", y), ("predicted", p)))
    w = w[w != 0]
    sums, sums2 = (np.bincount(y * n + p, u, n * n).reshape(n, n) for u in (w, w**2))
    total, total2 = sums.sum(1, keepdims=True), sums2.sum(1, keepdims=True)
    some = np.where(total == 0, np.nan, total)
    value = sums / some
    return Confusion(value, efficiency_error(value, sums2, some, total2), total[:, 0])
