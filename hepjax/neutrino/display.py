"""Events as one can see them, and what directions are worth against the energy.

`event` draws one event on an Axes, projected on a plane through the track, in which light goes
straight: modules that saw light, the track, and where its light came from. `angles` writes the
plots of angular errors that experiments share, and gives the numbers in them.

>>> from matplotlib.figure import Figure
>>> one = data.Truth(np.zeros(3), np.array([0.0, 0, 1]), 0.0, 3.0, 1.0, 1.0, 1.0)
>>> hit = data.Pulses(np.array([[20.0, 0, 50]]), *np.ones((3, 1)), np.ones(1, bool))
>>> event(Figure().add_subplot(), hit, one).get_xlabel()
'Along the track [m]'
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hepjax import plot, resolution, sphere
from hepjax.neutrino import data

FINEST = 1e-3
"""Added to angles where their logarithm is taken, degrees."""


def angles(
    folder: Path | str, log_energy: Any, found: Mapping[str, Any], edges: Any, what: str
) -> dict[str, Any]:
    """Plot angular errors against energy, and their distributions, as files in a folder.

    log_energy: [event] log10 of GeV; found: angular errors [event], rad, by label; edges: [bin +
    1] of log_energy; what: says what events these are. Returns by label the medians in bins,
    degrees, and their errors.
    """
    curves = {
        label: resolution.quantiles_against(log_energy, x, edges, (0.5,))
        for label, x in found.items()
    }
    with plot.figure(Path(folder) / "angle_against_energy") as ax:
        plot.sample(plot.resolution_against(ax, curves), what)
    logs = {label: np.log10(np.degrees(x) + FINEST) for label, x in found.items()}
    grid = np.linspace(np.log10(2 * FINEST), np.log10(180.0), 51)
    with plot.figure(Path(folder) / "angle") as ax:
        quantity = r"$\log_{10}$(angular error / deg)"
        plot.sample(plot.compare(ax, logs, grid, quantity=quantity), what)
    rows = {
        label: {
            "median_angle_deg": np.degrees(curve.value[0]).tolist(),
            "error": np.degrees((curve.high - curve.low)[0] / 2).tolist(),
        }
        for label, curve in curves.items()
    }
    return {"log_energy_edges": np.asarray(edges).tolist(), **rows}


def plane(truth: data.Truth, position: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give coordinates [pulse] of positions [pulse, 3] m: along the track of one event from its
    point, and distance of it, negative on one side of an upright plane through it.
    """
    start, direction = (np.asarray(x, np.float64) for x in (truth.position, truth.direction))
    side = np.cross(direction, [0.0, 0.0, 1.0])
    side = np.array([1.0, 0.0, 0.0]) if np.linalg.norm(side) < 1e-6 else side
    relative = np.asarray(position, np.float64) - start
    along = relative @ direction
    across = np.linalg.norm(relative - along[:, None] * direction, axis=-1)
    return along, np.where(relative @ side < 0, -across, across)


def event(
    ax: Axes,
    pulses: data.Pulses,
    truth: data.Truth,
    *,
    point: Any = None,
    true_point: Any = None,
    direction: Any = None,
    virtual: Any = None,
) -> Axes:
    """Draw one event, fields of pulses [pulse] and truth without an axis of events.

    point, true_point: [pulse, 3] m, emission points predicted and true; direction: [3] that was
    found, its angle is given; virtual: [pulse] bool, of pulses that are predicted. Modules are as
    large as their charge, darker the later they saw light.
    """
    real = np.asarray(pulses.mask)
    along, across = plane(truth, np.asarray(pulses.position)[real])
    charge, time = np.asarray(pulses.charge)[real], np.asarray(pulses.time)[real]
    order = np.argsort(np.argsort(time)) / max(len(time) - 1, 1)
    predicted = np.zeros(len(time), bool) if virtual is None else np.asarray(virtual)[real]
    groups = (("module that saw light", ~predicted, "o"), ("predicted module", predicted, "s"))
    for label, some, marker in groups:
        if some.any():
            shade = [str(0.75 * (1 - x)) for x in order[some]]
            size = 20 + 15 * charge[some]
            ax.scatter(
                along[some], across[some], size, facecolors=shade, marker=marker, label=label
            )
    ax.axhline(0, **plot.look(0), label="true track")
    if true_point is not None:
        x, y = plane(truth, np.asarray(true_point)[real])
        ax.plot(x, y, "|", color="0.3", markersize=12, label="true emission")
    if point is not None:
        x, y = plane(truth, np.asarray(point)[real])
        for one in zip(along, across, x, y):
            ax.plot(one[::2], one[1::2], color="0.8", linewidth=0.6, zorder=0)
        ax.plot(x, y, "x", color=plot.look(1)["color"], label="predicted emission")
    if direction is not None:
        angle = np.degrees(sphere.angle(np.asarray(direction), np.asarray(truth.direction)))
        ax.set_title(f"angular error {float(angle):.2g} deg", loc="right")
    ax.set(xlabel="Along the track [m]", ylabel="Across it [m]")
    ax.legend(loc="best", fontsize="small")
    return ax
