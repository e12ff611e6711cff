"""Pooling looks at real items only."""

import numpy as np
import pytest

from hepjax.nn import sets

X = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
MASK = np.array([[True, True, False, True], [False] * 4])


def test_totals_and_means():
    garbage = np.where(MASK[..., None], X, np.nan)
    np.testing.assert_allclose(sets.total(garbage, MASK)[0], X[0, [0, 1, 3]].sum(0), rtol=1e-5)
    np.testing.assert_allclose(sets.mean(garbage, MASK)[0], X[0, [0, 1, 3]].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(sets.mean(garbage, MASK)[1], 0)
    weight = np.full((2, 4), 2.0)
    np.testing.assert_allclose(
        sets.total(X, MASK, weight), 2 * np.asarray(sets.total(X, MASK)), rtol=1e-6
    )


def test_bad_mask():
    with pytest.raises(ValueError, match="mask"):
        sets.total(X, MASK[:, :2])
