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

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from hepjax import coverage as counted
from hepjax import healpix, plot, resolution
from hepjax.io import skymap
from hepjax.neutrino import data, evaluation, posterior, sky

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
            plot.sample(plot.coverage_against(ax, found, xlabel=LABELS[name]), title, events)
    energy = evaluation.along(measured)["log_energy"]
    edges = evaluation.edges(energy, n_bins)
    angle = resolution.quantiles_against(energy, measured.angle, edges)
    with plot.figure(folder / "angle") as ax:
        plot.sample(plot.resolution_against(ax, {"mean direction": angle}), title, events)
    return evaluation.worst(bins)


def event(
    folder: Path,
    model: posterior.Posterior,
    variables: Any,
    pulses: data.Pulses,
    direction: Any,
    *,
    title: str = "",
) -> dict[str, float]:
    """Scan the sky for one event (fields [1, pulse, ...]), draw it around its peak and whole, and
    write sky.fits beside the plots, in zenith and azimuth of the detector; direction: [3], the true
    one. Returns areas, deg^2, and what the scan took. Needs the extra `sky` for the file.
    """
    encoded = jax.jit(lambda v, p: posterior.encode(model, v, p))(variables, pulses)

    @jax.jit
    def log_density(encoded: posterior.Encoded, n: Any) -> jax.Array:
        return posterior.log_prob(model, encoded, n[:, None])[:, 0]

    n, _ = posterior.sample(model, encoded, jax.random.key(0), 500)
    found = sky.scan(
        lambda n: log_density(encoded, jnp.asarray(n, jnp.float32)),
        samples=evaluation.unit(n[:, 0]),
    )
    origin = -evaluation.unit(direction)
    with plot.figure(folder / "plots" / "event") as ax:
        plot.sample(plot.zoomed(ax, found.sky, truth=origin), title)
    skymap.write(folder / "sky.fits", found.sky, frame="local")
    areas = healpix.region(found.sky, np.array([0.5, 0.9])).area_deg2
    return {
        "scan_cells": len(found.sky.order),
        "scan_total": found.total,
        "scan_area_50_deg2": float(areas[0]),
        "scan_area_90_deg2": float(areas[1]),
        "scan_level_of_truth": float(sky.credible_level(found.sky, evaluation.unit(direction))),
    }


def areas(ax: Axes, exact: Any, ours: Any, *, title: str = "") -> Axes:
    """Draw the areas of 90 % regions [event], deg^2, beside those of the exact posteriors."""
    exact, ours = np.asarray(exact), np.asarray(ours)
    look = plot.look(1, marker=True)
    ax.plot(exact, ours, look["marker"], color=look["color"], markersize=3)
    both = np.stack([exact, ours])[:, np.isfinite(exact + ours)]
    ends = np.array([both.min(), both.max()])
    ax.plot(ends, ends, color="0.4", linewidth=0.8)
    ax.set(xscale="log", yscale="log", xlabel="Exact posterior, 90 % area [deg$^2$]")
    ax.set_ylabel("Flow, 90 % area [deg$^2$]")
    return plot.sample(ax, title, f"{len(ours)} events")
