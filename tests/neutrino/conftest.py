"""Directions whose distribution is known exactly."""

import numpy as np
import pytest


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
