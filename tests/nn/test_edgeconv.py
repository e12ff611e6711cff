"""Neighbours against brute force, and convolutions that do not see padding."""

import functools

import jax
import numpy as np
import pytest

from hepjax.nn import edgeconv

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(3, 12, 2)).astype(np.float32)
MASK = np.arange(12) < np.array([[12], [7], [2]])


@pytest.mark.smoke
def test_neighbours_are_the_nearest_of_the_real():
    index, real = (
        np.asarray(x) for x in jax.jit(edgeconv.neighbours, static_argnums=2)(POINTS, MASK, 4)
    )
    for s in range(3):
        n = int(MASK[s].sum())
        for i in range(12):
            assert real[s, i].sum() == (min(4, n - 1) if i < n else 0)
            if i < n:
                distance = ((POINTS[s, :n] - POINTS[s, i]) ** 2).sum(-1)
                expected = [j for j in np.argsort(distance, kind="stable") if j != i][:4]
                assert index[s, i][real[s, i]].tolist() == expected


def test_dropping_the_first_keeps_an_edge_to_itself_at_ties():
    points = np.array([[[0.0, 0], [0, 0], [1, 0], [5, 0]]], np.float32)
    index, _ = edgeconv.neighbours(points, np.ones((1, 4), bool), 2, "first")
    assert index[0, 1].tolist() == [1, 2]
    assert edgeconv.neighbours(points, np.ones((1, 4), bool), 2)[0][0, 1].tolist() == [0, 2]


def test_padding_and_permutation():
    x = RNG.normal(size=(3, 12, 5)).astype(np.float32)
    layer = edgeconv.EdgeConv((8, 6))

    @functools.partial(jax.jit, static_argnums=3)
    def run(x, points, mask, k=4):
        index, real = edgeconv.neighbours(points, mask, k)
        return layer.apply(variables, x, mask, index, real)

    edges = jax.jit(edgeconv.neighbours, static_argnums=2)(POINTS, MASK, 4)
    variables = jax.jit(layer.init)(jax.random.key(0), x, MASK, *edges)
    y = run(x, POINTS, MASK)
    more = [
        np.pad(a, [(0, 0), (0, 9)] + [(0, 0)] * (a.ndim - 2), constant_values=c)
        for a, c in ((x, 7.0), (POINTS, 3.0), (MASK, False))
    ]
    np.testing.assert_allclose(run(*more)[:, :12], y, rtol=1e-5, atol=1e-6)
    order = RNG.permutation(12)
    moved = run(x[:, order], POINTS[:, order], MASK[:, order])
    np.testing.assert_allclose(moved, y[:, order], rtol=1e-4, atol=1e-5)
    assert run(x, POINTS, MASK, k=16).shape == (3, 12, 6)


def test_bad_input():
    with pytest.raises(ValueError, match="mask"):
        edgeconv.neighbours(POINTS, MASK[:, :3], 2)
    with pytest.raises(ValueError, match="drop"):
        edgeconv.neighbours(POINTS, MASK, 2, "last")
