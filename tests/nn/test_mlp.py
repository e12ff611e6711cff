"""Dense layers: exact GELU, products with a custom gradient."""

import jax
import numpy as np
from scipy import stats

from hepjax.nn import mlp

X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)


def test_gelu_is_exact():
    np.testing.assert_allclose(mlp.gelu(X), X * stats.norm.cdf(X), rtol=1e-4, atol=1e-6)


def test_product_and_gradient():
    np.testing.assert_allclose(mlp.matmul(X, W), X @ W, rtol=1e-5, atol=1e-6)
    slopes = [
        jax.grad(lambda x, w, f=f: (f(x, w) ** 2).sum(), argnums=(0, 1))(X, W)
        for f in (mlp.matmul, lambda x, w: x @ w)
    ]
    for a, b in zip(*slopes):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_stack():
    layer = mlp.MLP((4, 2), activate_last=True)
    out = layer.apply(layer.init(jax.random.key(0), X), X)
    assert out.shape == (4, 5, 2)
    assert float(out.min()) >= 0
