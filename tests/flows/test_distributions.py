"""The faces of densities of directions: shapes of distrax, log_prob of samples, flows composed."""

import distrax
import jax
import numpy as np
import pytest

from hepjax.flows import bijectors, directional, distributions
from hepjax.flows import sphere as flow

PLAN = flow.Plan(1, 2)


@pytest.mark.parametrize("batch", [(), (4,)])
@pytest.mark.parametrize("family", [directional.VMF, directional.ESAG, directional.of_flow(PLAN)])
def test_shapes_are_those_of_distrax(family, batch):
    params = np.random.default_rng(0).normal(size=(*batch, family.size)).astype(np.float32)
    one = distributions.Directional(family, params)
    draw = jax.jit(lambda key: one.sample_and_log_prob(seed=key, sample_shape=(7,)))
    n, log_p = draw(jax.random.key(0))
    assert (n.shape, log_p.shape) == ((7, *batch, 3), (7, *batch))
    assert (one.batch_shape, one.event_shape) == (batch, (3,))
    np.testing.assert_allclose(one.log_prob(n), log_p, atol=2e-4)
    assert one.sample(seed=jax.random.key(0)).shape == (*batch, 3)


def test_a_bijector_and_even_points_make_the_density():
    params = np.random.default_rng(1).normal(0, 0.5, flow.size(PLAN)).astype(np.float32)
    bijector = bijectors.Sphere(PLAN, params)
    made = distrax.Transformed(distributions.Even(), bijector)
    n, log_p = made.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(50,))
    np.testing.assert_allclose(flow.log_prob(PLAN, params, n), log_p, atol=2e-4)
    chain = distrax.Chain([distrax.Inverse(bijector), bijector])
    np.testing.assert_allclose(jax.jit(chain.forward)(n), n, atol=1e-4)


def test_even_points_have_one_over_the_area():
    even = distributions.Even()
    n, log_p = even.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(1000,))
    np.testing.assert_allclose(np.exp(log_p) * 4 * np.pi, 1, rtol=1e-6)
    np.testing.assert_allclose(n.mean(0), 0, atol=0.1)
    assert even.batch_shape == ()
