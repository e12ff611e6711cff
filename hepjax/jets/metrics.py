"""What a jet tagger is judged by beyond one ROC curve.

A tagger of several classes gives logits [jet, class]. A class is measured against one background,
QCD for instance, with the two probabilities alone: `discriminant` is p_S / (p_S + p_B), `log_odds`
its logit, which orders jets alike and does not saturate where p_B is 1e-9 (a softmax in float32
makes ties there). `against_background` reports each class as the tables of arXiv:2202.03772 do:
1 / eps_B at 50 % signal efficiency, 99 % for H -> l nu q q', 99.5 % for t -> b l nu.
`pairwise_auc` sets all classes against each other.

A tagger with a fine ROC can still be useless for a search: `efficiency_against` shows what a fixed
cut does along pt, `mass_sculpting` how far it bends the mass spectrum of the background towards the
signal's peak, as the Jensen-Shannon divergence between the jets that pass and those that fail.

>>> logits, label = [[2.0, 0.0], [0.5, 0.0], [0.0, 1.0], [0.1, 0.3]], [0, 0, 1, 1]
>>> report = against_background(logits, label, names=("QCD", "top"), background="QCD")
>>> report["top"].auc.value, report["top"].rejection.lower_limit
(1.0, True)
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from hepjax import counting, metrics

JETCLASS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
SIGNAL_EFFICIENCY = {"Hqql": 0.99, "Tbl": 0.995}  # 0.5 for all others


class ClassReport(NamedTuple):
    """How one class stands against the background class."""

    auc: metrics.Value
    rejection: metrics.Rejection
    signal_efficiency: float  # at which the rejection was asked for


class WorkingPoint(NamedTuple):
    """One cut, and what it keeps of signal and background in bins."""

    threshold: float
    signal: metrics.EfficiencyCurve  # [bin]
    background: metrics.EfficiencyCurve  # [bin]


class Sculpting(NamedTuple):
    """How a cut changes the shape of the background's mass."""

    divergence: metrics.Divergence  # bits, background that passes against background that fails
    threshold: float
    passed: np.ndarray  # [jet] bool, signal too


def log_odds(
    logits: ArrayLike, signal: int | Sequence[int], background: int | Sequence[int]
) -> np.ndarray:
    """ln(p_S / p_B) of classes or sums of classes: [jet], float64.

    logits: [jet, class], of a softmax (or ln p); signal, background: class indices, one or more.
    """
    x = counting.read("logits", logits, axes="[jet, class]")
    a, b = ([int(i) for i in np.atleast_1d(c)] for c in (signal, background))
    for name, chosen in (("signal", a), ("background", b)):
        if not chosen or min(chosen) < 0 or max(chosen) >= x.shape[1]:
            counting.fail(name, chosen, f"class indices, 0 to {x.shape[1] - 1}")
    if set(a) & set(b):
        counting.fail("signal, background", f"{a}, {b}", "no class in both")
    with np.errstate(invalid="ignore"):  # NaN stays NaN: padding may have it, the metrics refuse it
        over, under = (np.logaddexp.reduce(x[:, c], axis=1) for c in (a, b))
        return over - under


def discriminant(
    logits: ArrayLike, signal: int | Sequence[int], background: int | Sequence[int]
) -> np.ndarray:
    """p_S / (p_S + p_B): [jet] in (0, 1), arguments as in `log_odds`."""
    return special.expit(log_odds(logits, signal, background))


def _pair(x: np.ndarray, y: np.ndarray, w: np.ndarray, a: int, b: int):
    """Log-odds of a over b, whether a, and weight, of the jets of these two classes: [jet]."""
    pair = np.isin(y, (a, b))
    return log_odds(x[pair], a, b), y[pair] == a, w[pair]


def _real(logits: ArrayLike, label: ArrayLike, weight: ArrayLike | None):
    """Logits [jet, class], class index [jet] and weight [jet] of the jets that are not padding."""
    x = counting.read("logits", logits, axes="[jet, class]")
    y, w = counting.read("label", label, len(x)), counting.weights(weight, len(x))
    return x[w != 0], counting.classes("label", y[w != 0], None, x.shape[1]), w[w != 0]


def pairwise_auc(
    logits: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUC of p_a / (p_a + p_b) for every two classes, and its error: [class, class], symmetric.

    logits: [jet, class]; label: [jet] class index; weight: [jet]. The diagonal is 1/2 and 0.
    """
    x, y, w = _real(logits, label, weight)
    n = x.shape[1]
    value, error = np.full((n, n), 0.5), np.zeros((n, n))
    for a, b in itertools.combinations(range(n), 2):
        found = metrics.auc(*_pair(x, y, w, a, b))
        value[a, b] = value[b, a] = found.value
        error[a, b] = error[b, a] = found.error
    return value, error


def against_background(
    logits: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    names: Sequence[str] = JETCLASS,
    background: str = "QCD",
    signal_efficiency: Mapping[str, float] = SIGNAL_EFFICIENCY,
) -> dict[str, ClassReport]:
    """AUC and rejection of each class against one background, by p_S / (p_S + p_B).

    logits: [jet, class]; label: [jet] class index; weight: [jet]; names: [class];
    signal_efficiency: by name, 0.5 where absent. Returns a report by name, background left out.
    """
    x, y, w = _real(logits, label, weight)
    if len(names) != x.shape[1]:
        counting.fail("names", f"{len(names)} names", f"{x.shape[1]}, one a class of the logits")
    if background not in names or set(signal_efficiency) - {*names, *JETCLASS}:
        found = f"{background!r}, {sorted(signal_efficiency)}"
        counting.fail("background, signal_efficiency", found, f"names among {tuple(names)}")
    b, report = list(names).index(background), {}
    for a, name in enumerate(names):
        if a != b:
            eps, pair = signal_efficiency.get(name, 0.5), _pair(x, y, w, a, b)
            at = metrics.rejection(pair[0], pair[1], eps, pair[2])
            report[name] = ClassReport(metrics.auc(*pair), at, eps)
    return report


def efficiency_against(
    variable: ArrayLike,
    score: ArrayLike,
    label: ArrayLike,
    edges: ArrayLike,
    *,
    signal_efficiency: float = 0.5,
    weight: ArrayLike | None = None,
) -> WorkingPoint:
    """Efficiency of signal and background in bins of a variable, at one cut for all of them.

    variable: [jet], pt in GeV for instance; score, weight: [jet]; label: [jet], 1 signal, 0
    background; edges: [bin + 1]. The cut keeps signal_efficiency of all signal, inside the edges
    or not.
    """
    cut = metrics.threshold_at(score, label, signal_efficiency, weight)
    s, y = np.asarray(score, np.float64), np.asarray(label)
    v, w = counting.read("variable", variable, len(s)), counting.weights(weight, len(s))
    of_signal, of_background = (
        metrics.efficiency_against(v[y == c], s[y == c] >= cut, edges, w[y == c]) for c in (1, 0)
    )
    return WorkingPoint(cut, of_signal, of_background)


def mass_sculpting(
    mass: ArrayLike,
    score: ArrayLike,
    label: ArrayLike,
    edges: ArrayLike,
    *,
    signal_efficiency: float = 0.5,
    weight: ArrayLike | None = None,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Sculpting:
    """How far a cut on the score bends the background's mass spectrum.

    mass: [jet] GeV; score, weight: [jet]; label: [jet], 1 signal, 0 background; edges: [bin + 1]
    GeV. The divergence is between the background that passes and that fails the cut, 0 for a
    tagger that does not know the mass; compare it with its `noise`. ValueError where no background
    passes, or all of it.
    """
    cut = metrics.threshold_at(score, label, signal_efficiency, weight)
    s, y = np.asarray(score, np.float64), np.asarray(label)
    m, w = counting.read("mass", mass, len(s)), counting.weights(weight, len(s))
    passed = s >= cut
    background = (y == 0) & (w != 0)
    kept, lost = passed & background, ~passed & background
    if not (kept.any() and lost.any()):
        found = f"{kept.sum()} background jets that pass, {lost.sum()} that fail"
        counting.fail("score", found, "some of each")
    divergence = metrics.jensen_shannon(
        m[kept], m[lost], edges, w[kept], w[lost], n_bootstrap=n_bootstrap, seed=seed
    )
    return Sculpting(divergence, cut, passed)
