"""Posteriors of events: densities that are normalised, samples that follow them, frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.neutrino import posterior, pulse_transformer
from hepjax.nn import model


@pytest.fixture(scope="module")
def encoded(tiny, simulate):
    """Posteriors of four events by a network whose last layer is no longer small."""
    pulses, truth = simulate(jax.random.key(0), 4)
    variables = posterior.init(tiny, jax.random.key(1), pulses)
    variables = jax.tree.map(lambda x: x, variables)
    head = variables["params"]["head"]
    head["kernel"] = 0.1 * jax.random.normal(jax.random.key(2), head["kernel"].shape)
    return (
        pulses,
        truth,
        variables,
        jax.jit(lambda v, p: posterior.encode(tiny, v, p))(variables, pulses),
    )


@pytest.mark.smoke
def test_a_density_is_normalised(tiny, encoded):
    points = jnp.asarray(sphere.fibonacci(20_000), jnp.float32)
    found = jax.jit(
        lambda e: posterior.log_prob(tiny, e, jnp.broadcast_to(points[:, None], (20_000, 4, 3)))
    )(encoded[-1])
    assert found.shape == (20_000, 4)
    total = np.exp(np.asarray(found, np.float64)).mean(0) * sphere.AREA
    np.testing.assert_allclose(total, 1, atol=2e-3)


def test_samples_have_the_density_that_they_say(tiny, encoded):
    n, log_p = posterior.sample(tiny, encoded[-1], jax.random.key(3), 500)
    assert n.shape == (500, 4, 3)
    np.testing.assert_allclose((np.asarray(n) ** 2).sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(posterior.log_prob(tiny, encoded[-1], n), log_p, atol=2e-3)
    # the mean of 1 / density over samples is the area of the sphere
    _, log_p = posterior.sample(tiny, encoded[-1], jax.random.key(4), 20_000)
    area = np.exp(-np.asarray(log_p, np.float64)).mean(0)
    np.testing.assert_allclose(area, sphere.AREA, rtol=0.1)


def test_padding_does_not_change_a_posterior(tiny, encoded):
    pulses, _, variables, found = encoded
    longer = jax.tree.map(lambda x: jnp.concatenate([x, jnp.zeros_like(x)], 1), pulses)._replace(
        mask=jnp.concatenate([pulses.mask, jnp.zeros_like(pulses.mask)], 1)
    )
    other = posterior.encode(tiny, variables, longer)
    np.testing.assert_allclose(other.params, found.params, atol=1e-4)


def test_the_frame_turns_back(tiny, encoded):
    """Of a narrow flow along the third axis, samples lie along the line of each event."""
    _, _, _, found = encoded
    params = jnp.zeros_like(found.params).at[..., 4].set(12.0)  # the first zoom
    narrow = found._replace(params=params, log_share=found.log_share.at[..., 1].set(-1e9))
    n, _ = posterior.sample(tiny, narrow, jax.random.key(5), 200)
    middle = np.asarray(n).mean(0)
    middle = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
    line = np.asarray(found.axes[:, 0, 2])
    away = np.degrees(sphere.angle(middle, line))
    assert (np.minimum(away, 180 - away) < 2).all()


def test_an_event_without_pulses_has_a_posterior(tiny, encoded):
    pulses, truth, variables, _ = encoded
    empty = pulses._replace(mask=jnp.zeros_like(pulses.mask))
    found = posterior.encode(tiny, variables, empty)
    assert np.isfinite(posterior.log_prob(tiny, found, truth.direction)).all()


@pytest.fixture(scope="module")
def silent(tiny, small, small_events, sketched):
    """Posteriors of 16 events by a network that says nothing, so that the sketch alone speaks."""
    encoder = pulse_transformer.small(posterior.size(tiny.plan), width=16, n_layers=1)
    whole = posterior.Posterior(model.from_linen(encoder), tiny.plan, small)
    pulses, truth, known = jax.tree.map(lambda x: x[:16], (*small_events, sketched))
    variables = jax.tree.map(jnp.zeros_like, posterior.init(whole, jax.random.key(0), pulses))
    seen = posterior.sketched(small, pulses, known)
    return whole, posterior.found(whole, variables, seen), truth


def test_lenses_of_a_sketch_are_part_of_it(silent):
    """Of one mode, densities at its mean are as high as its lens is narrow."""
    whole, found, truth = silent
    assert found.lens.shape == (16, 4, 2, 2)
    first = found._replace(log_share=jnp.full((16, 4, 2), -1e9).at[:, 0].set(0.0))
    plain = first._replace(lens=jnp.broadcast_to(jnp.eye(2), found.lens.shape))
    gain = posterior.log_prob(whole, first, found.axes[:, 0, 2])
    gain -= posterior.log_prob(whole, plain, found.axes[:, 0, 2])
    area = np.linalg.det(np.asarray(found.lens[:, 0], float))
    assert len(np.unique(area)) == 16
    np.testing.assert_allclose(gain, -np.log(area), atol=1e-3)
    at_truth = posterior.log_prob(whole, found, truth.direction)
    assert float(jnp.median(at_truth)) > 2 - np.log(sphere.AREA)


def test_modes_have_their_shares(silent):
    whole, found, _ = silent
    np.testing.assert_allclose(jnp.exp(found.log_share).sum((1, 2)), 1, atol=1e-5)
    assert (np.exp(found.log_share[..., 1]).sum(-1) < 0.1).all()
    # narrow flows, and modes at right angles: samples are counted
    axes = jnp.eye(3)[jnp.array([[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]])]
    axes = axes.at[3].multiply(-1)
    share = jnp.array([0.4, 0.3, 0.2, 0.1])
    made = found._replace(
        log_share=jnp.broadcast_to(jnp.log(share / 2)[:, None], (16, 4, 2)),
        axes=jnp.broadcast_to(axes, (16, 4, 3, 3)),
        lens=jnp.broadcast_to(0.01 * jnp.eye(2), (16, 4, 2, 2)),
    )
    n, log_p = posterior.sample(whole, made, jax.random.key(1), 500)
    near = np.argmax(np.einsum("sej,mj->sem", n, np.asarray(axes[:, 2])), -1)
    counts = np.bincount(near.ravel(), minlength=4) / near.size
    np.testing.assert_allclose(counts, share, atol=0.02)
    np.testing.assert_allclose(posterior.log_prob(whole, made, n), log_p, atol=5e-3)
