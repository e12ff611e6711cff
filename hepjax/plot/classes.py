"""What a classifier says beside what is true: the confusion matrix.

>>> from matplotlib.figure import Figure
>>> result = metrics.confusion([0, 1], [0, 1], 2)
>>> confusion(Figure().add_subplot(), result, ["QCD", "top"]).get_ylabel()
'True class'
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from hepjax import counting, metrics


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
