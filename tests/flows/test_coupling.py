"""Coupling flows: identity at the start, inverse, density that is normal, each bends each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import coupling

SMALL = coupling.Settings(4, 8)


def wild(dim, seed=0, n_given=0, **settings):
    """A flow whose last layers are no zeros."""
    start = functools.partial(coupling.init, n_given=n_given)
    flow = jax.jit(start, static_argnums=(1, 2))(
        jax.random.key(seed), dim, coupling.Settings(**settings)
    )
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + rng.normal(0, 0.4, x.shape).astype(np.float32), flow)


def points(n, dim, seed=2):
    return np.random.default_rng(seed).uniform(size=(n, dim)).astype(np.float32)


@pytest.mark.smoke
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_there_and_back(dim):
    flow, z = wild(dim, width=8, n_bins=4), points(200, dim)
    x, log_det = jax.jit(coupling.forward)(flow, z)
    again, back = jax.jit(coupling.inverse)(flow, x)
    assert x.shape == (200, dim)
    assert (x >= 0).all()
    assert (x <= 1).all()
    assert np.abs(x - z).max() > 0.05
    np.testing.assert_allclose(again, z, atol=1e-3)
    np.testing.assert_allclose(back, -log_det, atol=1e-2)


def test_the_jacobian_is_that_of_the_map():
    with jax.enable_x64(True):
        flow = jax.tree.map(lambda x: x.astype(float), wild(3, width=8, n_bins=4))
        z = points(5, 3).astype(float)
        jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda z: coupling.forward(flow, z[None])[0][0])))(z)
        expected = np.log(np.abs(np.linalg.det(jacobian)))
        found = jax.jit(coupling.forward)(flow, z)[1]
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("dim", [2, 5])
def test_each_coordinate_is_bent_by_each_other(dim):
    flow = wild(dim, width=8, n_bins=3)
    at = jax.jit(jax.jacfwd(lambda z: coupling.forward(flow, z[None])[0][0]))
    jacobian = at(points(1, dim)[0])
    assert (np.abs(jacobian) > 1e-6).all()
    assert len(flow) == 2 * (dim - 1).bit_length()


def test_the_published_size():
    """Of 4 and 2 coordinates, 10 bins, 32 wide (madnis 1.0.0)."""
    for dim, expected in ((4, 12_792), (2, 4_286)):
        flow = jax.eval_shape(lambda key, dim=dim: coupling.init(key, dim), jax.random.key(0))
        assert sum(x.size for x in jax.tree.leaves(flow)) == expected


def test_it_begins_as_the_identity_whatever_it_is_given():
    flow = jax.jit(lambda key: coupling.init(key, 3, SMALL, n_given=2))(jax.random.key(0))
    z = points(50, 3)
    for way in (coupling.forward, coupling.inverse):
        found, log_det = jax.jit(way)(flow, z, points(50, 2, seed=3))
        np.testing.assert_allclose(found, z, atol=1e-5)
        np.testing.assert_allclose(log_det, 0, atol=1e-4)


def test_what_is_given_changes_the_map_and_not_its_norm():
    flow, n = wild(1, n_given=1, width=8), 20_001
    x = np.linspace(0, 1, n, dtype=np.float32)[:, None]
    densities = []
    for value in (0.0, 1.0):
        _, log_density = jax.jit(coupling.inverse)(flow, x, np.full((n, 1), value, np.float32))
        densities.append(np.exp(log_density))
        assert np.trapezoid(densities[-1], x[:, 0]) == pytest.approx(1, abs=2e-3)
    assert np.abs(densities[0] - densities[1]).max() > 0.05


def test_leading_axes_are_flows_of_their_own():
    flows = [wild(3, seed, width=8, n_bins=4) for seed in (0, 5)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *flows)
    z = points(40, 3).reshape(2, 20, 3)
    forward = jax.jit(coupling.forward)
    both = forward(stacked, z)
    for k, flow in enumerate(flows):
        for found, expected in zip(both, forward(flow, z[k])):
            np.testing.assert_allclose(found[k], expected, atol=1e-5)


def test_wrong_dimensions_are_named():
    with pytest.raises(ValueError, match="dim: 0"):
        coupling.conditions(0)
    with pytest.raises(ValueError, match=r"points: \(3, 8\), the flow has 4 blocks"):
        coupling.inverse(wild(4), np.zeros((3, 8), np.float32))
    with pytest.raises(ValueError, match="0 given numbers, the flow looks at 1, expected 2"):
        coupling.inverse(wild(3), np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="0 given numbers, the flow looks at"):
        coupling.inverse(wild(3, n_given=2), np.zeros((3, 3), np.float32))
