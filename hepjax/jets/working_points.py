"""Cuts on a tagger's score: at fixed efficiency, at one that is flat in pT, and how data differ.

`fixed` finds the cut that keeps a share of the signal, `flat` one cut a bin of pT (or anything
else) that keeps the same share in each, which takes the slope of the efficiency out of an analysis;
`passes` applies either. `measure` compares the efficiency of the same cut in two samples, data and
simulation, and gives a table of scale factors with statistical errors for `io.scale_factors`,
`efficiencies` that of one of them.

>>> score, label = np.linspace(0, 1, 11), np.ones(11)
>>> point = fixed(score, label, 0.5)
>>> passes(point, score).sum().item()
6
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import counting
from hepjax.io import scale_factors


class WorkingPoint(NamedTuple):
    """A cut. efficiency: of signal, as asked for; edges: [bin + 1] of a variable, None for one cut
    for all; threshold: [bin] (one entry without edges), a jet passes with a score at or above it.
    """

    efficiency: float
    edges: np.ndarray | None
    threshold: np.ndarray


def fixed(
    score: ArrayLike, label: ArrayLike, efficiency: float, weight: ArrayLike | None = None
) -> WorkingPoint:
    """Find the highest cut that keeps this share of the signal.

    score, weight: [jet]; label: [jet], 1 signal (jets of label 0 are not looked at).
    """
    s, w = _signal(score, label, weight)
    return WorkingPoint(efficiency, None, np.array([_cut(s, w, efficiency)]))


def flat(
    score: ArrayLike,
    label: ArrayLike,
    x: ArrayLike,
    edges: ArrayLike,
    efficiency: float,
    weight: ArrayLike | None = None,
) -> WorkingPoint:
    """Find a cut in each bin of x [jet] that keeps this share of the signal there.

    edges: [bin + 1]; other arguments as in `fixed`. Raises ValueError for a bin without signal.
    """
    s, w = _signal(score, label, weight)
    v = counting.read("x", x)[np.asarray(label) == 1]
    bounds, index = counting.bins("x", v, edges)
    cuts = []
    for k in range(len(bounds) - 1):
        if not np.any(index == k):
            raise ValueError(f"edges: no signal from {bounds[k]} to {bounds[k + 1]}")
        cuts.append(_cut(s[index == k], w[index == k], efficiency))
    return WorkingPoint(efficiency, bounds, np.array(cuts))


def passes(point: WorkingPoint, score: ArrayLike, x: ArrayLike | None = None) -> np.ndarray:
    """Tell which jets [jet] pass; x: [jet], the variable of a flat working point. Outside of its
    edges the nearest bin counts.
    """
    s = counting.read("score", score)
    if point.edges is None:
        return s >= point.threshold[0]
    if x is None:
        raise ValueError("x: expected the variable in whose bins the working point is flat")
    place = np.searchsorted(point.edges, counting.read("x", x, len(s)), side="right") - 1
    return s >= point.threshold[np.clip(place, 0, len(point.threshold) - 1)]


class Jets(NamedTuple):
    """Jets of one flavour in which efficiencies are measured: passed (working point -> [jet]
    bool), pt (GeV), eta, weight, all [jet].
    """

    passed: Mapping[str, np.ndarray]
    pt: np.ndarray
    eta: np.ndarray
    weight: np.ndarray


def measure(
    name: str,
    data: Mapping[int, Jets],
    simulation: Mapping[int, Jets],
    pt_edges: Sequence[float],
    eta_edges: Sequence[float],
) -> scale_factors.Table:
    """Divide the efficiency in data by that in simulation, in bins of pT and abs(eta).

    data, simulation: flavour (PDG) -> Jets, the same flavours and working points. Up and down are
    one standard deviation of both samples' statistics. Raises ValueError for a bin in which either
    has no jet, or simulation none that passes.
    """
    if set(data) != set(simulation):
        raise ValueError(f"flavours of data {sorted(data)} and simulation {sorted(simulation)}")
    points = tuple(next(iter(data.values())).passed)
    edges = np.asarray(pt_edges, float), np.asarray(eta_edges, float)
    central, error = [], []
    for point in points:
        rows = []
        for flavour in data:
            d, s = (_efficiency(x[flavour], point, edges) for x in (data, simulation))
            if np.any(s[0] == 0):
                raise ValueError(
                    f"simulation of flavour {flavour}: a bin where none passes {point}"
                )
            ratio = d[0] / s[0]
            spread = ratio * np.hypot(d[1] / np.maximum(d[0], 1e-12), s[1] / s[0])
            rows.append((ratio, np.where(d[0] > 0, spread, d[1] / s[0])))
        central.append([r for r, _ in rows])
        error.append([e for _, e in rows])
    value, shift = np.array(central), np.array(error)
    flavours = tuple(data)
    return scale_factors.Table(
        name, points, flavours, *edges, value, value + shift, np.maximum(value - shift, 0)
    )


def efficiencies(
    name: str,
    jets: Mapping[int, Jets],
    pt_edges: Sequence[float],
    eta_edges: Sequence[float],
) -> scale_factors.Table:
    """Measure efficiencies in bins of pT and abs(eta), up and down by their statistical errors.

    Arguments as in `measure`, of one sample; `scale_factors.weight` asks for those of simulation.
    """
    points = tuple(next(iter(jets.values())).passed)
    edges = np.asarray(pt_edges, float), np.asarray(eta_edges, float)
    found = [[_efficiency(x, point, edges) for x in jets.values()] for point in points]
    value, error = (np.array([[f[k] for f in row] for row in found]) for k in (0, 1))
    up, down = np.minimum(value + error, 1), np.maximum(value - error, 0)
    return scale_factors.Table(name, points, tuple(jets), *edges, value, up, down)


def _signal(
    score: ArrayLike, label: ArrayLike, weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    s = counting.read("score", score)
    y = counting.read("label", label, len(s)) == 1
    w = counting.weights(weight, len(s))[y]
    s = counting.finite("score", s[y])
    if not len(s) or np.any(w < 0):
        raise ValueError("label, weight: expected signal with weights of at least 0")
    return s, w


def _cut(score: np.ndarray, weight: np.ndarray, efficiency: float) -> float:
    if not 0 < efficiency < 1:
        raise ValueError(f"efficiency: found {efficiency}, expected a number in (0, 1)")
    order = np.argsort(-score, kind="stable")
    kept = np.cumsum(weight[order]) / weight.sum()
    return float(score[order][np.argmax(kept >= efficiency * (1 - 1e-12))])


def _efficiency(
    jets: Jets, point: str, edges: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Efficiency and its error [pt, eta] of jets."""
    at = (jets.pt, np.abs(jets.eta))
    passed, w = np.asarray(jets.passed[point], float), jets.weight

    def summed(weight: np.ndarray) -> np.ndarray:
        return np.histogram2d(*at, bins=edges, weights=weight)[0]

    total = summed(w)
    if np.any(total <= 0):
        raise ValueError("pt_edges, eta_edges: a bin without jets")
    value = summed(w * passed) / total
    error = counting.efficiency_error(value, summed(w**2 * passed), total, summed(w**2))
    return value, error
