"""Learning from a simulation: it helps, it stops and goes on, it is restored."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def test_each_look_is_used_as_often_as_asked_and_then_dropped(tiny, simulate):
    plan = PLAN._replace(n_steps=40, n_events=8, n_parts=4, n_kept=6)
    new = training.looker(tiny, simulate, plan)
    batches = training.looks(new, plan, jax.random.key(3))
    used: dict[tuple, list[int]] = {}
    for index in range(len(batches.shapes(0))):
        _, direction = batches.get(0, index)
        assert direction.shape == (8, 3)
        for part in np.asarray(direction).reshape(4, 2, 3):
            used.setdefault(tuple(part.ravel().tolist()), []).append(index)
    assert len(used) == 43  # one is new at each step
    times = [len(at) for at in used.values()]
    assert np.mean(times[8:32]) == pytest.approx(4, abs=0.7)
    assert all(len(set(at)) == len(at) and at[-1] - at[0] < 6 for at in used.values())
    again = training.looks(new, plan, jax.random.key(3)).get(0, 30)
    jax.tree.map(np.testing.assert_array_equal, again, batches.get(0, 30))


def test_parts_that_do_not_fit_are_refused(tiny, simulate):
    for plan in (PLAN._replace(n_parts=5), PLAN._replace(n_parts=64, n_kept=32)):
        with pytest.raises(ValueError, match=r"n_parts: .*, expected to share n_events 64 evenly"):
            training.looker(tiny, simulate, plan)
