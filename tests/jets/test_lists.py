"""Lists: the first of a class, vertices in the order of significance, the jet as a whole."""

import jax
import numpy as np
import pytest
import toy

from hepjax import lorentz
from hepjax.jets import batches, data, lists

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def inputs():
    """Toy jets, the last one empty, with tracks of which some miss the primary vertex."""
    jets = data.from_columns(toy.jets(n=12)[0])
    made = batches.padded(jets, np.array([*range(7), -1]), 24)
    charged = (RNG.random(made.mask.shape) < 0.6) & made.mask
    away = charged & (RNG.random(made.mask.shape) < 0.5)
    d0 = np.where(away, 0.3 * np.sign(np.sin(made.particles.dphi)), 0.01 * made.particles.d0)
    part = made.particles._replace(
        d0=d0 * charged,
        dz=0.01 * made.particles.dz * charged,
        d0_error=0.03 * charged,
        dz_error=0.06 * charged,
    )
    return jax.tree.map(np.asarray, data.inputs(made._replace(particles=part)))


@pytest.mark.parametrize("n", [3, 8, 30])
def test_first_of_a_class(n):
    x = RNG.normal(size=(4, 10, 2)).astype(np.float32)
    chosen = RNG.random((4, 10)) < np.array([[0.5], [0.9], [0.0], [1.0]])
    found, mask = jax.jit(lists.first, static_argnums=2)(x, chosen, n)
    assert found.shape == (4, n, 2)
    for row, real, whole, kept in zip(np.asarray(found), np.asarray(mask), x, chosen):
        expected = whole[kept][:n]
        np.testing.assert_array_equal(row[: len(expected)], expected)
        assert np.all(row[len(expected) :] == 0)
        assert real.tolist() == [k < len(expected) for k in range(n)]


def test_vertices_and_the_jet(inputs):
    charged = lists.tracks(inputs, "a test")
    np.testing.assert_array_equal(charged, inputs.displacement[..., 1] > 0)
    found = jax.jit(lambda x: lists.vertices(x, lists.tracks(x, "a test"), 3))(inputs)
    features, mask = (np.asarray(x) for x in found)
    assert features.shape == (8, 3, len(lists.VERTEX_FEATURES))
    assert mask[:, 0].sum() >= 3
    assert np.all(np.isfinite(features))
    assert np.all(np.abs(features) < 10)
    assert np.all(features[~mask] == 0)
    assert np.all(mask[:, :-1] >= mask[:, 1:])
    significance = np.abs(features[..., lists.VERTEX_FEATURES.index("significance")])
    assert np.all(significance[:, :-1] >= significance[:, 1:])
    whole = np.asarray(lists.jet(inputs, charged, inputs.mask & ~charged, mask))
    assert whole.shape == (8, 6)
    p4 = np.asarray(inputs.p4, np.float64).sum(1)[:7]
    np.testing.assert_allclose(whole[:7, 0], np.log(lorentz.pt(p4)) - 6, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(whole[:7, 2], np.log(lorentz.mass(p4)) - 4, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.expm1(whole[:, 3]), charged.sum(1), rtol=1e-5)
    assert np.all(whole[7] == 0)


def test_without_impact_parameters():
    jets = data.from_columns(toy.jets(n=2)[0])
    kinematic = data.inputs(batches.padded(jets, np.arange(2), 24), "kinematic")
    with pytest.raises(ValueError, match="deepjet needs impact parameters"):
        lists.tracks(kinematic, "deepjet")
