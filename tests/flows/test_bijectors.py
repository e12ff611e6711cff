"""The faces of flows to distrax: shapes, inverse, and the density of samples."""

import distrax
import jax
import numpy as np
import pytest
from test_coupling import points, wild

from hepjax.flows import bijectors, coupling


@pytest.mark.parametrize("shape", [(), (6,), (2, 3)])
def test_shapes_are_those_of_distrax(shape):
    flow = bijectors.Coupling(wild(3, width=8, n_bins=4))
    z = points(6, 3)[: int(np.prod(shape))].reshape(*shape, 3)
    x, log_det = jax.jit(flow.forward_and_log_det)(z)
    assert (x.shape, log_det.shape) == ((*shape, 3), shape)
    again, back = jax.jit(flow.inverse_and_log_det)(x)
    np.testing.assert_allclose(again, z, atol=1e-3)
    np.testing.assert_allclose(back, -log_det, atol=1e-2)


def test_samples_have_the_density_that_is_said():
    """The mean of 1 / density is the volume, and a chain with its inverse is the identity."""
    bijector = bijectors.Coupling(wild(2, width=8, n_bins=4))
    flow = bijectors.distribution(bijector, 2)
    draw = jax.jit(lambda key: flow.sample_and_log_prob(seed=key, sample_shape=(20_000,)))
    x, log_density = draw(jax.random.key(0))
    np.testing.assert_allclose(jax.jit(flow.log_prob)(x[:100]), log_density[:100], atol=1e-2)
    inverse = np.exp(-log_density)
    error = inverse.std() / np.sqrt(len(inverse))
    assert abs(inverse.mean() - 1) < 4 * error
    chain = distrax.Chain([distrax.Inverse(bijector), bijector])
    np.testing.assert_allclose(jax.jit(chain.forward)(x[:50]), x[:50], atol=1e-3)


def test_one_thing_given_for_all_points():
    parameters = wild(2, n_given=1, width=8)
    one = bijectors.Coupling(parameters, np.array([0.3], np.float32))
    told = np.full((4, 1), 0.3, np.float32)
    expected = jax.jit(coupling.forward)(parameters, points(4, 2), told)
    for found, value in zip(jax.jit(one.forward_and_log_det)(points(4, 2)), expected):
        np.testing.assert_allclose(found, value, atol=1e-6)


def test_there_is_no_density_outside_of_the_cube():
    flow = bijectors.distribution(bijectors.Coupling(wild(2, width=8, n_bins=4)), 2)
    found = jax.jit(flow.log_prob)(np.array([[0.5, 0.5], [1.5, 0.5], [0.5, -0.1]], np.float32))
    assert np.isfinite(found).tolist() == [True, False, False]
