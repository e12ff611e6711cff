"""A tagger made ready for an analysis: probabilities, working points, scale factors, each tested.

What is fitted comes from one half of the test jets, what is said from the other. `temperature`
compares calibration errors before and after, `working_points` efficiencies against pT at one cut
and at cuts that are flat in pT, `closure` applies scale factors to simulated jets that had no part
in them and compares with data.

>>> logits = np.array([[0.0, 1.0], [2.0, 0.0]])
>>> jets = Scored(logits, np.array([1, 0]), logits[:, 1], np.ones(2), np.ones(2))
>>> take(jets, np.array([1])).label.tolist()
[0]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from hepjax import calibration, counting, metrics, plot
from hepjax.io import scale_factors
from hepjax.jets import working_points as points

LEAST = 10
"""Simulated jets that pass in a bin, and half as many that fail; a flavour with fewer in any bin
has no scale factors.
"""


class Scored(NamedTuple):
    """Jets with a tagger's answer: logits [jet, class]; label, score, pt (GeV), eta: [jet]."""

    logits: np.ndarray
    label: np.ndarray
    score: np.ndarray
    pt: np.ndarray
    eta: np.ndarray


def take(jets: Scored, rows: np.ndarray) -> Scored:
    """Pick jets, in the order of rows [jet']."""
    return Scored(*(column[rows] for column in jets))


Answers = tuple[np.ndarray, np.ndarray]
"""Logits [jet, class] and labels [jet]."""


def temperature(path: Path, fitted: Answers, held: Answers, about: str) -> dict[str, float]:
    """Find the temperature on some jets and draw and measure the calibration of others.

    path: of the plot. Returns temperature, calibration_error_before and _after, all with _error;
    _noise of the latter two is what a perfect tagger would have with as many jets.
    """
    found, (logits, label) = calibration.temperature(*fitted), held
    cases = {"before": logits, "after": logits / found.value}
    shown = {k: calibration.reliability(x, label) for k, x in cases.items()}
    with plot.figure_with_ratio(path) as (ax, below):
        plot.reliability(ax, shown, difference_ax=below)
        plot.sample(ax, about, f"T = {found.value:.3f} ± {found.error:.3f}")
    results = {"temperature": found.value, "temperature_error": found.error}
    for name, r in shown.items():
        results |= {
            f"calibration_error_{name}": r.calibration_error.value,
            f"calibration_error_{name}_error": r.calibration_error.error,
            f"calibration_error_{name}_noise": r.noise,
        }
    results["n_calibration"], results["n_held_out"] = len(fitted[1]), len(label)
    return results


def working_points(
    folder: Path,
    fitted: Scored,
    held: Scored,
    signal: int,
    efficiencies: Sequence[float],
    pt_edges: np.ndarray,
    about: str,
) -> tuple[dict[str, points.WorkingPoint], dict[str, float]]:
    """Find cuts on some jets and draw and measure the efficiency of others against pt.

    Returns working points by name, fixed_50 and flat_50 for an efficiency of 50 %, and
    {name}_efficiency with _error, and {name}_chi2, of the bins against what was asked for.
    """
    found, results = {}, {}
    label = (fitted.label == signal).astype(int)
    for share in efficiencies:
        name = f"{100 * share:.0f}"
        found[f"fixed_{name}"] = points.fixed(fitted.score, label, share)
        found[f"flat_{name}"] = points.flat(fitted.score, label, fitted.pt, pt_edges, share)
    own = take(held, np.flatnonzero(held.label == signal))
    curves: dict[str, metrics.EfficiencyCurve] = {}
    for name, point in found.items():
        passed = points.passes(point, own.score, own.pt)
        curve = metrics.efficiency_against(own.pt, passed, pt_edges)
        curves[name.replace("_", " ") + " %"] = curve
        share = passed.mean()
        results[f"{name}_efficiency"] = float(share)
        results[f"{name}_efficiency_error"] = float(np.sqrt(share * (1 - share) / len(passed)))
        spread = point.efficiency * (1 - point.efficiency) / curve.n
        results[f"{name}_chi2"] = float(np.sum((curve.value - point.efficiency) ** 2 / spread))
    results["n_pt_bins"] = len(pt_edges) - 1
    with plot.figure(folder / "working_points") as ax:
        plot.efficiency_against(ax, curves, ylabel="Signal efficiency")
        plot.sample(ax, about)
    return found, results


def by_flavour(
    jets: Scored, found: Mapping[str, points.WorkingPoint], flavours: Mapping[int, int]
) -> dict[int, points.Jets]:
    """Sort jets by flavour (PDG) for `working_points.measure`; flavours: class index -> PDG."""
    sorted_jets = {}
    for index, pdg in flavours.items():
        own = take(jets, np.flatnonzero(jets.label == index))
        passed = {name: points.passes(p, own.score, own.pt) for name, p in found.items()}
        sorted_jets[pdg] = points.Jets(passed, own.pt, own.eta, np.ones(len(own.pt)))
    return sorted_jets


def measurable(
    jets: Mapping[int, points.Jets], pt_edges: np.ndarray, eta_edges: np.ndarray
) -> list[int]:
    """List the flavours of which LEAST jets pass every cut in every bin, and half as many fail.

    Raises ValueError where there is none.
    """
    bins = [pt_edges, eta_edges]

    def fewest(x: points.Jets, rows: np.ndarray) -> float:
        return np.histogram2d(x.pt[rows], np.abs(x.eta[rows]), bins=bins)[0].min()

    def enough(x: points.Jets) -> bool:
        cuts = x.passed.values()
        return all(fewest(x, p) >= LEAST and fewest(x, ~p) >= LEAST / 2 for p in cuts)

    kept = [flavour for flavour, x in jets.items() if enough(x)]
    if not kept:
        raise ValueError(f"jets: fewer than {LEAST} pass, or half as many fail, in some bin")
    return kept


def closure(
    table: scale_factors.Table,
    efficiencies: scale_factors.Table,
    data: Mapping[int, points.Jets],
    simulation: Mapping[int, points.Jets],
) -> tuple[dict[str, float], np.ndarray]:
    """Weigh simulated jets by their scale factors and compare their efficiencies with data.

    table, efficiencies: of `working_points.measure` and `efficiencies`, from other jets. Returns
    sf_chi2_before and _after, of the differences to data over all statistical errors in the sf_n
    bins of all flavours at the first working point (the others are cuts on the same jets), with
    their probabilities _p; and pulls [before and after, working point and flavour and bin].
    """
    found: list[np.ndarray] = []
    for point in table.working_points:
        for flavour in table.flavours:
            x, true = simulation[flavour], data[flavour]
            code = np.full(len(x.pt), flavour)
            where = (point, code, x.pt, x.eta)
            factor = scale_factors.look_up(table, *where)
            shift = scale_factors.look_up(table, *where, "up") - factor
            share = scale_factors.look_up(efficiencies, *where)
            weight = scale_factors.weight(factor, share, x.passed[point])
            arguments = x.passed[point], weight, factor, shift
            found.append(_pulls(table, arguments, x, true, true.passed[point]))
    pulls = np.concatenate(found, axis=1)
    n_first = pulls.shape[1] // len(table.working_points)
    results: dict[str, float] = {"sf_n": n_first}
    for k, name in enumerate(("before", "after")):
        chi2 = float(np.sum(pulls[k, :n_first] ** 2))
        results[f"sf_chi2_{name}"] = chi2
        results[f"sf_chi2_{name}_p"] = float(stats.chi2.sf(chi2, n_first))
    return results, pulls


def _pulls(table: Any, arguments: Any, x: points.Jets, true: points.Jets, passed: Any) -> Any:
    """Difference to data over its error, before and after, [2, pt and eta]."""
    own, weight, factor, shift = arguments
    bins = [table.pt_edges, table.eta_edges]

    def summed(jets: points.Jets, w: np.ndarray) -> np.ndarray:
        return np.histogram2d(jets.pt, np.abs(jets.eta), bins=bins, weights=w)[0].ravel()

    ones, one = np.ones(len(x.pt)), np.ones(len(true.pt))
    n, n_true = summed(x, ones), summed(true, one)
    share, wanted = summed(x, own * ones) / n, summed(true, passed * one) / n_true
    after = summed(x, weight * own) / summed(x, weight)
    scale, spread = summed(x, factor) / n, summed(x, shift) / n
    error = counting.efficiency_error(share, share * n, n, n)
    data_error = counting.efficiency_error(wanted, wanted * n_true, n_true, n_true)
    before = (share - wanted) / np.hypot(error, data_error)
    total = np.sqrt((scale * error) ** 2 + data_error**2 + (spread * share) ** 2)
    return np.stack([before, (after - wanted) / total])
