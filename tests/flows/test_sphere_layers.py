"""Maps of the sphere: inverse, Jacobian, poles, the zoom against its formula, float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.flows import sphere_layers as layers

KINDS = [layers.ZOOM, layers.VERTICAL, layers.CIRCULAR, layers.BOOST, layers.LINEAR]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def drawn(kind, n=100, scale=0.7, dtype=float):
    parameters = scale * np.random.default_rng(0).normal(size=(kind.size(3), n))
    points = sphere.uniform(jax.random.key(1), (n,), dtype)
    return jnp.asarray(parameters, dtype), layers.of_vector(*points.T)


def vector(point):
    return jnp.stack([point.x, point.y, point.high - point.low], -1)


@pytest.mark.smoke
@each_kind
def test_there_and_back(kind):
    with jax.enable_x64(True):
        parameters, point = drawn(kind)
        there, log_det = jax.jit(lambda p, x: kind.forward(p, 3, x))(parameters, point)
        back, more = jax.jit(lambda p, x: kind.inverse(p, 3, x))(parameters, there)
        for found, expected in zip(back, point):
            np.testing.assert_allclose(found, expected, atol=1e-12)
        np.testing.assert_allclose(more, -log_det, atol=1e-11)
        np.testing.assert_allclose((vector(there) ** 2).sum(-1), 1, atol=1e-12)
        np.testing.assert_allclose(there.low + there.high, 1, atol=1e-12)
        assert np.abs(vector(there) - vector(point)).max() > 0.02


@each_kind
def test_the_jacobian_is_that_of_the_areas(kind):
    with jax.enable_x64(True):
        parameters, point = drawn(kind, 20)

        def through(n, p):
            return vector(kind.inverse(p, 3, layers.of_vector(*n))[0])

        def log_area(n, p):
            before, after = (jnp.stack(sphere.tangents(x)) for x in (n, through(n, p)))
            return jnp.log(jnp.abs(jnp.linalg.det(after @ jax.jacfwd(through)(n, p) @ before.T)))

        expected = jax.jit(jax.vmap(log_area, (0, 1)))(vector(point), parameters)
        np.testing.assert_allclose(kind.inverse(parameters, 3, point)[1], expected, atol=1e-10)


@each_kind
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_gradients_hold_at_both_poles(kind, way):
    parameters, _ = drawn(kind, 2, 1.0, np.float32)
    poles = jnp.array([[0, 0, 1.0], [0, 0, -1.0]], jnp.float32)

    def everything(parameters, n):
        point, log_det = getattr(kind, way)(parameters, 3, layers.of_vector(*n.T))
        return sum(a.sum() for a in point) + log_det.sum()

    slopes = jax.jit(jax.grad(everything, argnums=(0, 1)))(parameters, poles)
    assert all(np.isfinite(slope).all() for slope in slopes)


@each_kind
def test_zeros_are_the_identity(kind):
    _, point = drawn(kind)
    found, log_det = kind.forward(jnp.zeros((kind.size(3), 1)), 3, point)
    near = 0.06 if kind is layers.ZOOM else 2e-6
    np.testing.assert_allclose(vector(found), vector(point), atol=near)
    np.testing.assert_allclose(log_det, 0, atol=near)


@pytest.mark.parametrize("log_kappa", [-6.0, 0.0, 2.0, 5.0, 13.8, 18.0])
def test_a_zoom_makes_von_mises_fisher(log_kappa):
    """Its density is k / (2 pi (1 - e^(-2 k))) e^(-2 k low), in float32 too."""
    parameter = np.float32(log_kappa - layers.START)
    k = float(np.exp(layers.log_kappa(np.float64(parameter))))
    with jax.enable_x64(True):
        low = -np.log1p(np.linspace(0, 0.999, 200) * np.expm1(-2 * k)) / (2 * k)
    low = low.astype(np.float32)
    high = (1 - low.astype(float)).astype(np.float32)
    across = np.sqrt(4 * low * high)
    point = layers.Point(across, 0 * across, low, high)
    even, log_det = jax.jit(lambda p, x: layers.ZOOM.inverse(p, 3, x))(parameter[None], point)
    expected = np.log(2 * k) - np.log(-np.expm1(-2 * k)) - 2 * k * low.astype(float)
    np.testing.assert_allclose(log_det, expected, atol=5e-6)
    exact = -np.expm1(-2 * k * low.astype(float)) / -np.expm1(-2 * k)
    np.testing.assert_allclose(even.low, exact, rtol=1e-5)
    back, _ = jax.jit(lambda p, x: layers.ZOOM.forward(p, 3, x))(parameter[None], even)
    np.testing.assert_allclose(back.low, low, rtol=2e-4)  # where high is small, low is rounded
    np.testing.assert_allclose(back.low[:100], low[:100], rtol=1e-5)


def test_kappa_is_bounded_softly():
    found = layers.log_kappa(jnp.array([-100.0, 0.0, 10.0, 100.0]))
    np.testing.assert_allclose(found, [-6, -2.951, 7.0, 18], atol=1e-3)


def test_far_from_a_narrow_mean_all_is_finite():
    """Also where the density is e^(-1e8) of that at the mean."""
    n = sphere.fibonacci(50).astype(np.float32)

    def log_density(p):
        return layers.ZOOM.inverse(p, 3, layers.of_vector(*n.T))[1].sum()

    for parameter in (0.0, 10.0, 30.0):
        value, slope = jax.value_and_grad(log_density)(jnp.array([parameter], jnp.float32))
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("pole", [1.0, -1.0])
def test_nothing_turns_at_a_pole(pole):
    """Near a pole the azimuth stays as it was: to the third power of the distance squared."""
    parameters, _ = drawn(layers.CIRCULAR, 1, 1.5, np.float32)
    turn = np.linspace(0, 6, 20, dtype=np.float32)
    apart = []
    for tiny in (0.3, 0.03):
        x, y = tiny * np.cos(turn), tiny * np.sin(turn)
        point = layers.of_vector(x, y, np.full(20, pole * np.sqrt(1 - tiny**2), np.float32))
        found, log_det = layers.CIRCULAR.forward(parameters, 3, point)
        apart.append(np.hypot(found.x - x, found.y - y).max() / tiny)
        assert np.abs(log_det).max() < 10 * tiny
    assert apart[1] < 1e-3 * apart[0]


def test_a_boost_is_undone_by_the_opposite_one_and_adds_up():
    """Rapidities along one axis add."""
    with jax.enable_x64(True):
        _, point = drawn(layers.BOOST)

        def along(rapidity):
            w = np.sinh(rapidity)  # gamma times velocity
            return jnp.array([0, 0, w / np.sqrt(1 - (w / layers.LARGEST) ** 2)])

        both, log_det = point, 0
        for rapidity in (0.3, 0.5):
            both, more = layers.BOOST.forward(along(rapidity), 3, both)
            log_det = log_det + more
        once, expected = layers.BOOST.forward(along(0.8), 3, point)
        np.testing.assert_allclose(vector(both), vector(once), atol=1e-12)
        np.testing.assert_allclose(log_det, expected, atol=1e-12)
        back, _ = layers.BOOST.forward(along(-0.8), 3, once)
        np.testing.assert_allclose(vector(back), vector(point), atol=1e-12)
