"""Attention in a ring: against attention to all by hand, and what padding and turning do to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.nn import windows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 8)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 5, 8, 13, 24])
def test_each_block_sees_the_items_around_it_once(n):
    index, real = windows.around(jnp.array(n), 24, 4)
    for block, (some, there) in enumerate(zip(np.asarray(index), np.asarray(real))):
        seen = some[there].tolist()
        assert len(set(seen)) == len(seen)
        if 4 * block >= n:
            continue
        expected = {k % n for k in range(4 * block - 2, 4 * block + 6)}
        assert set(seen) == expected


def by_hand(params, x, n):
    """Every item over the items that its block looks at, in numpy."""
    q, k, v = (
        x @ params[name]["kernel"] + params[name]["bias"] for name in ("query", "key", "value")
    )
    index, real = (np.asarray(y) for y in windows.around(jnp.array(n), len(x), 4))
    out = np.zeros_like(x)
    for item in range(n):
        some = index[item // 4][real[item // 4]]
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            logits = k[some, part] @ q[item, part] / 2
            weight = np.exp(logits - logits.max())
            out[item, part] = weight @ v[some, part] / weight.sum()
    return out @ params["out"]["kernel"] + params["out"]["bias"]


@pytest.mark.parametrize("n", [3, 13, 24])
def test_by_hand(n):
    layer = windows.WindowAttention(n_heads=2, width=4)
    mask = np.arange(24) < n
    variables = jax.jit(layer.init)(jax.random.key(0), X, mask)
    found = jax.jit(layer.apply)(variables, X, mask)
    expected = by_hand(jax.device_get(variables["params"]), X, n)
    np.testing.assert_allclose(found[:n], expected[:n], atol=2e-6)


def test_padding_changes_nothing_and_may_be_anything():
    encoder = windows.WindowEncoder(n_layers=2, n_heads=2, width=4)
    mask = np.arange(24) < 10
    variables = encoder.init(jax.random.key(1), X, mask)
    short = encoder.apply(variables, X[:12], mask[:12])
    long = encoder.apply(variables, np.where(mask[:, None], X, 7.0), mask)
    np.testing.assert_allclose(short[:10], long[:10], atol=2e-6)


def test_a_full_ring_turns_with_its_items():
    encoder = windows.WindowEncoder(n_layers=2, n_heads=2, width=4)
    mask = np.ones(24, bool)
    variables = encoder.init(jax.random.key(1), X, mask)
    turned = encoder.apply(variables, np.roll(X, 8, 0), mask)  # by two blocks
    np.testing.assert_allclose(turned, np.roll(encoder.apply(variables, X, mask), 8, 0), atol=2e-6)


def test_bad_shapes():
    with pytest.raises(
        ValueError, match="length: expected a multiple of an even width, found 24, 5"
    ):
        windows.around(jnp.array(3), 24, 5)
    layer = windows.WindowAttention(n_heads=3, width=4)
    with pytest.raises(ValueError, match="n_heads: expected a divisor of 8, found 3"):
        layer.init(jax.random.key(0), X, np.ones(24, bool))
