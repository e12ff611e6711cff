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


def test_the_sequence_is_read_by_an_lstm(tracks):
    """Step by step in numpy, with the last state of each jet."""
    inputs = jax.tree.map(np.asarray, data.inputs(batches.padded(tracks, np.arange(8), 8)))
    net = model.from_linen(impact.RNNIP(width=5, hidden=()))
    variables = jax.jit(net.init)(jax.random.key(2), inputs)
    params = jax.device_get(variables["params"])
    (cell,) = (v for k, v in params.items() if k != "head")
    cell = cell.get("cell", cell)
    index = [data.FEATURES.index(name) for name in impact.SEEN]

    def gate(name, x, h):
        z = x @ cell[f"i{name}"]["kernel"] + h @ cell[f"h{name}"]["kernel"]
        return z + cell[f"h{name}"]["bias"]

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    out = np.asarray(jax.jit(net.apply)(variables, inputs).flavour)
    for j in range(8):
        h, c = np.zeros(5), np.zeros(5)
        for x in inputs.tracks[j][inputs.mask[j]][:, index]:
            i, f, o = (sigmoid(gate(k, x, h)) for k in "ifo")
            c = f * c + i * np.tanh(gate("g", x, h))
            h = o * np.tanh(c)
        head = params["head"]["dense_0"]
        expected = h @ head["kernel"] + head["bias"]
        np.testing.assert_allclose(out[j], expected, rtol=1e-4, atol=1e-5)


def test_a_deep_set_is_a_sum_over_tracks(tracks):
    """Two jets made into one: what enters the second network is the sum of both."""
    inputs = jax.tree.map(np.asarray, data.inputs(batches.padded(tracks, np.arange(2), 8)))
    net = model.from_linen(impact.DIPS(phi=(6,), hidden=()))
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    both = data.Inputs(
        np.concatenate([inputs.tracks[:1], inputs.tracks[1:]], 1),
        inputs.jet[:1],
        np.concatenate([inputs.mask[:1], inputs.mask[1:]], 1),
    )
    one = np.asarray(jax.jit(net.apply)(variables, inputs).flavour)
    sum_of_both = np.asarray(jax.jit(net.apply)(variables, both).flavour)
    bias = np.asarray(variables["params"]["head"]["dense_0"]["bias"])
    np.testing.assert_allclose(sum_of_both[0], one[0] + one[1] - bias, rtol=1e-4, atol=1e-5)
