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


MASK = np.arange(8) < np.array([[8], [3], [0], [5]])


@pytest.mark.parametrize("n_groups", [1, 2])
def test_lists_hold_what_is_real(n_groups):
    found = pairs.real(MASK, n_groups)
    for listed, real in ((found.particles, MASK), (found.pairs, np.asarray(pairs.mask(MASK)))):
        for row, expected in zip(listed, real.reshape(n_groups, -1), strict=True):
            np.testing.assert_array_equal(row[row >= 0], np.flatnonzero(expected))
    with pytest.raises(ValueError, match="shared among 3"):
        pairs.real(MASK, 3)


@pytest.mark.parametrize("features", [pairs.stable, pairs.weaver])
def test_features_of_a_list_are_those_of_all_pairs(features):
    p4 = np.where(MASK[..., None], collinear(), 0).astype(np.float32)
    found = pairs.real(MASK, 2).pairs
    of_all = np.asarray(jax.jit(features)(p4)).reshape(4, 2, -1)
    of_list = np.asarray(jax.jit(features)(p4, found))
    for group in range(2):
        real = found[group] >= 0
        expected = of_all[:, group, found[group][real]]
        np.testing.assert_allclose(of_list[:, group, real], expected, rtol=1e-5, atol=1e-5)


def test_a_list_is_spread_and_its_gradient_gathered():
    found = pairs.real(MASK, 2).pairs
    x = np.random.default_rng(0).normal(size=(3, *found.shape)).astype(np.float32)
    x[:, found < 0] = np.nan
    n_pairs = 2 * 36
    placed = np.asarray(pairs.spread(x, found, n_pairs))
    real = np.asarray(pairs.mask(MASK)).reshape(2, n_pairs)
    assert np.all(placed[:, ~real] == 0)
    for group in range(2):
        expected = x[:, group, found[group] >= 0]
        np.testing.assert_array_equal(placed[:, group, real[group]], expected)
    weight = np.random.default_rng(1).normal(size=placed.shape).astype(np.float32)
    slope = jax.grad(lambda x: (pairs.spread(x, found, n_pairs) * weight).sum())(np.nan_to_num(x))
    back = np.asarray(pairs.spread(slope, found, n_pairs))
    np.testing.assert_array_equal(back, weight * real)
