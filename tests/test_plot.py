"""Plots: what is drawn, labels with units, files whole or absent, no trace in matplotlib."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from hepjax import metrics, plot

RNG = np.random.default_rng(0)
LABEL = np.repeat([1, 0], 400)
SCORE = np.concatenate([RNG.beta(4, 2, 400), RNG.beta(2, 4, 400)])
OTHER = np.clip(SCORE + RNG.normal(0, 0.2, 800), 0, 1)
MASS = RNG.gamma(3, 30, 400)
EDGES = np.linspace(550, 650, 5)


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def both():
    return Figure().subplots(2, 1, sharex=True)


def curve(passed=None):
    passed = LABEL == 1 if passed is None else passed
    return metrics.efficiency_against(np.linspace(550, 650, 800), passed, EDGES)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


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
    monkeypatch.setattr(plot, "FORMATS", ("png",))
    with plot._drawn(tmp_path / "all", 12) as figure:
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


def test_roc_draws_rejection_with_a_band_and_says_how_many(ax):
    result = metrics.roc(SCORE, LABEL)
    assert plot.roc(ax, {"ParT": result, "Trees": metrics.roc(OTHER, LABEL)}) is ax
    assert legend(ax) == ["ParT", "Trees"]
    assert len(ax.collections) >= 2  # a band each
    assert ax.get_yscale() == "log"
    assert ax.get_legend().get_title().get_text() == "400 signal, 400 background"
    x, y = ax.get_lines()[0].get_data()
    at = np.searchsorted(result.signal_efficiency, x)
    np.testing.assert_allclose(x, result.signal_efficiency[at])
    assert np.isfinite(y).all()
    assert {line.get_linestyle() for line in ax.get_lines() if len(line.get_xdata()) > 2} >= {
        "-",
        "--",
    }


def test_roc_without_background_ends_in_an_arrow_at_the_limit(ax):
    score, label = (
        np.concatenate([np.linspace(0, 1, 100), np.zeros(300)]),
        np.repeat([1, 0], [100, 300]),
    )
    plot.roc(ax, {"sharp": metrics.roc(score, label)})
    limit = metrics.rejection(score, label, 0.5).value
    heights = [line.get_ydata()[0] for line in ax.get_lines()[1:]]
    np.testing.assert_allclose(heights[0], limit)
    assert all(np.isfinite(line.get_ydata()).all() for line in ax.get_lines())


def test_roc_of_many_events_is_thinned(ax):
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 50_000)
    plot.roc(ax, {"many": metrics.roc(rng.normal(label), label)})
    assert 500 < len(ax.get_lines()[0].get_xdata()) <= 1001


def test_roc_takes_negative_weights(ax):
    weight = RNG.choice([1.0, -0.4], 800, p=[0.8, 0.2])
    plot.roc(ax, {"weighted": metrics.roc(SCORE, LABEL, weight)})
    assert np.isfinite(ax.get_lines()[0].get_ydata()).all()


def test_curves_differ_by_more_than_colour():
    looks = [plot._look(i, marker=True) for i in range(len(plot.LOOKS))]
    for key in ("linestyle", "marker", "color"):
        assert len({str(look[key]) for look in looks}) == len(looks)
    assert plot._look(len(looks))["alpha"] < 1


def test_efficiency_has_units_errors_and_starts_at_zero(ax):
    plot.efficiency_against(ax, {"ParT": curve(), "Trees": curve(SCORE > 0.5)})
    assert ax.get_xlabel() == r"Jet $p_T$ [GeV]"
    assert ax.get_ylim()[0] == 0
    assert ax.get_xlim() == (550, 650)
    assert len(ax.containers) == 2
    assert all(bars.has_xerr and bars.has_yerr for bars in ax.containers)


def test_efficiency_leaves_out_empty_bins(ax):
    result = metrics.efficiency_against([560, 561], [1, 0], EDGES)
    plot.efficiency_against(ax, {"few": result})
    assert len(ax.containers[0].lines[0].get_xdata()) == 1


def test_rejection_is_one_over_efficiency_and_limits_are_arrows(ax):
    passed = np.zeros(800, bool)
    passed[[3, 300, 500]] = True
    result = curve(passed)
    plot.rejection_against(ax, {"ParT": result})
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), 1 / result.value[:3])
    limits = ax.containers[2]  # after the points and the bars of the limits
    np.testing.assert_allclose(limits.lines[0].get_ydata(), 1 / (1 - 0.05 ** (1 / result.n[3])))
    assert ax.get_yscale() == "log"


def test_scores_are_densities_with_bands(ax):
    plot.scores(ax, {"top": SCORE[:400], "QCD": SCORE[400:]})
    assert legend(ax) == ["top (400)", "QCD (400)"]
    values, edges, _ = ax.patches[0].get_data()
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)
    assert len(ax.patches) == 4  # a line and a band each
    assert ax.get_xlim() == (0, 1)


def test_densities_count_events_outside_and_weights(ax):
    weights = {"a": [1.0, 1, 2], "b": [1.0, 0, 3]}
    samples = {"a": [0.5, 0.5, 7], "b": [0.5, np.nan, 0.5]}
    plot.compare(ax, samples, [0, 1], quantity="Jet mass", unit="GeV", weights=weights)
    lines = [patch.get_data() for patch in ax.patches[::2]]
    assert [line.values[0] for line in lines] == [0.5, 1]
    assert legend(ax) == ["a (3)", "b (2)"]
    assert ax.get_xlabel() == "Jet mass [GeV]"
    assert ax.get_ylabel() == "Probability density [1/GeV]"


def test_ratio_is_to_the_first_and_leaves_room_for_it(both):
    upper, lower = both
    samples = {"reference": [0.5, 0.5, 1.5, 1.5], "own": [0.5, 1.5, 1.5, 1.5]}
    plot.compare(upper, samples, [0, 1, 2], quantity="Constituents", ratio_ax=lower)
    np.testing.assert_allclose(lower.containers[0].lines[0].get_ydata(), [0.5, 1.5])
    assert lower.get_ylabel() == "Ratio to\nreference"
    assert lower.get_xlabel() == "Constituents"
    assert upper.get_xlabel() == ""
    assert lower.get_ylim()[0] == 0 < 1.5 < lower.get_ylim()[1]


def test_mass_sculpting_draws_all_background_and_each_cut(both):
    cuts = {"loose": SCORE[400:] > 0.2, "tight": SCORE[400:] > 0.5}
    plot.mass_sculpting(both[0], MASS, cuts, np.linspace(0, 300, 7), ratio_ax=both[1])
    n = [400, cuts["loose"].sum(), cuts["tight"].sum()]
    assert legend(both[0]) == [f"{k} ({m})" for k, m in zip(("All background", *cuts), n)]
    assert both[1].get_xlabel() == "Jet mass [GeV]"
    with pytest.raises(ValueError, match=r"passed\['odd'\]: found shape"):
        plot.mass_sculpting(both[0], MASS, {"odd": [True]}, [0, 300])


def test_confusion_writes_percent_with_errors(ax):
    result = metrics.confusion([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], 3)
    plot.confusion(ax, result, ["QCD", "W", "top"])
    texts = [text.get_text() for text in ax.texts]
    assert texts == [
        "75.0\n±21.7",
        "25.0\n±21.7",
        "0.0\n±0.0",
        "0.0\n±0.0",
        "100.0\n±0.0",
        "0.0\n±0.0",
    ]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["QCD", "W", "top"]
    assert ax.get_xlabel() == "Predicted class [% of true class]"
    with pytest.raises(ValueError, match="names: found 2 names"):
        plot.confusion(ax, result, ["QCD", "W"])


def test_history_smooths_long_curves_only(ax):
    steps = np.arange(1000.0)
    noisy, few = 5 - steps / 250 + RNG.normal(0, 0.1, 1000), np.arange(5.0)
    plot.history(ax, {"Training": (steps, noisy), "Validation": (few, few, 0.1 * np.ones(5))})
    raw, mean, short = ax.get_lines()
    assert len(raw.get_xdata()) == 1000
    np.testing.assert_allclose(mean.get_ydata(), 5 - mean.get_xdata() / 250, atol=0.1)
    assert np.std(np.diff(mean.get_ydata())) < 0.1 * np.std(np.diff(noisy))
    np.testing.assert_array_equal(short.get_ydata(), few)
    assert len(ax.collections) == 1  # the errors given
    assert legend(ax) == ["Training", "Validation"]


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [[0.1, 0.2]]])
def test_bad_samples_are_named(ax, bad):
    with pytest.raises(ValueError, match="x: found"):
        plot.scores(ax, {"top": bad})
