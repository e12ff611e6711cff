"""Blocks of transformers: padding, order of items, and where gradients go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.nn import transformer

WIDTH, HEADS = 16, 4
MASK = jnp.arange(7) < jnp.array([[7], [4], [0]])


@pytest.fixture(scope="module")
def given():
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (3, 7, WIDTH))
    block, token = transformer.Block(HEADS), transformer.TokenBlock(HEADS)
    first = jax.random.normal(keys[1], (3, WIDTH))
    return (
        x,
        first,
        (jax.jit(block.apply), block.init(keys[2], x, MASK)),
        (jax.jit(token.apply), token.init(keys[2], first, x, MASK)),
    )


@pytest.mark.smoke
def test_padding_is_never_looked_at(given):
    x, first, (block, variables), (token, token_variables) = given
    other = jnp.where(MASK[..., None], x, 1e3)
    one, two = (block(variables, items, MASK) for items in (x, other))
    np.testing.assert_allclose(one[MASK], two[MASK], atol=1e-5)
    one, two = (token(token_variables, first, items, MASK) for items in (x, other))
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert np.isfinite(one).all()  # of the empty set too


def test_items_may_come_in_any_order(given):
    x, first, (block, variables), (token, token_variables) = given
    order = np.array([3, 0, 2, 1])
    some, mask = x[:1, :4], MASK[:1, :4]
    np.testing.assert_allclose(
        block(variables, some, mask)[:, order], block(variables, some[:, order], mask), atol=1e-5
    )
    np.testing.assert_allclose(
        token(token_variables, first[:1], some, mask),
        token(token_variables, first[:1], some[:, order], mask),
        atol=1e-5,
    )


def test_a_bias_moves_attention(given):
    x, _, (block, variables), _ = given
    bias = jnp.zeros((3, HEADS, 7, 7))
    plain = block(variables, x, MASK)
    np.testing.assert_allclose(block(variables, x, MASK, bias), plain, atol=1e-5)
    only_first = jnp.where(jnp.arange(7) == 0, 0.0, -1e9)
    turned = block(variables, x, MASK, bias + only_first)
    assert np.abs(turned - plain)[0].max() > 1e-2
    changed = block(variables, x.at[0, 3].add(1.0), MASK, bias + only_first)
    np.testing.assert_allclose(changed[0, 4], turned[0, 4], atol=1e-5)  # looks at item 0 alone


def test_the_token_does_not_change_the_items_and_learns_from_all(given):
    x, first, _, (token, variables) = given
    slope = jax.grad(lambda items: token(variables, first, items, MASK)[:2].sum())(x)
    size = np.abs(slope).sum(-1)
    assert (size[0] > 0).all()
    assert (size[1, 4:] == 0).all()
    assert (size[2] == 0).all()


def test_a_small_start_writes_little():
    x = jax.random.normal(jax.random.key(3), (2, 5, WIDTH))
    changes = []
    for scale in (1.0, 0.1):
        block = transformer.Block(HEADS, out_scale=scale)
        out, _ = block.init_with_output(jax.random.key(1), x)
        changes.append(float(jnp.abs(out - x).mean()))
    assert changes[1] == pytest.approx(changes[0] / 10, rel=0.5)


def test_bad_heads_are_named():
    with pytest.raises(ValueError, match="n_heads: expected a divisor of 16, found 3"):
        transformer.Block(3).init(jax.random.key(0), jnp.ones((1, 2, WIDTH)))
