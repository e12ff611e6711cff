"""Reports of posteriors: the plots that are there, and numbers that are those of the events.

One event's is run by the experiment's tests.
"""

import numpy as np
from matplotlib.figure import Figure

from hepjax import sphere
from hepjax.neutrino import data, evaluation, report


def measured(n=4000, power=1.0):
    """Events whose truth is at even levels to a power, 1: as it should be."""
    rng = np.random.default_rng(0)
    zero = np.zeros(n)
    direction = sphere.fibonacci(n)
    truth = data.Truth(np.zeros((n, 3)), direction, zero, rng.uniform(2, 5, n), zero, zero, zero)
    level, angle = rng.random(n) ** power, rng.exponential(0.02, n)
    area = np.stack([angle, 2 * angle, 4 * angle], -1)
    return evaluation.Measured(
        truth, rng.integers(5, 30, n), level, rng.random(n), angle, area, zero
    )


def test_coverage_is_drawn_and_the_worst_bin_told(tmp_path):
    found = report.coverage(tmp_path, measured(), title="a sample", n_bins=5)
    names = ["angle", "coverage", *(f"coverage_{name}" for name in report.LABELS)]
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == sorted(names)
    assert max(found.values()) < 0.06
    narrow = report.coverage(tmp_path, measured(power=0.5), n_bins=5)
    assert all(narrow[name] > 0.2 for name in found)


def test_equal_areas_are_on_the_diagonal():
    area = np.array([1.0, 10.0, 100.0])
    ax = report.areas(Figure().add_subplot(), area, area, title="a sample")
    points, diagonal = ax.lines
    np.testing.assert_array_equal(points.get_xdata(), points.get_ydata())
    np.testing.assert_array_equal(diagonal.get_xydata(), [[1, 1], [100, 100]])
    assert ax.get_xscale() == ax.get_yscale() == "log"
