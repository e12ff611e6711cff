"""Flows of the sphere learn densities of known shape: Kullback and Leibler within 0.01."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import batch, sphere, train
from hepjax.flows import sphere as flow
from hepjax.flows import sphere_layers as layers
from hepjax.train import loss
from hepjax.train import step as steps

PLAN = flow.Plan(8, 3, (layers.ZOOM, layers.VERTICAL, layers.CIRCULAR, layers.LINEAR))


def banana(n):
    around = np.arctan2(n[:, 1], n[:, 0])
    return -0.5 * (around / 0.5) ** 2 - 0.5 * ((n[:, 2] - 0.3 * around**2) / 0.1) ** 2


def ring(n):
    return -0.5 * ((n[:, 2] - 0.4) / 0.1) ** 2


def antipodal(n):
    return np.logaddexp(40 * n[:, 0], -40 * n[:, 0])


def kent(n):
    """Ten times as wide in one direction as in the other."""
    return 5 * n[:, 0] - 0.5 * (n[:, 1] / 0.4) ** 2 - 0.5 * (n[:, 2] / 0.04) ** 2


TARGETS = [banana, ring, antipodal, kent]


def normal(log_density):
    """Give probabilities of cells."""
    weight = np.exp(log_density - log_density.max())
    return weight / weight.sum()


def fitted(target, plan, n_steps, size=1024):
    """Fit by likelihood with this package's training, on new points each step."""
    cells = sphere.fibonacci(200_000)
    index = np.random.default_rng(0).choice(len(cells), (n_steps, size), p=normal(target(cells)))
    likelihood = loss.mean_loss(lambda params, n, key: batch.mean(-flow.log_prob(plan, params, n)))
    schedule = optax.cosine_decay_schedule(0.02, n_steps)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    step = train.gradient_step(likelihood, optimiser)
    start = 0.1 * jax.random.normal(jax.random.key(1), (flow.size(plan),))
    state = steps.init(start, optimiser, jax.random.key(0))
    cells = jnp.asarray(cells, jnp.float32)
    fit = jax.jit(
        lambda s, index: jax.lax.scan(lambda s, i: (step(s, cells[i])[0], None), s, index)[0]
    )
    return fit(state, jnp.asarray(index)).params


def divergence(target, plan, params):
    """Give the mean of log p - log q over the target p, nats."""
    cells = sphere.fibonacci(100_003)
    p = normal(target(cells))
    log_q = jax.jit(functools.partial(flow.log_prob, plan))(params, cells.astype(np.float32))
    some = p > 0
    log_p = np.log(p[some] * len(cells) / sphere.AREA)
    return float((p[some] * (log_p - np.asarray(log_q, float)[some])).sum())


@pytest.mark.parametrize("target", TARGETS)
def test_divergences_of_known_densities(target):
    """Of an even density from the target it is log 4 pi less the target's entropy."""
    even = flow.Plan(1, 2, (layers.LINEAR,))
    found = divergence(target, even, np.zeros(flow.size(even), np.float32))
    p = normal(target(sphere.fibonacci(40_000)))
    assert found == pytest.approx((p[p > 0] * np.log(p[p > 0] * 40_000)).sum(), abs=0.01)
    assert found > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_eight_layers_learn_it(target):
    params = fitted(target, PLAN, 2000)
    assert abs(divergence(target, PLAN, params)) < 0.01
