"""Directions: angles that are small or nearly pi, coordinates, even points, quaternions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere

POLES = np.array([[0, 0, 1.0], [0, 0, -1.0]])


def drawn(n=200, seed=0, dtype=float):
    x = np.random.default_rng(seed).normal(size=(n, 3))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(dtype)


@pytest.mark.smoke
@pytest.mark.parametrize("small", [1e-6, 1e-3, 0.1, 3.0])
def test_small_angles_hold_in_float32(small):
    """Also those that are nearly pi, seen from the opposite direction."""
    a = np.array([0, 0, 1.0], np.float32)
    b = np.array([np.sin(small), 0, np.cos(small)], np.float32)
    assert float(sphere.angle(a, b)) == pytest.approx(small, rel=1e-6)
    assert np.pi - float(sphere.angle(-a, b)) == pytest.approx(small, rel=1e-3, abs=3e-7)
    assert float(sphere.height(a, b)) == pytest.approx(np.sin(small / 2) ** 2, rel=1e-6)


def test_angles_have_gradients_where_they_vanish():
    a = drawn(5, dtype=np.float32)
    for b in (a, -a):
        slope = jax.jit(jax.grad(lambda a, b=b: sphere.angle(a, b).sum()))(a)
        assert np.isfinite(slope).all()
    np.testing.assert_allclose(jax.jit(sphere.angle)(a, a[::-1]), sphere.angle(a, a[::-1]), 1e-6)


def test_a_zenith_says_where_it_came_from():
    overhead = sphere.direction(np.array(0.0), np.array(0.0))
    np.testing.assert_allclose(overhead, [0, 0, -1], atol=1e-15)
    upgoing = sphere.direction(np.array(np.pi), np.array(1.0))
    np.testing.assert_allclose(upgoing, [0, 0, 1], atol=1e-15)
    from_x = sphere.direction(np.array(np.pi / 2), np.array(0.0))
    np.testing.assert_allclose(from_x, [-1, 0, 0], atol=1e-15)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_coordinates_and_back(kind):
    n = kind(drawn(dtype=np.float32))
    zenith, azimuth = sphere.zenith_azimuth(n)
    assert isinstance(zenith, type(n))
    assert zenith.dtype == azimuth.dtype == np.float32
    assert (azimuth >= 0).all()
    assert (azimuth < 2 * np.pi).all()
    np.testing.assert_allclose(sphere.direction(zenith, azimuth), n, atol=1e-6)
    zenith, azimuth = sphere.zenith_azimuth(kind(POLES.astype(np.float32)))
    np.testing.assert_allclose(zenith, [np.pi, 0], atol=1e-6)
    np.testing.assert_array_equal(azimuth, 0)


def test_just_below_a_whole_turn_is_no_turn():
    n = sphere.direction(np.float32(1.0), np.float32(0)) + np.array([0, 1e-9, 0], np.float32)
    assert 0 <= sphere.zenith_azimuth(n.astype(np.float32))[1] < 2 * np.pi


@pytest.mark.parametrize("points", [sphere.uniform(jax.random.key(0), (40_000,)), None])
def test_points_are_even(points):
    """First and second moments, of spirals far better than of random points."""
    error = 5e-3 if points is not None else 1e-5
    points = sphere.fibonacci(40_000) if points is None else points
    np.testing.assert_allclose((points**2).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(points.mean(0), 0, atol=2 * error)
    np.testing.assert_allclose(points.T @ points / len(points), np.eye(3) / 3, atol=error)


def test_a_frame_is_right_handed_and_turns_vectors():
    q = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    frame = jax.jit(sphere.frame)(q)
    matrix = np.stack(frame, -1)
    np.testing.assert_allclose(
        np.swapaxes(matrix, 1, 2) @ matrix, np.tile(np.eye(3), (50, 1, 1)), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=1e-6)
    v = drawn(50, dtype=np.float32)
    np.testing.assert_allclose(sphere.turned(q, v), (matrix @ v[..., None])[..., 0], atol=1e-6)
    np.testing.assert_allclose(sphere.turned(q, np.eye(3, dtype=np.float32)[2]), frame.z, atol=1e-6)


def test_two_turns_are_their_product():
    a, b = np.random.default_rng(2).normal(size=(2, 30, 4)).astype(np.float32)
    v = drawn(30, dtype=np.float32)
    both = jax.jit(sphere.multiply)(a, b)
    np.testing.assert_allclose(
        sphere.turned(both, v), sphere.turned(a, sphere.turned(b, v)), atol=1e-5
    )


def test_toward_every_direction():
    n = np.concatenate([drawn(), POLES, [[1e-6, 0, -1]]]).astype(np.float32)
    up = np.array([0, 0, 1], np.float32)
    found = sphere.turned(jax.jit(sphere.toward)(n), up)
    np.testing.assert_allclose(found, n, atol=1e-6)


def test_tangents_are_at_right_angles():
    n = np.concatenate([drawn(), POLES])
    first, second = sphere.tangents(n.astype(np.float32))
    matrix = np.stack([first, second, n], -1)
    np.testing.assert_allclose(
        np.swapaxes(matrix, 1, 2) @ matrix, np.tile(np.eye(3), (len(n), 1, 1)), atol=1e-6
    )


def test_units_have_length_one():
    v = np.array([[3.0, 0, 4], [0, 0, -2]])
    np.testing.assert_allclose(sphere.unit(v), [[0.6, 0, 0.8], [0, 0, -1]])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"b: expected shape \[..., 3\], found \[4, 2\]"):
        sphere.angle(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="a: expected an array, found list"):
        sphere.height([0, 0, 1], np.zeros(3))
    with pytest.raises(ValueError, match="direction: expected floating point, found int"):
        sphere.zenith_azimuth(np.array([0, 0, 1]))
    with pytest.raises(ValueError, match="n: 0, expected at least 1"):
        sphere.fibonacci(0)
    with pytest.raises(ValueError, match=r"quaternion: expected shape \[..., 4\]"):
        sphere.frame(np.zeros(3))


LENSES = [1e3 * np.eye(2), 5 * np.eye(2), np.eye(2), np.array([[30.0, 0], [8.0, 10.0]])]


@pytest.mark.parametrize("matrix", LENSES)
def test_a_lens_is_taken_back_and_keeps_the_area(matrix):
    n = sphere.uniform(jax.random.key(0), (2000,), jnp.float32)
    seen, log_ratio = jax.jit(sphere.magnified)(n, jnp.float32(matrix))
    again, back = sphere.magnified(seen, jnp.float32(np.linalg.inv(matrix)))
    # what was pressed together towards a pole has lost digits
    np.testing.assert_allclose(again, n, atol=3e-6 * np.linalg.norm(matrix, 2))
    kept = np.asarray(log_ratio) > -2
    np.testing.assert_allclose(back[kept], -log_ratio[kept], atol=1e-4)
    with jax.enable_x64(True):
        n = jnp.asarray(sphere.fibonacci(4_000_000 if matrix[0, 0] > 100 else 200_000))
        log_ratio = sphere.magnified(n, jnp.asarray(matrix))[1]
        assert float(jnp.exp(log_ratio).mean()) == pytest.approx(1, rel=2e-2)


def test_a_lens_magnifies_small_angles_by_its_matrix():
    pole = np.array([2e-4, 1e-4, 1.0])
    n = jnp.asarray(pole / np.linalg.norm(pole), jnp.float32)
    matrix = jnp.array([[1000.0, 0.0], [500.0, 2000.0]])
    seen, log_ratio = sphere.magnified(n, matrix)
    flat = np.array([0.2, 0.3]) / 2  # 2 tan(theta / 2), of the matrix times what is in the plane
    np.testing.assert_allclose(seen[:2] / (1 + seen[2]), flat, rtol=1e-3)
    jacobian = jax.jacfwd(lambda x: sphere.magnified(jnp.append(x, 1.0), matrix)[0][:2])(n[:2])
    det = float(jnp.log(jnp.abs(jnp.linalg.det(jacobian)) / seen[2]))
    assert float(log_ratio) == pytest.approx(det, abs=2e-3)
    ends = jnp.array([[0.0, 0, 1], [0.0, 0, -1]])
    seen, log_ratio = sphere.magnified(ends, 10 * jnp.eye(2))
    np.testing.assert_allclose(seen, ends, atol=1e-6)
    np.testing.assert_allclose(log_ratio, 2 * np.log([10, 0.1]), rtol=1e-5)
    for k in (0, 1):
        slopes = jax.grad(lambda n, k=k: sphere.magnified(n, 10 * jnp.eye(2))[k].sum())(ends)
        assert np.isfinite(slopes).all()
