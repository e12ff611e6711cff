"""A small telescope, and events in it, that the tests of this folder share."""

import jax
import numpy as np
import pytest

from hepjax.neutrino import detectors, media, simulation


@pytest.fixture(scope="session")
def small():
    """37 strings of 16 modules in layered ice, 70 m apart."""
    grid = detectors.hexagonal((4, 5, 6, 7, 6, 5, 4), 70.0)
    detector = detectors.hang(grid, np.linspace(-200.0, 200.0, 16))
    return simulation.setup(detector, media.south_pole(), cap=48)


@pytest.fixture(scope="session")
def small_events(small):
    """Pulses and truth of 256 tracks in it."""
    return jax.jit(lambda key: simulation.events(key, small, 256))(jax.random.key(0))
