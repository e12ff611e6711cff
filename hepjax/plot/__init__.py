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

from hepjax.plot.classes import confusion, reliability
from hepjax.plot.coverage import coverage_against, probability, ranks, resolution_against
from hepjax.plot.rates import efficiency_against, rejection_against, roc
from hepjax.plot.shapes import compare, mass_sculpting, scores
from hepjax.plot.sky import all_sky, zoomed
from hepjax.plot.style import LOOKS, figure, figure_with_ratio, look, sample
from hepjax.plot.training import history

__all__ = [
    "LOOKS",
    "all_sky",
    "compare",
    "confusion",
    "coverage_against",
    "efficiency_against",
    "figure",
    "figure_with_ratio",
    "history",
    "look",
    "mass_sculpting",
    "probability",
    "ranks",
    "rejection_against",
    "reliability",
    "resolution_against",
    "roc",
    "sample",
    "scores",
    "zoomed",
]
