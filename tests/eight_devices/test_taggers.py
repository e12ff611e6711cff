"""Taggers with batch norm: eight devices by jit and by pmap train as one, with uneven padding."""

import jax
import numpy as np
import optax
import pytest
import toy

from hepjax import batch, parallel, train
from hepjax.jets import (
    batches,
    data,
    deepak8,
    loss,
    pairs,
    particle_flow,
    particle_transformer,
    particlenet,
)
from hepjax.nn import model

N_STEPS = 20
RATE = 1e3
PART = {"embed_dims": (8, 16, 8), "pair_dims": (8,), "n_heads": 2, "n_layers": 1}


def part(axis):
    sizes = {**PART, "n_class_layers": 1, "dropout": 0.0}
    return particle_transformer.ParticleTransformer(2, **sizes, axis_name=axis)


ARCHITECTURES = {
    "part": part,
    "part_packed": part,  # by lists of what is real, one a device
    "particlenet": lambda axis: particlenet.small(
        2, widths=((8,),), k=4, fc_width=8, axis_name=axis
    ),
    "pfn": lambda axis: particle_flow.small_pfn(2, axis_name=axis),
    "deepak8": lambda axis: deepak8.small(2, stem=4, stages=((4,), (8,)), hidden=8, axis_name=axis),
}


@pytest.fixture(scope="module")
def served():
    """Batches of 64 rows of which the last devices have few, and of very unequal jets."""
    jets = data.select(data.from_columns(toy.jets(n=120)[0]), ("QCD", "Tbqq"))
    order = np.argsort(-np.diff(jets.particles.offsets), kind="stable")

    def rows(epoch, index):
        found = np.roll(order, 7 * index)[:64].copy()
        found[40 + index % 5 :] = -1
        found[:64:9] = -1
        return found

    def get(epoch, index):
        return batches.padded(jets, rows(epoch, index), 24)

    return batch.Batches(lambda epoch: [24] * N_STEPS, get, rows)


def trained(name, served, mode, devices, optimiser, n_steps, dtype=np.float32):
    layout = parallel.layout(devices, mode)
    network = model.from_linen(ARCHITECTURES[name](parallel.axis_name(layout)))
    plain = model.from_linen(ARCHITECTURES[name](None))
    objective, values = loss.classification(network), []

    def finish(sums):
        values.append(float(objective.finish(sums)[0]))
        return objective.finish(sums)

    variables = jax.jit(plain.init)(jax.random.key(0), data.inputs(served.get(0, 0)))
    variables = jax.tree.map(lambda x: np.asarray(x, dtype), variables)
    state = train.init(variables["params"], optimiser, jax.random.key(1), loss.start(variables))
    step = train.gradient_step(
        loss.renormalised(network),
        optimiser,
        axis_name=parallel.axis_name(layout),
        update=loss.update(0.9),
    )
    settings = train.Settings(n_steps=n_steps, log_every=1)

    def get(epoch, index):
        jets = served.get(epoch, index)
        if name == "part_packed":
            jets = jets._replace(real=pairs.real(jets.mask, 8, n_lengths=1))
        return jax.tree.map(lambda x: x.astype(dtype) if x.dtype == np.float32 else x, jets)

    wide = batch.Batches(served.shapes, get, served.rows)
    done = train.fit(step, state, wide, finish, settings, layout=layout)
    return np.array(values), variables["params"], jax.device_get(done.state)


@pytest.mark.parametrize(
    "name",
    [pytest.param(k, marks=() if k == "pfn" else pytest.mark.slow) for k in ARCHITECTURES],
)
def test_losses_of_twenty_steps_agree(served, name):
    optimiser = optax.adam(1e-3)
    one = trained(name, served, "jit", 1, optimiser, N_STEPS)
    assert np.ptp(one[0]) > 1e-3
    for mode in ("jit", "pmap"):
        eight = trained(name, served, mode, 8, optimiser, N_STEPS)
        np.testing.assert_allclose(eight[0], one[0], rtol=1e-5)
        statistics = [x[2].extra["batch_stats"] for x in (one, eight)]
        for a, b in zip(*map(jax.tree.leaves, statistics), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def gradient(name, served, mode, devices, dtype):
    _, before, state = trained(name, served, mode, devices, optax.sgd(RATE), 1, dtype)
    slopes = jax.tree.map(lambda a, b: (a - np.asarray(b)) / RATE, before, state.params)
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(slopes)])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["jit", "pmap"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["part", "part_packed"])
def test_sgd_gradient_is_that_of_one_device(served, mode, dtype, name):
    """Relative to the largest component: a sum over eight devices rounds at that scale."""
    with jax.enable_x64(dtype is np.float64):
        one = gradient(name, served, "jit", 1, dtype)
        eight = gradient(name, served, mode, 8, dtype)
    assert np.abs(one).max() > 1e-3
    tolerance = 1e-5 if dtype is np.float32 else 1e-10
    np.testing.assert_allclose(eight, one, rtol=tolerance, atol=tolerance * np.abs(one).max())
