"""Whether posteriors cover what they say: p-p plots with bands, and ranks.

>>> from matplotlib.figure import Figure
>>> level = np.random.default_rng(0).random(1000)
>>> ax = probability(Figure().add_subplot(), {"flow": coverage.probability_curve(level)})
>>> ax.get_ylabel()
'Share of events within'
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from hepjax import counting, coverage, resolution
from hepjax.plot import style


def probability(
    ax: Axes,
    curves: Mapping[str, coverage.ProbabilityCurve],
    *,
    difference: bool = False,
    xlabel: str = "Nominal probability of the region",
) -> Axes:
    """Share of events within each nominal region; a right posterior stays in the band.

    curves: by label. difference: share minus nominal, in per cent, where a diagonal hides all. The
    band is that of the curve with the fewest events.
    """
    scale = 100.0 if difference else 1.0
    fewest = min(curves.values(), key=lambda c: c.n)
    below = fewest.nominal if difference else 0 * fewest.nominal
    band = scale * (fewest.low - below), scale * (fewest.high - below)
    ax.fill_between(
        fewest.nominal, *band, color="0.8", linewidth=0, label=f"{fewest.n:,.0f} events"
    )
    ax.plot([0, 1], [0, 0] if difference else [0, 1], color="0.4", linewidth=0.8)
    for i, (label, c) in enumerate(curves.items()):
        y = scale * (c.value - c.nominal if difference else c.value)
        ax.plot(c.nominal, y, label=f"{label} ($p$ = {c.p_value:.2g})", **style.look(i))
    ax.set(xlim=(0, 1), xlabel=xlabel)
    ax.set_ylabel("Share within - nominal [%]" if difference else "Share of events within")
    if difference:
        style.room(ax, 0.08 + 0.07 * (len(curves) + 1))
    ax.legend(loc="upper left")
    return ax


def ranks(
    ax: Axes,
    values: Mapping[str, ArrayLike],
    *,
    n_bins: int = 20,
    xlabel: str = "Rank of the truth among samples",
) -> Axes:
    """Ranks or levels in bins over what is expected, with the binomial band.

    values: [event] in [0, 1] by label. A dip in the middle: too narrow; a hill: too wide.
    """
    grid = np.linspace(0, 1, n_bins + 1)
    read = {label: counting.read(label, x) for label, x in values.items()}
    n = min(len(x) for x in read.values())
    error = np.sqrt((1 - 1 / n_bins) * n_bins / n)
    ax.axhspan(1 - error, 1 + error, color="0.8", linewidth=0, label=f"{n:,} events")
    for i, (label, x) in enumerate(read.items()):
        count = np.histogram(x, grid)[0] * n_bins / len(x)
        ax.stairs(count, grid, baseline=None, label=label, linewidth=1.8, **style.look(i))
    ax.set(xlim=(0, 1), xlabel=xlabel, ylabel="Events / expected")
    ax.set_ylim(bottom=0)
    style.room(ax, 0.08 + 0.07 * (len(read) + 1))
    ax.legend(loc="upper right")
    return ax


def coverage_against(
    ax: Axes,
    curves: Mapping[float, counting.EfficiencyCurve],
    *,
    xlabel: str,
    band: float = 0.02,
) -> Axes:
    """Coverage less what is nominal, in per cent, in bins of something else, with intervals of one
    standard deviation; curves: by nominal probability. band: what is still fine.
    """
    ax.axhspan(-100 * band, 100 * band, color="0.9", linewidth=0)
    ax.axhline(0, color="0.4", linewidth=0.8)
    for i, (nominal, c) in enumerate(curves.items()):
        x, some = style.shifted(c.edges, i, len(curves)), np.isfinite(c.value)
        y, low, high = (100 * (a[some] - nominal) for a in (c.value, c.low, c.high))
        width = np.stack([x - c.edges[:-1], c.edges[1:] - x])[:, some]
        look = {**style.look(i, marker=True), "linestyle": "", "markersize": 5}
        bars = np.stack([y - low, high - y])
        ax.errorbar(x[some], y, bars, width, label=f"{100 * nominal:g} %", **look)
    ends = np.array([c.edges[[0, -1]] for c in curves.values()])
    ax.set(xlim=(ends[:, 0].min(), ends[:, 1].max()), xlabel=xlabel)
    ax.set_ylabel("Coverage - nominal [%]")
    style.room(ax, 0.08 + 0.07 * len(curves))
    ax.legend(loc="upper left")
    return ax


def resolution_against(
    ax: Axes,
    curves: Mapping[str, resolution.QuantileCurve],
    *,
    xlabel: str = r"$\log_{10}(E$ / GeV)",
    ylabel: str = "Angular error [deg]",
    scale: float = 180 / np.pi,
) -> Axes:
    """Quantiles of errors in bins with their intervals, on a logarithmic axis.

    curves: by label; one line a share of events each. scale: from the curves' unit to the axis'.
    """
    lines = [
        (f"{label}, {100 * share:g} %", c, k)
        for label, c in curves.items()
        for k, share in enumerate(c.share)
    ]
    lowest = []
    for i, (label, c, k) in enumerate(lines):
        x, some = style.shifted(c.edges, i, len(lines)), np.isfinite(c.value[k])
        y, low, high = (scale * a[k][some] for a in (c.value, c.low, c.high))
        lowest += [*y, *low[low > 0]]
        look = {**style.look(i, marker=True), "linestyle": "", "markersize": 5}
        ax.errorbar(x[some], y, np.stack([y - low, high - y]), label=label, **look)
    ends = np.array([c.edges[[0, -1]] for c in curves.values()])
    ax.set(xlim=(ends[:, 0].min(), ends[:, 1].max()), xlabel=xlabel, ylabel=ylabel, yscale="log")
    if lowest:
        ax.set_ylim(bottom=0.7 * min(lowest))
    style.room(ax, 0.08 + 0.06 * len(lines))
    ax.legend(loc="upper right")
    return ax
