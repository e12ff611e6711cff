"""ROC curves, efficiencies and rejections: bands, limits as arrows, axes with units."""

import numpy as np
import pytest

from hepjax import metrics, plot

RNG = np.random.default_rng(0)
LABEL = np.repeat([1, 0], 400)
SCORE = np.concatenate([RNG.beta(4, 2, 400), RNG.beta(2, 4, 400)])
OTHER = np.clip(SCORE + RNG.normal(0, 0.2, 800), 0, 1)
EDGES = np.linspace(550, 650, 5)


def curve(passed=None):
    passed = LABEL == 1 if passed is None else passed
    return metrics.efficiency_against(np.linspace(550, 650, 800), passed, EDGES)


def test_roc_draws_rejection_with_a_band_and_says_how_many(ax, legend):
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


def test_efficiency_has_units_errors_and_starts_at_zero(ax):
    plot.efficiency_against(ax, {"ParT": curve(), "Trees": curve(SCORE > 0.5)})
    assert ax.get_xlabel() == r"Jet $p_T$ [GeV]"
    assert ax.get_ylim()[0] == 0
    assert ax.get_xlim() == (550, 650)
    assert len(ax.containers) == 2
    assert all(bars.has_xerr and bars.has_yerr for bars in ax.containers)


def test_high_efficiencies_fill_the_frame(ax):
    x = np.linspace(550, 650, 8000)
    high = metrics.efficiency_against(x, np.arange(8000) % 20 > 0, EDGES)
    plot.efficiency_against(ax, {"high": high})
    assert ax.get_ylim()[0] == pytest.approx(0.9)
    assert high.low.min() > 0.9


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
