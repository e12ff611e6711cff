"""Pair features: the stable form against float64, the mirror and its gradient."""

import jax
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.jets import pairs


def collinear(n_jets=4, n=8, seed=0):
    rng = np.random.default_rng(seed)
    pt, eta = rng.exponential(20, (n_jets, n)) + 0.5, rng.normal(1, 0.1, (n_jets, n))
    return lorentz.from_pt_eta_phi_mass(pt, eta, rng.normal(0, 0.1, (n_jets, n)), 0.14 + 0 * pt)


@pytest.mark.smoke
def test_stable_features_hold_in_float32():
    p4 = collinear().astype(np.float32)
    with jax.enable_x64(True):
        wide = p4.astype(np.float64)
        exact, theirs64 = (np.asarray(jax.jit(f)(wide)) for f in (pairs.stable, pairs.weaver))
    np.testing.assert_allclose(exact, theirs64, rtol=1e-4, atol=1e-4)
    stable, theirs = (np.asarray(jax.jit(f)(p4)) for f in (pairs.stable, pairs.weaver))
    apart = pairs.indices(p4.shape[1])
    off_diagonal = apart.i != apart.j
    off = [np.abs(x - exact)[..., off_diagonal].max() for x in (stable, theirs)]
    assert off[0] < 1e-2
    assert off[0] < off[1]


def test_mirror_is_symmetric_and_its_gradient_a_sum():
    x = np.random.default_rng(0).normal(size=(2, 3, 10)).astype(np.float32)
    square = np.asarray(pairs.mirror(x))
    np.testing.assert_array_equal(square, square.swapaxes(-1, -2))
    weight = np.random.default_rng(1).normal(size=square.shape).astype(np.float32)
    slope = jax.grad(lambda x: (pairs.mirror(x) * weight).sum())(x)
    index = pairs.indices(4)
    both = weight + weight.swapaxes(-1, -2)
    expected = both[..., index.i, index.j] / np.where(index.i == index.j, 2, 1)
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_padding_gives_finite_features_and_gradients():
    p4 = collinear().astype(np.float32)
    p4[:, 5:] = 0
    for features in (pairs.stable, pairs.weaver):
        assert np.all(np.isfinite(jax.jit(features)(p4)))
    slope = jax.jit(jax.grad(lambda p: pairs.stable(p).sum()))(p4)
    assert np.all(np.isfinite(slope))


def test_a_length_that_is_no_triangle():
    with pytest.raises(ValueError, match="found 11"):
        pairs.mirror(np.zeros((1, 11)))
