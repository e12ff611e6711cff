"""Networks for eleven classes, saved and restored; what they cannot tell from a jet."""

import jax
import numpy as np
import optax
import pytest

from hepjax import batch, checkpoint, train
from hepjax.jets import batches, loss
from hepjax.jets import taggers as jet_taggers
from hepjax.jets.origin import data, taggers


@pytest.mark.parametrize(
    "name", ["pfn", *(pytest.param(x, marks=pytest.mark.slow) for x in ("particlenet", "part"))]
)
def test_logits_of_every_network_and_their_invariance(jets, name):
    """Padding, the order of particles and a turn around the beam do not matter."""
    padded = batches.padded(jets, np.arange(8), 24)
    net = taggers.build(name, "small")
    variables = jax.jit(net.init)(jax.random.key(0), data.inputs(padded))
    tagger = jet_taggers.Tagger(net, variables, data.inputs, data.CLASSES, (24,))
    logits = jet_taggers.score(tagger, jets)
    assert logits.shape == (len(jets.label), 11)
    wide = jet_taggers.score(tagger._replace(buckets=(32,)), jets)
    np.testing.assert_allclose(wide, logits, rtol=1e-4, atol=1e-4)
    order = np.concatenate(
        [
            np.arange(b, a - 1, -1)
            for a, b in zip(jets.particles.offsets, jets.particles.offsets[1:] - 1)
        ]
    )
    values = jax.tree.map(lambda x: x[order], jets.particles.values)
    turned = jets._replace(particles=batch.Ragged(values, jets.particles.offsets))
    np.testing.assert_allclose(jet_taggers.score(tagger, turned), logits, rtol=1e-4, atol=1e-4)


def test_a_tagger_comes_back_from_its_checkpoint(jets, tmp_path):
    net = taggers.build("pfn", "small")
    padded = batches.padded(jets, np.arange(8), 24)
    variables = jax.jit(net.init)(jax.random.key(1), data.inputs(padded))
    keep = loss.start(variables)
    state = train.init(variables["params"], optax.sgd(0.1), jax.random.key(2), keep)
    meta = taggers.meta("pfn", "small", "none", 0.9)
    with checkpoint.open(tmp_path / "checkpoints") as checkpoints:
        checkpoint.save(checkpoints, 1, state, meta=meta, metrics={"loss": 1.0})
    tagger, identity = taggers.restore(tmp_path)
    assert identity == "none"
    assert tagger.classes == data.CLASSES
    assert (tagger.features, tagger.buckets) == (data.inputs, data.BUCKETS)
    jax.tree.map(np.testing.assert_array_equal, tagger.variables, dict(variables))


def test_a_folder_without_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="no run folder"):
        taggers.restore(tmp_path)
    with pytest.raises(ValueError, match="name must be one of part"):
        taggers.build("lorentznet", "small")
