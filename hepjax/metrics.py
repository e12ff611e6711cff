"""What a classifier is worth, in numbers with their statistical errors.

A tagger gives each event a score; a cut on it keeps a fraction eps_S of the signal and eps_B of the
background. `roc` is that curve, `auc` the probability that a signal event scores above a background
event, `rejection` 1 / eps_B at one eps_S. The test sample is finite, so each number is an estimate:
`auc_difference` says whether two taggers scored on the same events differ (their errors move
together and largely cancel), `combine_seeds` whether that survives a new training. `one_vs_one`
treats several classes, `jensen_shannon` compares two shapes. Efficiencies, accuracy and confusion
matrix come from `counting` and stand here as well.

Everything takes numpy (or what numpy can read), [event] first, and computes in float64. Weights may
be negative; an event of weight 0 is padding and is never looked at. See `counting` for what weights
do to errors.

>>> score, label = [0.1, 0.4, 0.4, 0.8, 0.9, 0.2], [0, 0, 1, 1, 1, 0]
>>> area = auc(score, label)
>>> f"{area.value:.3f} +- {area.error:.3f}"
'0.944 +- 0.079'
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hepjax import counting
from hepjax.counting import (
    Confusion,
    Efficiency,
    EfficiencyCurve,
    Value,
    accuracy,
    confusion,
    efficiency,
    efficiency_against,
)

__all__ = [
    "Confusion",
    "Difference",
    "Divergence",
    "Efficiency",
    "EfficiencyCurve",
    "OneVsOne",
    "Rejection",
    "Roc",
    "Seeds",
    "Value",
    "accuracy",
    "auc",
    "auc_difference",
    "combine_seeds",
    "confusion",
    "efficiency",
    "efficiency_against",
    "jensen_shannon",
    "one_vs_one",
    "rejection",
    "rejection_ratio",
    "roc",
    "threshold_at",
]


class Difference(NamedTuple):
    """How far one classifier stands above another on the same events."""

    value: float  # first minus second
    error: float
    significance: float  # value / error; 0 where both are 0


class Roc(NamedTuple):
    """Cuts score >= threshold, the tightest first: (inf, 0, 0), then one point a distinct score."""

    threshold: np.ndarray  # [point], falling
    signal_efficiency: np.ndarray  # [point]
    background_efficiency: np.ndarray  # [point]
    signal_error: np.ndarray  # [point] binomial
    background_error: np.ndarray  # [point] binomial
    n_signal: float  # effective number of events
    n_background: float


class Rejection(NamedTuple):
    """Background rejection at one signal efficiency, or a lower limit on it."""

    value: float  # 1 / eps_B, or a lower limit on it
    error: float  # binomial, R sqrt((1 - eps_B) / (N eps_B)); 0 where lower_limit
    lower_limit: bool  # no background passes
    threshold_error: float  # the finite signal sets the cut: add in quadrature to `error`
    signal_efficiency: float  # reached: what was asked for, or more where scores are tied
    threshold: float


class OneVsOne(NamedTuple):
    """AUC of each class against each other one."""

    value: np.ndarray  # [class a, class b]: AUC of a's score for a against b; 1/2 on the diagonal
    error: np.ndarray  # [class a, class b]
    mean: Value  # over all ordered pairs, their correlations included


class Divergence(NamedTuple):
    """Jensen-Shannon divergence of two shapes."""

    value: float  # bits: 0 equal, 1 disjoint
    error: float  # bootstrap
    noise: float  # the value to expect when both samples come from one shape


class Seeds(NamedTuple):
    """A number averaged over trainings that differ by their seed."""

    mean: float
    spread: float  # standard deviation of one training
    statistical_error: float  # of the mean, from the test sample
    error: float  # of the mean, all told
    n_seeds: int


def _labelled(score: ArrayLike, label: ArrayLike, weight: ArrayLike | None, name: str = "score"):
    """Score, whether signal, and weight of the events that are not padding: [event] each."""
    s = counting.read(name, score)
    y, w = counting.read("label", label, len(s)), counting.weights(weight, len(s))
    s, y, w = s[w != 0], y[w != 0], w[w != 0]
    counting.finite(name, s)
    if not np.isin(y, (0, 1)).all():
        counting.fail("label", y[~np.isin(y, (0, 1))][0], "0 (background) or 1 (signal)")
    for c in (0, 1):
        if not w[y == c].sum() > 0:
            found = f"a sum of weights {w[y == c].sum()} of class {c}"
            counting.fail("label", found, "both classes, each above 0")
    return s, y == 1, w


def roc(score: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None) -> Roc:
    """The ROC curve, exact: one point a distinct score, so that tied events pass or fail together.

    score, weight: [event]; label: [event], 1 signal, 0 background. Errors are binomial, and 0 at
    efficiencies 0 and 1: there use `efficiency` or `rejection`. ValueError on NaN, on wrong shapes
    and where a class is absent or its weights sum to 0 or less.
    """
    s, y, w = _labelled(score, label, weight)
    order = np.argsort(-s, kind="stable")
    s, y, w = s[order], y[order], w[order]
    last = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)  # the last event of each tie

    def side(of: np.ndarray):
        total, total2 = w[of].sum(), (w[of] ** 2).sum()
        passed, passed2 = (np.append(0.0, np.cumsum(u * of)[last]) for u in (w, w**2))
        passed[-1], passed2[-1] = total, total2
        return passed / total, counting.efficiency_error(passed / total, passed2, total, total2)

    (signal, signal_error), (background, background_error) = side(y), side(~y)
    return Roc(
        threshold=np.append(np.inf, s[last]),
        signal_efficiency=signal,
        background_efficiency=background,
        signal_error=signal_error,
        background_error=background_error,
        n_signal=counting.effective_number(w[y]),
        n_background=counting.effective_number(w[~y]),
    )


def _reach(curve: Roc, signal_efficiency: float) -> int:
    """Index of the tightest cut that keeps this fraction of the signal."""
    if not 0 < signal_efficiency < 1:
        counting.fail("signal_efficiency", signal_efficiency, "a number in (0, 1)")
    return int(np.argmax(curve.signal_efficiency >= signal_efficiency))


def threshold_at(
    score: ArrayLike, label: ArrayLike, signal_efficiency: float, weight: ArrayLike | None = None
) -> float:
    """The highest threshold whose cut score >= threshold keeps this fraction of the signal.

    score, label, weight: [event] as in `roc`. Tied scores may make it keep more.
    """
    curve = roc(score, label, weight)
    return float(curve.threshold[_reach(curve, signal_efficiency)])


def rejection(
    score: ArrayLike,
    label: ArrayLike,
    signal_efficiency: float,
    weight: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
) -> Rejection:
    """Background rejection 1 / eps_B at a signal efficiency; a lower limit, never infinity.

    score, label, weight: [event] as in `roc`. `error` is the field's: binomial, of the background
    that passes. `threshold_error` is half the change of 1 / eps_B, linearised, between the cuts at
    eps_S +- its own binomial error. Where no background passes, the limit is Clopper-Pearson's at
    one-sided `confidence`: eps_B < 1 - (1 - confidence)^(1/N), N the effective number of background
    events. Where negative weights leave eps_B within one error of 0, both are added to that bound.
    """
    if not 0 < confidence < 1:
        counting.fail("confidence", confidence, "a number in (0, 1)")
    curve = roc(score, label, weight)
    at = _reach(curve, signal_efficiency)
    eps, error = float(curve.background_efficiency[at]), float(curve.background_error[at])
    reached, step = float(curve.signal_efficiency[at]), float(curve.signal_error[at])
    cut = float(curve.threshold[at])
    if not eps > 0 or eps < error:
        bound = -np.expm1(np.log1p(-confidence) / max(curve.n_background, 1.0))
        bound += max(eps, 0.0) + special.ndtri(confidence) * error
        return Rejection(1 / min(float(bound), 1.0), 0.0, True, 0.0, reached, cut)
    near = [_reach(curve, e) for e in (reached - step, reached + step) if 0 < e < 1]
    shift = np.mean(np.abs(curve.background_efficiency[near] - eps)) if near else 0.0
    return Rejection(1 / eps, error / eps**2, False, float(shift) / eps**2, reached, cut)


def rejection_ratio(
    score: ArrayLike,
    other: ArrayLike,
    label: ArrayLike,
    signal_efficiency: float,
    weight: ArrayLike | None = None,
) -> Value:
    """Rejection by `score` over rejection by `other` on the same events, and its paired error.

    Only events that one of them passes count in the error: of background, and of the signal that
    sets both cuts. Arguments as in `rejection`. ValueError where either passes no background.
    """
    y, w = np.asarray(label), counting.weights(weight, len(np.asarray(label)))
    logs, parts = [], []
    for name, one in (("score", score), ("other", other)):
        found = rejection(one, label, signal_efficiency, weight)
        if found.lower_limit:
            counting.fail(name, "no background that passes", "some, or a higher efficiency")
        step = max(0.05 * (1 - signal_efficiency), 1e-3)
        near = [rejection(one, label, signal_efficiency + d, weight).value for d in (-step, step)]
        slope = np.log(near[0] / near[1]) / (2 * step)
        passed = np.asarray(one, np.float64) >= found.threshold
        shifts = []
        for kind, factor in ((0, -found.value), (1, slope)):
            share = np.where(y == kind, w, 0) / w[y == kind].sum()
            shifts.append(factor * share * (passed - share @ passed))
        logs.append(np.log(found.value))
        parts.append(shifts[0] + shifts[1])
    ratio = float(np.exp(logs[0] - logs[1]))
    return Value(ratio, ratio * float(np.sqrt(np.sum((parts[0] - parts[1]) ** 2))))


def _share_below(score: np.ndarray, other: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted share of `other` [m] below each score [n], ties counted half: [n]."""
    order = np.argsort(other, kind="stable")
    ordered, below = other[order], np.append(0.0, np.cumsum(weight[order]))
    left, right = (np.searchsorted(ordered, score, side) for side in ("left", "right"))
    return (below[left] + below[right]) / (2 * below[-1])


def _auc_influence(score: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, np.ndarray]:
    """AUC, and by how much each event moves it [event]; the variance is the sum of squares."""
    if min(y.sum(), (~y).sum()) < 2:
        found = f"{y.sum()} signal and {(~y).sum()} background events"
        counting.fail("label", found, "two or more of each")
    signal, background = score[y], score[~y]
    above = _share_below(signal, background, w[~y])
    area = float(np.sum(w[y] * above) / w[y].sum())
    influence = np.empty(len(score))
    for side, share in ((y, above), (~y, 1 - _share_below(background, signal, w[y]))):
        n = side.sum()
        influence[side] = w[side] * (share - area) / w[side].sum() * np.sqrt(n / (n - 1))
    return area, influence


def auc(score: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None) -> Value:
    """Area under the ROC curve, P(signal above background) + P(equal) / 2, with DeLong's error.

    score, label, weight: [event] as in `roc`; O(n log n) through midranks (Sun and Xu, IEEE Signal
    Process. Lett. 21 (2014) 1389). The variance with weights is the sum over events of
    (w_i / W)^2 (V_i - AUC)^2 n / (n - 1), where V_i is the weighted share of the other class on the
    right side of event i, W and n are sum of weights and number of events of i's class: DeLong's
    for unit weights. A perfect separation has error 0: this sample cannot tell how far below 1 the
    truth lies. ValueError also where a class has fewer than two events.
    """
    area, influence = _auc_influence(*_labelled(score, label, weight))
    return Value(area, float(np.sqrt(np.sum(influence**2))))


def auc_difference(
    score_a: ArrayLike, score_b: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None
) -> Difference:
    """AUC of a minus AUC of b on the same events, with the paired error.

    score_a, score_b, label, weight: [event] as in `roc`. DeLong, DeLong and Clarke-Pearson,
    Biometrics 44 (1988) 837, weighted as in `auc`.
    """
    a, y, w = _labelled(score_a, label, weight, "score_a")
    b = counting.read("score_b", score_b, len(counting.read("score_a", score_a)))
    b, y, w = _labelled(b, label, weight, "score_b")
    (area_a, move_a), (area_b, move_b) = _auc_influence(a, y, w), _auc_influence(b, y, w)
    value, error = area_a - area_b, float(np.sqrt(np.sum((move_a - move_b) ** 2)))
    limit = float(np.copysign(np.inf, value)) if value else 0.0
    return Difference(value, error, value / error if error > 0 else limit)


def one_vs_one(score: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None) -> OneVsOne:
    """AUC of every class against every other, each by its own score, and their mean.

    score: [event, class]; label: [event] class index; weight: [event]. The mean is what
    scikit-learn calls multi_class="ovo", average="macro", the AUC in the tables of
    arXiv:2202.03772.
    """
    s = counting.read("score", score, axes="[event, class]")
    n = s.shape[1]
    if n < 2:
        counting.fail("score", f"shape {s.shape}", "two classes or more")
    y, w = counting.read("label", label, len(s)), counting.weights(weight, len(s))
    s, y, w = s[w != 0], counting.classes("label", y[w != 0], None, n), w[w != 0]
    value, error, influence = np.full((n, n), 0.5), np.zeros((n, n)), np.zeros(len(s))
    for a, b in ((a, b) for a in range(n) for b in range(n) if a != b):
        pair = np.flatnonzero(np.isin(y, (a, b)))
        value[a, b], move = _auc_influence(*_labelled(s[pair, a], y[pair] == a, w[pair]))
        error[a, b] = np.sqrt(np.sum(move**2))
        influence[pair] += move
    pairs = n * (n - 1)
    mean, mean_error = (value.sum() - n / 2) / pairs, np.sqrt(np.sum(influence**2)) / pairs
    return OneVsOne(value, error, Value(float(mean), float(mean_error)))


def _divergence(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence [...] in bits of histograms [..., bin].

    Bins below 0, which only replicas of weighted histograms have, count as empty.
    """
    p, q = (np.maximum(h, 0) / np.maximum(h, 0).sum(-1, keepdims=True) for h in (a, b))
    m = (p + q) / 2
    return (special.rel_entr(p, m) + special.rel_entr(q, m)).sum(-1) / (2 * np.log(2))


def _replicas(name: str, x: ArrayLike, weight: ArrayLike | None, edges: ArrayLike, n: int, rng):
    """Histogram [bin] of x [event], n Poisson bootstraps of it [n, bin], effective number."""
    x = counting.read(name, x)
    w = counting.weights(weight, len(x))
    grid, index = counting.bins(name, x[w != 0], edges)
    w, index, n_bins = w[w != 0][index >= 0], index[index >= 0], len(grid) - 1
    shape = np.bincount(index, w, n_bins)
    if not shape.sum() > 0 or (shape < 0).any():
        counting.fail(name, f"bins {shape}", "sums of weights of 0 or more, not all 0")
    if (w == 1).all():
        copies = rng.poisson(shape, (n, n_bins)).astype(np.float64)
    else:
        draw = (np.bincount(index, w * rng.poisson(1, len(w)), n_bins) for _ in range(n))
        copies = np.stack(list(draw))
    return shape, copies[copies.sum(1) > 0], counting.effective_number(w)


def jensen_shannon(
    a: ArrayLike,
    b: ArrayLike,
    edges: ArrayLike,
    weight_a: ArrayLike | None = None,
    weight_b: ArrayLike | None = None,
    *,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Divergence:
    """Jensen-Shannon divergence, in bits, of the shapes of two independent samples.

    a, weight_a: [event]; b, weight_b: [event] of another length; edges: [bin + 1], events outside
    belong to neither shape. The error is the spread over Poisson bootstraps. Two finite samples of
    one shape differ too, by `noise` = (bins - 1) (1/n_a + 1/n_b) / (8 ln 2), which is not
    subtracted. ValueError where a sample is empty or a bin's sum of weights negative: merge bins.
    """
    if n_bootstrap < 2:
        counting.fail("n_bootstrap", n_bootstrap, "2 or more")
    rng = np.random.default_rng(seed)
    shape_a, copies_a, n_a = _replicas("a", a, weight_a, edges, n_bootstrap, rng)
    shape_b, copies_b, n_b = _replicas("b", b, weight_b, edges, n_bootstrap, rng)
    n = min(len(copies_a), len(copies_b))
    error = np.std(_divergence(copies_a[:n], copies_b[:n]), ddof=1) if n > 1 else np.nan
    noise = (np.sum(shape_a + shape_b > 0) - 1) * (1 / n_a + 1 / n_b) / (8 * np.log(2))
    return Divergence(float(_divergence(shape_a, shape_b)), float(error), float(noise))


def combine_seeds(values: ArrayLike, errors: ArrayLike, *, same_test_set: bool = True) -> Seeds:
    """Mean over trainings that differ by their seed only, and what it is uncertain by.

    values, errors: [seed], errors statistical. On one test set the statistical errors move
    together: that of the mean is their mean, and spread / sqrt(n) adds in quadrature. On
    independent test sets the spread holds both. For two models give paired differences with the
    errors of `auc_difference`.
    """
    v = counting.finite("values", counting.read("values", values, axes="[seed]"))
    e = counting.finite("errors", counting.read("errors", errors, len(v), axes="[seed]"))
    if len(v) < 2 or (e < 0).any():
        counting.fail("values, errors", f"{values}, {errors}", "two seeds or more, errors >= 0")
    n, spread = len(v), float(np.std(v, ddof=1))
    statistical = float(e.mean() if same_test_set else np.sqrt(np.sum(e**2)) / n)
    error = np.hypot(spread / np.sqrt(n), statistical) if same_test_set else spread / np.sqrt(n)
    return Seeds(float(v.mean()), spread, statistical, float(error), n)
