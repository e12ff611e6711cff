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


def brute_force(variables, x, n, index, real, gather, whole):
    """One layer of edges, pair by pair, for the first n points of one set."""
    p = variables["params"]
    rows = []
    for i in range(n):
        edges = []
        for j in index[i][real[i]]:
            pair = np.concatenate([x[i], x[j] - x[i]])
            out = pair @ p["kernel"] + p["bias"] + whole @ p["whole"]["kernel"]
            out = np.maximum(out, 0) @ p["dense_1"]["kernel"] + p["dense_1"]["bias"]
            edges.append(np.maximum(out, 0))
        reduce = {"mean": np.mean, "sum": np.sum, "max": np.max}[gather]
        rows.append(reduce(edges, axis=0) if edges else np.zeros(6))
    return np.array(rows)


@pytest.mark.parametrize("gather", ["mean", "sum", "max"])
def test_update_is_that_of_each_pair(gather):
    """Points without neighbours get 0, and so does padding; other sets are not seen."""
    x = RNG.normal(size=(3, 12, 5)).astype(np.float32)
    whole = RNG.normal(size=(3, 4)).astype(np.float32)
    mask = MASK.copy()
    mask[2, 1:] = False
    index, real = (np.asarray(a) for a in edgeconv.neighbours(POINTS, mask, 4))
    layer = edgeconv.EdgeUpdate((8, 6), gather, jax.nn.relu)
    variables = jax.jit(layer.init)(jax.random.key(0), x, mask, index, real, whole)
    y = jax.jit(layer.apply)(variables, x, mask, index, real, whole)
    for s in range(3):
        n = int(mask[s].sum())
        expected = brute_force(variables, x[s], n, index[s], real[s], gather, whole[s])
        np.testing.assert_allclose(y[s, :n], expected, rtol=1e-4, atol=1e-5)
        assert (np.asarray(y[s, n:]) == 0).all()


@pytest.mark.parametrize("gather", ["mean", "max"])
def test_update_has_a_finite_gradient_and_no_eyes_for_padding(gather):
    x = RNG.normal(size=(3, 12, 5)).astype(np.float32)
    mask = MASK & np.array([[True], [True], [False]])
    edges = edgeconv.neighbours(POINTS, mask, 4)
    layer = edgeconv.EdgeUpdate((6,), gather, normed=True)
    variables = layer.init(jax.random.key(0), x, mask, *edges)
    dirty = np.where(mask[..., None], x, 1e9).astype(np.float32)
    clean, same = (layer.apply(variables, a, mask, *edges) for a in (x, dirty))
    np.testing.assert_allclose(same, clean, rtol=1e-5, atol=1e-6)
    slope = jax.grad(lambda v: layer.apply(v, x, mask, *edges).sum())(variables)
    assert all(np.isfinite(s).all() for s in jax.tree.leaves(slope))
    assert float(np.abs(slope["params"]["kernel"]).max()) > 0


def test_update_with_bad_input():
    layer = edgeconv.EdgeUpdate((6,), "median")
    with pytest.raises(ValueError, match="gather must be"):
        layer.init(jax.random.key(0), POINTS, MASK, *edgeconv.neighbours(POINTS, MASK, 2))
