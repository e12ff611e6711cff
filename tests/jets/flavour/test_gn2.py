"""GN2 on tracks: invariances, sizes, and jets without tracks."""

import jax
import numpy as np
import pytest

from hepjax.jets import batches
from hepjax.jets.flavour import data, gn2
from hepjax.nn import model

TINY = {"width": 16, "n_layers": 1, "n_heads": 2, "wide": 16, "out_width": 16, "hidden": (16, 8)}
NET = model.from_linen(gn2.small(**TINY))
APPLY = jax.jit(NET.apply)


@pytest.fixture(scope="module")
def inputs(tracks):
    return jax.tree.map(np.asarray, data.inputs(batches.padded(tracks, np.arange(16), 24)))


@pytest.fixture(scope="module")
def variables(inputs):
    found = jax.jit(NET.init)(jax.random.key(0), inputs)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: np.asarray(x + 0.05 * rng.normal(size=x.shape), x.dtype), found)


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_permutation_and_padding(inputs, variables):
    out = APPLY(variables, inputs)
    order = np.random.default_rng(0).permutation(24)
    moved = APPLY(
        variables, inputs._replace(tracks=inputs.tracks[:, order], mask=inputs.mask[:, order])
    )
    close(moved.flavour, out.flavour)
    close(moved.origin, out.origin[:, order])
    close(moved.vertex, out.vertex[:, order][:, :, order])
    close(out.vertex, np.swapaxes(out.vertex, 1, 2))
    wide = np.pad(inputs.tracks, ((0, 0), (0, 8), (0, 0)), constant_values=7.0)
    mask = np.pad(inputs.mask, ((0, 0), (0, 8)))
    more = APPLY(variables, inputs._replace(tracks=wide, mask=mask))
    close(more.flavour, out.flavour)
    close(more.origin[:, :24], out.origin)
    assert np.ptp(np.asarray(out.flavour), axis=0).max() > 1e-3


def test_a_jet_without_tracks_has_finite_logits_and_gradients(inputs, variables):
    empty = inputs._replace(mask=np.zeros_like(inputs.mask))
    loss = lambda v: APPLY(v, empty).flavour.sum()  # noqa: E731
    assert np.isfinite(loss(variables))
    for slope in jax.tree.leaves(jax.jit(jax.grad(loss))(variables)):
        assert np.all(np.isfinite(slope))


def test_without_auxiliary_tasks_there_are_fewer_parameters(inputs, variables):
    plain = model.from_linen(gn2.small(**TINY, auxiliary=False))
    shapes = jax.eval_shape(plain.init, jax.random.key(0), inputs)
    out = jax.eval_shape(plain.apply, shapes, inputs)
    assert out.origin is None
    assert out.vertex is None
    assert out.flavour.shape == (16, 4)
    sizes = [sum(x.size for x in jax.tree.leaves(v["params"])) for v in (shapes, variables)]
    assert sizes[0] < sizes[1]


def test_the_full_size_is_that_of_the_public_configuration(inputs):
    full = model.from_linen(gn2.GN2())
    shapes = jax.eval_shape(full.init, jax.random.key(0), inputs)
    n = sum(x.size for x in jax.tree.leaves(shapes["params"]))
    assert 2.1e6 < n < 2.5e6


def test_every_parameter_learns_from_the_tasks(inputs, variables):
    """The sum of all outputs moves every parameter, but those of pooling weights by a constant."""

    def loss(variables):
        out = NET.apply(variables, inputs)
        weight = np.random.default_rng(0).normal(size=3)
        return sum(w * (x**2).mean() for w, x in zip(weight, out))

    slopes = jax.jit(jax.grad(loss))(variables)["params"]
    flat = jax.tree_util.tree_flatten_with_path(slopes)[0]
    idle = {jax.tree_util.keystr(path) for path, x in flat if not np.any(np.abs(x) > 1e-9)}
    assert all("gate" in name for name in idle), idle


def test_pooling_is_a_mean_with_weights_of_sum_one(inputs):
    layer = gn2.AttentionPooling()
    x = np.random.default_rng(0).normal(size=(*inputs.mask.shape, 5)).astype(np.float32)
    variables = layer.init(jax.random.key(0), x, inputs.mask)
    ones = layer.apply(variables, np.ones_like(x), inputs.mask)
    np.testing.assert_allclose(ones, 1, rtol=1e-5)
    pooled = np.asarray(layer.apply(variables, x, inputs.mask))
    for j in range(4):
        real = x[j][inputs.mask[j]]
        assert (pooled[j] <= real.max(0) + 1e-5).all()
        assert (pooled[j] >= real.min(0) - 1e-5).all()
    nothing = layer.apply(variables, x, np.zeros_like(inputs.mask))
    assert np.all(np.asarray(nothing) == 0)


def test_pairs_see_both_tracks_and_the_jet(inputs):
    head = gn2.PairHead((8, 4))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 6)).astype(np.float32)
    pooled = rng.normal(size=(2, 6)).astype(np.float32)
    variables = head.init(jax.random.key(0), x, pooled)
    apply = jax.jit(head.apply)
    base = np.asarray(apply(variables, x, pooled))
    changed = x.copy()
    changed[0, 3] += 1
    moved = np.abs(np.asarray(apply(variables, changed, pooled)) - base) > 1e-6
    expected = np.zeros((2, 5, 5), bool)
    expected[0, 3], expected[0, :, 3] = True, True
    assert not moved[~expected].any()
    assert moved[expected].mean() > 0.8
    other = np.asarray(apply(variables, x, pooled + np.float32([[1], [0]])))
    assert np.abs(other - base)[0].max() > 1e-5
    np.testing.assert_array_equal(other[1], base[1])
