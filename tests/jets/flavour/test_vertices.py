"""Tracks joined by union-find."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.jets.flavour import gn2, taggers, vertices
from hepjax.jets.simulation import events
from hepjax.nn.model import Model

B, PV = events.FROM_B, events.PRIMARY


def pairs(n, joined):
    found = np.full((n, n), -3.0)
    for a, b in joined:
        found[a, b] = found[b, a] = 3.0
    return found


def test_chains_are_one_set_and_jets_are_apart():
    together = np.stack([pairs(5, [(0, 1), (1, 2), (3, 4)]), pairs(5, [(0, 1), (2, 4)])])
    origin = np.array([[B, B, B, B, B], [PV, PV, B, PV, B]])
    mask = np.array([[True] * 5, [True, True, True, True, False]])
    found = vertices.group(together, origin, mask)
    assert len(found) == 9
    assert len(set(found[:3])) == 1
    assert len({found[0], found[3], 0}) == 3
    assert found[3] == found[4]
    assert found[5:].tolist()[:2] == [0, 0]
    assert found[7] > 0  # alone: its partner is padding
    assert found[8] == 0


def test_the_majority_says_whether_a_set_is_primary():
    together = pairs(3, [(0, 1), (1, 2)])[None]
    mask = np.ones((1, 3), bool)
    assert vertices.group(together, np.array([[PV, PV, B]]), mask).tolist() == [0, 0, 0]
    assert min(vertices.group(together, np.array([[PV, B, B]]), mask)) > 0


def test_a_higher_threshold_joins_less():
    rng = np.random.default_rng(0)
    together = rng.normal(size=(20, 9, 9))
    together = together + together.swapaxes(1, 2)
    mask, origin = np.ones((20, 9), bool), np.full((20, 9), B)
    jet = np.repeat(np.arange(20), 9)
    counts = [
        len(np.unique(jet * 100 + vertices.group(together, origin, mask, threshold)))
        for threshold in (0.1, 0.5, 0.9, 0.99)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_a_tagger_that_knows_the_truth_finds_all_vertices(tracks):
    """A network that reads the truth beside the tracks: efficiency 1, no fakes."""

    def apply(variables, jets):
        true = jnp.asarray(jets.particles.vertex)
        together = true[:, :, None] == true[:, None]
        return gn2.Output(
            None,
            jax.nn.one_hot(jets.particles.origin, 8),
            jnp.where(together, variables, -variables),
        )

    tagger = taggers.Tagger(Model(None, apply, None), 5.0, lambda jets: jets, (32,))
    found = vertices.performance(tagger, tracks)
    assert found["vertex_efficiency_b"] == 1
    assert found["vertex_fake_rate_b"] == 0
    assert 0 < found["vertex_efficiency_b_error"] < 0.5
    worse = vertices.performance(tagger._replace(variables=-5.0), tracks, n_jets=40)
    assert worse["vertex_efficiency_b"] < 0.5


def test_bad_input():
    with pytest.raises(ValueError, match="threshold"):
        vertices.group(np.zeros((1, 2, 2)), np.zeros((1, 2)), np.ones((1, 2), bool), 1.0)
    with pytest.raises(ValueError, match="together"):
        vertices.group(np.zeros((1, 2, 3)), np.zeros((1, 2)), np.ones((1, 2), bool))
