"""Graph attention against its definition, and blind to padding."""

import jax
import numpy as np
import pytest

from hepjax.nn import graph_attention

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 7, 8)).astype(np.float32)
MASK = np.arange(7) < np.array([[7], [3], [0]])
LAYER = graph_attention.GraphAttention(n_heads=2)
VARIABLES = jax.jit(LAYER.init)(jax.random.key(0), X, MASK)
APPLY = jax.jit(LAYER.apply)


def test_value_by_hand():
    p = jax.device_get(VARIABLES["params"])
    out = APPLY(VARIABLES, X, MASK)
    sent = X @ p["source"]["kernel"] + p["source"]["bias"]
    received = X @ p["target"]["kernel"] + p["target"]["bias"]
    for s, i, h in ((0, 2, 0), (0, 6, 1), (1, 0, 1)):
        n, c = int(MASK[s].sum()), slice(4 * h, 4 * h + 4)
        z = received[s, i, c] + sent[s, :n, c]
        logit = np.where(z > 0, z, 0.2 * z) @ p["weight"][h]
        share = np.exp(logit) / np.exp(logit).sum()
        np.testing.assert_allclose(out[s, i, c], share @ sent[s, :n, c] + p["bias"][c], rtol=1e-4)


def test_the_gradient_of_scores_is_that_of_their_definition():
    received, sent = RNG.normal(size=(2, 3, 2, 4, 5))
    weight, upstream = RNG.normal(size=(2, 4)), RNG.normal(size=(3, 2, 5, 5))

    def plain(received, sent, weight):
        both = received[..., :, None] + sent[..., None, :]
        return (jax.nn.leaky_relu(both, 0.3) * weight[:, :, None, None]).sum(2)

    def scores(received, sent, weight):
        return graph_attention._scores(received, sent, weight, 0.3)

    value, pull = jax.vjp(jax.jit(scores), received, sent, weight)
    expected, pull_plain = jax.vjp(jax.jit(plain), received, sent, weight)
    np.testing.assert_allclose(value, expected, atol=1e-5)
    for found, wanted in zip(pull(upstream), pull_plain(upstream)):
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_padding_and_permutation():
    out = np.asarray(APPLY(VARIABLES, X, MASK))
    changed = np.where(MASK[..., None], X, 9.0)
    np.testing.assert_allclose(APPLY(VARIABLES, changed, MASK)[MASK], out[MASK], rtol=1e-5)
    order = RNG.permutation(7)
    moved = APPLY(VARIABLES, X[:, order], MASK[:, order])
    np.testing.assert_allclose(moved, out[:, order], rtol=1e-4, atol=1e-6)


def test_an_empty_set_has_finite_gradients():
    slope = jax.jit(jax.grad(lambda x: LAYER.apply(VARIABLES, x, MASK).sum()))(X)
    assert np.all(np.isfinite(slope))
    assert np.all(np.asarray(slope)[2] == 0)


def test_bad_number_of_heads():
    with pytest.raises(ValueError, match="n_heads: expected a divisor of 8"):
        graph_attention.GraphAttention(3).init(jax.random.key(0), X, MASK)
