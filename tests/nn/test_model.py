"""The adapter onto linen: pure functions, sums out, statistics untouched."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from hepjax.nn import mlp, model, norm, sets


class Net(linen.Module):
    @linen.compact
    def __call__(self, x, mask, train=False):
        x = norm.MaskedBatchNorm(name="norm")(x, mask, train)
        if train:
            x = mlp.dropout(x, 0.5, self.make_rng("dropout"))
        return sets.mean(x, mask)


X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
MASK = np.ones((4, 5), bool)


def test_three_functions():
    net = model.from_linen(Net())
    variables = net.init(jax.random.key(0), X, MASK)
    assert set(variables) == {"params", "batch_stats"}
    only = {"params": variables["params"]}
    out, sums = net.apply_train(only, X, MASK, key=jax.random.key(1))
    assert float(sums["norm"]["count"]) == 20
    np.testing.assert_allclose(
        net.apply(only, X, MASK, train=True, key=jax.random.key(1)), out, rtol=1e-6
    )
    known, _ = net.apply_train(variables, X, MASK, key=jax.random.key(1))
    assert not np.allclose(known, out)  # with running statistics it normalises by those
    assert not np.allclose(net.apply(variables, X, MASK), out)


def test_dropout_keeps_the_mean():
    x = mlp.dropout(jnp.ones(20000), 0.3, jax.random.key(0))
    assert abs(float(x.mean()) - 1) < 0.03
    assert abs(float((x == 0).mean()) - 0.3) < 0.02
