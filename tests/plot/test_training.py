"""Training curves: smoothed where they are long."""

import numpy as np

from hepjax import plot

RNG = np.random.default_rng(0)


def test_history_smooths_long_curves_only(ax, legend):
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
