"""Plots a collaboration can print: axes in, axes out.

Every function draws one result of `metrics` on a matplotlib Axes and returns it: labels carry
units, statistical errors are drawn, curves differ by line, marker and shade and not by colour
alone, so that a page printed in grey can be read. `figure` opens an Axes in the HEP look of mplhep,
writes PNG and PDF when the block ends and leaves matplotlib's settings as it found them; it needs
no display. `sample` writes what the events are, and how many, above the frame.

>>> import tempfile, numpy as np
>>> with tempfile.TemporaryDirectory() as folder, figure(folder + "/scores") as ax:
...     _ = scores(ax, {"top": np.array([0.9, 0.8]), "QCD": np.array([0.1, 0.3])})
...     sample(ax, "Pythia 8, 14 TeV").get_xlabel()
'Classifier score'
"""

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hepjax import counting, metrics

# Okabe and Ito's colours that stay apart in grey, with a line and a marker each.
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    {"color": "#0072B2", "linestyle": "-.", "marker": "^"},
    {"color": "#56B4E9", "linestyle": ":", "marker": "D"},
    {"color": "#009E73", "linestyle": (0, (6, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#CC79A7", "linestyle": (0, (3, 1)), "marker": "P"},
)
FORMATS = ("png", "pdf")


def _look(i: int, *, marker: bool = False) -> dict[str, Any]:
    look = dict(LOOKS[i % len(LOOKS)])
    if i >= len(LOOKS):
        look["alpha"] = 0.5
    if not marker:
        del look["marker"]
    return look


@contextmanager
def _drawn(path: str | os.PathLike, height: float) -> Iterator[Figure]:
    """A Figure in mplhep's look, saved in all FORMATS when the block ends without an error."""
    import mplhep

    style: dict[str, Any] = {
        **mplhep.style.ATLAS,
        "font.size": 15,
        "axes.labelsize": 17,
        "axes.titlesize": 12,
        "legend.fontsize": 13,
        "legend.title_fontsize": 12,
        "xtick.labelsize": 14,
        "ytick.labelsize": 14,
        "xtick.major.pad": 6,
        "lines.linewidth": 1.8,
        "savefig.dpi": 150,
        "axes.formatter.limits": (-4, 5),
    }
    with matplotlib.rc_context(style):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(7, height), layout="constrained")
        yield figure
        figure.draw_without_rendering()  # lays out once for all formats
        figure.set_layout_engine("none")
        target = Path(path)
        if target.suffix[1:] in FORMATS:
            target = target.with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        for ending in FORMATS:
            part = target.with_name(f".{target.name}.{os.getpid()}.part")
            figure.savefig(part, format=ending)
            os.replace(part, target.with_name(f"{target.name}.{ending}"))


@contextmanager
def figure(path: str | os.PathLike, *, height: float = 5.5) -> Iterator[Axes]:
    """An Axes in the HEP look; the block's end writes path.png and path.pdf, whole or not at all.

    path: with or without one of these endings; folders are made. height: inches, of a width of 7.
    Nothing is written where the block raises.
    """
    with _drawn(path, height) as drawn:
        yield drawn.add_subplot()


@contextmanager
def figure_with_ratio(
    path: str | os.PathLike, *, height: float = 6.5
) -> Iterator[tuple[Axes, Axes]]:
    """As `figure`, with a lower Axes for a ratio that shares x."""
    with _drawn(path, height) as drawn:
        upper, lower = drawn.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1), "hspace": 0.03}
        )
        yield upper, lower


def sample(ax: Axes, what: str, n: str = "") -> Axes:
    """Say above the frame what the events are (left) and how many (right, as it is if empty)."""
    ax.set_title(textwrap.fill(what, 85), loc="left")
    if n:
        ax.set_title(n, loc="right")
    return ax


def _room(ax: Axes, fraction: float) -> None:
    """Leave this fraction of the frame's height free at the top, for a legend."""
    low, high = ax.get_ylim()[0], ax.dataLim.y1
    if ax.get_yscale() == "log":
        ax.set_ylim(low, high * (high / low) ** (fraction / (1 - fraction)))
    else:
        ax.set_ylim(low, high + (high - low) * fraction / (1 - fraction))


def _rejection_limit(n: ArrayLike) -> np.ndarray:
    """95 % lower limit on the rejection where none of n background events passes: [...]."""
    return 1 / counting.efficiency(np.zeros_like(n), n, confidence=0.9).high


def _arrows(ax: Axes, x: np.ndarray, y: np.ndarray, color: str) -> None:
    """Arrows up from (x, y) [point] on a logarithmic axis: lower limits."""
    ax.errorbar(x, y, yerr=0.6 * y, lolims=True, linestyle="", color=color)


def _thin(x: np.ndarray, n: int) -> np.ndarray:
    """Indices of about n points of rising x that are spread evenly, ends included."""
    return np.unique(np.searchsorted(x, np.linspace(x[0], x[-1], n)).clip(0, len(x) - 1))


def roc(ax: Axes, results: Mapping[str, metrics.Roc], *, lowest: float = 0.05) -> Axes:
    """Background rejection against signal efficiency, with bands of one standard deviation.

    results: by label. Bands are Clopper-Pearson's. Where no background passes, the line ends and an
    arrow stands at the 95 % lower limit. The axis of efficiency starts at `lowest`.
    """
    for i, (label, curve) in enumerate(results.items()):
        look = _look(i)
        points = curve.signal_efficiency, curve.background_efficiency
        keep = _thin(np.maximum.accumulate(points[0]), 1000)  # negative weights may make it fall
        eps_s, eps_b = (p[keep] for p in points)
        some = (eps_b > 0) & (eps_b <= 1)
        n = curve.n_background
        interval = counting.efficiency(np.where(some, eps_b, 0) * n, n)
        ax.plot(eps_s[some], 1 / eps_b[some], label=label, **look)
        low, high = 1 / interval.high[some], 1 / interval.low[some]
        ax.fill_between(eps_s[some], low, high, color=look["color"], alpha=0.2, linewidth=0)
        none = eps_s[~some & (eps_s > lowest)]
        if len(none):
            limit = _rejection_limit(np.array([n]))
            ax.plot([lowest, none[-1]], [*limit, *limit], color=look["color"], linewidth=0.8)
            _arrows(ax, none[-1:], limit, look["color"])
    ax.set(xlabel=r"Signal efficiency $\varepsilon_S$", xlim=(lowest, 1), yscale="log")
    ax.set_ylabel(r"Background rejection $1/\varepsilon_B$")
    ax.set_ylim(bottom=1)
    numbers = {(round(c.n_signal), round(c.n_background)) for c in results.values()}
    said = "{:,} signal, {:,} background".format(*numbers.pop()) if len(numbers) == 1 else None
    ax.legend(loc="upper right", title=said)
    return ax


def _shifted(edges: np.ndarray, i: int, n: int) -> np.ndarray:
    """Centres of bins, moved a little so that points of curve i of n do not cover each other."""
    return (edges[1:] + edges[:-1]) / 2 + (i - (n - 1) / 2) * 0.08 * np.diff(edges)


def _points(ax: Axes, x: np.ndarray, edges: np.ndarray, some: np.ndarray, y, low, high, **look):
    """Points at x [bin], as wide as their bins, for the bins `some`; y, low, high there."""
    width = np.stack([x - edges[:-1], edges[1:] - x])[:, some]
    options = {"linestyle": "", "markersize": 5}
    ax.errorbar(x[some], y, np.stack([y - low, high - y]), width, **{**look, **options})


def _finish(ax: Axes, curves: Mapping[str, metrics.EfficiencyCurve], **labels: str) -> Axes:
    ends = np.array([c.edges[[0, -1]] for c in curves.values()])
    ax.set(xlim=(ends[:, 0].min(), ends[:, 1].max()), **labels)
    _room(ax, 0.08 + 0.07 * len(curves))
    ax.legend(loc="upper left")
    return ax


def efficiency_against(
    ax: Axes,
    curves: Mapping[str, metrics.EfficiencyCurve],
    *,
    xlabel: str = r"Jet $p_T$ [GeV]",
    ylabel: str = "Efficiency",
) -> Axes:
    """Efficiency in bins, with intervals of one standard deviation. curves: by label."""
    for i, (label, c) in enumerate(curves.items()):
        x, some = _shifted(c.edges, i, len(curves)), np.isfinite(c.value)
        bars = c.value[some], c.low[some], c.high[some]
        _points(ax, x, c.edges, some, *bars, label=label, **_look(i, marker=True))
    ax.set_ylim(bottom=0)
    return _finish(ax, curves, xlabel=xlabel, ylabel=ylabel)


def rejection_against(
    ax: Axes,
    curves: Mapping[str, metrics.EfficiencyCurve],
    *,
    xlabel: str = r"Jet $p_T$ [GeV]",
    ylabel: str = r"Background rejection $1/\varepsilon_B$",
) -> Axes:
    """Rejection in bins, from efficiencies of background; arrows up are 95 % lower limits.

    curves: by label, of the background that passes. Bins with no event at all are left out.
    """
    ax.set_yscale("log")
    for i, (label, c) in enumerate(curves.items()):
        x, look = _shifted(c.edges, i, len(curves)), _look(i, marker=True)
        some = (c.value > 0) & (c.low > 0)
        bars = (1 / eps[some] for eps in (c.value, c.high, c.low))
        _points(ax, x, c.edges, some, *bars, label=label, **look)
        none = ~some & (c.n > 0)
        limit = _rejection_limit(c.n[none])
        _points(ax, x, c.edges, none, limit, limit, limit, **{**look, "marker": ""})
        _arrows(ax, x[none], limit, look["color"])
    return _finish(ax, curves, xlabel=xlabel, ylabel=ylabel)


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
        look = _look(i)
        ax.stairs(y, grid, label=f"{name} ({n:,})", baseline=None, linewidth=1.8, **look)
        _band(ax, grid, y, error, look["color"])
    filled = np.concatenate([y[y > 0] for y, *_ in shapes.values()])
    ax.set(ylabel="Probability density" + (f" [1/{unit}]" if unit else ""))
    ax.set(yscale="log" if log else "linear")
    ax.set_ylim(bottom=filled.min(initial=1) / 3 if log else 0)
    _room(ax, 0.08 + 0.07 * len(shapes))
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
    _band(ax, grid, reference * scale, error * scale, LOOKS[0]["color"])
    ax.axhline(1, color=LOOKS[0]["color"], linewidth=1)
    highest = 1.6
    for i, (y, error, *_) in enumerate(shapes[1:], 1):
        some, x = (reference > 0) & (error > 0), _shifted(grid, i - 1, len(shapes) - 1)
        look = {**_look(i, marker=True), "linestyle": "", "markersize": 4}
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


def confusion(ax: Axes, result: metrics.Confusion, names: Sequence[str]) -> Axes:
    """Confusion matrix in shades of grey, in percent with errors; rows are the true class.

    names: [class].
    """
    n = len(result.value)
    if len(names) != n:
        counting.fail("names", f"{len(names)} names", f"{n}, one a class")
    ax.imshow(result.value, cmap="Greys", vmin=0, vmax=2)  # black text stays readable
    size = min(14.0, 80 / n)
    for i, j in np.ndindex(n, n):
        value, error = 100 * result.value[i, j], 100 * result.error[i, j]
        if np.isfinite(value):
            text = f"{value:.1f}\n±{error:.1f}"
            ax.text(j, i, text, ha="center", va="center", fontsize=size)
    rotation = 45 if n > 4 else 0
    ax.set_xticks(range(n), names, rotation=rotation, ha="right" if rotation else "center")
    ax.set_yticks(range(n), names)
    ax.tick_params(which="both", length=0)
    ax.minorticks_off()
    ax.set(xlabel="Predicted class [% of true class]", ylabel="True class")
    return ax


def history(
    ax: Axes,
    curves: Mapping[str, Sequence[ArrayLike]],
    *,
    xlabel: str = "Step",
    ylabel: str = "Loss",
) -> Axes:
    """Training curves. curves: by label (steps [point], values [point]), or with errors [point].

    A curve of more than 200 points is drawn faintly, below its mean over 1/50 of its length.
    """
    for i, (label, (steps, values, *errors)) in enumerate(curves.items()):
        look = _look(i, marker=True)
        x, y = counting.read("steps", steps), counting.read("values", values)
        if len(x) > 200:
            ax.plot(x, y, color=look["color"], alpha=0.25, linewidth=0.6)
            width = len(x) // 50
            x, y = (np.convolve(z, np.full(width, 1 / width), "valid") for z in (x, y))
        few = len(x) <= 40
        look["marker"] = look["marker"] if few else None
        ax.plot(x, y, label=label, markersize=4, **look)
        if errors and len(x) <= 200:
            error = counting.read("errors", errors[0], len(x))
            ax.fill_between(x, y - error, y + error, color=look["color"], alpha=0.25, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="best")
    return ax
