"""Lists of what is real are complete; packing and unpacking are inverse to each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.nn import packing

RNG = np.random.default_rng(0)
MASK = RNG.random((4, 8)) < np.array([[1.1], [0.4], [-1], [0.6]])


@pytest.mark.parametrize("n_groups", [1, 2, 4])
def test_a_list_holds_each_real_entry_once(n_groups):
    found = packing.listed(MASK, n_groups)
    real = MASK.reshape(n_groups, -1)
    assert found.dtype == np.int32
    assert found.shape[0] == n_groups
    assert found.shape[1] % -(-real.shape[1] // packing.N_LENGTHS) == 0
    assert found.shape[1] >= real.sum(1).max()
    for row, expected in zip(found, real):
        np.testing.assert_array_equal(row[row >= 0], np.flatnonzero(expected))
    np.testing.assert_array_equal(jax.jit(packing.chosen)(MASK, found), found >= 0)


def test_fewer_may_be_chosen_than_are_listed():
    found = packing.listed(MASK, 2)
    fewer = MASK & (np.arange(8) < 4)
    kept = np.asarray(packing.chosen(fewer, found))
    assert kept.sum() == fewer.sum()
    for row, keep, real in zip(found, kept, fewer.reshape(2, -1)):
        np.testing.assert_array_equal(row[keep], np.flatnonzero(real))


def test_lengths():
    one = np.zeros((2, 100), bool)
    assert packing.listed(one).shape == (1, 13)
    one[0, :14] = True
    assert packing.listed(one).shape == (1, 26)
    assert packing.listed(one, n_lengths=1).shape == (1, 200)
    assert packing.listed(np.ones((2, 100), bool)).shape == (1, 200)
    with pytest.raises(ValueError, match="n_groups: 4 sets cannot be shared among 3"):
        packing.listed(MASK, 3)


@pytest.mark.smoke
@pytest.mark.parametrize("n_groups", [1, 2])
def test_packing_and_unpacking(n_groups):
    found = packing.listed(MASK, n_groups)
    x = RNG.normal(size=(4, 8, 3)).astype(np.float32)
    garbage = np.where(MASK[..., None], x, np.nan)
    packed = np.array(jax.jit(packing.pack)(garbage, found))
    for row, where, real in zip(packed, found, x.reshape(n_groups, -1, 3)):
        np.testing.assert_array_equal(row[where >= 0], real[where[where >= 0]])
        assert np.all(row[where < 0] == 0)
    packed[found < 0] = np.nan
    back = jax.jit(packing.unpack, static_argnums=2)(packed, found, MASK.shape)
    np.testing.assert_array_equal(back, np.where(MASK[..., None], x, 0))


def test_gradients_are_those_of_the_real_rows():
    found = packing.listed(MASK, 2)
    x = RNG.normal(size=(4, 8, 3)).astype(np.float32)
    weight = RNG.normal(size=(4, 8, 3)).astype(np.float32)

    def there_and_back(x):
        wide = packing.pack(x, found) ** 2
        return (packing.unpack(wide, found, MASK.shape) * weight).sum()

    slope = jax.jit(jax.grad(there_and_back))(x)
    expected = np.where(MASK[..., None], 2 * x * weight, 0)
    np.testing.assert_allclose(slope, expected, rtol=1e-6)
    text = jax.jit(jax.grad(there_and_back)).lower(x).as_text()
    moved = [line for line in text.splitlines() if "stablehlo.scatter" in line]
    assert all("xi32>" in line or "f32" not in line for line in moved)  # of places alone


def test_places_are_the_inverse_of_a_list():
    found = packing.listed(MASK, 2)
    place = np.asarray(packing.places(jnp.asarray(found), 16))
    for row, where, real in zip(place, found, MASK.reshape(2, -1)):
        np.testing.assert_array_equal(where[row[real]], np.flatnonzero(real))
        assert np.all(row[~real] == found.shape[1])
