"""Weights by weaver's names: all of them or an error; the official ParticleNet on real jets."""

import jax
import numpy as np
import pytest

from hepjax import lorentz, metrics
from hepjax.io import torch_weights
from hepjax.jets import data, taggers


@pytest.fixture(scope="module")
def official(hepjax_data):
    return torch_weights.read(hepjax_data / "jets" / "ParticleNet_kin.pt")


def test_names_left_over_are_listed(official):
    less = {k: x for k, x in official.items() if k != "fc.1.bias"}
    with pytest.raises(ValueError, match="fc"):
        taggers.from_weaver("particlenet", less, "kinematic")
    with pytest.raises(ValueError, match="extra"):
        taggers.from_weaver("particlenet", {**official, "extra": np.zeros(1)}, "kinematic")


def test_official_particlenet_on_top_landscape_jets(official, hepjax_data):
    """Jets without two particles in one place agree with torch; where there are such pairs the
    published rule for neighbours depends on the order of torch's unstable sort.
    """
    n = 300
    folder = hepjax_data / "jets"
    vectors = np.load(folder / "tl_pf_vectors.npy")[:n]
    label = np.load(folder / "tl_labels.npy")[:n]
    reference = np.load(folder / "ParticleNet_kin_tl_logits.npy")[:n]
    jets = data.from_arrays(vectors[:, [3, 0, 1, 2]].swapaxes(1, 2), label=label)
    tagger = taggers.from_weaver("particlenet", official, "kinematic")
    assert sum(x.size for x in jax.tree.leaves(tagger.variables["params"])) == 368_216
    logits = taggers.score(tagger, jets)
    p4 = vectors[:, [3, 0, 1, 2]].swapaxes(1, 2).astype(np.float64)
    apart = lorentz.delta_r(p4[:, :, None], p4[:, None])
    real = p4[..., 0] > 0
    pair = real[:, :, None] & real[:, None] & ~np.eye(p4.shape[1], dtype=bool)
    clear = ~((apart < 1e-5) & pair).any((1, 2))
    assert clear.sum() > 30
    difference = np.abs(logits - reference).max(1)
    assert difference[clear].max() < 1e-4
    assert np.median(difference) < 0.2
    odds = [x[:, 8] - x[:, 0] for x in (logits, reference)]
    areas = [metrics.auc(x, label).value for x in odds]
    assert areas[0] == pytest.approx(areas[1], abs=2e-3)
