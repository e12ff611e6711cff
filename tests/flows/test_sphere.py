"""Flows of the sphere: inverse, Jacobian, norm, poles, rotations, samples, float32 at kappa 1e6."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.flows import sphere as flow
from hepjax.flows import sphere_layers as layers

ALL = flow.Plan(3, 3, (layers.ZOOM, layers.VERTICAL, layers.CIRCULAR, layers.BOOST, layers.LINEAR))
PLANS = [flow.Plan(3), flow.Plan(2, 2), ALL, ALL._replace(kinds=ALL.kinds[::-1])]
each_plan = pytest.mark.parametrize("plan", PLANS, ids=["default", "two_bins", "all", "reversed"])


def wild(plan, n=(), scale=0.4, seed=0, kappa=None):
    """Parameters [*n, size] that are no zeros; kappa: of the zoom next to the data."""
    x = scale * np.random.default_rng(seed).normal(size=(*n, flow.size(plan)))
    if kappa is not None:
        x[..., 4] = np.log(kappa) - layers.START
    return x


@functools.partial(jax.jit, static_argnums=0)
def log_prob(plan, params, n):
    return flow.log_prob(plan, params, n)


@functools.partial(jax.jit, static_argnums=(1, 3))
def sample(key, plan, params, n_samples):
    return flow.sample(key, plan, params, n_samples)


@pytest.mark.smoke
@each_plan
@pytest.mark.parametrize("kappa", [None, 1e6])
def test_there_and_back(plan, kappa):
    with jax.enable_x64(True):
        params = wild(plan, (100,), 0.2, kappa=kappa)
        z = sphere.uniform(jax.random.key(0), (100,), float)
        n, log_det = jax.jit(functools.partial(flow.forward, plan))(params, z)
        again, back = jax.jit(functools.partial(flow.inverse, plan))(params, n)
        np.testing.assert_allclose(again, z, atol=1e-9)
        np.testing.assert_allclose(back, -log_det, atol=1e-9)


@each_plan
def test_the_jacobian_is_that_of_the_areas(plan):
    with jax.enable_x64(True):
        params = wild(plan, (10,))
        n = np.asarray(sphere.uniform(jax.random.key(1), (10,), float))

        def log_area(p, n):
            def to(n):
                return flow.inverse(plan, p, n)[0]

            before, after = (jnp.stack(sphere.tangents(x)) for x in (n, to(n)))
            return jnp.log(jnp.abs(jnp.linalg.det(after @ jax.jacfwd(to)(n) @ before.T)))

        expected = jax.jit(jax.vmap(log_area))(params, n)
        found = log_prob(plan, params, n) + np.log(4 * np.pi)
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_zeros_are_nearly_even():
    for plan in PLANS:
        found = log_prob(plan, np.zeros(flow.size(plan), np.float32), sphere.fibonacci(100))
        np.testing.assert_allclose(found, -np.log(4 * np.pi), atol=0.12)


@each_plan
def test_the_density_has_norm_one(plan):
    grid = sphere.fibonacci(50_000).astype(np.float32)
    for seed in range(3):
        density = np.exp(log_prob(plan, wild(plan, seed=seed).astype(np.float32), grid))
        assert 4 * np.pi * density.mean() == pytest.approx(1, abs=1e-3)
        assert density.std() > 0.1 * density.mean()


def test_samples_have_the_density_that_is_said():
    """And moments by samples are those by a grid."""
    plan = PLANS[0]
    params, grid = wild(plan, seed=4).astype(np.float32), sphere.fibonacci(50_000)
    n, log_p = sample(jax.random.key(0), plan, params, 50_000)
    np.testing.assert_allclose(log_prob(plan, params, n), log_p, atol=2e-3)
    inverse = np.exp(-log_p)
    assert abs(inverse.mean() - 4 * np.pi) < 4 * inverse.std() / len(n) ** 0.5
    density = np.exp(log_prob(plan, params, grid.astype(np.float32)))
    expected = (density[:, None] * grid).mean(0) / density.mean()
    np.testing.assert_allclose(n.mean(0), expected, atol=4 / len(n) ** 0.5)


def test_a_turned_quaternion_turns_the_density():
    plan = PLANS[2]
    with jax.enable_x64(True):
        params, n = wild(plan, kappa=50.0), sphere.fibonacci(50)
        turn = np.array([0.3, -0.8, 0.5, 0.1])
        start = np.array([1.0, 0, 0, 0])
        turned = params.copy()
        turned[:4] = sphere.multiply(turn, params[:4] + start) - start
        expected = log_prob(plan, params, n)
        found = log_prob(plan, turned, sphere.turned(turn, n))
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("kappa", [1.0, 1e3])
def test_the_density_is_continuous_at_poles_of_all_layers(kappa):
    """At the mean and opposite to it, from all sides."""
    plan = flow.Plan(1)
    with jax.enable_x64(True):
        params = wild(plan, scale=1.0, kappa=kappa)
        mean = sphere.turned(params[:4] + np.array([1.0, 0, 0, 0]), np.array([0, 0, 1.0]))
        first, second = sphere.tangents(mean)
        turn = np.linspace(0, 6, 12)[:, None]
        for pole in (mean, -mean):
            apart = []
            for tiny in (1e-3, 1e-5):
                n = pole + tiny / kappa**0.5 * (np.cos(turn) * first + np.sin(turn) * second)
                found = log_prob(plan, params, sphere.unit(n))
                apart.append(np.abs(found - log_prob(plan, params, pole)).max())
            assert apart[1] < 0.03 * apart[0] + 1e-9
            assert apart[0] < 0.05


@each_plan
@pytest.mark.parametrize("kappa", [1e-2, 1e3, 5e7])
def test_gradients_hold_everywhere(plan, kappa):
    """At the poles, the mean of the first layer, and opposite to it."""
    params = wild(plan, scale=0.3, kappa=kappa).astype(np.float32)
    mean = sphere.turned(params[:4] + np.array([1.0, 0, 0, 0], np.float32), np.eye(3)[2])
    n = np.stack([[0, 0, 1], [0, 0, -1], mean, -mean]).astype(np.float32)
    slope = jax.jit(jax.jacrev(lambda p, n: flow.log_prob(plan, p, n), argnums=(0, 1)))
    assert all(np.isfinite(x).all() for x in slope(params, n))

    def drawn(params):
        n, log_p = flow.sample(jax.random.key(0), plan, params, 50)
        return n.sum() + log_p.sum()

    assert np.isfinite(jax.jit(jax.grad(drawn))(params)).all()


@pytest.mark.parametrize("bins", [2, 3])
def test_float32_holds_at_kappa_of_a_million(bins):
    """15 layers, other parameters from N(0, 0.2): median 3e-4, 99 % within 6e-3."""
    plan = flow.Plan(15, bins)
    params = wild(plan, (4096,), 0.2, kappa=1e6).astype(np.float32)
    n = np.asarray(sample(jax.random.key(2), plan, params, 1)[0][0])
    found = np.asarray(log_prob(plan, params, n))
    with jax.enable_x64(True):
        exact = np.asarray(log_prob(plan, params.astype(float), n.astype(float)))
    assert (found.dtype, exact.dtype) == (np.float32, np.float64)
    assert np.median(exact) > 10  # narrow
    error = np.abs(found - exact)
    assert np.median(error) < 3e-4
    assert np.quantile(error, 0.99) < 6e-3


def test_shapes_broadcast():
    plan = flow.Plan(2, 2)
    params = wild(plan, (4,)).astype(np.float32)
    n, log_p = sample(jax.random.key(0), plan, params, 7)
    assert (n.shape, log_p.shape) == ((7, 4, 3), (7, 4))
    each = [log_prob(plan, params[k], n[:, k]) for k in range(4)]
    np.testing.assert_allclose(log_prob(plan, params, n), np.stack(each, 1), atol=1e-4)
    assert log_prob(plan, params[0], n[0, 0]).shape == ()


def test_entropy_and_areas_of_a_cap():
    """Of von Mises and Fisher: the entropy, and the cap that holds 90 %."""
    plan, k = flow.Plan(1, 2, (layers.ZOOM,)), 200.0
    params = wild(plan, scale=0.0, kappa=k).astype(np.float32)
    found = flow.entropy(jax.random.key(0), plan, params, 20_000)
    assert float(found) == pytest.approx(1 - np.log(k / (2 * np.pi)), abs=0.03)
    _, log_p = sample(jax.random.key(1), plan, np.stack([params, 0 * params]), 20_000)
    found = flow.area(log_p, 0.9)
    assert float(found[0]) == pytest.approx(2 * np.pi * np.log(10) / k, rel=0.03)
    assert float(found[1]) == pytest.approx(0.9 * 4 * np.pi, rel=0.03)


def test_wrong_shapes_and_plans_are_named():
    plan = flow.Plan(2)
    with pytest.raises(ValueError, match="plan: 0 layers"):
        flow.size(flow.Plan(0))
    with pytest.raises(ValueError, match=rf"params: \(3,\), expected \[..., {flow.size(plan)}\]"):
        flow.log_prob(plan, np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match=r"n: \(5, 2\), expected"):
        flow.log_prob(plan, np.zeros(flow.size(plan)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"level: 90, expected between 0 and 1"):
        flow.area(np.zeros(4), 90)
