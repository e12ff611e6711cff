"""GN2 on tracks: invariances, sizes, and jets without tracks."""

import jax
import numpy as np
import pytest

from hepjax.jets import batches
from hepjax.jets.flavour import data, gn2
from hepjax.nn import model

NET = model.from_linen(gn2.small())
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
    plain = model.from_linen(gn2.small(auxiliary=False))
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
