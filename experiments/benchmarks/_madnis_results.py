"""Numbers and the plot of madnis_vs_peers.py: a ratio is ours over theirs, with its error."""

from typing import Any

import numpy as np
from _clock import middle

from hepjax import plot, runs


def ratio(name: str, ours: Any, theirs: Any) -> dict[str, float]:
    """Compare alternated CPU seconds, ours over theirs: median of the ratios, its error, range."""
    each = np.asarray(ours) / np.asarray(theirs)
    value, error = middle(each)
    found = {"": value, "_error": error, "_min": each.min(), "_max": each.max()}
    found |= {"_seconds_ours": np.median(ours), "_seconds_madnis": np.median(theirs)}
    return {f"{name}_ratio{end}": float(x) for end, x in found.items()}


def spreads(ours: Any, theirs: Any) -> dict[str, Any]:
    """Compare relative standard deviations by seed: medians and their ratio, with errors."""
    (value, error), (other, other_error) = middle(ours), middle(theirs)
    relative = float(np.hypot(error / value, other_error / other))
    found = {"rsd": value, "rsd_error": error, "rsd_madnis": other}
    found |= {"rsd_madnis_error": other_error, "rsd_ratio": value / other}
    return found | {"rsd_ratio_error": relative * value / other}


def draw_plot(run: runs.Run, results: dict[str, Any]) -> None:
    """Show relative standard deviations by seed, of flows of both sides and of vegas' map."""
    names = {"rsd": "hepjax", "rsd_madnis": "madnis 1.0.0", "rsd_vegas": "vegas 6.4.1, map"}
    with plot.figure(run.path / "plots" / "rsd") as ax:
        for k, (key, name) in enumerate(names.items()):
            look = plot.look(k, marker=True)
            for place, case in enumerate(results):
                y = results[case]["by_seed"][key]
                x = place + (k - 1) / 4 + np.linspace(-0.08, 0.08, len(y))
                marks = {**look, "linestyle": ""}
                ax.plot(x, y, label=name if place == 0 else None, **marks)
        ax.set(ylabel="Relative standard deviation", yscale="log")
        ax.set_xticks(range(len(results)), list(results))
        plot.sample(ax, "one point a seed")
        ax.legend()
