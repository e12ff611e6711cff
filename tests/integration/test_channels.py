"""Channels: whole numbers that add up, tiles that hold them, weights that add up to one."""

import jax
import numpy as np
import pytest

from hepjax.integration import channels


@pytest.mark.parametrize("n", [1, 17, 1000])
def test_shares_are_whole_numbers_that_add_up(n):
    share = np.array([0.3, 0.0, 2.0, 1e-9, 1.7])
    count = np.asarray(channels.allocate(n, share))
    assert count.sum() == n
    assert count[1] == 0
    assert np.abs(count - n * share / share.sum()).max() < 1
    assert channels.allocate(n, np.zeros(3)).sum() == n


@pytest.mark.parametrize("count", [[5, 0, 9, 1], [0, 0, 15, 0], [4, 4, 4, 3]])
def test_tiles_hold_each_point_once(count):
    n = channels.n_tiles(sum(count), len(count), 4)
    laid = jax.jit(channels.tiles, static_argnums=(1, 2))(np.array(count), n, 4)
    found = np.bincount(np.repeat(laid.channel, 4)[laid.real.reshape(-1)], minlength=4)
    np.testing.assert_array_equal(found, count)
    assert laid.real.shape == (n, 4)


def test_one_channel_needs_one_tile():
    assert channels.n_tiles(1000, 1, 1000) == 1
    assert channels.n_tiles(1000, 5, 1) == 1000


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 2)), np.log(rng.dirichlet(np.ones(3), 50))


def test_weights_begin_at_the_prior_and_add_up(drawn):
    features, log_prior = drawn
    layers = channels.init(jax.random.key(0), 2, 3)
    found = channels.log_weights(layers, features, log_prior)
    np.testing.assert_allclose(found, log_prior, atol=1e-6)
    layers[-1]["bias"] = np.array([1.0, -1.0, 0.5], np.float32)
    moved = np.asarray(channels.log_weights(layers, features, log_prior))
    np.testing.assert_allclose(np.exp(moved).sum(1), 1, atol=1e-6)
    expected = log_prior + np.array([1.0, -1.0, 0.5])
    np.testing.assert_allclose(
        moved[:, 0] - moved[:, 1], expected[:, 0] - expected[:, 1], atol=1e-6
    )


def test_channels_that_cannot_or_may_not_come_have_no_weight(drawn):
    features, log_prior = drawn
    layers = channels.init(jax.random.key(0), 2, 3)
    log_prior[:5, 0] = -np.inf
    log_prior[5] = -np.inf
    active = np.array([True, True, False])
    found = np.exp(channels.log_weights(layers, features, log_prior, active))
    assert (found[:, 2] == 0).all()
    assert (found[:5, 0] == 0).all()
    assert (found[5] == 0).all()
    np.testing.assert_allclose(np.delete(found, 5, 0).sum(1), 1, atol=1e-6)
    slopes = jax.grad(
        lambda layers: (
            np.exp(1) * channels.log_weights(layers, features, log_prior, active)[6:, 1].sum()
        )
    )(layers)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))


def test_what_is_no_number_stays_none(drawn):
    features, log_prior = drawn
    layers = channels.init(jax.random.key(0), 2, 3)
    layers[0]["kernel"] = layers[0]["kernel"].at[0, 0].set(np.nan)
    assert np.isnan(channels.log_weights(layers, features, log_prior)).all()


def test_the_smallest_channels_are_dropped():
    size = np.array([1.0, 0.002, 3.0, -0.003, 0.5])
    kept = channels.survivors(np.ones(5, bool), size, 0.01)
    assert kept.tolist() == [True, False, True, False, True]
    again = channels.survivors(kept, size, 0.01)
    np.testing.assert_array_equal(again, kept)
    assert channels.survivors(np.ones(2, bool), np.zeros(2), 0.5).any()
    assert channels.survivors(np.array([True, False]), np.array([1.0, 9.0]), 2.0).tolist() == [
        True,
        False,
    ]
