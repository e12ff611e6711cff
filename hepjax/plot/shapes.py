"""Distributions: shapes of samples with their ratio, scores of classes, what a cut does to a mass.

>>> from matplotlib.figure import Figure
>>> ax = Figure().add_subplot()
>>> compare(ax, {"a": [1.0, 2.0]}, [0, 1.5, 3], quantity="Jet mass", unit="GeV").get_ylabel()
'Probability density [1/GeV]'
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from hepjax import counting
from hepjax.plot import style


def _density(x: ArrayLike, edges: ArrayLike, weight: ArrayLike | None):
    """Probability density and its error [bin], edges [bin + 1] and number of events.

    Events outside the edges count in the norm, so that the cut of an axis does not lift the rest.
    """
    x = counting.read("x", x)
    w = counting.weights(weight, len(x))
    grid, index = counting.bins("x", x[w != 0], edges)
    w, inside = w[w != 0], index >= 0
    if not w.sum() > 0:
        counting.fail("weight", f"a sum of {w.sum()}", "above 0")
    sums, sums2 = (np.bincount(index[inside], u[inside], len(grid) - 1) for u in (w, w**2))
    scale = 1 / (w.sum() * np.diff(grid))
    return sums * scale, np.sqrt(sums2) * scale, grid, len(w)


def _band(ax: Axes, edges: np.ndarray, y: np.ndarray, error: np.ndarray, color: str) -> None:
    """A band y +- error of steps."""
    ax.stairs(y + error, edges, baseline=y - error, fill=True, color=color, alpha=0.25, linewidth=0)


def compare(
    ax: Axes,
    samples: Mapping[str, ArrayLike],
    edges: ArrayLike,
    *,
    quantity: str,
    unit: str = "",
    weights: Mapping[str, ArrayLike] | None = None,
    ratio_ax: Axes | None = None,
    log: bool = False,
) -> Axes:
    """Shapes of one quantity in several samples, with error bands, and their ratio to the first.

    samples, weights: [event] by label; edges: [bin + 1]. Each is a probability density, events
    outside the edges counted; the legend gives numbers of events. ratio_ax: for the ratio, with
    the errors of each sample on its points and those of the first as a band around 1.
    """
    shapes = {k: _density(x, edges, (weights or {}).get(k)) for k, x in samples.items()}
    for i, (name, (y, error, grid, n)) in enumerate(shapes.items()):
        look = style.look(i)
        ax.stairs(y, grid, label=f"{name} ({n:,})", baseline=None, linewidth=1.8, **look)
        _band(ax, grid, y, error, look["color"])
    filled = np.concatenate([y[y > 0] for y, *_ in shapes.values()])
    ax.set(ylabel="Probability density" + (f" [1/{unit}]" if unit else ""))
    ax.set(yscale="log" if log else "linear")
    ax.set_ylim(bottom=filled.min(initial=1) / 3 if log else 0)
    style.room(ax, 0.08 + 0.07 * len(shapes))
    ax.legend(loc="upper right")
    if ratio_ax is not None:
        _ratio(ratio_ax, list(shapes.values()))
        ratio_ax.set_ylabel(f"Ratio to\n{next(iter(samples))}")
    below = ratio_ax or ax
    below.set_xlabel(quantity + (f" [{unit}]" if unit else ""))
    below.set_xlim(np.min(edges), np.max(edges))
    return ax


def _ratio(ax: Axes, shapes: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, int]]) -> None:
    """Ratio of densities to the first; the axis reaches all points known to better than half."""
    reference, error, grid, _ = shapes[0]
    scale = np.divide(1, reference, out=np.full(len(reference), np.nan), where=reference > 0)
    _band(ax, grid, reference * scale, error * scale, style.LOOKS[0]["color"])
    ax.axhline(1, color=style.LOOKS[0]["color"], linewidth=1)
    highest = 1.6
    for i, (y, error, *_) in enumerate(shapes[1:], 1):
        some, x = (reference > 0) & (error > 0), style.shifted(grid, i - 1, len(shapes) - 1)
        look = {**style.look(i, marker=True), "linestyle": "", "markersize": 4}
        ax.errorbar(x[some], (y * scale)[some], (error * scale)[some], **look)
        sure = some & (error < 0.5 * y)
        highest = max(highest, np.max((y * scale)[sure], initial=0))
    ax.set_ylim(0, 1.2 * highest)


def scores(
    ax: Axes,
    samples: Mapping[str, ArrayLike],
    edges: ArrayLike | None = None,
    *,
    weights: Mapping[str, ArrayLike] | None = None,
    xlabel: str = "Classifier score",
) -> Axes:
    """Distribution of the score of each class, on a logarithmic axis, with error bands.

    samples, weights: [event] by label of the class; edges: [bin + 1], 40 bins in (0, 1) if None.
    """
    edges = np.linspace(0, 1, 41) if edges is None else edges
    return compare(ax, samples, edges, quantity=xlabel, weights=weights, log=True)


def mass_sculpting(
    ax: Axes,
    mass: ArrayLike,
    passed: Mapping[str, ArrayLike],
    edges: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    ratio_ax: Axes | None = None,
) -> Axes:
    """Mass of the background before and after cuts: a bump that a cut makes is no signal.

    mass: [jet] GeV of the background; passed: [jet] bool by label of the cut; edges: [bin + 1] GeV;
    weight: [jet]. ratio_ax as in `compare`: each shape over the shape of all background.
    """
    m = counting.read("mass", mass)
    w, cuts = counting.weights(weight, len(m)), {"All background": np.ones(len(m), bool)}
    for name, kept in passed.items():
        cuts[name] = counting.classes(f"passed[{name!r}]", kept, len(m), 2) == 1
    options: dict[str, Any] = {"quantity": "Jet mass", "unit": "GeV", "ratio_ax": ratio_ax}
    shapes, of = ({name: x[kept] for name, kept in cuts.items()} for x in (m, w))
    compare(ax, shapes, edges, weights=of, **options)
    if ratio_ax is not None:
        ratio_ax.set_ylabel("Ratio to all")
    return ax
