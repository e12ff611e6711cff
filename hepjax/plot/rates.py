"""How often signal and background pass: ROC curves, efficiencies and rejections in bins.

>>> from matplotlib.figure import Figure
>>> curve = metrics.roc([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0])
>>> roc(Figure().add_subplot(), {"tagger": curve}).get_yscale()
'log'
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from hepjax import counting, metrics
from hepjax.plot import style


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
        look = style.look(i)
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


def _points(ax: Axes, x: np.ndarray, edges: np.ndarray, some: np.ndarray, y, low, high, **look):
    """Points at x [bin], as wide as their bins, for the bins `some`; y, low, high there."""
    width = np.stack([x - edges[:-1], edges[1:] - x])[:, some]
    options = {"linestyle": "", "markersize": 5}
    ax.errorbar(x[some], y, np.stack([y - low, high - y]), width, **{**look, **options})


def _finish(ax: Axes, curves: Mapping[str, metrics.EfficiencyCurve], **labels: str) -> Axes:
    ends = np.array([c.edges[[0, -1]] for c in curves.values()])
    ax.set(xlim=(ends[:, 0].min(), ends[:, 1].max()), **labels)
    style.room(ax, 0.08 + 0.07 * len(curves))
    ax.legend(loc="upper left")
    return ax


def efficiency_against(
    ax: Axes,
    curves: Mapping[str, metrics.EfficiencyCurve],
    *,
    xlabel: str = r"Jet $p_T$ [GeV]",
    ylabel: str = "Efficiency",
) -> Axes:
    """Efficiency in bins, with intervals of one standard deviation. curves: by label.

    The axis begins at 0, or below the lowest interval where all are above 0.7.
    """
    lowest = min((np.nanmin(c.low, initial=1.0) for c in curves.values()), default=0.0)
    for i, (label, c) in enumerate(curves.items()):
        x, some = style.shifted(c.edges, i, len(curves)), np.isfinite(c.value)
        bars = c.value[some], c.low[some], c.high[some]
        _points(ax, x, c.edges, some, *bars, label=label, **style.look(i, marker=True))
    ax.set_ylim(bottom=0 if lowest < 0.7 else np.floor(20 * lowest - 0.5) / 20)
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
        x, look = style.shifted(c.edges, i, len(curves)), style.look(i, marker=True)
        some = (c.value > 0) & (c.low > 0)
        bars = (1 / eps[some] for eps in (c.value, c.high, c.low))
        _points(ax, x, c.edges, some, *bars, label=label, **look)
        none = ~some & (c.n > 0)
        limit = _rejection_limit(c.n[none])
        _points(ax, x, c.edges, none, limit, limit, limit, **{**look, "marker": ""})
        _arrows(ax, x[none], limit, look["color"])
    return _finish(ax, curves, xlabel=xlabel, ylabel=ylabel)
