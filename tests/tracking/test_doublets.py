"""What doublets say of straight tracks: the vertex, and hits in line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.tracking import doublets, neighbours

N = 8


@pytest.fixture(scope="module")
def track():
    """A straight track from (0, 0, -20) through 8 planes, and a far hit in each plane."""
    z = 25.0 * np.arange(N)
    line = np.stack([0.1 * (z + 20), -0.2 * (z + 20), z], -1)
    far = np.stack([np.full(N, 40.0), np.full(N, 30.0), z], -1)
    position = jnp.asarray(np.concatenate([line, far]), jnp.float32)
    module = np.tile(np.arange(N), 2)
    return position, jnp.asarray(module), neighbours.table(module, n_modules=N, width=2)


def test_features_know_the_vertex_and_the_slope(track):
    position, module, _ = track
    x = np.asarray(doublets.features(position, module, (jnp.array([0, 1]), jnp.array([2, 3]))))
    np.testing.assert_allclose(x[:, 0], np.tanh(-20 / 200), atol=1e-5)
    np.testing.assert_allclose(x[:, 3], 0, atol=1e-5)
    np.testing.assert_allclose(x[:, 4], np.log(np.hypot(0.1, 0.2) + 1e-3) / 2, rtol=1e-5)
    np.testing.assert_allclose(x[:, 7], 0, atol=1e-6)
    np.testing.assert_allclose(x[:, 10], 0)


def test_features_do_not_turn_with_the_detector(track):
    """All but nothing depends on the azimuth: the impact keeps its sign in a rotation."""
    position, module, _ = track
    pairs = jnp.array([0, 3, 8]), jnp.array([9, 12, 2])
    c, s = np.cos(0.7), np.sin(0.7)
    turned = position @ jnp.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], jnp.float32)
    once, again = (np.asarray(doublets.features(x, module, pairs)) for x in (position, turned))
    np.testing.assert_allclose(again, once, atol=1e-4)


def test_support_finds_the_line(track):
    position, module, hits = track
    pairs = jnp.array([2, 2, 0]), jnp.array([4, 12, 1])  # in line, to the far hit, at the start
    x = np.asarray(jax.jit(doublets.support)(hits, position, module, pairs))
    np.testing.assert_allclose(x[0, [0, 1, 2, 4, 5]], 0, atol=1e-3)
    assert x[0, 3] == x[0, 6] == x[0, 7] == 1  # beyond the last and the first plane
    assert np.all(x[1] > 0.5)
    assert np.all(x[2, 4:] == 1)


def test_support_against_a_loop(track):
    position, module, hits = track
    pairs = np.array([1, 10, 3]), np.array([11, 4, 13])
    x = np.asarray(
        doublets.support(hits, position, module, tuple(map(jnp.asarray, pairs)), reach=1)
    )
    p, m = np.asarray(position), np.asarray(module)
    for row, a, b in zip(x, *pairs):
        slope = (p[b] - p[a])[:2] / (p[b] - p[a])[2]
        for value, start, target in ((row[0], b, m[b] + 1), (row[1], a, m[a] - 1)):
            to = p[m == target] - p[start]
            kink = np.linalg.norm(to[:, :2] / to[:, 2:] - slope, axis=-1).min(initial=1.0)
            expected = np.log(min(kink, 1) / 1e-4 + 1) / np.log(1e4 + 1)
            assert value == pytest.approx(expected, abs=1e-4)


def test_chunks_and_padding_do_not_matter(track):
    position, module, hits = track
    pairs = jnp.arange(6), jnp.arange(6) + 2
    once = doublets.support(hits, position, module, pairs)
    again = doublets.support(hits, position, module, pairs, chunk=4)
    np.testing.assert_allclose(again, once, atol=1e-6)
    wide = neighbours.table(np.asarray(module), n_modules=N, width=9)
    np.testing.assert_allclose(doublets.support(wide, position, module, pairs), once, atol=1e-6)


def test_pairs_of_one_plane_are_finite(track):
    position, module, hits = track
    pairs = jnp.array([0]), jnp.array([8])
    assert np.isfinite(doublets.features(position, module, pairs)).all()
    assert np.isfinite(doublets.support(hits, position, module, pairs)).all()
