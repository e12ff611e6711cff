"""Three tasks with three denominators, and what padding may not change."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import train
from hepjax.jets import batches
from hepjax.jets import loss as jet_loss
from hepjax.jets.flavour import data, gn2, loss
from hepjax.nn import model

NET = model.from_linen(
    gn2.small(width=16, n_layers=1, n_heads=2, wide=16, out_width=8, hidden=(8,))
)


@pytest.fixture(scope="module")
def variables(tracks):
    inputs = data.inputs(batches.padded(tracks, np.arange(8), 16))
    return jax.jit(NET.init)(jax.random.key(0), inputs)


def test_each_task_is_a_mean_over_its_own_items(tracks, variables):
    """By hand, track by track and pair by pair."""
    jets = batches.padded(tracks, np.array([0, 1, 2, -1, 3, 4, 5, 6]), 24)
    jets = jets._replace(weight=jets.weight * np.array([1, 2, 1, 1, 0.5, 1, 3, 1], np.float32))
    objective = loss.multitask(NET)
    _, values = objective.finish(jax.jit(objective.sums)(variables["params"], jets, None))
    out = jax.device_get(jax.jit(NET.apply)(variables, data.inputs(jets)))
    log_p = jax.nn.log_softmax(out.origin)
    total = np.zeros(4)
    for j in range(8):
        w, n = jets.weight[j], int(jets.mask[j].sum())
        for a in range(n):
            total[:2] += w * np.array([-log_p[j, a, jets.particles.origin[j, a]], 1])
            for b in range(n):
                if a != b:
                    same = jets.particles.vertex[j, a] == jets.particles.vertex[j, b]
                    z = out.vertex[j, a, b] * (1 if same else -1)
                    total[2:] += w * np.array([np.log1p(np.exp(-z)), 1])
    assert float(values["origin"]) == pytest.approx(total[0] / total[1], rel=1e-4)
    assert float(values["vertex"]) == pytest.approx(total[2] / total[3], rel=1e-4)


def test_training_lowers_all_three(tracks, variables):
    objective, optimiser = loss.multitask(NET), optax.adam(0.01)
    step = jax.jit(train.gradient_step(objective, optimiser, update=jet_loss.update(0.9)))
    state = train.init(variables["params"], optimiser, jax.random.key(0), jet_loss.start(variables))
    jets = batches.padded(tracks, np.arange(80), 24)
    history = []
    for _ in range(40):
        state, sums = step(state, jets)
        history.append(objective.finish(sums)[1])
    for name in ("flavour", "origin", "vertex"):
        assert float(history[-1][name]) < 0.95 * float(history[0][name]), name
    sums = jax.jit(loss.evaluation(NET, 0.9))(state, jets)
    assert set(objective.finish(sums)[1]) == set(loss.WEIGHTS)


def test_a_tagger_without_auxiliary_tasks_has_one_loss(tracks):
    net = model.from_linen(gn2.small(width=8, n_layers=1, n_heads=2, hidden=(8,), auxiliary=False))
    jets = batches.padded(tracks, np.arange(8), 16)
    variables = jax.jit(net.init)(jax.random.key(0), data.inputs(jets))
    objective = loss.multitask(net)
    value, found = objective.finish(jax.jit(objective.sums)(variables["params"], jets, None))
    assert set(found) == {"flavour", "accuracy"}
    assert float(value) == pytest.approx(float(found["flavour"]))
    assert jnp.isfinite(value)
