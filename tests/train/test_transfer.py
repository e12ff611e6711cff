"""Parameters that fit are taken over, and groups of them learn at their own pace."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import batch, train
from hepjax.jets import data, particle_flow
from hepjax.nn import model
from hepjax.train import transfer

PARAMS = {"body": {"a": jnp.ones(3), "b": jnp.ones(2)}, "head": jnp.ones(2)}


def network(n_classes):
    inputs = data.Inputs(*(jnp.ones((2, 4, n)) for n in (7, 2, 4)), jnp.ones((2, 4), bool))
    net = model.from_linen(particle_flow.small_pfn(n_classes))
    return jax.jit(net.init)(jax.random.key(n_classes), inputs)["params"]


def test_a_head_for_other_classes_is_new_and_the_rest_is_taken():
    template, found = network(2), network(10)
    params, report = transfer.graft(template, found)
    assert {path for path, *_ in report.reshaped} == {
        "head/dense_1/kernel",
        "head/dense_1/bias",
    }
    assert report.reshaped[0][1:] in (((10,), (2,)), ((64, 10), (64, 2)))
    assert not report.new
    assert not report.unused
    np.testing.assert_array_equal(
        params["phi"]["dense_0"]["kernel"], found["phi"]["dense_0"]["kernel"]
    )
    np.testing.assert_array_equal(
        params["head"]["dense_1"]["kernel"], template["head"]["dense_1"]["kernel"]
    )
    assert jax.tree.structure(params) == jax.tree.structure(template)
    assert "head/dense_1/kernel: found (64, 10), expected (64, 2): new" in str(report)


def test_a_head_can_be_replaced_though_it_fits():
    params, report = transfer.graft(network(2), network(2), skip=r"^head/")
    assert all(path.startswith("head/") for path in report.new)
    assert report.new == report.unused
    assert len(report.taken) + len(report.new) == len(jax.tree.leaves(params))


def test_what_has_no_counterpart_is_named():
    template = {"a": jnp.zeros(2, jnp.bfloat16), "c": jnp.zeros(1)}
    params, report = transfer.graft(template, {"a": np.ones(2), "b": np.ones(1)})
    assert report == transfer.Report(("a",), ("c",), ("b",), ())
    assert params["a"].dtype == jnp.bfloat16
    assert "1 new: c" in str(report)
    assert "found but not used: b" in str(report)
    with pytest.raises(ValueError, match="none of its 1 parameters"):
        transfer.graft(template, {"x": np.ones(2)})


def test_factors_scale_the_steps_of_their_group():
    optimiser = transfer.paced(optax.sgd(0.1), {"body/a": 0.0, "body": 0.5})
    updates, _ = optimiser.update(PARAMS, optimiser.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["body"]["a"], 0)
    np.testing.assert_allclose(updates["body"]["b"], -0.05)
    np.testing.assert_allclose(updates["head"], -0.1)
    with pytest.raises(ValueError, match=r"\['tail'\] name no parameter"):
        transfer.paced(optax.sgd(0.1), {"tail": 2.0}).init(PARAMS)


def test_frozen_parameters_do_not_move_in_training():
    def loss(p, x, key):
        return batch.mean((x * p["body"]["a"].sum() - p["head"].sum()) ** 2)

    adamw = optax.adamw(0.1, weight_decay=0.1)
    optimiser = transfer.paced(adamw, {"body/a": 0.0, "head": 50.0})
    step = jax.jit(train.gradient_step(train.mean_loss(loss), optimiser))
    state = train.init(PARAMS, optimiser, jax.random.key(0))
    state, _ = step(state, jnp.arange(4.0))
    assert np.abs(state.params["head"] - PARAMS["head"]).min() > 4  # 50 times Adam's 0.1
    for _ in range(3):
        state, _ = step(state, jnp.arange(4.0))
    np.testing.assert_array_equal(state.params["body"]["a"], PARAMS["body"]["a"])
    assert np.abs(state.params["body"]["b"] - PARAMS["body"]["b"]).max() > 0  # decay alone
