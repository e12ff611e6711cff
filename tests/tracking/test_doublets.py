"""What doublets say of straight tracks: the vertex, the slope, the turn."""

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.tracking import doublets

N = 8


@pytest.fixture(scope="module")
def track():
    """A straight track from (0, 0, -20) through 8 planes, and a far hit in each plane."""
    z = 25.0 * np.arange(N)
    line = np.stack([0.1 * (z + 20), -0.2 * (z + 20), z], -1)
    far = np.stack([np.full(N, 40.0), np.full(N, 30.0), z], -1)
    position = jnp.asarray(np.concatenate([line, far]), jnp.float32)
    module = np.tile(np.arange(N), 2)
    return position, jnp.asarray(module)


def test_features_know_the_vertex_and_the_slope(track):
    position, module = track
    x = np.asarray(doublets.straight(position, module, (jnp.array([0, 1]), jnp.array([2, 3]))))
    np.testing.assert_allclose(x[:, 0], np.tanh(-20 / 200), atol=1e-5)
    np.testing.assert_allclose(x[:, 3], 0, atol=1e-5)
    np.testing.assert_allclose(x[:, 4], np.log(np.hypot(0.1, 0.2) + 1e-3) / 2, rtol=1e-5)
    np.testing.assert_allclose(x[:, 7], 0, atol=1e-6)
    np.testing.assert_allclose(x[:, 10], 0)


def test_features_do_not_turn_with_the_detector(track):
    """All but nothing depends on the azimuth: the impact keeps its sign in a rotation."""
    position, module = track
    pairs = jnp.array([0, 3, 8]), jnp.array([9, 12, 2])
    c, s = np.cos(0.7), np.sin(0.7)
    turned = position @ jnp.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], jnp.float32)
    once, again = (np.asarray(doublets.straight(x, module, pairs)) for x in (position, turned))
    np.testing.assert_allclose(again, once, atol=1e-4)


def test_pairs_of_one_plane_are_finite(track):
    position, module = track
    assert np.isfinite(doublets.straight(position, module, (jnp.array([0]), jnp.array([8])))).all()
