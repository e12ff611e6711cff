"""A backward pass that computes again: the same numbers, less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from hepjax.nn import recompute

RNG = np.random.default_rng(0)
N_LAYERS = 4
PARAMS = [
    {"in": RNG.normal(size=(8, 32)).astype(np.float32), "out": RNG.normal(size=(32, 8)) / 40}
    for _ in range(N_LAYERS)
]
PARAMS = jax.tree.map(np.float32, PARAMS)
X, SHIFT = (RNG.normal(size=(6, 8)).astype(np.float32) for _ in range(2))


def layer(shift, params, x, key):
    hidden = checkpoint_name((x + shift) @ params["in"], "hidden")
    wide = jnp.tanh(jnp.sin(jnp.cosh(0.1 * hidden)))
    if key is not None:
        wide = wide * jax.random.bernoulli(key, 0.5, wide.shape)
    return x + wide @ params["out"]


def in_turn(layer, params, x, keys=None):
    for k, p in enumerate(params):
        x = layer(p, x, None if keys is None else keys[k])
    return x


def everything(run, keys=None):
    """Value and gradients with respect to parameters, input, and what the layers close over."""

    def loss(params, x, shift):
        y = run(lambda p, x, key: layer(shift, p, x, key), params, x, keys)
        return (y**2).sum()

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))


@pytest.mark.parametrize("dropout", [False, True])
def test_layers_give_what_they_give_in_turn(dropout):
    keys = jax.random.split(jax.random.key(1), N_LAYERS) if dropout else None
    looped, unrolled = (
        everything(run, keys)(PARAMS, X, SHIFT) for run in (recompute.layers, in_turn)
    )
    assert jax.tree.structure(looped) == jax.tree.structure(unrolled)
    for a, b in zip(jax.tree.leaves(looped), jax.tree.leaves(unrolled)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert np.abs(looped[1][2]).min() > 0


def temporary(function, *args):
    return jax.jit(function).lower(*args).compile().memory_analysis().temp_size_in_bytes


def test_layers_need_less_memory():
    x = np.zeros((4096, 8), np.float32)
    looped, unrolled = (
        temporary(everything(run), PARAMS, x, x) for run in (recompute.layers, in_turn)
    )
    assert looped < 0.75 * unrolled


def test_a_loop_over_no_layers_is_an_error():
    with pytest.raises(ValueError, match="found 0 layers and no keys"):
        recompute.layers(lambda p, x, key: x, [], X)
    keys = jax.random.split(jax.random.key(1), 3)
    with pytest.raises(ValueError, match="found 4 layers and 3 keys"):
        recompute.layers(lambda p, x, key: x, PARAMS, X, keys)


def again(needed, a, b):
    value = jnp.tanh(a @ b)
    return recompute.gradient(value, lambda a, b: jnp.tanh(a @ b), needed, a, b)


def test_gradient_is_that_of_the_function():
    a, b = X, PARAMS[0]["in"]

    def loss(run):
        return lambda a, b: (run(a, b) ** 2).sum()

    kept = jax.value_and_grad(loss(lambda a, b: jnp.tanh(a @ b)), argnums=(0, 1))(a, b)
    for needed in (True, False):
        run = jax.jit(
            jax.value_and_grad(loss(lambda a, b, n=needed: again(n, a, b)), argnums=(0, 1))
        )
        value, slopes = run(a, b)
        np.testing.assert_allclose(value, kept[0], rtol=1e-6)
        for found, expected in zip(slopes, kept[1]):
            np.testing.assert_allclose(found, needed * expected, rtol=1e-4, atol=1e-5)


def test_gradient_needs_less_memory():
    """Of two wide layers and what comes behind them, one has to be there at a time."""
    x = np.zeros((4096, 8), np.float32)
    params = PARAMS[:2]

    def function(params, x):
        return in_turn(lambda p, x, key: layer(0, p, x, key), params, x)

    def loss(params, x, recomputed):
        y = function(params, x)
        if recomputed:
            y = recompute.gradient(y, function, (x < 9).any(), params, x)
        return (in_turn(lambda p, x, key: layer(0, p, x, key), PARAMS[2:], y) ** 2).sum()

    kept, less = (
        temporary(jax.grad(lambda p, x, r=recomputed: loss(p, x, r)), params, x)
        for recomputed in (False, True)
    )
    assert less < 0.9 * kept
