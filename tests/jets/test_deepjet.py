"""What is this tagger's own; the invariances of all stand in test_particle_transformer.py."""

import itertools

import jax
import numpy as np
import pytest

from hepjax.jets import data, deepjet
from hepjax.nn import model


def inputs():
    """Two jets of massless particles, of which every second one left a track."""
    rng = np.random.default_rng(0)
    three = rng.normal(size=(2, 8, 3)).astype(np.float32)
    p4 = np.concatenate([np.linalg.norm(three, axis=-1, keepdims=True), three], -1)
    displacement = 0.1 * rng.normal(size=(2, 8, 4)).astype(np.float32)
    displacement[..., 1::2] = 0.02
    displacement[:, ::2] = 0
    features, points = (rng.normal(size=(2, 8, n)).astype(np.float32) for n in (17, 2))
    return data.Inputs(features, points, p4, np.ones((2, 8), bool), displacement)


def shapes(net):
    variables = jax.eval_shape(model.from_linen(net).init, jax.random.key(0), inputs())
    return jax.tree.map(lambda x: x.shape, variables["params"])


def test_published_widths():
    found = shapes(deepjet.DeepJet(5))
    for name, widths, memory in (
        ("charged", (17, 64, 32, 32, 8), 150),
        ("neutral", (17, 32, 16, 4), 50),
        ("vertices", (9, 64, 32, 32, 8), 50),
    ):
        for k, pair in enumerate(itertools.pairwise(widths)):
            assert found[f"{name}_{k}"]["kernel"] == pair
        assert found[f"{name}_lstm"]["kernel"] == (widths[-1], 4 * memory)
    dense = [found[f"dense_{k}"]["kernel"] for k in range(8)]
    assert dense == [(6 + 150 + 50 + 50, 200), (200, 100), *[(100, 100)] * 6]
    assert found["head"]["kernel"] == (100, 5)


def test_only_features_of_the_lists_are_read():
    """A neutral particle beyond the list's length changes nothing, one within it does."""
    branch = deepjet.Branch(3, (4,), 4)
    sizes = {"charged": branch, "neutral": branch, "vertices": branch._replace(n=1)}
    net = model.from_linen(deepjet.small(2, **sizes, hidden=(4,)))
    one = inputs()
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda x: np.abs(rng.normal(size=x.shape)).astype(np.float32),
        jax.eval_shape(net.init, jax.random.key(0), one),
    )
    apply = jax.jit(net.apply)
    logits = np.asarray(apply(variables, one))
    assert np.all(np.isfinite(logits))

    def changed(particle):
        features = one.features.copy()
        features[:, particle] += 1
        return np.abs(np.asarray(apply(variables, one._replace(features=features))) - logits).max()

    assert [changed(k) > 1e-6 for k in range(8)] == [True] * 6 + [False] * 2


def test_impact_parameters_are_needed():
    net, kinematic = model.from_linen(deepjet.small(2)), inputs()._replace(displacement=None)
    with pytest.raises(ValueError, match="deepjet needs impact parameters"):
        jax.eval_shape(net.init, jax.random.key(0), kinematic)
