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


@pytest.fixture(scope="module")
def helix():
    """Hits [hit, 3] of a helix from (0, 0, 12) of a radius of 2 m, at radii 30 to 170 mm."""
    r = np.array([32.0, 72, 116, 172])
    radius, phi0, slope = 2000.0, 0.4, 1.3
    half = np.arcsin(r / 2 / radius)
    phi, z = phi0 + half, 12 + slope * 2 * radius * half
    return jnp.asarray(np.stack([r * np.cos(phi), r * np.sin(phi), z], -1), jnp.float32)


CONSECUTIVE = jnp.array([0, 1, 2]), jnp.array([1, 2, 3])


def test_the_turn_stays_along_a_helix_and_is_half_its_curvature(helix):
    found = np.asarray(doublets.turn(helix, CONSECUTIVE))
    np.testing.assert_allclose(found[:, 0], doublets.LEVER / 2 / 2000, rtol=2e-2)
    np.testing.assert_allclose(found[:, 1], np.arctan(1 / 1.3), rtol=1e-3)


def test_helical_features_know_the_vertex_the_slope_and_the_sign(helix):
    layer = jnp.arange(4) + 7
    x = np.asarray(doublets.helical(helix, layer, CONSECUTIVE))
    mirrored = np.asarray(doublets.helical(helix * jnp.array([1, -1, 1]), layer, CONSECUTIVE))
    np.testing.assert_allclose(x[:, 3], np.tanh(12 / 100), atol=2e-3)
    np.testing.assert_allclose(x[:, 5], np.arcsinh(1.3) / 2, rtol=1e-3)
    np.testing.assert_allclose(x[:, 12], 0.1, rtol=1e-6)
    np.testing.assert_allclose(mirrored[:, 0], -x[:, 0], rtol=1e-5)
    np.testing.assert_allclose(mirrored[:, 1:], x[:, 1:], rtol=1e-5)


def test_helical_features_do_not_turn_with_the_detector(helix):
    c, s = np.cos(2.9), np.sin(2.9)
    turned = helix @ jnp.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], jnp.float32)
    once, again = (
        np.asarray(doublets.helical(x, jnp.arange(4), CONSECUTIVE)) for x in (helix, turned)
    )
    np.testing.assert_allclose(again, once, atol=1e-3)
    np.testing.assert_allclose(
        doublets.turn(turned, CONSECUTIVE), doublets.turn(helix, CONSECUTIVE), atol=1e-4
    )


def test_slopes_stay_along_a_line(track):
    position, _ = track
    found = np.asarray(doublets.slope(position, (jnp.array([0, 2, 0]), jnp.array([1, 7, 8]))))
    np.testing.assert_allclose(found[:2], [[0.1, -0.2]] * 2, rtol=1e-4)
    assert np.isfinite(found).all()  # the last pair is of one plane


@pytest.mark.parametrize("of", [doublets.straight, doublets.helical])
def test_hits_in_one_place_are_finite(of):
    same = jnp.zeros((2, 3))
    assert np.isfinite(of(same, jnp.arange(2), (jnp.array([0]), jnp.array([1])))).all()
