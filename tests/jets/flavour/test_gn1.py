"""GN1 on tracks: permutation and padding, and the heads it shares with GN2."""

import jax
import numpy as np

from hepjax.jets import batches
from hepjax.jets.flavour import data, gn1
from hepjax.nn import model

NET = model.from_linen(gn1.small(width=16, n_layers=1, hidden=(16,)))


def test_permutation_and_padding(tracks):
    inputs = jax.tree.map(np.asarray, data.inputs(batches.padded(tracks, np.arange(16), 16)))
    variables = jax.jit(NET.init)(jax.random.key(0), inputs)
    apply = jax.jit(NET.apply)
    out = apply(variables, inputs)
    order = np.random.default_rng(0).permutation(16)
    moved = inputs._replace(tracks=inputs.tracks[:, order], mask=inputs.mask[:, order])
    found = apply(variables, moved)
    np.testing.assert_allclose(found.flavour, out.flavour, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        found.vertex, out.vertex[:, order][:, :, order], rtol=1e-4, atol=1e-4
    )
    garbage = np.where(inputs.mask[..., None], inputs.tracks, 5.0)
    again = apply(variables, inputs._replace(tracks=garbage))
    np.testing.assert_allclose(again.flavour, out.flavour, rtol=1e-5, atol=1e-5)
    assert np.ptp(np.asarray(out.flavour), axis=0).max() > 1e-3


def test_without_auxiliary_tasks(tracks):
    inputs = data.inputs(batches.padded(tracks, np.arange(8), 8))
    net = model.from_linen(gn1.small(auxiliary=False))
    variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
    out = jax.eval_shape(net.apply, variables, inputs)
    assert out.origin is None
    assert out.flavour.shape == (8, 4)
