"""Integrals of the toys by a rule of many points."""

import numpy as np
import pytest

from hepjax.integration import toys


def midpoints(n, low=0.0, high=1.0):
    x = low + (high - low) * (np.arange(n) + 0.5) / n
    return np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)


def test_integrals():
    grid = midpoints(1500)
    assert toys.camel(grid).mean() == pytest.approx(toys.camel_integral(2), abs=1e-6)
    assert toys.ring_line(grid).mean() == pytest.approx(toys.ring_line_integral(), rel=2e-4)


def test_a_peak_is_normal_whatever_its_width():
    grid = midpoints(1500)
    assert toys.peak(grid, width=0.02).mean() == pytest.approx(1, abs=1e-6)
    x = np.array([[0.3, 0.6], [0.3001, 0.6]])
    at, beside = toys.peak(x)
    assert beside / at == pytest.approx(np.exp(-0.5), rel=1e-3)


def test_two_peaks_are_alike():
    """Turning the cube round about its centre changes nothing, in any dimension."""
    x = np.random.default_rng(0).uniform(size=(50, 5))
    np.testing.assert_allclose(toys.camel(1 - x), toys.camel(x), rtol=1e-9)
    at_peak = toys.camel(np.full((1, 5), 1 / 3))
    assert (toys.camel(x) <= at_peak * 1.001).all()
