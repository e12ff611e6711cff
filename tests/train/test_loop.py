"""fit: compile counts, logging, validation, early stopping, and a resume that nobody can tell."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import batch, checkpoint, runs, train

N = 203
RNG = np.random.default_rng(0)
COUNT = RNG.integers(3, 40, size=N)
X = batch.Ragged(
    RNG.normal(size=int(COUNT.sum())).astype(np.float32), np.concatenate([[0], np.cumsum(COUNT)])
)
Y = RNG.normal(size=N).astype(np.float32)
OPTIMISER = optax.adam(0.03)


def batches(group=1, shuffle=True):
    def fill(selection):
        values, mask = batch.pad(X, selection.rows, selection.bucket)
        real = selection.rows >= 0
        y = np.where(real, Y[selection.rows], 0).astype(np.float32)
        return {"x": values, "mask": mask, "y": y, "weight": real.astype(np.float32)}

    def plan(epoch):
        return batch.plan(
            COUNT,
            seed=5,
            epoch=epoch,
            buckets=(16, 32, 48),
            budget=512,
            group=group,
            shuffle=shuffle,
        )

    return batch.from_plan(plan, fill)


class Counter:
    """How often a function was traced, that is compiled, and for which shapes."""

    def __init__(self, function):
        self.function, self.shapes = function, []

    def __call__(self, params, x, key):
        self.shapes.append(x["x"].shape)
        return self.function(params, x, key)


def regression(p, x, key):
    pooled = jnp.where(x["mask"], jnp.tanh(x["x"] * p["a"]), 0).sum(1)
    noise = 0.01 * jax.random.normal(key, pooled.shape)
    return batch.mean((pooled * p["b"] + noise - x["y"]) ** 2, x["weight"])


def quiet(p, x, key):
    pooled = jnp.where(x["mask"], jnp.tanh(x["x"] * p["a"]), 0).sum(1)
    return batch.mean((pooled * p["b"] - x["y"]) ** 2, x["weight"])


LOSS = train.mean_loss(regression)


def start():
    return train.init({"a": jnp.ones(()), "b": jnp.ones(())}, OPTIMISER, jax.random.key(1))


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(jnp.asarray(x).dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


def validation(function=quiet):
    loss = train.mean_loss(function)
    return train.Validation(
        lambda state, x: loss.sums(state.params, x, None), batches(shuffle=False), loss.finish
    )


@pytest.mark.smoke
@pytest.mark.parametrize("steps_per_call", [1, 4])
def test_training_and_evaluation_compile_once_a_bucket(steps_per_call):
    seen, looked = Counter(regression), Counter(quiet)
    loss = train.mean_loss(seen)
    step = train.gradient_step(loss, OPTIMISER)
    settings = train.Settings(n_epochs=3, steps_per_call=steps_per_call)
    data = batches(group=steps_per_call)
    train.fit(step, start(), data, loss.finish, settings, validation=validation(looked))
    assert sorted(set(seen.shapes)) == sorted(set(looked.shapes)) == [(8, 48), (16, 32), (32, 16)]
    assert len(seen.shapes) == len(looked.shapes) == 3


@pytest.mark.parametrize("steps_per_call", [2, 5])
def test_steps_per_call_changes_nothing_but_rounding(steps_per_call):
    results = []
    for k in (1, steps_per_call):
        settings = train.Settings(n_epochs=2, steps_per_call=k)
        step = train.gradient_step(train.mean_loss(quiet), OPTIMISER)
        results.append(
            train.fit(step, start(), batches(group=steps_per_call), LOSS.finish, settings)
        )
    for a, b in zip(*(jax.tree.leaves(r.state.params) for r in results)):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert results[0].position == results[1].position
    assert int(results[1].state.step) == results[1].position.step


@pytest.mark.parametrize(("steps_per_call", "stop"), [(1, 7), (1, 31), (3, 12)])
def test_resume_reaches_the_same_bits(tmp_path, steps_per_call, stop):
    step = train.gradient_step(LOSS, OPTIMISER)
    data = batches(group=steps_per_call)
    whole = train.Settings(n_epochs=3, steps_per_call=steps_per_call, save_every=5)
    unbroken = train.fit(step, start(), data, LOSS.finish, whole, validation=validation())
    with checkpoint.open(tmp_path) as checkpoints:
        train.fit(
            step,
            start(),
            data,
            LOSS.finish,
            whole._replace(n_steps=stop),
            validation=validation(),
            checkpoints=checkpoints,
        )
    with checkpoint.open(tmp_path) as checkpoints:
        resumed = train.fit(
            step,
            start(),
            data,
            LOSS.finish,
            whole,
            validation=validation(),
            checkpoints=checkpoints,
            resume=True,
        )
        saved, meta = checkpoint.restore(checkpoints, start())
    same(resumed.state, unbroken.state)
    same(saved, unbroken.state)
    assert resumed.position == unbroken.position == train.Position(**meta["position"])


def test_log_lines_and_their_means(tmp_path):
    run = runs.create(tmp_path / "run", {"seed": 1})
    zero = train.gradient_step(train.mean_loss(quiet), optax.sgd(0.0))
    settings = train.Settings(n_epochs=1, log_every=1000)
    state = start()._replace(opt_state=optax.sgd(0.0).init(start().params))
    train.fit(zero, state, batches(), LOSS.finish, settings, run=run, validation=validation())
    lines = runs.read(run)
    assert [line["split"] for line in lines] == ["train", "validation"]
    assert lines[0]["loss"] == pytest.approx(lines[1]["loss"], rel=1e-5)
    pooled = np.add.reduceat(np.tanh(X.values), X.offsets[:-1])
    assert lines[1]["loss"] == pytest.approx(np.mean((pooled - Y) ** 2), rel=1e-5)


def test_resume_drops_the_lines_past_the_checkpoint(tmp_path):
    run = runs.create(tmp_path / "run", {})
    step = train.gradient_step(LOSS, OPTIMISER)
    settings = train.Settings(n_steps=20, log_every=4, save_every=10)
    with checkpoint.open(tmp_path / "c") as checkpoints:
        arguments = {"run": run, "checkpoints": checkpoints}
        train.fit(step, start(), batches(), LOSS.finish, settings, **arguments)
        runs.log(run, 33, {"loss": 0.0}, "train")
        later = settings._replace(n_steps=30)
        train.fit(step, start(), batches(), LOSS.finish, later, resume=True, **arguments)
    assert len(batches().shapes(0)) == 15
    assert [line["step"] for line in runs.read(run)] == [4, 8, 12, 15, 16, 20, 24, 28, 30]


def test_early_stopping_counts_validations_and_survives_a_resume(tmp_path):
    frozen = train.gradient_step(LOSS, optax.sgd(0.0))
    state = train.init(start().params, optax.sgd(0.0), jax.random.key(1))
    settings = train.Settings(n_epochs=50, patience=3)
    with checkpoint.open(tmp_path) as checkpoints:
        arguments = {"validation": validation(), "checkpoints": checkpoints}
        done = train.fit(frozen, state, batches(), LOSS.finish, settings, **arguments)
        again = train.fit(frozen, state, batches(), LOSS.finish, settings, resume=True, **arguments)
    assert done.reason == again.reason == "stopped early"
    assert done.position.epoch == again.position.epoch == 4
    assert done.position.best_step == len(batches().shapes(0))


def test_not_finite_stops_and_names_step_and_batch(tmp_path):
    def poisoned():
        data = batches()

        def get(epoch, index):
            x = data.get(epoch, index)
            if (epoch, index) == (1, 3):
                x["y"][0] = np.nan
            return x

        return data._replace(get=get)

    n = len(batches().shapes(0))
    step = train.gradient_step(LOSS, OPTIMISER)
    with checkpoint.open(tmp_path) as checkpoints:
        rows = batches().rows(1, 3)
        events = rf"of the events \[{', '.join(str(k) for k in rows if k >= 0)}\]"
        where = f"step {n + 3}: epoch 1, batch 3 {events}"
        with pytest.raises(FloatingPointError, match=where):
            train.fit(
                step,
                start(),
                poisoned(),
                LOSS.finish,
                train.Settings(n_epochs=2),
                checkpoints=checkpoints,
            )
        state, _ = checkpoint.restore(checkpoints, start())
    assert int(state.step) == n
    assert np.isfinite(state.params["a"])


@pytest.mark.parametrize("number", runs.STOP_SIGNALS, ids=lambda n: n.name)
def test_a_signal_saves_the_step_at_hand_and_asks_for_more(tmp_path, capfd, number):
    """The process would end with the code for requeueing; what is resumed reaches the same bits."""
    step = train.gradient_step(LOSS, OPTIMISER)
    data, settings = batches(), train.Settings(n_epochs=2)

    def get(epoch, index):
        if (epoch, index) == (0, 5):
            os.kill(os.getpid(), number)
        return data.get(epoch, index)

    before = signal.getsignal(number)
    with checkpoint.open(tmp_path) as checkpoints:
        told = {"checkpoints": checkpoints}
        with pytest.raises(runs.Stopped) as stopped:
            train.fit(step, start(), data._replace(get=get), LOSS.finish, settings, **told)
        assert stopped.value.code == runs.REQUEUE == 75
        assert signal.getsignal(number) is before
        saved = checkpoint.steps(checkpoints)
        assert f"{number.name}: saved step {saved[-1]}; --resume" in capfd.readouterr().err
        assert 0 < saved[-1] <= 7  # batches are read some steps ahead
        resumed = train.fit(step, start(), data, LOSS.finish, settings, resume=True, **told)
    same(resumed.state, train.fit(step, start(), data, LOSS.finish, settings).state)


def test_without_checkpoints_signals_do_what_they_did():
    step = train.gradient_step(LOSS, OPTIMISER)
    data, seen = batches(), set()

    def get(epoch, index):
        seen.add(signal.getsignal(signal.SIGTERM))
        return data.get(epoch, index)

    settings = train.Settings(n_steps=2)
    train.fit(step, start(), data._replace(get=get), LOSS.finish, settings)
    assert seen == {signal.getsignal(signal.SIGTERM)}


def test_a_sampler_has_no_batches():
    def step(state, nothing):
        x = jax.random.normal(jax.random.fold_in(state.key, state.step), (16,))
        return state._replace(step=state.step + 1, params=state.params + x.sum()), {"x": x.sum()}

    def finish(sums):
        return sums["x"], {}

    first = train.init(jnp.zeros(()), OPTIMISER, jax.random.key(0))
    one = train.fit(step, first, None, finish, train.Settings(n_steps=12))
    four = train.fit(step, first, None, finish, train.Settings(n_steps=12, steps_per_call=4))
    np.testing.assert_allclose(one.state.params, four.state.params, rtol=1e-5)
    assert int(four.state.step) == 12


def test_an_error_in_the_reader_is_raised():
    def get(epoch, index):
        raise ValueError("file a.root, branch part_px, entry 3: nan")

    with pytest.raises(ValueError, match=r"a\.root"):
        train.fit(
            train.gradient_step(LOSS, OPTIMISER),
            start(),
            batches()._replace(get=get),
            LOSS.finish,
            train.Settings(n_epochs=1),
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (train.Settings(), "settings need"),
        (train.Settings(n_epochs=1, metric="auc"), "not the metric 'auc'"),
    ],
)
def test_bad_settings(settings, message):
    step = train.gradient_step(LOSS, OPTIMISER)
    with pytest.raises(ValueError, match=message):
        train.fit(step, start(), batches(), LOSS.finish, settings, validation=validation())


def test_the_state_given_is_not_used_up():
    state = start()
    step = train.gradient_step(LOSS, OPTIMISER)
    train.fit(step, state, batches(), LOSS.finish, train.Settings(n_steps=3))
    assert float(state.params["a"]) == 1.0


def test_minimise_is_fit_with_the_loss_of_means():
    """The same parameters, to the last bit, and the weights of terms count."""
    x = np.arange(8.0, dtype=np.float32)
    batches = batch.Batches(lambda epoch: [8], lambda epoch, i: x, lambda epoch, i: np.arange(8))

    def means(w, x, key):
        return {"near": batch.mean((x - w) ** 2), "small": batch.mean(w[None] ** 2)}

    optimiser, settings = optax.sgd(0.1), train.Settings(n_epochs=5)
    weights = {"small": 0.5}
    found = train.minimise(
        means, jnp.zeros(()), optimiser, batches, settings, seed=0, weights=weights
    )
    loss = train.mean_loss(means, weights)
    state = train.init(jnp.zeros(()), optimiser, jax.random.key(0))
    step = train.gradient_step(loss, optimiser)
    expected = train.fit(step, state, batches, loss.finish, settings).state.params
    assert float(found) == float(expected)
    w = 0.0
    for _ in range(5):
        w -= 0.1 * (2 * (w - x.mean()) + w)
    assert float(found) == pytest.approx(w, rel=1e-5)
