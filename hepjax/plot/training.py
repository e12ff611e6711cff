"""How a training went: losses against the step.

>>> from matplotlib.figure import Figure
>>> history(Figure().add_subplot(), {"train": ([0, 1], [2.0, 1.0])}).get_xlabel()
'Step'
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from hepjax import counting
from hepjax.plot import style


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
        look = style.look(i, marker=True)
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
