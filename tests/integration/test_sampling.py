"""Weighted points: chunks, history, channels that are dropped or empty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import coupling
from hepjax.integration import integrator, sampling, toys
from hepjax.integration.integrator import Integrand, Values

SETTINGS = integrator.Settings(flow=coupling.Settings(4, 8, 1))


def uneven(x, channel):
    """The camel in two channels of one map, most of it in the first."""
    return Values(toys.camel(x), x, jnp.log(jnp.array([[0.999, 0.001]]) + 0 * x))


INTEGRAND = Integrand(uneven, 2, n_channels=2, n_features=2)


@pytest.fixture
def state():
    return integrator.init(INTEGRAND, SETTINGS, jax.random.key(0))


def drawn(state, n=20_000, chunk=4000):
    return sampling.sample(INTEGRAND, SETTINGS, state, jax.random.key(1), n, chunk=chunk)


def test_points_come_in_chunks_and_are_real(state):
    found = drawn(state, n=9000)
    assert len(found.weight) == 12_000
    assert found.real.all()
    assert len(np.unique(found.x, axis=0)) == 12_000
    np.testing.assert_array_equal(np.bincount(found.channel), [6000, 6000])


def test_points_go_where_the_history_varies(state):
    """All but those that are spread evenly; and the integral stays."""
    seen = sampling.observe(INTEGRAND, SETTINGS, state, jax.random.key(2), 4000)
    np.testing.assert_allclose(seen.extra.history.n, [2000, 2000])
    found = drawn(seen)
    share = np.bincount(found.channel, minlength=2) / len(found.weight)
    np.testing.assert_allclose(share, [0.949, 0.051], atol=0.002)
    for one in (drawn(state), found):
        total = sampling.estimate(one, state.extra.active)
        assert abs(total.value - toys.camel_integral(2)) < 4 * total.error


def test_channels_are_dropped_and_the_integral_stays(state):
    seen = sampling.observe(INTEGRAND, SETTINGS, state, jax.random.key(3), 4000)
    assert sampling.drop(seen, 1e-4).extra.active.all()
    left = sampling.drop(seen, 0.01)
    assert left.extra.active.tolist() == [True, False]
    found = drawn(left)
    assert (found.channel == 0).all()
    total = sampling.estimate(found, left.extra.active)
    assert abs(total.value - toys.camel_integral(2)) < 4 * total.error


def test_no_channel_is_left_out_by_mistake(state):
    """Without `active`, points of two channels would give the integral of the first alone."""
    found = drawn(state)
    with pytest.raises(ValueError, match="active: 1 channels, expected 2, as the points have"):
        sampling.estimate(found)
    sampling.check_channels(found.channel, [True, False])
    sampling.check_channels(found.channel[:0], [])


def test_a_channel_without_points_is_named(state):
    found = drawn(state)
    half = jax.tree.map(lambda x: x[found.channel == 0], found)
    with pytest.raises(ValueError, match="channel 1: 0 points, expected at least 2"):
        sampling.estimate(half, state.extra.active)
