"""The LSTM against its equations step by step, in both directions, with holes in the sequence."""

import jax
import numpy as np
import pytest

from hepjax.nn import recurrent

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 7, 3)).astype(np.float32)
MASK = np.array([[1] * 7, [1, 1, 1, 0, 0, 0, 0], [0] * 7, [0, 1, 0, 1, 1, 0, 0], [1] + [0] * 6]) > 0


def by_hand(params, x, mask):
    """Input, forget, write and output gates, in numpy, for one sequence."""
    width = params["recurrent_kernel"].shape[0]
    hidden, memory = np.zeros(width), np.zeros(width)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    for item in x[mask]:
        z = item @ params["kernel"] + hidden @ params["recurrent_kernel"] + params["bias"]
        i, f, g, o = np.split(np.asarray(z, np.float64), 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(memory)
    return hidden


@pytest.mark.parametrize("reverse", [False, True])
def test_step_by_step(reverse):
    layer = recurrent.LSTM(4, reverse=reverse)
    variables = jax.jit(layer.init)(jax.random.key(1), X, MASK)
    params = jax.device_get(variables["params"])
    found = jax.jit(layer.apply)(variables, np.where(MASK[..., None], X, np.nan), MASK)
    order = slice(None, None, -1 if reverse else 1)
    for row, x, mask in zip(np.asarray(found), X, MASK):
        np.testing.assert_allclose(row, by_hand(params, x[order], mask[order]), atol=1e-6)
    assert np.all(np.asarray(found)[2] == 0)


def test_gates_start_orthogonal_and_open():
    layer = recurrent.LSTM(4)
    params = layer.init(jax.random.key(1), X, MASK)["params"]
    for gate in np.split(np.asarray(params["recurrent_kernel"]), 4, 1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-5)
    assert np.asarray(params["bias"]).reshape(4, 4).tolist() == [[k == 1] * 4 for k in range(4)]


def test_gradients_do_not_see_the_padding():
    layer = recurrent.LSTM(4)
    variables = layer.init(jax.random.key(1), X, MASK)
    slope = jax.jit(jax.grad(lambda x: (layer.apply(variables, x, MASK) ** 2).sum()))(X)
    assert np.all(np.asarray(slope)[~MASK] == 0)
    assert np.all(np.abs(np.asarray(slope)[MASK]).max(-1) > 0)


def test_bad_mask():
    with pytest.raises(ValueError, match=r"mask: expected shape \(5, 7\)"):
        recurrent.LSTM(4).init(jax.random.key(0), X, MASK[:, :3])
