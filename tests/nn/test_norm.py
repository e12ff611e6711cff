"""Norms see real entries only, and their sums add."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.nn import norm

X = np.random.default_rng(0).normal(2, 3, size=(6, 5, 4)).astype(np.float32)
MASK = np.random.default_rng(1).uniform(size=(6, 5)) > 0.4
LAYER = norm.MaskedBatchNorm()


@pytest.fixture(scope="module")
def variables():
    return LAYER.init(jax.random.key(0), X, MASK)


@pytest.mark.smoke
def test_statistics_are_over_real_entries(variables):
    garbage = np.where(MASK[..., None], X, 1e6)
    only = {"params": variables["params"]}
    y, new = LAYER.apply(only, garbage, MASK, train=True, mutable=["batch_sums"])
    real = np.asarray(y)[MASK]
    np.testing.assert_allclose(real.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(real.std(0), 1, atol=1e-4)
    sums = new["batch_sums"]
    assert float(sums["count"]) == MASK.sum()
    np.testing.assert_allclose(sums["total"], X[MASK].sum(0), rtol=1e-4)
    np.testing.assert_allclose(sums["total_of_squares"], (X[MASK] ** 2).sum(0), rtol=1e-4)


def test_update_moves_towards_the_unbiased_variance_of_the_whole(variables):
    parts = [
        LAYER.apply(variables, X[s], MASK[s], train=True, mutable=["batch_sums"])[1]["batch_sums"]
        for s in (slice(0, 2), slice(2, 6))
    ]
    total = jax.tree.map(jnp.add, *parts)
    new = norm.update({"n": variables["batch_stats"]}, {"n": total}, momentum=1.0)["n"]
    np.testing.assert_allclose(new["mean"], X[MASK].mean(0), rtol=1e-4)
    np.testing.assert_allclose(new["var"], X[MASK].var(0, ddof=1), rtol=1e-3)


def test_running_statistics_of_unlike_batches_are_those_of_the_mixture(variables):
    """The variance between batches counts."""
    stats = {"n": variables["batch_stats"]}
    parts = [X + shift for shift in (-3, 0, 4)]
    for count, x in enumerate(parts):
        _, new = LAYER.apply(variables, x, np.ones_like(MASK), train=True, mutable=["batch_sums"])
        stats = norm.update(stats, {"n": new["batch_sums"]}, 1 / (1 + count))
    whole = np.concatenate(parts).reshape(-1, 4)
    within = X.reshape(-1, 4).var(0, ddof=1)
    np.testing.assert_allclose(stats["n"]["mean"], whole.mean(0), rtol=1e-4)
    np.testing.assert_allclose(stats["n"]["var"], within + np.var([-3, 0, 4]), rtol=1e-4)


def test_renormalisation_gives_the_output_of_evaluation_and_the_gradient_of_the_batch(variables):
    stats = {"mean": jnp.full(4, 1.0), "var": jnp.full(4, 6.0)}
    known = {**variables, "batch_stats": stats}
    out = LAYER.apply(known, X, MASK, train=True, mutable=["batch_sums"])[0]
    np.testing.assert_allclose(out, LAYER.apply(known, X, MASK), rtol=1e-4, atol=1e-5)
    weight = np.random.default_rng(3).normal(size=X.shape) * MASK[..., None]

    def slope(variables):
        def f(x):
            out = LAYER.apply(variables, x, MASK, train=True, mutable=["batch_sums"])[0]
            return (out * weight).sum()

        return jax.grad(f)(X)

    stretch = np.sqrt(X[MASK].var(0) + norm.EPSILON) / np.sqrt(6.0 + norm.EPSILON)
    plain = slope({"params": variables["params"]})
    np.testing.assert_allclose(slope(known), plain * stretch, rtol=1e-3, atol=1e-6)
    far = {**variables, "batch_stats": {"mean": jnp.full(4, 1e3), "var": jnp.full(4, 1e-6)}}
    limited = LAYER.apply(far, X, MASK, train=True, mutable=["batch_sums"])[0][MASK]
    np.testing.assert_allclose(limited.mean(0), -norm.MOST_SHIFT, rtol=1e-3)
    np.testing.assert_allclose(limited.std(0), norm.MOST_STRETCH, rtol=1e-3)


def test_an_empty_batch_changes_nothing_and_is_finite(variables):
    def f(x):
        y, new = LAYER.apply(variables, x, np.zeros_like(MASK), train=True, mutable=["batch_sums"])
        return (y**2).sum(), new["batch_sums"]

    slope, sums = jax.grad(f, has_aux=True)(X)
    assert np.all(np.isfinite(slope))
    stats = {"n": variables["batch_stats"]}
    jax.tree.map(np.testing.assert_array_equal, norm.update(stats, {"n": sums}), stats)


def test_evaluation_uses_running_statistics(variables):
    stats = {"mean": jnp.full(4, 2.0), "var": jnp.full(4, 9.0)}
    y = LAYER.apply({**variables, "batch_stats": stats}, X, MASK)
    np.testing.assert_allclose(y, (X - 2) / np.sqrt(9 + 1e-5), rtol=1e-5, atol=1e-6)


def test_layer_norm_and_its_gradient():
    def by_hand(x):
        centred = x - x.mean(-1, keepdims=True)
        return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + norm.EPSILON)

    weight = np.random.default_rng(2).normal(size=X.shape)
    for function in (norm.standardise, by_hand):
        assert np.all(np.isfinite(function(np.zeros((2, 4)))))
    np.testing.assert_allclose(norm.standardise(X), by_hand(X), rtol=1e-5, atol=1e-6)
    slopes = [
        jax.grad(lambda x, f=f: (f(x) * weight).sum())(X) for f in (norm.standardise, by_hand)
    ]
    np.testing.assert_allclose(*slopes, rtol=1e-4, atol=1e-5)


def test_bad_input(variables):
    with pytest.raises(ValueError, match="mask"):
        LAYER.apply(variables, X, MASK[:, :3])
    with pytest.raises(ValueError, match="no running statistics"):
        norm.update({}, {"a": {}})
