"""Integrals on eight devices: the same points, weights and trained networks as on one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import parallel, train
from hepjax.flows import coupling
from hepjax.integration import integrator, sampling, toys
from hepjax.integration.integrator import Integrand, Values

SETTINGS = integrator.Settings(
    n_points=512, flow=coupling.Settings(4, 8, 1), n_steps=20, learning_rate=1e-2
)


def shares(x, channel):
    """The camel in three channels of one map."""
    prior = jnp.log(jnp.array([[0.5, 0.3, 0.2]])) + 0 * x[:, :1]
    return Values(toys.camel(x), x, prior)


INTEGRANDS = {
    1: Integrand(lambda x, channel: Values(toys.camel(x)), 2),
    3: Integrand(shares, 2, n_channels=3, n_features=2),
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def started(integrand, settings=SETTINGS):
    """A beginning whose networks are float64, so that rounding is small."""
    state = integrator.init(integrand, settings, jax.random.key(0))
    wide = jax.tree.map(lambda x: x.astype(float), state.params)
    return train.init(wide, optax.flatten(integrator.ADAM), state.key, state.extra)


@pytest.mark.parametrize(("n_channels", "buffered"), [(1, 0), (3, 1)])
def test_the_integral_is_the_same_on_one_and_on_eight(n_channels, buffered):
    """With points that are learned from again, too."""
    integrand = INTEGRANDS[n_channels]
    settings = SETTINGS._replace(buffer=4 * buffered, buffered=buffered)
    found = {}
    for devices in (1, 8):
        layout = parallel.layout(devices)
        step = integrator.train_step(integrand, settings, layout)
        plan = train.Settings(n_steps=20, steps_per_call=10, log_every=10)
        trained = train.fit(
            step, started(integrand, settings), None, integrator.finish, plan, layout=layout
        )
        drawn = sampling.sample(
            integrand, settings, trained.state, jax.random.key(1), 8192, chunk=4096, layout=layout
        )
        found[devices] = drawn, jax.device_get(trained.state.params)
    (one, one_params), (eight, eight_params) = found[1], found[8]
    for name in ("x", "weight", "log_density"):
        np.testing.assert_allclose(getattr(eight, name), getattr(one, name), rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(eight.channel, one.channel)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), one_params, eight_params)
    first, second = (sampling.estimate(x, np.ones(n_channels, bool)) for x in (one, eight))
    assert second.value == pytest.approx(first.value, rel=1e-9)
    assert abs(second.value - toys.camel_integral(2)) < 4 * second.error


def test_points_are_shared_among_the_devices():
    """Each device has an eighth of the points, and does not make them all."""
    layout = parallel.layout(8)
    state = parallel.place_state(layout, started(INTEGRANDS[1]))
    key = jax.random.key(0)
    drawn = jax.jit(
        lambda state, key: integrator.lay(INTEGRANDS[1], SETTINGS, state, key, 512, layout)[1][2]
    )(state, key)
    assert {part.data.shape for part in drawn.addressable_shards} == {(1, 64, 2)}


def test_what_a_device_has_to_itself_cannot_be_shared():
    with pytest.raises(ValueError, match="mode: 'pmap', expected 'jit'"):
        parallel.spread(parallel.layout(8, "pmap"), jnp.zeros(8))
