"""The loss of taggers: weights, running statistics and the average of parameters."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import train
from hepjax.jets import batches, data, loss
from hepjax.nn import model, norm


class Pooled(linen.Module):
    """A small tagger with masked batch norm."""

    @linen.compact
    def __call__(self, inputs, train=False):
        x = norm.MaskedBatchNorm(name="norm")(inputs.features, inputs.mask, train)
        x = jnp.where(inputs.mask[..., None], jnp.tanh(linen.Dense(4)(x)), 0)
        return linen.Dense(2)(x.sum(1))


NETWORK = model.from_linen(Pooled())


@pytest.fixture(scope="module")
def jets(toy_columns):
    return data.select(data.from_columns(toy_columns()[0]), ("QCD", "Tbqq"))


@pytest.fixture(scope="module")
def variables(jets):
    example = data.inputs(batches.padded(jets, np.arange(8), 32))
    return NETWORK.init(jax.random.key(0), example)


def test_cross_entropy_is_the_weighted_mean(jets, variables):
    weights = np.random.default_rng(0).uniform(0.5, 2, len(jets.label)).astype(np.float32)
    batch = batches.padded(jets._replace(weight=weights), np.arange(-1, 20), 32)
    objective = loss.classification(NETWORK)
    total, values = objective.finish(objective.sums(variables["params"], batch, None))
    logits, _ = NETWORK.apply_train({"params": variables["params"]}, data.inputs(batch))
    log_p = jax.nn.log_softmax(np.asarray(logits)[1:])
    entropy = -np.take_along_axis(log_p, batch.label[1:, None], 1)[:, 0]
    assert float(total) == pytest.approx(np.average(entropy, weights=weights[:20]), rel=1e-5)
    right = logits[1:].argmax(1) == batch.label[1:]
    assert float(values["accuracy"]) == pytest.approx(np.average(right, weights=weights[:20]))


def test_smoothing_moves_the_target(jets, variables):
    batch = batches.padded(jets, np.arange(8), 32)
    plain, smooth = loss.classification(NETWORK), loss.classification(NETWORK, smoothing=1.0)
    uniform = smooth.finish(smooth.sums(variables["params"], batch, None))[0]
    logits, _ = NETWORK.apply_train({"params": variables["params"]}, data.inputs(batch))
    np.testing.assert_allclose(uniform, -jax.nn.log_softmax(logits).mean(), rtol=1e-5)
    assert float(uniform) != float(plain.finish(plain.sums(variables["params"], batch, None))[0])


def test_step_moves_statistics_and_average(jets, variables):
    optimiser, objective = optax.sgd(0.1), loss.classification(NETWORK)
    step = jax.jit(train.gradient_step(objective, optimiser, update=loss.update(0.9)))
    state = train.init(variables["params"], optimiser, jax.random.key(0), loss.start(variables))
    np.testing.assert_array_equal(
        jax.tree.leaves(loss.averaged(state.params, state.extra, 0.9)["params"])[0],
        jax.tree.leaves(state.params)[0],
    )
    batch = batches.padded(jets, np.arange(40), 32)
    seen = []
    for _ in range(3):
        state, _ = step(state, batch)
        seen.append(state.params)
    x = np.asarray(data.inputs(batch).features)[batch.mask]
    mean = state.extra["batch_stats"]["norm"]["mean"]
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-3, atol=1e-4)
    weights = np.array([0.9**2, 0.9, 1])
    average = loss.averaged(state.params, state.extra, 0.9)["params"]
    expected = jax.tree.map(
        lambda *p: sum(w * a for w, a in zip(weights, p)) / weights.sum(), *seen
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), average, expected
    )


def test_statistics_that_are_known_are_not_replaced_by_the_first_batch(jets, variables):
    batch = batches.padded(jets, np.arange(40), 32)
    stats = jax.tree.map(lambda x: x + 10, variables["batch_stats"])
    extra = loss.start({**variables, "batch_stats": stats})
    sums = loss.classification(NETWORK).sums(variables["params"], batch, None)
    x = np.asarray(data.inputs(batch).features)[batch.mask]
    for known, momentum, share in ((True, 0.1, 0.1), (True, 0.0, 0.0), (False, 0.1, 1.0)):
        after_step = loss.update(0.9, momentum, known=known)
        mean = after_step(extra, variables["params"], sums)["batch_stats"]["norm"]["mean"]
        np.testing.assert_allclose(mean, 10 + share * (x.mean(0) - 10), rtol=1e-3, atol=1e-4)


def test_renormalised_training_sees_what_evaluation_sees(jets, variables):
    """With the statistics of the whole sample, batches of short and of long jets alike."""
    whole = data.inputs(batches.padded(jets, np.arange(len(jets.label)), 32))
    x = np.asarray(whole.features)[np.asarray(whole.mask)]
    stats = {"norm": {"mean": x.mean(0), "var": x.var(0)}}
    variables = {"params": variables["params"], "batch_stats": stats}
    objective = loss.renormalised(NETWORK)({"batch_stats": stats})
    order = np.argsort(np.diff(jets.particles.offsets))
    for rows in (order[:16], order[-16:]):
        batch = batches.padded(jets, rows, 32)
        found = objective.finish(objective.sums(variables["params"], batch, None))[0]
        logits = NETWORK.apply(variables, data.inputs(batch))
        expected = optax.softmax_cross_entropy_with_integer_labels(logits, batch.label).mean()
        assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_evaluation_uses_the_average(jets, variables):
    state = train.init(
        variables["params"], optax.sgd(0.1), jax.random.key(0), loss.start(variables)
    )
    sums = loss.evaluation(NETWORK, "full", 0.9)
    served = batches.of_sample(jets, shuffle=False)
    found = train.evaluate(sums, state, served, loss.classification(NETWORK).finish)
    logits = train.predict(loss.logits(NETWORK, "full"), variables, served)
    assert logits.shape == (len(jets.label), 2)
    right = (logits.argmax(1) == jets.label).mean()
    assert found["accuracy"] == pytest.approx(right, abs=1e-6)
