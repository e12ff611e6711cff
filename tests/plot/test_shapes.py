"""Distributions: densities, ratios, weights, and what a cut does to the mass."""

import numpy as np
import pytest

from hepjax import plot

RNG = np.random.default_rng(0)
SCORE = np.concatenate([RNG.beta(4, 2, 400), RNG.beta(2, 4, 400)])
MASS = RNG.gamma(3, 30, 400)


def test_scores_are_densities_with_bands(ax, legend):
    plot.scores(ax, {"top": SCORE[:400], "QCD": SCORE[400:]})
    assert legend(ax) == ["top (400)", "QCD (400)"]
    values, edges, _ = ax.patches[0].get_data()
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)
    assert len(ax.patches) == 4  # a line and a band each
    assert ax.get_xlim() == (0, 1)


def test_densities_count_events_outside_and_weights(ax, legend):
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


def test_mass_sculpting_draws_all_background_and_each_cut(both, legend):
    cuts = {"loose": SCORE[400:] > 0.2, "tight": SCORE[400:] > 0.5}
    plot.mass_sculpting(both[0], MASS, cuts, np.linspace(0, 300, 7), ratio_ax=both[1])
    n = [400, cuts["loose"].sum(), cuts["tight"].sum()]
    assert legend(both[0]) == [f"{k} ({m})" for k, m in zip(("All background", *cuts), n)]
    assert both[1].get_xlabel() == "Jet mass [GeV]"
    with pytest.raises(ValueError, match=r"passed\['odd'\]: found shape"):
        plot.mass_sculpting(both[0], MASS, {"odd": [True]}, [0, 300])


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [[0.1, 0.2]]])
def test_bad_samples_are_named(ax, bad):
    with pytest.raises(ValueError, match="x: found"):
        plot.scores(ax, {"top": bad})
