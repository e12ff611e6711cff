"""The check of madnis.py: built matrix elements against a dump of another generator."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from hepjax import plot
from hepjax.integration.amplitudes import tree
from hepjax.io import amplitude_dump


def check(process: str, file: Path, plots: Path) -> dict[str, Any]:
    """Compare |M|^2 at all points of a dump, and draw the differences.

    Raises ValueError for a process that has another number of legs, and a file that is no dump.
    """
    dump = amplitude_dump.read(file)
    plan = tree.build(process)
    found = np.asarray(jax.jit(lambda p: tree.squared(plan, p))(dump.momenta))
    apart = np.abs(found / dump.value - 1)
    with plot.figure(plots / "relative_error") as ax:
        low = np.log10(max(apart[apart > 0].min(initial=1e-17), 1e-17))
        edges = np.logspace(np.floor(low), np.ceil(np.log10(max(apart.max(), 1e-16))) + 1, 41)
        ax.stairs(np.histogram(apart, edges)[0], edges, color="k")
        ax.set(xlabel=r"Relative difference of $|M|^2$", ylabel="Points", xscale="log")
        plot.sample(ax, process, f"{len(apart)} points")
    return {
        "process": process,
        "n": len(apart),
        "relative_error_max": float(apart.max()),
        "relative_error_median": float(np.median(apart)),
    }
