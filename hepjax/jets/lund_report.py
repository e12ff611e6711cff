"""Does simulation, corrected by its Lund planes, tag as data do? Trials with a known truth.

One `Trial` corrects the simulated jets of one sample by control jets of data and simulation, and
finds the efficiency of cuts on a tagger's score, over all and in bins of pT, beside that of data.
`summary` says over independent trials how far corrected and uncorrected efficiencies are from the
truth, and whether the stated uncertainty covers that; `table` keeps scale factors for an analysis;
`draw` makes the plots.

>>> point = Point(Correction(0.4, 0.49, 0.01, {}, 0.01), Value(0.48, 0.01))
>>> round(pull(point), 2)
0.71
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepjax import plot
from hepjax.counting import Value
from hepjax.io import scale_factors
from hepjax.jets import lund, reweighting
from hepjax.jets.reweighting import Correction, Planes

TOP = 6


class Sample(NamedTuple):
    """Jets in the order of their events, with their planes (none where only their scores are
    needed); score, pt (GeV): [jet].
    """

    planes: Planes
    score: np.ndarray
    pt: np.ndarray


class Point(NamedTuple):
    """An efficiency: of simulation, corrected, and of data."""

    found: Correction
    true: Value


class Trial(NamedTuple):
    """One independent comparison.

    shower: name of the data's; points: cut -> Point of all jets; in_pt: cut -> Point a bin of pt;
    control: cut -> Point of the control jets, which data show too; ratio: of the planes of control
    jets; scores: [jet] of data and simulation, with its weights.
    """

    shower: str
    points: dict[str, Point]
    in_pt: dict[str, list[Point]]
    control: dict[str, Point]
    ratio: lund.Ratio
    scores: tuple[np.ndarray, np.ndarray, np.ndarray]


def part(sample: Sample, k: int, n: int) -> Sample:
    """Pick the k-th of n equal parts of a sample, in its order."""
    size = len(sample.score) // n
    rows = np.arange(k * size, (k + 1) * size)
    return Sample(reweighting.take(sample.planes, rows), sample.score[rows], sample.pt[rows])


def trial(
    shower: str,
    control: tuple[Sample, Sample],
    signal: tuple[Sample, Sample],
    cuts: Mapping[str, float],
    pt_edges: np.ndarray,
    *,
    seed: int = 0,
) -> Trial:
    """Correct the simulated signal and compare it with that of data.

    control, signal: jets of data and of simulation; cuts: name -> least score; pt_edges: [bin + 1].
    """
    planes = control[0].planes, control[1].planes
    weights = reweighting.weigh(*planes, signal[1].planes, seed=seed)
    ratio = lund.ratio(planes[0][0, "kt"], planes[1][0, "kt"], seed=seed)
    own = reweighting.Weights(*reweighting.weights(ratio, planes[1][0, "kt"]), {})
    points, in_pt, tested = {}, {}, {}
    for name, cut in cuts.items():
        points[name] = _point(weights, *signal, cut)
        bins = itertools.pairwise(pt_edges)
        in_pt[name] = [_point(weights, *signal, cut, *pair) for pair in bins]
        tested[name] = _point(own, *control, cut)
    scores = signal[0].score, signal[1].score, weights.nominal
    return Trial(shower, points, in_pt, tested, ratio, scores)


def _point(
    weights: reweighting.Weights,
    data: Sample,
    simulation: Sample,
    cut: float,
    low: float = -np.inf,
    high: float = np.inf,
) -> Point:
    """Efficiencies of jets with a pt from low to high."""
    here, there = ((s.pt >= low) & (s.pt < high) for s in (simulation, data))
    found = reweighting.efficiency(weights, simulation.score >= cut, here)
    share = float((data.score[there] >= cut).mean())
    error = float(np.sqrt(share * (1 - share) / there.sum()))
    return Point(found, Value(share, error))


def pull(point: Point) -> float:
    """Divide corrected less true efficiency by its uncertainty."""
    return float(reweighting.pulls([point.found], [point.true])[0])


def summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """Give {shower}_{cut}_: true, plain_bias and corrected_bias with the error of a mean over
    trials, the same of control jets, and the mean stated uncertainty by source; pulls of all
    showers with mean, width and number for each cut; and over all cuts the shares within one and
    two uncertainties.
    """
    results: dict[str, Any] = {"n_trials": len(trials)}
    for shower in dict.fromkeys(t.shower for t in trials):
        for cut in trials[0].points:
            chosen = [t.points[cut] for t in trials if t.shower == shower]
            key = f"{shower}_{cut}"
            results[f"{key}_true"] = float(np.mean([p.true.value for p in chosen]))
            for name in ("plain", "corrected"):
                bias = np.array([getattr(p.found, name) - p.true.value for p in chosen])
                results |= _mean(f"{key}_{name}_bias", bias)
                tested = [t.control[cut] for t in trials if t.shower == shower]
                left = np.array([getattr(p.found, name) - p.true.value for p in tested])
                results |= _mean(f"{key}_control_{name}_bias", left)
            for name, key_of in (("total", ""), ("statistical", "_statistical")):
                stated = float(np.mean([getattr(p.found, name) for p in chosen]))
                results[f"{key}_uncertainty{key_of}"] = stated
            for source in chosen[0].found.shifts:
                shift = np.mean([p.found.shifts[source] for p in chosen])
                results[f"{key}_uncertainty_{source}"] = float(shift)
    every = []
    for cut in trials[0].points:
        pulls = np.array([pull(t.points[cut]) for t in trials])
        results |= _mean(f"pull_{cut}_mean", pulls)
        results[f"pull_{cut}_width"] = float(pulls.std(ddof=1)) if len(pulls) > 1 else None
        every.append(pulls)
    in_pt = [pull(p) for t in trials for bins in t.in_pt.values() for p in bins]
    for name, values in (("", np.concatenate(every)), ("_in_pt", np.array(in_pt))):
        for n, word in ((1, "one"), (2, "two")):
            results[f"within_{word}{name}"] = float((np.abs(values) < n).mean())
    return results


def _mean(name: str, values: np.ndarray) -> dict[str, float | None]:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return {name: float(values.mean()), f"{name}_error": error}


def table(trial: Trial, pt_edges: np.ndarray, eta_max: float) -> scale_factors.Table:
    """Divide corrected by plain efficiencies of tops in bins of pt, up and down by the total."""
    plain, corrected, total = (
        np.array([[getattr(p.found, k) for p in bins] for bins in trial.in_pt.values()])
        for k in ("plain", "corrected", "total")
    )
    if np.any(plain <= 0):
        raise ValueError("trial: a cut that no simulated jet of a bin passes has no scale factor")
    central, shift = ((x / plain)[:, None, :, None] for x in (corrected, total))
    edges, names = (np.asarray(pt_edges), np.array([0.0, eta_max])), tuple(trial.points)
    down = np.maximum(central - shift, 0)
    return scale_factors.Table(
        f"lund_{trial.shower}", names, (TOP,), *edges, central, central + shift, down
    )


def draw(folder: Path, trials: Sequence[Trial], pt_edges: np.ndarray, about: str) -> None:
    """Draw ratios of planes, scores, closures against the cut and pt, and pulls."""
    for shower in dict.fromkeys(t.shower for t in trials):
        chosen = [t for t in trials if t.shower == shower]
        said = f"{about}; data: {shower}"
        with plot.figure(folder / f"ratio_{shower}") as ax:
            _ratio(ax, chosen[0].ratio)
            plot.sample(ax, said)
        data, simulation, weight = (np.concatenate(x) for x in zip(*(t.scores for t in chosen)))
        low, high = np.quantile(data, [0.002, 0.998])
        with plot.figure_with_ratio(folder / f"score_{shower}") as (ax, below):
            plot.compare(
                ax,
                {"data": data, "simulation": simulation, "corrected": simulation},
                np.linspace(low, high, 25),
                quantity="Score of tops",
                weights={"corrected": weight},
                ratio_ax=below,
            )
            plot.sample(ax, said)
        cuts = list(chosen[0].points)
        with plot.figure(folder / f"closure_{shower}") as ax:
            _closure(ax, [[t.points[c] for t in chosen] for c in cuts])
            ax.set_xticks(range(len(cuts)), [f"{c} %" for c in cuts])
            ax.set_xlabel("Working point, efficiency in simulation")
            plot.sample(ax, said)
        with plot.figure(folder / f"closure_pt_{shower}") as ax:
            middle = cuts[(len(cuts) - 1) // 2]
            _closure(ax, [list(points) for points in zip(*(t.in_pt[middle] for t in chosen))])
            names = [f"{a:g}-{b:g}" for a, b in itertools.pairwise(pt_edges)]
            ax.set_xticks(range(len(names)), names)
            ax.set_xlabel(rf"Jet $p_T$ [GeV], working point {middle} %")
            plot.sample(ax, said)
    with plot.figure(folder / "pulls") as ax:
        _pulls(ax, trials)
        plot.sample(ax, about, f"{len(trials)} trials")


def _ratio(ax: Any, found: lund.Ratio) -> None:
    """The plane of the prongs of the pt that most known bins are of, in shades."""
    best = int(found.known.sum((0, 1))[: len(found.bins.prong_pt)].argmax())
    value = np.where(found.known, found.value, np.nan)[..., best].T
    options: dict[str, Any] = {"cmap": "cividis", "vmin": 0.5, "vmax": 1.5}
    mesh = ax.pcolormesh(found.bins.ln_angle, found.bins.ln_kt, value, **options)
    ax.figure.colorbar(mesh, ax=ax, label="Data / simulation")
    ax.set(xlabel=r"$\ln(1/\Delta)$", ylabel=r"$\ln(k_T / \mathrm{GeV})$")
    ax.grid(False)


def _closure(ax: Any, columns: Sequence[Sequence[Point]]) -> None:
    """Mean efficiency less that of data over trials; the bar is the mean stated uncertainty."""
    x = np.arange(len(columns))
    for i, name in enumerate(("plain", "corrected")):
        bias = [np.mean([getattr(p.found, name) - p.true.value for p in c]) for c in columns]
        error = [np.mean([p.true.error for p in c]) / np.sqrt(len(c)) for c in columns]
        if name == "corrected":
            error = [np.mean([np.hypot(p.found.total, p.true.error) for p in c]) for c in columns]
        look = {**plot.look(i, marker=True), "linestyle": ""}
        ax.errorbar(x + 0.1 * (2 * i - 1), bias, error, label=name, capsize=3, **look)
    ax.axhline(0, color="grey", linewidth=1)
    ax.set_ylabel("Efficiency, simulation - data")
    ax.legend()


def _pulls(ax: Any, trials: Sequence[Trial]) -> None:
    """Pulls of all cuts, beside a Gaussian of width 1."""
    edges = np.linspace(-4, 4, 17)
    for i, cut in enumerate(trials[0].points):
        values = np.clip([pull(t.points[cut]) for t in trials], -3.99, 3.99)
        share = np.histogram(values, edges)[0] / len(values) / np.diff(edges)
        said = f"{cut} %: {np.mean(values):.2f}, width {np.std(values):.2f}"
        ax.stairs(share, edges, label=said, linewidth=1.8, **plot.look(i))
    x = np.linspace(-4, 4, 200)
    ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="grey", label="Gaussian")
    ax.set(xlabel="(corrected - true) / stated uncertainty", ylabel="Probability density")
    ax.legend()
