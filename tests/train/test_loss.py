"""The gradient at the totals is that of the whole batch, however the batch is cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import batch, train


def data(n=32, seed=0):
    """Events with very uneven padding: the second half is nearly empty."""
    rng = np.random.default_rng(seed)
    weight = np.where(np.arange(n) < n // 2, 1.0, (np.arange(n) % 8 == 0) * 0.1)
    return {
        "x": rng.normal(size=(n, 3)).astype(np.float32),
        "y": rng.normal(size=n).astype(np.float32),
        "weight": weight.astype(np.float32),
        "pairs": rng.integers(0, 2, size=(n, 5)).astype(np.float32),
    }


def params(seed=1):
    return {"w": jax.random.normal(jax.random.key(seed), (3,)), "b": jnp.zeros(())}


def residual(p, x):
    return x["x"] @ p["w"] + p["b"] - x["y"]


def one_mean(p, x, key):
    return batch.mean(residual(p, x) ** 2, x["weight"])


def two_denominators(p, x, key):
    r = residual(p, x)
    return {
        "jets": batch.mean(r**2, x["weight"]),
        "pairs": batch.mean(jnp.tanh(r)[:, None] * x["pairs"], x["pairs"] * x["weight"][:, None]),
    }


def variance_sums(p, x, key):
    f = jnp.exp(0.3 * residual(p, x)) * x["weight"]
    return {"n": x["weight"].sum(), "f": f.sum(), "f2": (f**2).sum()}


def variance_finish(sums):
    mean = sums["f"] / sums["n"]
    variance = sums["f2"] / sums["n"] - mean**2
    return variance, {"mean": mean}


LOSSES = {
    "one mean": train.mean_loss(one_mean),
    "two denominators": train.mean_loss(two_denominators, {"pairs": 0.5}),
    "variance": train.Loss(variance_sums, variance_finish),
}


@pytest.fixture(params=LOSSES, scope="module")
def loss(request):
    return LOSSES[request.param]


def whole(loss, p, x):
    return jax.grad(lambda p: loss.finish(loss.sums(p, x, None))[0])(p)


@pytest.mark.smoke
@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_gradient_is_that_of_the_whole_batch(loss, accumulate):
    p, x = params(), data()
    sums, slope = train.gradient(loss, p, x, jax.random.key(0), accumulate=accumulate)
    expected = whole(loss, p, x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), slope, expected
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        sums,
        loss.sums(p, x, None),
    )


def test_gradient_in_float64_is_exact_to_ten_digits(loss):
    with jax.enable_x64(True):
        p = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params())
        x = {name: np.asarray(a, np.float64) for name, a in data().items()}
        _, slope = train.gradient(loss, p, x, jax.random.key(0), accumulate=4)
        for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(whole(loss, p, x))):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


def test_mean_of_means_would_fail_here():
    """The trap is in the data: the naive rule is off by far more than the tolerance above."""
    p, x, loss = params(), data(), LOSSES["one mean"]
    halves = [{name: a[i::2] for name, a in x.items()} for i in range(2)]
    first = {name: a[:16] for name, a in x.items()}
    second = {name: a[16:] for name, a in x.items()}
    naive = jax.tree.map(lambda a, b: (a + b) / 2, whole(loss, p, first), whole(loss, p, second))
    exact = whole(loss, p, x)
    assert np.abs(naive["w"] - exact["w"]).max() > 0.05 * np.abs(exact["w"]).max()
    assert len(halves) == 2


def test_empty_batch_has_zero_sums_and_finite_gradient():
    x = {name: np.zeros_like(a) for name, a in data().items()}
    sums, slope = train.gradient(LOSSES["two denominators"], params(), x, None)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(sums))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


def test_negative_weights_flow_through():
    x = data()
    x["weight"][::3] *= -1
    values = LOSSES["one mean"].finish(LOSSES["one mean"].sums(params(), x, None))[0]
    r = np.asarray(residual(params(), x)) ** 2
    np.testing.assert_allclose(values, (r * x["weight"]).sum() / x["weight"].sum(), rtol=1e-5)


def test_further_sums_are_carried_and_get_no_gradient():
    loss = train.mean_loss(lambda p, x, key: (one_mean(p, x, key), {"seen": (p["w"] ** 2).sum()}))
    sums, slope = train.gradient(loss, params(), data(), None)
    assert float(sums["seen"]) > 0
    expected = whole(LOSSES["one mean"], params(), data())
    np.testing.assert_allclose(slope["w"], expected["w"], rtol=1e-6)


def test_uneven_cut_is_an_error():
    with pytest.raises(ValueError, match="32 events cannot be cut into 5"):
        train.gradient(LOSSES["one mean"], params(), data(), None, accumulate=5)


def test_jit_gives_the_same():
    loss, p, x = LOSSES["variance"], params(), data()
    _, slope = jax.jit(lambda p, x: train.gradient(loss, p, x, jax.random.key(0), accumulate=2))(
        p, x
    )
    np.testing.assert_allclose(slope["w"], whole(loss, p, x)["w"], rtol=1e-5)
