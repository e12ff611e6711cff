"""The rough likelihood: close to the exact one, where it was made and around."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import coordinates, likelihood, surrogate


@pytest.fixture(scope="module", params=[False, True])
def compared(request, small, small_events):
    """Both [event, place] at 32 truths, and 20 places around of each."""
    pulses, truth = jax.tree.map(lambda x: x[:32], small_events)
    moves = 0.3 * jax.random.normal(jax.random.key(0), (20, 9))
    moves = jnp.concatenate([jnp.zeros((1, 9)), moves])

    def both(pulses, truth):
        chart = coordinates.around("track", truth, jnp.zeros(3))
        x = coordinates.from_truth("track", small.prior, chart, truth)
        near = surrogate.near(small, pulses, chart, x)

        def each(y):
            event = coordinates.truth("track", small.prior, chart, y)
            rough = surrogate.log_l(small, pulses, near, event, linear=request.param)
            return rough, likelihood.all_photons(small, pulses, event)

        return jax.vmap(each)(x + moves)

    rough, exact = (np.asarray(x) for x in jax.jit(jax.vmap(both))(pulses, truth))
    return rough, exact


@pytest.mark.smoke
def test_it_is_the_same_where_it_was_made(compared):
    rough, exact = compared
    assert np.abs(rough - exact)[:, 0].max() < 0.02


def test_it_is_close_around(compared):
    rough, exact = (x - x[:, :1] for x in compared)
    there = exact > -30
    assert there.mean() > 0.2
    assert np.median(np.abs(rough - exact)[there]) < 0.3
    assert np.quantile(np.abs(rough - exact)[there], 0.9) < 2
