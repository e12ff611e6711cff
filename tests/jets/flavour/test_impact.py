"""RNNIP reads an order, DIPS none; neither sees padding or what it shall not see."""

import jax
import numpy as np
import pytest

from hepjax.jets import batches
from hepjax.jets.flavour import data, impact
from hepjax.nn import model

NETS = {"rnnip": impact.RNNIP(width=12), "dips": impact.DIPS(phi=(16, 16), hidden=(16,))}


@pytest.fixture(scope="module", params=NETS)
def one(request, tracks):
    inputs = jax.tree.map(np.asarray, data.inputs(batches.padded(tracks, np.arange(16), 16)))
    net = model.from_linen(NETS[request.param])
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    apply = jax.jit(net.apply)
    return request.param, inputs, lambda x: np.asarray(apply(variables, x).flavour)


def test_padding_is_not_seen(one):
    _, inputs, apply = one
    out = apply(inputs)
    assert np.ptp(out, axis=0).max() > 1e-3
    garbage = np.where(inputs.mask[..., None], inputs.tracks, 7.0)
    np.testing.assert_allclose(apply(inputs._replace(tracks=garbage)), out, atol=1e-6)
    wide = inputs._replace(
        tracks=np.pad(inputs.tracks, ((0, 0), (0, 4), (0, 0)), constant_values=3.0),
        mask=np.pad(inputs.mask, ((0, 0), (0, 4))),
    )
    np.testing.assert_allclose(apply(wide), out, atol=1e-5)


def test_the_order_of_tracks_matters_to_one_only(one):
    name, inputs, apply = one
    tracks, mask = inputs.tracks.copy(), inputs.mask
    for j in range(len(mask)):
        n = mask[j].sum()
        tracks[j, :n] = tracks[j, :n][::-1]
    apart = np.abs(apply(inputs._replace(tracks=tracks)) - apply(inputs)).max()
    assert (apart > 1e-4) == (name == "rnnip")


def test_only_impact_parameters_and_hits_are_seen(one):
    _, inputs, apply = one
    hidden = [k for k, name in enumerate(data.FEATURES) if name not in impact.SEEN]
    tracks = inputs.tracks.copy()
    tracks[..., hidden] += 1
    out = apply(inputs)
    np.testing.assert_array_equal(apply(inputs._replace(tracks=tracks)), out)
    tracks[..., data.FEATURES.index("delta_r")] += 1
    assert np.abs(apply(inputs._replace(tracks=tracks)) - out).max() > 1e-4


def test_a_jet_without_tracks(one):
    _, inputs, apply = one
    empty = apply(inputs._replace(mask=np.zeros_like(inputs.mask)))
    assert np.all(np.isfinite(empty))
    np.testing.assert_allclose(empty, empty[:1].repeat(16, 0), atol=1e-6)
