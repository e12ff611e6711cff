"""Flavour taggers by name and back from a run folder."""

import jax
import numpy as np
import optax
import pytest

from hepjax import checkpoint, train
from hepjax.jets import batches
from hepjax.jets import data as jets_data
from hepjax.jets import loss as jet_loss
from hepjax.jets.flavour import data, loss, taggers


def test_bad_names(tmp_path):
    with pytest.raises(ValueError, match="gn2"):
        taggers.build("gn9", "small")
    with pytest.raises(ValueError, match="'small' or 'full'"):
        taggers.build("gn2", "tiny")
    with pytest.raises(ValueError, match="no run folder"):
        taggers.restore(tmp_path)


def test_a_run_folder_gives_back_its_tagger(tracks, tmp_path):
    net, optimiser = taggers.build("dips", "small"), optax.sgd(0.1)
    inputs = data.inputs(batches.padded(tracks, np.arange(8), 8))
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    state = train.init(variables["params"], optimiser, jax.random.key(1), jet_loss.start(variables))
    step = jax.jit(train.gradient_step(loss.multitask(net), optimiser, update=jet_loss.update(0.5)))
    state, _ = step(state, batches.padded(tracks, np.arange(16), 16))
    with checkpoint.open(tmp_path / "checkpoints") as checkpoints:
        about = taggers.meta("dips", "small", 0.5, len(data.FEATURES))
        checkpoint.save(checkpoints, 1, state, meta=about, metrics={"loss": 1.0})
    tagger = taggers.restore(tmp_path)
    for a, b in zip(jax.tree.leaves(tagger.variables["params"]), jax.tree.leaves(state.params)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    tagger = tagger._replace(buckets=(24,))  # compile once
    found = taggers.logits(tagger, tracks)
    assert found.shape == (80, 4)
    alone = taggers.logits(tagger, jets_data.take(tracks, np.array([7, 3])))
    np.testing.assert_allclose(alone, found[[7, 3]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(taggers.NAMES))
@pytest.mark.parametrize("size", ["small", "full"])
def test_every_tagger_has_its_outputs(name, size):
    net = taggers.build(name, size)
    n_features = 12 if taggers.is_table(name) else len(data.FEATURES)
    inputs = data.Inputs(np.zeros((8, 8, n_features)), np.zeros((8, 2)), np.ones((8, 8), bool))
    variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
    out = jax.eval_shape(net.apply, variables, inputs)
    assert out.flavour.shape == (8, 4)
    auxiliary = name in ("gn1", "gn2")
    assert (out.origin is not None) == auxiliary
    assert (out.vertex is not None) == auxiliary
    assert set(taggers.INSIDE) <= set(taggers.NAMES)


def test_later_taggers_are_larger():
    """In parameters, as in the field's history: DL1 < GN1 < GN2."""
    sizes = {}
    for name in ("dl1", "gn1", "gn2"):
        n_features = 12 if taggers.is_table(name) else len(data.FEATURES)
        inputs = data.Inputs(np.zeros((8, 8, n_features)), np.zeros((8, 2)), np.ones((8, 8), bool))
        shapes = jax.eval_shape(taggers.build(name, "full").init, jax.random.key(0), inputs)
        sizes[name] = sum(x.size for x in jax.tree.leaves(shapes["params"]))
    assert sizes["dl1"] < sizes["gn1"] < sizes["gn2"]


def test_a_tagger_of_tables_comes_back_too(tracks, tmp_path):
    from hepjax.jets.flavour import dl1, likelihood

    sample = dl1.sample(tracks, dl1.variables(tracks, likelihood.templates(tracks)))
    net, optimiser = taggers.build("dl1", "small"), optax.sgd(0.01)
    inputs, buckets = taggers.reading("dl1")
    batch = batches.padded(sample, np.arange(80), buckets[0])
    variables = jax.jit(net.init)(jax.random.key(0), inputs(batch))
    extra = jet_loss.start(variables)
    state = train.init(variables["params"], optimiser, jax.random.key(1), extra)
    step = jax.jit(
        train.gradient_step(
            lambda extra: loss.multitask(net, inputs, batch_stats=extra["batch_stats"]),
            optimiser,
            update=jet_loss.update(0.5),
        )
    )
    state, _ = step(state, batch)
    before, after = (jax.tree.leaves(x["batch_stats"]) for x in (extra, state.extra))
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(before, after))
    with checkpoint.open(tmp_path / "checkpoints") as checkpoints:
        about = taggers.meta("dl1", "small", 0.5, 12)
        checkpoint.save(checkpoints, 1, state, meta=about, metrics={"loss": 1.0})
    tagger = taggers.restore(tmp_path)
    assert tagger.buckets == (1,)
    found = taggers.logits(tagger, sample)
    assert found.shape == (80, 4)
    direct = jax.jit(net.apply)(tagger.variables, inputs(batch)).flavour
    np.testing.assert_allclose(found, direct, rtol=1e-4, atol=1e-5)
