"""Autoregressive flows: inverse, Jacobian that is triangular, norm, samples, what is given."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import autoregressive as flow

SMALL = flow.Settings(n_steps=2, n_bins=4, width=12)


def wild(dim, n_given=0, seed=0, **settings):
    """A flow whose last layers are no zeros."""
    parameters = flow.init(jax.random.key(seed), dim, SMALL._replace(**settings), n_given=n_given)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + rng.normal(0, 0.2, x.shape).astype(np.float32), parameters)


def points(n, dim, seed=2):
    return 2 * np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.smoke
@pytest.mark.parametrize("n_steps", [1, 2, 3])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_there_and_back(dim, n_steps):
    with jax.enable_x64(True):
        parameters = jax.tree.map(lambda x: x.astype(float), wild(dim, 2, n_steps=n_steps))
        x, given = points(200, dim).astype(float), points(200, 2, 3).astype(float)
        z, log_det = jax.jit(flow.inverse)(parameters, x, given)
        again, back = jax.jit(flow.forward)(parameters, z, given)
        assert np.abs(x - z).max() > 0.1
        np.testing.assert_allclose(again, x, atol=1e-9)
        np.testing.assert_allclose(back, -log_det, atol=1e-7)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_the_jacobian_is_that_of_the_map_and_triangular_in_one_step(n_steps):
    with jax.enable_x64(True):
        parameters = jax.tree.map(lambda x: x.astype(float), wild(3, n_steps=n_steps))
        x = points(6, 3).astype(float)
        slope = jax.vmap(jax.jacfwd(lambda x: flow.inverse(parameters, x[None])[0][0]))
        jacobian = np.asarray(jax.jit(slope)(x))
        expected = np.log(np.abs(np.linalg.det(jacobian)))
        np.testing.assert_allclose(flow.inverse(parameters, x)[1], expected, atol=1e-9)
    above = np.abs(jacobian[:, [0, 0, 1], [1, 2, 2]])
    below = np.abs(jacobian[:, [1, 2, 2], [0, 0, 1]])
    assert (above == 0).all() == (n_steps == 1)
    assert (below > 1e-6).any(0).all()


def test_it_begins_as_the_normal_density():
    parameters = flow.init(jax.random.key(0), 2, SMALL, n_given=1)
    x = points(50, 2)
    found = jax.jit(flow.log_prob)(parameters, x, points(50, 1))
    expected = -(x**2).sum(-1) / 2 - np.log(2 * np.pi)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_density_has_norm_one_for_all_that_is_given():
    parameters = wild(2, 1)
    axis = np.linspace(-8, 8, 321, dtype=np.float32)
    x = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    densities = []
    for value in (-1.0, 1.0):
        given = np.full((len(x), 1), value, np.float32)
        densities.append(np.exp(jax.jit(flow.log_prob)(parameters, x, given)))
        assert densities[-1].sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=2e-3)
    assert np.abs(densities[0] - densities[1]).max() > 0.01


def test_samples_have_the_density_that_is_said():
    parameters, given = wild(2, 1), points(20_000, 1)
    draw = jax.jit(functools.partial(flow.sample, n=20_000))
    x, log_p = draw(jax.random.key(0), parameters, given=given)
    np.testing.assert_allclose(flow.log_prob(parameters, x, given), log_p, atol=2e-2)
    box = np.abs(x).max(-1) < 2
    inverse = np.where(box, np.exp(-log_p), 0)
    assert abs(inverse.mean() - 16) < 4 * inverse.std() / len(x) ** 0.5


def test_the_number_of_parameters_is_that_of_masked_networks_without_zeros():
    """Eight steps of 8 bins, two hidden layers of 128, 64 numbers given (zuko 1.6.0: 202 096)."""
    make = functools.partial(flow.init, dim=2, n_given=64)
    found = jax.eval_shape(make, jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(found)) == 202_096


def test_outside_of_the_splines_nothing_changes():
    parameters = wild(1, n_steps=1)
    x = np.array([[-7.0], [6.0], [0.5]], np.float32)
    z, log_det = flow.inverse(parameters, x)
    np.testing.assert_array_equal(z[:2], x[:2])
    np.testing.assert_array_equal(log_det[:2], 0)
    assert abs(float(z[2, 0]) - 0.5) > 1e-3


def test_gradients_hold_at_the_ends():
    parameters, x = wild(2), np.array([[5.0, -5.0], [0, 9]], np.float32)
    slopes = jax.jit(jax.grad(lambda p, x: flow.log_prob(p, x).sum(), argnums=(0, 1)))(
        parameters, x
    )
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(slopes))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="dim: 5, expected at least 1 and to divide width 12"):
        flow.init(jax.random.key(0), 5, SMALL)
    with pytest.raises(ValueError, match=r"points: \(4, 3\), expected \[point, 2\]"):
        flow.log_prob(wild(2), jnp.zeros((4, 3)))
    with pytest.raises(ValueError, match="given: None, expected 2 numbers a point"):
        flow.log_prob(wild(2, 2), jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"given: \(4, 3\), expected 2"):
        flow.log_prob(wild(2, 2), jnp.zeros((4, 2)), jnp.zeros((4, 3)))
