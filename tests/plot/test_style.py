"""Figures: files whole or absent, no trace in matplotlib, curves that grey tells apart."""

import matplotlib
import numpy as np
import pytest

from hepjax import metrics, plot
from hepjax.plot import style

RNG = np.random.default_rng(0)
LABEL = np.repeat([1, 0], 400)
SCORE = np.concatenate([RNG.beta(4, 2, 400), RNG.beta(2, 4, 400)])
OTHER = np.clip(SCORE + RNG.normal(0, 0.2, 800), 0, 1)
MASS = RNG.gamma(3, 30, 400)
EDGES = np.linspace(550, 650, 5)


def curve(passed=None):
    passed = LABEL == 1 if passed is None else passed
    return metrics.efficiency_against(np.linspace(550, 650, 800), passed, EDGES)


def test_figure_writes_png_and_pdf_and_leaves_no_trace(tmp_path):
    before = dict(matplotlib.rcParams)
    with plot.figure(tmp_path / "plots" / "empty.png") as ax:
        assert matplotlib.rcParams["xtick.direction"] == "in"
        plot.sample(ax, "Pythia 8, 14 TeV", "20,000 jets")
        assert plot.sample(ax, "Pythia 8").get_title(loc="right") == "20,000 jets"
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == ["empty.pdf", "empty.png"]
    assert (tmp_path / "plots" / "empty.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "plots" / "empty.pdf").read_bytes()[:4] == b"%PDF"
    assert dict(matplotlib.rcParams) == before


def test_a_failed_figure_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "roc.png").write_text("old")
    before = dict(matplotlib.rcParams)
    with pytest.raises(RuntimeError), plot.figure_with_ratio(tmp_path / "roc"):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["roc.png"]
    assert (tmp_path / "roc.png").read_text() == "old"
    assert dict(matplotlib.rcParams) == before


def test_every_plot_can_be_saved_without_a_warning(tmp_path, monkeypatch):
    """One figure for all: warnings of drawing are errors here."""
    monkeypatch.setattr(style, "FORMATS", ("png",))
    with style.drawn(tmp_path / "all", 12) as figure:
        axes = figure.subplots(4, 2).ravel()
        plot.roc(axes[0], {"a": metrics.roc(SCORE, LABEL), "b": metrics.roc(OTHER, LABEL)})
        plot.efficiency_against(axes[1], {"a": curve(), "b": curve(SCORE > 0.9)})
        plot.rejection_against(axes[2], {"a": curve(SCORE > 0.9)})
        plot.scores(axes[3], {"top": SCORE[:400], "QCD": SCORE[400:]})
        cut = {"half": SCORE[400:] > 0.5}
        plot.mass_sculpting(axes[4], MASS, cut, np.linspace(0, 300, 9), ratio_ax=axes[5])
        plot.confusion(axes[6], metrics.confusion(LABEL, SCORE > 0.5, 2), ["QCD", "top"])
        plot.history(axes[7], {"train": (np.arange(300), np.ones(300))})
    assert (tmp_path / "all.png").stat().st_size > 20_000


def test_curves_differ_by_more_than_colour():
    looks = [plot.look(i, marker=True) for i in range(len(plot.LOOKS))]
    for key in ("linestyle", "marker", "color"):
        assert len({str(look[key]) for look in looks}) == len(looks)
    assert plot.look(len(looks))["alpha"] < 1
