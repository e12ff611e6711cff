"""The look of all plots: HEP's, readable in grey, in files that are written whole or not at all.

`figure` opens an Axes in the look of mplhep, `drawn` a Figure, and leave matplotlib's settings as
they found them; `sample` writes what the events are above the frame. `look` gives colour, line and
marker of a curve, `room` makes place for a legend.

>>> look(1, marker=True)["marker"]
's'
"""

import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
LAYOUT = "constrained"
"""How Axes are laid out: matplotlib's name."""


def look(i: int, *, marker: bool = False) -> dict[str, Any]:
    """Colour, line and, if asked for, marker of curve i; fainter where LOOKS are used up."""
    chosen = dict(LOOKS[i % len(LOOKS)])
    if i >= len(LOOKS):
        chosen["alpha"] = 0.5
    if not marker:
        del chosen["marker"]
    return chosen


@contextmanager
def drawn(path: str | os.PathLike, height: float) -> Iterator[Figure]:
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
        figure = Figure(figsize=(7, height), layout=LAYOUT)
        yield figure
        layout = figure.get_layout_engine()
        if layout is not None:  # once, for all formats
            layout.execute(figure)
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
    with drawn(path, height) as whole:
        yield whole.add_subplot()


@contextmanager
def figure_with_ratio(
    path: str | os.PathLike, *, height: float = 6.5
) -> Iterator[tuple[Axes, Axes]]:
    """As `figure`, with a lower Axes for a ratio that shares x."""
    with drawn(path, height) as whole:
        upper, lower = whole.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1), "hspace": 0.03}
        )
        yield upper, lower


def sample(ax: Axes, what: str, n: str = "") -> Axes:
    """Say above the frame what the events are (left) and how many (right, as it is if empty)."""
    ax.set_title(textwrap.fill(what, 85), loc="left")
    if n:
        ax.set_title(n, loc="right")
    return ax


def room(ax: Axes, fraction: float) -> None:
    """Leave this fraction of the frame's height free at the top, for a legend."""
    low, high = ax.get_ylim()[0], ax.dataLim.y1
    if ax.get_yscale() == "log":
        ax.set_ylim(low, high * (high / low) ** (fraction / (1 - fraction)))
    else:
        ax.set_ylim(low, high + (high - low) * fraction / (1 - fraction))


def shifted(edges: np.ndarray, i: int, n: int) -> np.ndarray:
    """Centres of bins, moved a little so that points of curve i of n do not cover each other."""
    return (edges[1:] + edges[:-1]) / 2 + (i - (n - 1) / 2) * 0.08 * np.diff(edges)
