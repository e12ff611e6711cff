"""Plots of coverage, ranks and resolution: what they draw is what was counted."""

import numpy as np
import pytest

from hepjax import coverage, plot, resolution

RNG = np.random.default_rng(0)
LEVEL = RNG.random(500)


@pytest.mark.smoke
def test_shares_against_nominal_with_a_band(ax, legend):
    curves = {"flow": coverage.probability_curve(LEVEL)}
    curves["Fisher"] = coverage.probability_curve(np.sqrt(RNG.random(2000)))
    plot.probability(ax, curves)
    x, y = ax.lines[1].get_data()
    np.testing.assert_array_equal(x, curves["flow"].nominal)
    np.testing.assert_array_equal(y, curves["flow"].value)
    assert legend(ax)[0] == "500 events"
    assert legend(ax)[1].startswith("flow ($p$ =")
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() >= 0
    assert ax.get_xlim() == (0, 1)


def test_differences_are_per_cent(ax):
    curve = coverage.probability_curve(LEVEL)
    plot.probability(ax, {"flow": curve}, difference=True)
    np.testing.assert_allclose(ax.lines[1].get_ydata(), 100 * (curve.value - curve.nominal))
    assert "%" in ax.get_ylabel()
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(100 * np.sqrt(0.25 / 500), rel=0.1)


def test_ranks_over_what_is_expected(ax, legend):
    plot.ranks(ax, {"flow": LEVEL, "half": LEVEL / 2}, n_bins=10)
    values, edges, _ = ax.patches[1].get_data()
    np.testing.assert_allclose(values, np.histogram(LEVEL, edges)[0] / 50)
    half, *_ = ax.patches[2].get_data()
    assert half[5:].sum() == 0
    assert half.mean() == pytest.approx(1)
    assert legend(ax) == ["500 events", "flow", "half"]


def test_coverage_in_bins_less_nominal(ax, legend):
    energy, edges = RNG.uniform(2, 5, 500), [2, 3, 4, 5, 6]
    curves = coverage.coverage_against(energy, LEVEL, edges, (0.5, 0.9))
    plot.coverage_against(ax, curves, xlabel="Energy", band=0.03)
    assert legend(ax) == ["50 %", "90 %"]
    found = ax.containers[1].lines[0].get_ydata()
    np.testing.assert_allclose(found, 100 * (curves[0.9].value[:3] - 0.9))  # the last bin is empty
    assert ax.patches[0].get_y() == -3
    assert ax.get_xlim() == (2, 6)


def test_resolution_in_degrees(ax, legend):
    energy, error = RNG.uniform(2, 5, 300), RNG.exponential(0.01, 300)
    curve = resolution.quantiles_against(energy, error, [2, 3, 4, 5, 6])
    plot.resolution_against(ax, {"flow": curve})
    assert legend(ax) == ["flow, 50 %", "flow, 68 %", "flow, 90 %"]
    found = ax.containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(found, np.degrees(curve.value[0][:3]))  # the last bin is empty
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "Angular error [deg]"


def test_bad_ranks_are_named(ax):
    with pytest.raises(ValueError, match="flow"):
        plot.ranks(ax, {"flow": [[0.1]]})
