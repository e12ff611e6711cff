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
    p4 = collinear()
    with jax.enable_x64(True):
        exact, theirs64 = (
            np.asarray(f(jax.numpy.asarray(p4))) for f in (pairs.stable, pairs.weaver)
        )
    np.testing.assert_allclose(exact, theirs64, rtol=1e-5, atol=1e-5)
    stable, theirs = (np.asarray(f(p4.astype(np.float32))) for f in (pairs.stable, pairs.weaver))
    off = [np.abs(x - exact)[:, np.isfinite(exact[0])].mean() for x in (stable, theirs)]
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
    for f in (pairs.stable, pairs.weaver):
        slope = jax.grad(lambda p, f=f: f(p).sum())(p4)
        assert np.all(np.isfinite(f(p4)))
        assert np.all(np.isfinite(slope))


def test_a_length_that_is_no_triangle():
    with pytest.raises(ValueError, match="11 pairs"):
        pairs.mirror(np.zeros((1, 11)))
