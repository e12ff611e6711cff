"""What the tests of this folder share: a small telescope, events in it, known directions."""

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
    """Pulses and truth of 512 tracks in it."""
    return jax.jit(lambda key: simulation.events(key, small, 512))(jax.random.key(0))


@pytest.fixture(scope="session")
def fisher():
    """The function fisher(rng, mean [event, 3], kappa, *shape) -> [*shape, event, 3], float64."""

    def draw(rng, mean, kappa, *shape):
        xi, turn = rng.random((2, *shape, len(mean)))
        low = -np.log1p(xi * np.expm1(-2.0 * kappa)) / (2 * kappa)  # (1 - cos) / 2
        across = 2 * np.sqrt(low * (1 - low))
        pole = np.where(np.abs(mean[:, 2:]) < 0.7, [[0.0, 0, 1]], [[1.0, 0, 0]])
        x = np.cross(pole, mean)
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
        y = np.cross(mean, x)
        around = 2 * np.pi * turn[..., None]
        return mean * (1 - 2 * low[..., None]) + across[..., None] * (
            np.cos(around) * x + np.sin(around) * y
        )

    return draw
