"""Plots of posteriors: do they cover, how large are they, how well do they point.

>>> import tempfile
>>> rng = np.random.default_rng(0)
>>> x = rng.random(500)
>>> with plot.figure(Path(tempfile.mkdtemp()) / "areas") as ax:
...     areas(ax, x, x * 1.1).get_xlabel()
'Exact posterior, 90 % area [deg$^2$]'
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hepjax import coverage as counted
from hepjax import plot, resolution
from hepjax.neutrino import evaluation

LABELS = {
    "log_energy": r"$\log_{10}(E$ / GeV)",
    "zenith": "Zenith [deg]",
    "modules": "Modules with light",
}


def coverage(
    folder: Path, measured: evaluation.Measured, *, title: str = "", n_bins: int = 10
) -> dict[str, float]:
    """Draw coverage overall and in bins, and angles and areas against energy; returns the largest
    difference from a nominal level in any bin, by what the bins are of.
    """
    events = f"{len(measured.level):,} events"
    curves = {
        "highest density": counted.probability_curve(measured.level),
        "distance to a random point": counted.probability_curve(measured.tarp),
    }
    with plot.figure(folder / "coverage") as ax:
        plot.sample(plot.probability(ax, curves, difference=True), title, events)
    bins = evaluation.binned(measured, n_bins)
    for name, found in bins.items():
        with plot.figure(folder / f"coverage_{name}") as ax:
            named = {f"{100 * p:g} %": curve for p, curve in found.items()}
            plot.efficiency_against(ax, named, xlabel=LABELS[name], ylabel="Coverage")
            for p in found:
                ax.axhline(p, color="0.6", linewidth=0.8, zorder=0)
            plot.sample(ax, title, events)
    energy = evaluation.along(measured)["log_energy"]
    edges = evaluation.edges(energy, n_bins)
    angle = resolution.quantiles_against(energy, measured.angle, edges)
    with plot.figure(folder / "angle") as ax:
        plot.sample(plot.resolution_against(ax, {"mean direction": angle}), title, events)
    return evaluation.worst(bins)


def areas(ax: Axes, exact: Any, ours: Any, *, title: str = "") -> Axes:
    """Draw the areas of 90 % regions [event], deg^2, beside those of the exact posteriors."""
    exact, ours = np.asarray(exact), np.asarray(ours)
    look = plot.look(1, marker=True)
    ax.plot(exact, ours, look["marker"], color=look["color"], markersize=3)
    ends = np.array([min(exact.min(), ours.min()), max(exact.max(), ours.max())])
    ax.plot(ends, ends, color="0.4", linewidth=0.8)
    ax.set(xscale="log", yscale="log", xlabel="Exact posterior, 90 % area [deg$^2$]")
    ax.set_ylabel("Flow, 90 % area [deg$^2$]")
    return plot.sample(ax, title, f"{len(ours)} events")
