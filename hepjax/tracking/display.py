"""An event as a picture: hits, true tracks and found ones, on paper and in a browser.

`picture` draws two projections, across the beam and along it; `page` writes one HTML file that
needs no network, in which the event can be zoomed, moved and asked. Found tracks that belong to no
particle by LHCb's rule (more than 70 % of their hits) are ghosts and look different.

>>> from matplotlib.figure import Figure
>>> event = hits.Event({k: np.arange(4.0) for k in "xyz"} | {"module": np.arange(4)},
...                    {"pid": np.array([211])}, np.stack([np.arange(4), np.zeros(4, int)], -1))
>>> axes = Figure().subplots(1, 2)
>>> picture(axes, event, event.truth)[1].get_xlabel()
'z [mm]'
"""

import importlib.resources
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hepjax import runs
from hepjax.io import hits
from hepjax.tracking import data, metrics

EVENT = "/*EVENT*/null"


def lists(pairs: np.ndarray, along: np.ndarray) -> list[list[int]]:
    """Turn pairs (hit, track) [pair, 2] into the hits of each track, in order of `along` [hit]."""
    n = int(pairs[:, 1].max(initial=-1)) + 1
    order = np.lexsort((along[pairs[:, 0]], pairs[:, 1])) if len(pairs) else np.zeros(0, int)
    ends = np.searchsorted(pairs[order, 1], np.arange(n + 1))
    return [pairs[order[a:b], 0].tolist() for a, b in itertools.pairwise(ends)]


def ghosts(event: hits.Event, found: np.ndarray) -> np.ndarray:
    """Tell which tracks belong to no particle [track] bool; none without truth."""
    if not len(event.truth):
        return np.zeros(int(found[:, 1].max(initial=-1)) + 1, bool)
    return metrics.match(found, event.truth, style="lhcb").particle_of < 0


def picture(axes: Sequence[Axes] | np.ndarray, event: hits.Event, found: np.ndarray) -> Any:
    """Draw an event on two axes, x-y and z-r: hits grey, true tracks thin, found ones coloured.

    found: pairs (hit, track) [pair, 2]; ghosts are red and dashed. Returns the axes.
    """
    position = data.position(event)
    x, y, z = position.T
    r = np.hypot(x, y) * np.where(x < 0, -1, 1)
    is_ghost = ghosts(event, found)
    axes[0].set_aspect("equal", adjustable="datalim")
    for ax, (u, v), names in zip(axes, ((x, y), (z, r)), (("x", "y"), ("z", "signed r"))):
        ax.plot(u, v, ".", color="0.6", markersize=2, label="hits")
        for k, track in enumerate(lists(event.truth, z)):
            ax.plot(u[track], v[track], "k-", linewidth=0.4, label="" if k else "particles")
        for k, track in enumerate(lists(found, z)):
            look: dict[str, Any] = {"color": f"C{k % 10}", "linewidth": 1.2}
            if is_ghost[k]:
                look = {"color": "red", "linestyle": "--", "linewidth": 1.2}
            ax.plot(u[track], v[track], alpha=0.7, **look)
        ax.set(xlabel=f"{names[0]} [mm]", ylabel=f"{names[1]} [mm]")
    return axes


def page(path: str | Path, event: hits.Event, found: np.ndarray, *, about: str = "") -> None:
    """Write an interactive page of one event.

    found: pairs (hit, track) [pair, 2]; about: a line above it.
    """
    z = event.hits["z"]
    content = {
        "about": about,
        "hits": data.position(event).round(4).tolist(),
        "true": lists(event.truth, z),
        "found": lists(found, z),
        "ghost": ghosts(event, found).tolist(),
    }
    text = importlib.resources.files("hepjax.tracking").joinpath("display.html").read_text()
    safe = json.dumps(content).replace("<", "\\u003c")
    runs.write_atomically(path, lambda file: file.write_text(text.replace(EVENT, safe)))
