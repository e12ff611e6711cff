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
    net, optimiser = taggers.build("gn2_plain", "small"), optax.sgd(0.1)
    inputs = data.inputs(batches.padded(tracks, np.arange(8), 8))
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    state = train.init(variables["params"], optimiser, jax.random.key(1), jet_loss.start(variables))
    step = jax.jit(train.gradient_step(loss.multitask(net), optimiser, update=jet_loss.update(0.5)))
    state, _ = step(state, batches.padded(tracks, np.arange(16), 16))
    with checkpoint.open(tmp_path / "checkpoints") as checkpoints:
        about = taggers.meta("gn2_plain", "small", 0.5, len(data.FEATURES))
        checkpoint.save(checkpoints, 1, state, meta=about, metrics={"loss": 1.0})
    tagger = taggers.restore(tmp_path)
    for a, b in zip(jax.tree.leaves(tagger.variables["params"]), jax.tree.leaves(state.params)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    found = taggers.logits(tagger, tracks)
    assert found.shape == (80, 4)
    alone = taggers.logits(tagger, jets_data.take(tracks, np.array([7, 3])))
    np.testing.assert_allclose(alone, found[[7, 3]], rtol=1e-4, atol=1e-5)
