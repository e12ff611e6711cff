"""A step moves the state once for a batch with content, and not at all for an empty one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import batch, train


def squared(p, x, key):
    return batch.mean((x["x"] - p) ** 2, x["weight"])


FULL = {"x": np.arange(8.0, dtype=np.float32), "weight": np.ones(8, np.float32)}
EMPTY = {name: np.zeros_like(x) for name, x in FULL.items()}
ADAM = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))


@pytest.fixture(scope="module")
def step():
    def update(extra, params, sums):
        return {
            "average": optax.incremental_update(params, extra["average"], 0.5),
            "weight": extra["weight"] + sums["means"]["loss"].weight,
        }

    return jax.jit(train.gradient_step(train.mean_loss(squared), ADAM, update=update))


def start():
    extra = {"average": jnp.zeros(()), "weight": jnp.zeros(())}
    return train.init(jnp.zeros(()), ADAM, jax.random.key(3), extra)


def test_step_moves_parameters_and_extra(step):
    state, sums = step(start(), FULL)
    assert int(state.step) == 1
    assert float(state.params) == pytest.approx(0.1, rel=1e-4)
    assert float(state.extra["average"]) == pytest.approx(0.05, rel=1e-4)
    assert float(state.extra["weight"]) == 8
    assert float(sums["means"]["loss"].total) == pytest.approx(140.0)


@pytest.mark.smoke
def test_empty_batch_changes_nothing(step):
    state, _ = step(start(), FULL)
    after, _ = step(state, EMPTY)
    for a, b in zip(
        jax.tree.leaves(after._replace(key=None)), jax.tree.leaves(state._replace(key=None))
    ):
        np.testing.assert_array_equal(a, b)


def test_empty_batch_in_a_scan_changes_nothing(step):
    stacked = jax.tree.map(lambda a, b: np.stack([a, b, a]), FULL, EMPTY)
    scanned, _ = jax.lax.scan(step, start(), stacked)
    state = start()
    for part in (FULL, FULL):
        state, _ = step(state, part)
    np.testing.assert_allclose(scanned.params, state.params, rtol=1e-6)
    assert int(scanned.step) == 2


def test_randomness_depends_on_the_step_alone():
    def noise(p, x, key):
        return batch.mean(p * jax.random.normal(key, (8,)))

    step = train.gradient_step(train.mean_loss(noise), optax.sgd(1.0))
    state = train.init(jnp.ones(()), optax.sgd(1.0), jax.random.key(0))
    first, _ = step(state, FULL)
    again, _ = step(state, FULL)
    later, _ = step(state._replace(step=jnp.int32(1)), FULL)
    assert float(first.params) == float(again.params)
    assert float(first.params) != float(later.params)


def test_two_optimisers_are_two_steps():
    loss = train.mean_loss(squared)
    one, other = (
        train.gradient_step(loss, optax.sgd(0.1)),
        train.gradient_step(loss, optax.sgd(0.2)),
    )
    state = train.init(jnp.zeros(()), optax.sgd(0.1), jax.random.key(0))
    state, _ = one(state, FULL)
    state, _ = other(state, FULL)
    expected = 0.7 + 0.4 * (3.5 - 0.7)
    assert float(state.params) == pytest.approx(expected, rel=1e-5)


def test_a_loss_can_look_at_what_the_state_keeps_beside_its_parameters():
    def with_target(extra):
        return train.mean_loss(lambda p, x, key: batch.mean((extra * x["weight"] - p) ** 2))

    def update(extra, params, sums):
        return extra + 1

    step = train.gradient_step(with_target, optax.sgd(0.5), update=update)
    state = train.init(jnp.zeros(()), optax.sgd(0.5), jax.random.key(0), jnp.float32(3))
    state, _ = step(state, FULL)
    assert float(state.params) == 3
    state, _ = step(state, FULL)
    assert float(state.params) == 4
