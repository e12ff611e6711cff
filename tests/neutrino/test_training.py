"""Learning from a simulation: it helps, it stops and goes on, it is restored."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import batch as batching
from hepjax import runs, train
from hepjax.neutrino import posterior, training

UNIFORM = float(np.log(4 * np.pi))
PLAN = training.Plan(n_steps=60, n_events=64, learning_rate=3e-3)


@pytest.fixture(scope="module")
def learned(tiny, simulate, tmp_path_factory):
    folder = tmp_path_factory.mktemp("posterior")
    run = runs.create(folder / "run", PLAN)
    variables = training.fit(run, tiny, simulate, PLAN, key=jax.random.key(0))
    return run, variables


def value(tiny, simulate, variables):
    pulses, truth = simulate(jax.random.key(9), 512)
    found = jax.jit(lambda v: posterior.encode(tiny, v, pulses))(variables)
    return float(-posterior.log_prob(tiny, found, truth.direction).mean())


@pytest.mark.smoke
def test_densities_at_the_truth_rise(tiny, simulate, learned):
    found = value(tiny, simulate, learned[1])
    assert found < UNIFORM - 0.5


def test_what_was_kept_is_restored(tiny, simulate, learned):
    run, variables = learned
    pulses, _ = simulate(jax.random.key(0), 2)
    again = training.restore(run.path, tiny, pulses)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    with pytest.raises(ValueError, match="is no run folder: it has no checkpoints"):
        training.restore(run.path / "plots", tiny, pulses)


def test_a_training_that_stopped_goes_on_to_the_same(tiny, simulate, learned, tmp_path):
    run = runs.create(tmp_path / "run", PLAN)
    pace = train.Settings(save_every=30)
    training.fit(run, tiny, simulate, PLAN, key=jax.random.key(0), settings=pace)
    shutil.rmtree(run.path / "checkpoints" / "60")  # as if it had been stopped before
    again = training.fit(
        run, tiny, simulate, PLAN, key=jax.random.key(0), settings=pace, resume=True
    )
    jax.tree.map(np.testing.assert_array_equal, again, learned[1])


def test_the_loss_is_a_mean_over_events(tiny, simulate):
    goal = training.loss(tiny)
    pulses, truth = simulate(jax.random.key(1), 8)
    params = posterior.init(tiny, jax.random.key(2), pulses)["params"]
    batch = posterior.look(tiny, pulses), truth.direction
    sums = goal.sums(params, batch, None)
    objective, named = goal.finish(sums)
    found = posterior.encode(tiny, {"params": params}, pulses)
    expected = -posterior.log_prob(tiny, found, truth.direction).mean()
    assert float(objective) == pytest.approx(float(expected), rel=1e-5)
    assert float(named["loss"]) == float(objective)
    slope = jax.grad(lambda p: goal.finish(goal.sums(p, batch, None))[0])(params)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(slope))


def test_each_look_is_new_and_made_ahead(tiny, simulate):
    plan = PLAN._replace(n_steps=12, n_events=4)
    new = training.looker(tiny, simulate, plan)
    asked = []

    def told(key, index):
        asked.append(int(index))
        return new(key, index)

    batches = training.looks(told, plan, jax.random.key(3))
    assert len(batches.shapes(0)) == 12
    for index in range(12):
        _, direction = batches.get(0, index)
        np.testing.assert_array_equal(direction, new(jax.random.key(3), jnp.uint32(index))[1])
        assert set(range(index + 1)) <= set(asked) <= set(range(index + 1 + training.N_AHEAD))
    assert sorted(asked) == list(range(12))


def test_parameters_are_averaged_over_the_last_steps(tmp_path):
    """A parameter that falls by a constant, its gradient of one."""
    plan = training.Plan(n_steps=10, learning_rate=1e-2, weight_decay=0.0, tail=0.5)
    goal = train.mean_loss(lambda p, batch, key: batching.mean(p["x"][None]))
    run = runs.create(tmp_path / "run", plan)
    found = training.averaged(run, goal, {"x": jnp.zeros(())}, plan, key=jax.random.key(0))
    rates = np.asarray(training.schedule(plan)(np.arange(10)))
    expected = float(-np.cumsum(rates)[5:].mean())
    assert float(found["params"]["x"]) == pytest.approx(expected, rel=1e-3)
