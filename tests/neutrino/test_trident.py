"""TRIDENT's networks: the axis of weighted points, its gradient, and what networks may not see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.neutrino import directions, frames, trident
from hepjax.nn import model

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def net(cluster):
    return trident.network(model.from_linen(trident.lite(width=8, k=3)), cluster.medium)


@pytest.fixture(scope="module")
def variables(net, tracks):
    """Variables whose last layer is not next to nothing."""
    found = jax.jit(net.init)(jax.random.key(0), tracks[0])
    head = jax.tree.map(lambda x: 10 * x, found["params"]["head"])
    return {"params": {**found["params"], "head": head}}


def cloud(n_events=6, n=20):
    """Points along lines with weights, and some padding of NaN that has weight 0."""
    direction = np.asarray(sphere.uniform(jax.random.key(1), (n_events,)))
    along = RNG.normal(size=(n_events, n, 1)) * 100
    point = along * direction[:, None] + RNG.normal(size=(n_events, n, 3)) * [30, 20, 10] + 500
    weight = RNG.random((n_events, n))
    weight[:, -3:] = 0
    weight /= weight.sum(1, keepdims=True)
    point[:, -3:] = np.nan
    return point.astype(np.float32), weight.astype(np.float32), direction


@pytest.mark.smoke
def test_the_axis_is_that_of_the_largest_eigenvalue():
    point, weight, direction = cloud()
    for sign in (1, -1):
        start = (sign * direction + 0.3).astype(np.float32)
        found = jax.jit(trident.principal_axis)(point, weight, start)
        for e in range(len(point)):
            p, w = point[e, :-3].astype(np.float64), weight[e, :-3].astype(np.float64)
            apart = p - w @ p
            axis = np.linalg.eigh((w[:, None] * apart).T @ apart)[1][:, -1]
            axis *= np.sign(axis @ start[e])
            assert float(sphere.angle(np.asarray(found[e], np.float64), axis)) < 2e-6


def test_its_gradient_is_that_of_finite_differences():
    point, weight, direction = cloud()
    point = np.where(np.isnan(point), 0, point - 500).astype(np.float32)
    pull = jnp.asarray(RNG.normal(size=direction.shape), jnp.float32)
    step = RNG.normal(size=point.shape).astype(np.float32)

    def function(t):
        axis = trident.principal_axis(point + t * step, weight, direction)
        return (axis * pull).sum()

    slope = jax.grad(function)(0.0)
    expected = (function(0.5) - function(-0.5)) / 1.0
    assert float(slope) == pytest.approx(float(expected), rel=2e-2)


@pytest.mark.parametrize("case", ["one place", "one point", "even", "flat", "none"])
def test_where_there_is_no_axis_the_gradient_is_finite(case):
    """Of points in one place what is left is the start."""
    eye = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    point = {"one place": 0 * eye + 5, "flat": eye * [1, 1, 0]}.get(case, eye)[None]
    weight = np.full((1, 6), 1 / 6, np.float32)
    if case in ("one point", "none"):
        weight = (np.arange(6) < (case == "one point")).astype(np.float32)[None]
    start = jnp.array([[0.6, 0.0, 0.8]])
    point = jnp.asarray(point, jnp.float32)
    found, pull = jax.vjp(lambda p, w: trident.principal_axis(p, w, start), point, weight)
    assert float(jnp.linalg.norm(found)) == pytest.approx(1, abs=1e-5)
    assert all(np.isfinite(x).all() for x in pull(jnp.ones((1, 3))))
    if case != "flat":
        np.testing.assert_allclose(found, start, atol=1e-4)
    assert np.asarray(pull(jnp.ones((1, 3)))[0]).size == 18


def test_true_emission_points_give_the_true_direction_and_sign(tracks, cluster):
    pulses, truth = tracks
    point = directions.emission_points(truth, pulses.position, cluster.medium)
    weight = trident.weights(jnp.zeros(pulses.mask.shape), pulses.mask)
    found = frames.frame(pulses)
    vector = point - pulses.position
    axis = trident.direction(point, weight, vector, pulses, found, cluster.medium)
    angle = np.asarray(sphere.angle(axis, truth.direction))
    assert (angle < 1e-3).mean() == 1, angle


def test_weights_are_shares_of_the_real():
    mask = jnp.array([[True, True, False], [False, False, False]])
    weight = trident.weights(jnp.array([[1.0, 1e9, 5.0], [0, 0, 0]]), mask)
    assert weight[0].sum() == pytest.approx(1, abs=1e-6)
    assert weight[0, 1] / weight[0, 0] == pytest.approx(
        float(jnp.exp(trident.MOST - trident.MOST * jnp.tanh(1 / trident.MOST))), rel=1e-4
    )
    assert weight[:, 2].sum() == 0
    assert weight[1].sum() == 0


def test_order_and_padding_do_not_matter(net, variables, tracks, shuffled):
    pulses, _ = tracks
    other, order = shuffled(pulses)
    run = jax.jit(net.reconstruct)
    found, moved = run(variables, pulses), run(variables, other)
    assert float(sphere.angle(found.direction, moved.direction).max()) < 1e-3
    n = pulses.mask.shape[1]
    gap = jnp.abs(moved.point[:, :n] - found.point[:, order]).max(-1)
    assert float(jnp.where(pulses.mask[:, order], gap, 0).max()) < 0.1
    np.testing.assert_allclose(found.weight.sum(-1), 1, atol=1e-5)


def test_events_of_few_pulses_or_none_have_directions_and_gradients(net, variables, tracks):
    pulses, _ = tracks
    rank = jnp.cumsum(pulses.mask, -1)
    keep = pulses.mask & (rank <= jnp.arange(16)[:, None] % 4)
    few = pulses._replace(mask=keep)
    found, pull = jax.vjp(lambda v: net.reconstruct(v, few).direction, variables)
    np.testing.assert_allclose(jnp.linalg.norm(found, axis=-1), 1, atol=1e-5)
    (slope,) = pull(jnp.ones_like(found))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))
    line = frames.frame(few).line.direction
    assert float(sphere.angle(found, line)[::4].max()) < 1e-3


def test_the_large_one_is_larger(tracks, cluster):
    counts = []
    for sizes in (trident.lite, trident.large):
        one = trident.network(model.from_linen(sizes()), cluster.medium)
        shapes = jax.eval_shape(one.init, jax.random.key(0), tracks[0])
        counts.append(sum(x.size for x in jax.tree.leaves(shapes)))
    assert 15 < counts[1] / counts[0] < 25
