"""What a classifier says beside what is true: confusion matrix and reliability.

>>> from matplotlib.figure import Figure
>>> result = metrics.confusion([0, 1], [0, 1], 2)
>>> confusion(Figure().add_subplot(), result, ["QCD", "top"]).get_ylabel()
'True class'
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from hepjax import calibration, counting, metrics
from hepjax.plot import style


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


def reliability(
    ax: Axes,
    results: Mapping[str, calibration.Reliability],
    *,
    difference_ax: Axes | None = None,
    xlabel: str = "Probability of the chosen class",
    ylabel: str = "Share that is right",
) -> Axes:
    """Share of events that are right against the probability said, with binomial errors.

    results: by label, before and after a temperature for instance; the legend gives the calibration
    errors, and beside the diagonal what a perfect classifier would have with the first sample.
    difference_ax: for true minus said, with a band of the errors.
    """
    ends = np.array([(r.said.min(), r.said.max()) for r in results.values()])
    span = ends[:, 0].min(), ends[:, 1].max()
    noise = next(iter(results.values())).noise
    ax.plot(span, span, color="grey", linewidth=1, label=f"perfect, finite sample: {noise:.4f}")
    for i, (label, r) in enumerate(results.items()):
        look = style.look(i, marker=True)
        gap = f"{r.calibration_error.value:.4f} ± {r.calibration_error.error:.4f}"
        ax.errorbar(r.said, r.true, r.error, markersize=5, label=f"{label}: {gap}", **look)
        if difference_ax is not None:
            y, color = r.true - r.said, look["color"]
            difference_ax.plot(r.said, y, markersize=4, **look)
            options = {"color": color, "alpha": 0.2, "linewidth": 0}
            difference_ax.fill_between(r.said, y - r.error, y + r.error, **options)
    ax.set(ylabel=ylabel)
    ax.legend(loc="upper left", title="Calibration error")
    style.room(ax, 0.1)
    if difference_ax is not None:
        difference_ax.axhline(0, color="grey", linewidth=1)
        difference_ax.set_ylabel("True - said")
    (difference_ax or ax).set_xlabel(xlabel)
    return ax
