"""Kept points: prior weights that are stored in part, a ring, tiles at random, what they tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import coupling
from hepjax.integration import (
    buffer,
    integrator,
    losses,
    sampling,
    toys,
)
from hepjax.integration.integrator import Integrand, Values

SMALL = integrator.Settings(
    n_points=256, flow=coupling.Settings(4, 8, 1), n_steps=40, learning_rate=1e-2
)


def halves(x, channel):
    """The camel in three channels of one map."""
    prior = jnp.log(jnp.array([[0.6, 0.3, 0.1]])) + 0 * x[:, :1]
    return Values(toys.camel(x), x, prior)


CAMEL = Integrand(lambda x, channel: Values(toys.camel(x)), 2)
PARTS = Integrand(halves, 2, n_channels=3, n_features=2)


def points(log_prior, channel):
    n = np.zeros(log_prior.shape[:-1])
    return buffer.Points(
        n[..., None], None, n, n, np.asarray(channel), n == 0, n, None, jnp.asarray(log_prior)
    )


def test_the_largest_prior_weights_are_stored_and_that_of_the_point():
    share = np.array([[[0.5, 0.3, 0.1, 0.06, 0.04], [0.02, 0.05, 0.9, 0.03, 0.0]]])
    with np.errstate(divide="ignore"):
        log_prior = np.log(share) + 3.0  # they need not add up to one
    packed = buffer.pack(points(log_prior, [3]), 2)
    assert packed.log_prior.shape == (1, 2, 2)
    whole = np.exp(buffer.unpack(packed, 5).log_prior)
    np.testing.assert_allclose(whole.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(whole[0, 0], [0.5, *[0.44 / 3] * 2, 0.06, 0.44 / 3], atol=1e-6)
    np.testing.assert_allclose(whole[0, 1], [*[0.07 / 3] * 2, 0.9, 0.03, 0.07 / 3], atol=1e-6)


def test_all_that_is_stored_comes_back():
    n = 4
    log_prior = np.random.default_rng(0).normal(size=(3, 2, n))
    for n_stored in (0, n, n + 1):
        same = buffer.unpack(buffer.pack(points(log_prior, [0, 1, 2]), n_stored), n)
        np.testing.assert_array_equal(same.log_prior, log_prior)
    nowhere = points(np.full((1, 2, n), -np.inf), [0])
    assert (np.exp(buffer.unpack(buffer.pack(nowhere, 2), n).log_prior) == 0).all()
    two = np.log(np.array([[[0.75, 0.25, 0.0, 0.0]]]) + 1e-300)
    again = np.exp(buffer.unpack(buffer.pack(points(two, [0]), 2), n).log_prior)
    np.testing.assert_allclose(again, [[[0.75, 0.25, 0, 0]]], atol=1e-6)


def test_the_newest_take_the_place_of_the_oldest():
    one = points(np.zeros((2, 1, 1)), [0, 1])
    kept = buffer.empty(jax.tree.map(jnp.asarray, one), 3)
    for step in range(5):
        kept = buffer.write(kept, one._replace(value=np.full((2, 1), step)), step)
    np.testing.assert_array_equal(kept.value[:, 0, 0], [3, 4, 2])
    assert kept.real.all()


@pytest.mark.parametrize("filled", [2, 4])
def test_tiles_are_picked_once_and_only_those_that_are_there(filled):
    kept = points(np.zeros((4, 5, 1, 1)), np.zeros((4, 5), int))
    kept = kept._replace(value=np.arange(20.0).reshape(4, 5, 1))
    kept = jax.tree.map(jnp.asarray, kept)
    seen = []
    for seed in range(20):
        found = buffer.pick(kept, jax.random.key(seed), filled, 2)
        assert found.value.shape == (2, 5, 1)
        assert len(np.unique(found.value)) == 10
        seen.append(np.ravel(found.value))
    assert set(np.concatenate(seen)) == set(range(5 * filled))


def test_an_effective_share_of_points():
    real = np.array([[True, True, False]])
    assert buffer.kish(jnp.array([[2.0, 2.0, 9.0]]), real) == 1
    assert buffer.kish(jnp.array([[1.0, 0.0, 9.0]]), real) == 0.5
    assert buffer.kish(jnp.array([[1.0, 0.0, 9.0]]), real & False) == 1


def steps(integrand, settings, n, seed=0):
    state = integrator.init(integrand, settings, jax.random.key(seed))
    step = jax.jit(integrator.train_step(integrand, settings))
    found = []
    for _ in range(n):
        state, sums = step(state, None)
        found.append(sums)
    return state, found


@pytest.mark.parametrize(("integrand", "n_stored"), [(CAMEL, 0), (PARTS, 2)])
def test_steps_learn_again_once_enough_is_kept(integrand, n_stored):
    settings = SMALL._replace(buffer=4, buffered=2, n_stored=n_stored)
    state, found = steps(integrand, settings, 4)
    assert [float(one.again + one.refused) for one in found] == [0, 2, 2, 2]
    assert [float(one.again) for one in found][1:] == [2, 2, 2]
    assert [float(one.moments.n.sum()) for one in found] == [256] * 4
    assert state.opt_state.count == 4 + 6
    assert (np.asarray(state.extra.buffer.value) != 0).any((1, 2)).all()


def test_batches_of_few_effective_points_are_counted_and_change_nothing():
    wanted = SMALL._replace(buffer=2, buffered=1, kish=0.999, learning_rate=0.05)
    state, found = steps(CAMEL, wanted, 6)
    assert sum(float(one.refused) for one in found) >= 4
    assert state.opt_state.count == 6 + sum(float(one.again) for one in found)
    with_none, _ = steps(CAMEL, wanted._replace(kish=2.0), 3)
    without, _ = steps(CAMEL, wanted._replace(buffer=0, buffered=0), 3)
    for part in ("params", "opt_state"):
        pairs = zip(*(jax.tree.leaves(getattr(one, part)) for one in (with_none, without)))
        for one, other in pairs:
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_kept_points_tell_the_variance_of_the_flow_now():
    """Of a flow that has moved: from points of the one before, and from points of its own."""
    settings = SMALL._replace(n_points=20_000)
    start = integrator.init(CAMEL, settings, jax.random.key(0))
    old = integrator.fresh(CAMEL, settings, start, jax.random.key(1))
    moved = start._replace(params=steps(CAMEL, SMALL, 30)[0].params)
    log_now = integrator.mixture.log_density(CAMEL, moved.params, old)
    then = losses.sums(old.value, old.log_drawn, log_now, old.channel, old.real, 1)
    now = sampling.moments(CAMEL, settings, moved, jax.random.key(2), 20_000)
    assert losses.spread(then)[0] == pytest.approx(float(losses.spread(now)[0]), rel=0.1)
    plain = losses.sums(old.value, old.log_drawn, old.log_drawn, old.channel, old.real, 1)
    assert losses.spread(then)[0] < 0.6 * losses.spread(plain)[0]


def test_integrals_stay_and_points_that_are_no_numbers_are_kept_out():
    def broken(x, channel):
        return Values(jnp.where(x[:, 0] < 0.1, jnp.nan, toys.camel(x)))

    state, found = steps(Integrand(broken, 2), SMALL._replace(buffer=4, buffered=1), 6)
    assert all(float(one.skipped) == 0 for one in found)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
    settings = SMALL._replace(buffer=4, buffered=2)
    state, _ = steps(PARTS, settings, 20)
    drawn = sampling.sample(PARTS, settings, state, jax.random.key(3), 16_384)
    total = sampling.estimate(drawn, state.extra.active)
    assert abs(total.value - toys.camel_integral(2)) < 4 * total.error


def test_a_buffer_that_is_too_small_is_named():
    with pytest.raises(ValueError, match="buffer: 1, expected at least 2 steps"):
        integrator.init(CAMEL, SMALL._replace(buffer=1, buffered=2), jax.random.key(0))
