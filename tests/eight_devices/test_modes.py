"""One device, eight by the global view and eight by pmap: the same losses and gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import batch, checkpoint, parallel, train

N_STEPS = 20
RATE = 1e3  # so large that the step is the gradient, without cancellation in the difference
RNG = np.random.default_rng(0)
COUNT = np.sort(RNG.integers(1, 32, size=160))[::-1]  # uneven padding: first devices get more
OFFSETS = np.concatenate([[0], np.cumsum(COUNT)])
X = batch.Ragged(RNG.normal(size=(int(OFFSETS[-1]), 3)), OFFSETS)
Y = RNG.integers(0, 2, size=160)
WEIGHT = RNG.uniform(0, 1, size=160) * (RNG.uniform(size=160) > 0.3)


def batches(dtype):
    def get(epoch, index):
        rows = np.arange(160) if index % 2 else np.roll(np.arange(160), 24)
        rows = np.where(rows % 7 == 3, -1, rows)
        values, mask = batch.pad(X, rows, 32)
        weight = np.where(rows >= 0, WEIGHT[rows], 0)
        return {
            "x": values.astype(dtype),
            "mask": mask,
            "y": np.where(rows >= 0, Y[rows], 0).astype(dtype),
            "weight": weight.astype(dtype),
        }

    return batch.Batches(lambda epoch: [32] * N_STEPS, get, lambda epoch, index: np.arange(160))


def logits(p, x):
    hidden = jnp.where(x["mask"][..., None], jnp.tanh(x["x"] @ p["w"]), 0)
    return hidden.sum(1) @ p["v"], hidden


def one_mean(p, x, key):
    z, _ = logits(p, x)
    return batch.mean(optax.sigmoid_binary_cross_entropy(z, x["y"]), x["weight"])


def two_means(p, x, key):
    z, hidden = logits(p, x)
    kept = x["mask"] * x["weight"][:, None]
    return {
        "jets": batch.mean(optax.sigmoid_binary_cross_entropy(z, x["y"]), x["weight"]),
        "particles": batch.mean(hidden.mean(-1) ** 2, kept),
    }


def variance_sums(p, x, key):
    f = jnp.exp(0.1 * logits(p, x)[0]) * x["weight"]
    return {"n": x["weight"].sum(), "f": f.sum(), "f2": (f**2).sum()}


def variance(s):
    return s["f2"] / s["n"] - (s["f"] / s["n"]) ** 2, {}


LOSSES = {
    "one mean": train.mean_loss(one_mean),
    "two denominators": train.mean_loss(two_means, {"particles": 0.3}),
    "variance": train.Loss(variance_sums, variance),
}


def start(optimiser, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 2)
    params = {
        "w": jax.random.normal(keys[0], (3, 8), dtype),
        "v": 0.3 * jax.random.normal(keys[1], (8,), dtype),
    }
    return train.init(params, optimiser, jax.random.key(1))


def trained(loss, mode, devices, optimiser, *, accumulate=1, steps_per_call=1, dtype=np.float32):
    """Losses of each step, and the last parameters."""
    layout = parallel.layout(devices, mode)
    values = []

    def finish(sums):
        values.append(float(loss.finish(sums)[0]))
        return loss.finish(sums)

    step = train.gradient_step(
        loss, optimiser, axis_name=parallel.axis_name(layout), accumulate=accumulate
    )
    settings = train.Settings(n_epochs=1, log_every=1, steps_per_call=steps_per_call)
    done = train.fit(step, start(optimiser, dtype), batches(dtype), finish, settings, layout=layout)
    return np.array(values), jax.device_get(done.state.params)


@pytest.fixture(scope="module")
def reference():
    return {name: trained(loss, "jit", 1, optax.adam(0.01)) for name, loss in LOSSES.items()}


def test_there_are_eight_devices():
    assert jax.device_count() == 8


@pytest.mark.parametrize(
    ("name", "mode", "accumulate"),
    [
        *itertools.product(LOSSES, ("jit", "pmap"), (1,)),
        ("two denominators", "jit", 2),
        ("variance", "pmap", 2),
    ],
)
def test_losses_of_twenty_steps_agree(reference, name, mode, accumulate):
    losses, _ = trained(LOSSES[name], mode, 8, optax.adam(0.01), accumulate=accumulate)
    assert len(losses) == N_STEPS
    np.testing.assert_allclose(losses, reference[name][0], rtol=1e-5, atol=1e-6)
    assert np.ptp(losses) > 1e-3


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_steps_per_call_agrees(reference, mode):
    losses, params = trained(LOSSES["one mean"], mode, 8, optax.adam(0.01), steps_per_call=5)
    assert len(losses) == N_STEPS // 5
    for name, x in params.items():
        np.testing.assert_allclose(x, reference["one mean"][1][name], rtol=1e-4, atol=1e-6)


def one_sgd_step(loss, mode, devices, dtype, accumulate=1):
    optimiser = optax.sgd(RATE)
    before = jax.device_get(start(optimiser, dtype).params)
    layout = parallel.layout(devices, mode)
    step = train.gradient_step(
        loss, optimiser, axis_name=parallel.axis_name(layout), accumulate=accumulate
    )
    settings = train.Settings(n_steps=1)
    data = batches(dtype)
    done = train.fit(step, start(optimiser, dtype), data, loss.finish, settings, layout=layout)
    return {name: (before[name] - np.asarray(x)) / RATE for name, x in done.state.params.items()}


@pytest.mark.parametrize(
    ("name", "mode", "accumulate"), list(itertools.product(LOSSES, ("jit", "pmap"), (1, 2)))
)
def test_sgd_gradient_in_float64(name, mode, accumulate):
    with jax.enable_x64(True):
        one = one_sgd_step(LOSSES[name], "jit", 1, np.float64)
        eight = one_sgd_step(LOSSES[name], mode, 8, np.float64, accumulate)
    for leaf in one:
        assert np.abs(one[leaf]).max() > 1e-4
        np.testing.assert_allclose(
            eight[leaf], one[leaf], rtol=1e-10, atol=1e-10 * np.abs(one[leaf]).max()
        )


@pytest.mark.parametrize(("name", "mode"), list(itertools.product(LOSSES, ("jit", "pmap"))))
def test_sgd_gradient_in_float32(name, mode):
    one = one_sgd_step(LOSSES[name], "jit", 1, np.float32)
    eight = one_sgd_step(LOSSES[name], mode, 8, np.float32)
    for leaf in one:
        np.testing.assert_allclose(
            eight[leaf], one[leaf], rtol=1e-5, atol=1e-5 * np.abs(one[leaf]).max()
        )


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_evaluation_agrees(mode):
    loss, state = LOSSES["two denominators"], start(optax.sgd(1.0))

    def sums(state, x):
        return loss.sums(state.params, x, None)

    values = [
        train.evaluate(sums, state, batches(np.float32), loss.finish, layout=layout)
        for layout in (parallel.layout(1), parallel.layout(8, mode))
    ]
    assert values[0].keys() == values[1].keys() == {"loss", "jets", "particles"}
    for name, value in values[0].items():
        assert values[1][name] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_a_checkpoint_moves_to_another_number_of_devices(tmp_path, mode):
    loss, optimiser = LOSSES["one mean"], optax.adam(0.01)

    def part(devices, mode, n_steps, resume):
        layout = parallel.layout(devices, mode)
        step = train.gradient_step(loss, optimiser, axis_name=parallel.axis_name(layout))
        with checkpoint.open(tmp_path) as checkpoints:
            return train.fit(
                step,
                start(optimiser),
                batches(np.float32),
                loss.finish,
                train.Settings(n_steps=n_steps),
                layout=layout,
                checkpoints=checkpoints,
                resume=resume,
            )

    part(8, mode, 8, False)
    resumed = part(2, "jit", 20, True)
    _, params = trained(loss, "jit", 1, optimiser)
    for name, x in resumed.state.params.items():
        np.testing.assert_allclose(x, params[name], rtol=1e-4, atol=1e-6)


def test_events_that_cannot_be_shared_are_an_error():
    for mode in ("jit", "pmap"):
        with pytest.raises(ValueError, match="12 events in a batch cannot be shared among 8"):
            parallel.place_batch(parallel.layout(8, mode), np.zeros((12, 3)))


def test_predictions_come_back_in_order():
    def get(epoch, index):
        return np.arange(16.0)[::-1].copy()

    data = batch.Batches(lambda e: [1], get, lambda e, i: np.arange(16)[::-1])
    found = train.predict(lambda p, x: p * x, 2.0, data, layout=parallel.layout(8, "pmap"))
    np.testing.assert_array_equal(found, 2 * np.arange(16.0))
