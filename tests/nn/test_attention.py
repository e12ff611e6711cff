"""Attention against its formula, with masks, biases and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.nn import attention, packing

RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=(3, 6, 2, 4)).astype(np.float32) for _ in range(3))
BIAS = RNG.normal(size=(3, 2, 6, 6)).astype(np.float32)
MASK = np.arange(6) < np.array([[6], [3], [0]])


def by_hand(q, k, v, mask, bias):
    logits = jnp.einsum("bqhc,bkhc->bhqk", q, k) / 2 + bias
    logits = jnp.where(mask[:, None, None], logits, -1e30)
    weights = jax.nn.softmax(logits, -1) * mask[:, None, None]
    return jnp.einsum("bhqk,bkhc->bqhc", weights, v)


@pytest.mark.smoke
def test_value_and_gradients():
    np.testing.assert_allclose(
        jax.jit(attention.attention)(Q, K, V, MASK, BIAS),
        by_hand(Q, K, V, MASK, BIAS),
        rtol=1e-4,
        atol=1e-5,
    )

    def loss(f):
        return lambda q, k, v, bias: (f(q, k, v, MASK, bias) ** 2).sum()

    slopes = [
        jax.grad(loss(f), argnums=(0, 1, 2, 3))(Q, K, V, BIAS)
        for f in (attention.attention, by_hand)
    ]
    for a, b in zip(*slopes):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("full", [True, False])
def test_a_few_sets_at_once_are_all_of_them(monkeypatch, full):
    keys = jax.random.split(jax.random.key(3), 5)
    q, k, v = (jax.random.normal(key, (6, 2, 5, 4)) for key in keys[:3])
    bias = jax.random.normal(keys[3], (6, 2, 5, 5)) if full else None
    mask = jax.random.bernoulli(keys[4], 0.6, (6, 5)).at[2].set(False) if full else None

    def loss(given):
        q, k, v, bias = given
        return (attention._attend(q, k, v, bias, mask) ** 2).sum()

    given = q, k, v, bias
    whole = jax.value_and_grad(loss)(given)
    loops, real = [], jax.lax.map
    monkeypatch.setattr(attention.jax.lax, "map", lambda f, x: loops.append(1) or real(f, x))
    monkeypatch.setattr(attention, "IN_CACHE", 4 * 2 * 5 * 5)  # four sets: of six it takes three
    some = jax.value_and_grad(loss)(given)
    assert len(loops) == 2
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, some)


def test_masked_items_are_never_looked_at():
    other = np.where(MASK[..., None, None], V, 99).astype(np.float32)
    keys = np.where(MASK[..., None, None], K, -7).astype(np.float32)
    a, b = (attention.attention(Q, k, v, MASK, BIAS) for k, v in ((K, V), (keys, other)))
    np.testing.assert_allclose(a[:2], b[:2], rtol=1e-6)
    assert np.all(np.isfinite(a))


def test_multi_head_is_equivariant_under_permutation():
    x = RNG.normal(size=(2, 6, 8)).astype(np.float32)
    bias, order = RNG.normal(size=(2, 2, 6, 6)).astype(np.float32), RNG.permutation(6)
    mask = np.ones((2, 6), bool)
    layer = attention.MultiHeadAttention(2)
    variables = layer.init(jax.random.key(0), x, mask, bias)
    y = layer.apply(variables, x, mask, bias)
    moved = layer.apply(variables, x[:, order], mask, bias[:, :, order][..., order])
    np.testing.assert_allclose(moved, y[:, order], rtol=1e-4, atol=1e-5)


def test_bfloat16_is_close():
    half = [x.astype(jnp.bfloat16) for x in (Q, K, V)]
    out = attention.attention(*half, MASK, BIAS)
    np.testing.assert_allclose(
        out.astype(np.float32), by_hand(Q, K, V, MASK, BIAS), rtol=0.1, atol=0.05
    )


def test_bad_shapes():
    with pytest.raises(ValueError, match="bias"):
        attention.attention(Q, K, V, MASK, BIAS[:, :1, :3])
    with pytest.raises(ValueError, match="mask"):
        attention.attention(Q, K, V, MASK[:, :2])


def test_cudnn_is_chosen_where_it_can_run(monkeypatch):
    """On a GPU, in half precision, at even lengths; a set of no items gives 0 there too."""
    seen = []

    def fused(query, key, value, bias, mask, *, implementation):
        seen.append((implementation, bias.dtype, mask.shape))
        return jax.nn.dot_product_attention_plain(query, key, value, bias, mask)

    plain = jax.nn.dot_product_attention
    monkeypatch.setattr(jax.nn, "dot_product_attention_plain", plain, raising=False)
    monkeypatch.setattr(jax.nn, "dot_product_attention", fused)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    rng = np.random.default_rng(3)
    q, k, v = (jnp.asarray(rng.normal(size=(2, 6, 2, 8)), jnp.bfloat16) for _ in range(3))
    bias = jnp.asarray(rng.normal(size=(2, 2, 6, 6)), jnp.float32)
    mask = jnp.arange(6) < jnp.array([[4], [0]])
    out = attention.attention(q, k, v, mask, bias)
    assert seen == [("cudnn", jnp.bfloat16, (2, 1, 1, 6))]
    assert np.all(np.asarray(out[1]) == 0)
    plainly = attention.attention(q, k, v, mask, bias, implementation="plain")
    np.testing.assert_allclose(out.astype(float), plainly.astype(float), rtol=0.1, atol=0.05)
    attention.attention(*(x.astype(jnp.float32) for x in (q, k, v)), mask, bias)
    attention.attention(q[:, :5], k[:, :5], v[:, :5], mask[:, :5], bias[:, :, :5, :5])
    assert len(seen) == 1


def test_packed_items_attend_as_padded_ones_do_and_need_a_mask():
    x = np.where(MASK[..., None], RNG.normal(size=(3, 6, 8)), 0).astype(np.float32)
    layer, listed = attention.MultiHeadAttention(2, pre_norm=True), packing.listed(MASK)
    variables = layer.init(jax.random.key(0), x, MASK, BIAS)
    padded = layer.apply(variables, x, MASK, BIAS)
    packed = layer.apply(variables, packing.pack(x, listed), MASK, BIAS, listed=listed)
    found = packing.unpack(packed, listed, MASK.shape)
    np.testing.assert_allclose(found[MASK], padded[MASK], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="mask: expected one beside a list"):
        layer.apply(variables, packing.pack(x, listed), listed=listed)


@pytest.fixture(scope="module")
def class_query():
    """A query, and items of which some are missing, the last set has none."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=(3, 6, 8)).astype(np.float32)


def test_one_query_is_a_row_of_self_attention(class_query):
    """With the same parameters, the query as one more item that the others do not change."""
    query, items = class_query
    pool, layer = attention.QueryAttention(2), attention.MultiHeadAttention(2)
    variables = pool.init(jax.random.key(0), query, items, MASK)
    found = pool.apply(variables, query, items, MASK)
    kernel, shift, out_kernel, out_shift = (
        np.asarray(variables["params"][name])
        for name in ("qkv_kernel", "qkv_bias", "out_kernel", "out_bias")
    )
    assert set(layer.init(jax.random.key(0), items)["params"]) == set(variables["params"])
    q = (query @ kernel[:, :8] + shift[:8]).reshape(3, 1, 2, 4)
    k, v = ((items @ kernel[:, a : a + 8] + shift[a : a + 8]).reshape(3, 6, 2, 4) for a in (8, 16))
    seen = np.asarray(by_hand(q, k, v, MASK, 0.0)).reshape(3, 8)
    np.testing.assert_allclose(found, seen @ out_kernel + out_shift, rtol=1e-4, atol=1e-5)


def test_a_query_does_not_see_padding(class_query):
    query, items = class_query
    pool = attention.QueryAttention(2)
    variables = pool.init(jax.random.key(1), query, items, MASK)
    other = np.where(MASK[..., None], items, 50).astype(np.float32)
    np.testing.assert_allclose(
        pool.apply(variables, query, other, MASK),
        pool.apply(variables, query, items, MASK),
        rtol=1e-5,
        atol=1e-6,
    )


def test_dropout_keeps_the_mean_and_no_gradient_of_what_is_dropped():
    keys = jax.random.split(jax.random.key(2), 400)

    def drop(key):
        return attention.attention(Q, K, V, MASK, BIAS, dropout=0.3, dropout_key=key)

    many = np.asarray(jax.vmap(drop)(keys))
    expected = np.asarray(attention.attention(Q, K, V, MASK, BIAS))
    error = many.std(0) / np.sqrt(len(keys)) + 1e-6
    pull = (many.mean(0) - expected) / error
    assert np.abs(pull).mean() < 1.2
    assert (many[:, 2] == 0).all()
    assert many[:, 0].std() > 0.05


def test_a_bias_moves_what_is_looked_at():
    """Of a bias that is large for one item, its value alone comes back."""
    bias = np.zeros_like(BIAS)
    bias[..., 2] = 1e4
    out = attention.attention(Q, K, V, MASK, bias)
    for one in (0, 1):
        np.testing.assert_allclose(out[one], np.broadcast_to(V[one, 2], (6, 2, 4)), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attention.attention(Q, K, V, implementation="fast"), "expected auto, cudnn"),
        (
            lambda: attention.MultiHeadAttention(3).init(jax.random.key(0), np.ones((1, 2, 8))),
            "n_heads: expected a divisor of 8, found 3",
        ),
    ],
)
def test_bad_settings(call, message):
    with pytest.raises(ValueError, match=message):
        call()
