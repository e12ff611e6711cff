"""Trainings of integrators: right integrals before and after, narrower weights, bad integrands."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import checkpoint, train
from hepjax.flows import coupling
from hepjax.integration import (
    integrator,
    losses,
    sampling,
    toys,
    vegas,
)
from hepjax.integration.integrator import Integrand, Values

SMALL = integrator.Settings(
    n_points=512, flow=coupling.Settings(6, 16, 1), n_steps=120, learning_rate=1e-2
)


def camel(x, channel):
    return Values(toys.camel(x))


def two_peaks(x, channel):
    """The camel in two channels, each with a map that is narrow at its own peak."""
    centre = jnp.array([1 / 3, 2 / 3])[channel][:, None]
    y = centre + 0.6 * (x - 0.5)
    inside = ((y > 0) & (y < 1)).all(1)
    features = jnp.clip(y, 0, 1)
    log_prior = jnp.zeros((len(x), 2))
    for k, c in enumerate((1 / 3, 2 / 3)):
        covered = (jnp.abs(y - c) <= 0.3).all(1)
        log_prior = log_prior.at[:, k].set(jnp.where(covered, 0.0, -jnp.inf))
    return Values(jnp.where(inside, toys.camel(features) * 0.6**2, 0), features, log_prior)


def covered_integral():
    """Of the camel over both squares."""
    grid = (np.arange(800) + 0.5) / 800
    x = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    there = np.zeros(len(x), bool)
    for c in (1 / 3, 2 / 3):
        there |= (np.abs(x - c) <= 0.3).all(1)
    return float((toys.camel(x) * there).mean())


def fit(integrand, settings, seed=0, grids=None):
    state = integrator.init(integrand, settings, jax.random.key(seed), grids)
    step = integrator.train_step(integrand, settings)
    plan = train.Settings(n_steps=settings.n_steps, steps_per_call=40, log_every=40)
    return state, train.fit(step, state, None, integrator.finish, plan).state


def all_finite(state):
    return all(np.isfinite(x).all() for x in jax.tree.leaves(state._replace(key=0)))


@pytest.fixture(scope="module")
def one_channel():
    with jax.enable_x64(True):
        return Integrand(camel, 2), *fit(Integrand(camel, 2), SMALL)


@pytest.fixture(scope="module")
def channels():
    with jax.enable_x64(True):
        integrand = Integrand(two_peaks, 2, n_channels=2, n_features=2)
        return integrand, *fit(integrand, SMALL._replace(even=0.3))


def estimated(integrand, settings, state, seed=1):
    drawn = sampling.sample(integrand, settings, state, jax.random.key(seed), 40_000)
    return sampling.estimate(drawn, state.extra.active), drawn


def test_an_integral_before_and_after(one_channel):
    integrand, *states = one_channel
    found = [estimated(integrand, SMALL, state)[0] for state in states]
    for one in found:
        assert abs(one.value - toys.camel_integral(2)) < 4 * one.error
        assert one.rsd == pytest.approx(one.error / one.value * np.sqrt(one.n), rel=1e-6)
    assert found[0].rsd > 1.0
    assert found[1].rsd < 0.6


def test_channels_before_and_after(channels):
    integrand, *states = channels
    exact = covered_integral()
    found = [estimated(integrand, SMALL, state)[0] for state in states]
    for one in found:
        assert abs(one.value - exact) < 4 * one.error + 1e-3 * exact  # of the sum of midpoints
    assert found[1].rsd < 0.6 * found[0].rsd


def test_points_and_densities_agree(channels):
    """The mean of 1 / density over the points of a channel is the volume of the cube."""
    integrand, _, state = channels
    _, drawn = estimated(integrand, SMALL, state)
    assert drawn.real.all()
    assert len(drawn.weight) >= 40_000
    for k in (0, 1):
        inverse = np.exp(-drawn.log_density[drawn.channel == k])
        assert abs(inverse.mean() - 1) < 5 * inverse.std() / np.sqrt(len(inverse))


def test_a_grid_stands_in_front_and_changes_no_integral():
    settings = vegas.Settings(n_points=4000, n_bins=40, beta=0.0)
    _, learned = vegas.integrate(toys.camel, vegas.init(2, settings), jax.random.key(0), settings)
    integrand = Integrand(camel, 2)
    state = integrator.init(integrand, SMALL, jax.random.key(0), learned.edges[None])
    found, _ = estimated(integrand, SMALL, state)
    assert abs(found.value - toys.camel_integral(2)) < 4 * found.error
    assert found.rsd < 0.8  # that of VEGAS, before the flow has learned anything


@pytest.mark.parametrize("beta", [0.0, 0.75])
def test_all_channels_by_vegas(channels, beta):
    settings = vegas.Settings(n_points=4000, n_bins=40, beta=beta)
    state, found = integrator.classical(channels[0], jax.random.key(0), settings)
    assert state.edges.shape == (2, 2, 41)
    assert found.n.tolist() == [20_000, 20_000]
    error = float((found.error**2).sum() ** 0.5)
    assert abs(found.value.sum() - covered_integral()) < 4 * error + 1e-3


def test_negative_integrands():
    """Of either sign, with the loss of channels and with that of divergence."""
    integrand = Integrand(lambda x, channel: Values(toys.camel(x) - 1.5), 2)
    for loss in (losses.stratified_variance, losses.kullback_leibler):
        settings = SMALL._replace(loss=loss, n_steps=40)
        _, state = fit(integrand, settings)
        found, drawn = estimated(integrand, settings, state)
        assert (drawn.weight < 0).any()
        assert abs(found.value - (toys.camel_integral(2) - 1.5)) < 4 * found.error


@pytest.mark.parametrize("n_channels", [1, 2])
def test_values_that_are_no_numbers_are_counted_and_harm_nothing(n_channels):
    def function(x, channel):
        value = jnp.where(x[:, 0] < 0.25, jnp.nan, toys.camel(x))
        features = jnp.where(x[:, 1:] < 0.1, jnp.inf, x[:, 1:])
        return Values(value, features if n_channels > 1 else None)

    integrand = Integrand(function, 2, n_channels, n_channels - 1)
    state = integrator.init(integrand, SMALL, jax.random.key(0))
    state, sums = jax.jit(integrator.train_step(integrand, SMALL))(state, None)
    assert 80 < sums.n_bad < 220
    assert all_finite(state)
    with pytest.raises(ValueError, match="weights are no finite numbers"):
        sampling.sample(integrand, SMALL, state, jax.random.key(0), 1000, chunk=1000)


def test_steps_whose_loss_is_no_number_are_skipped_and_counted(channels):
    """Nothing changes but their number; the log says so, and sampling stops."""
    integrand, state, _ = channels
    broken = jax.tree.map(lambda x: x * jnp.nan, state.params.weights)
    broken = state._replace(params=state.params._replace(weights=broken))
    step = jax.jit(integrator.train_step(integrand, SMALL))
    after, sums = step(broken, None)
    assert (sums.skipped, sums.steps, sums.loss) == (1, 1, 0)
    assert after.step == broken.step + 1
    for name in ("params", "opt_state", "extra"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(broken, name))
    loss, values = integrator.finish(jax.device_get(sums))
    assert np.isnan(loss)
    assert values["skipped"] == 1
    with pytest.raises(ValueError, match="1024 of 1024 weights are no finite numbers"):
        sampling.sample(integrand, SMALL, broken, jax.random.key(0), 1024, chunk=1024)
    good = step(state, None)[1]
    _, values = integrator.finish(jax.tree.map(jnp.add, sums, good))
    assert values["skipped"] == 0.5
    assert values["loss"] == pytest.approx(float(good.loss))


def test_values_whose_squares_are_no_numbers_are_skipped():
    """The integrand is finite, and its variance is not."""
    integrand = Integrand(lambda x, channel: Values(1e200 * toys.camel(x)), 2)
    settings = SMALL._replace(loss=lambda found: losses.spread(found).sum())
    state = integrator.init(integrand, settings, jax.random.key(0))
    after, sums = jax.jit(integrator.train_step(integrand, settings))(state, None)
    assert sums.skipped == 1
    assert all_finite(after)
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)


def test_channel_weights_freeze_and_their_moments_too(channels):
    integrand, _, _ = channels
    settings = SMALL._replace(n_steps=10, frozen=0.5, n_points=128)
    state = integrator.init(integrand, settings, jax.random.key(0))
    step = jax.jit(integrator.train_step(integrand, settings))
    states = [state]
    for _ in range(8):
        states.append(step(states[-1], None)[0])

    def moved(a, b, part):
        leaves = zip(*(jax.tree.leaves(part(one)) for one in (a, b)))
        return any((np.asarray(x) != np.asarray(y)).any() for x, y in leaves)

    back = jax.flatten_util.ravel_pytree(state.params)[1]
    parts = [lambda one: one.params.weights, lambda one: back(one.opt_state.mu).weights]
    for part in parts:
        assert moved(states[4], states[5], part)
        assert not moved(states[5], states[8], part)
    for part in (lambda one: one.params.flows, lambda one: back(one.opt_state.nu).flows):
        assert moved(states[5], states[8], part)


def test_small_channels_are_dropped_at_intervals():
    def uneven(x, channel):
        prior = jnp.log(jnp.array([[0.7, 0.2995, 0.0005]])) + 0 * x[:, :1]
        return Values(toys.camel(x), x, prior)

    integrand = Integrand(uneven, 2, n_channels=3, n_features=2)
    settings = SMALL._replace(drop=0.01, drop_every=3, n_steps=6)
    state = integrator.init(integrand, settings, jax.random.key(0))
    step = jax.jit(integrator.train_step(integrand, settings))
    active = []
    for _ in range(6):
        state, _ = step(state, None)
        active.append(state.extra.active.tolist())
    assert active == [[True] * 3] * 2 + [[True, True, False]] * 4
    found, drawn = estimated(integrand, settings, state)
    assert (drawn.channel < 2).all()
    assert abs(found.value - toys.camel_integral(2)) < 4 * found.error


def test_what_must_not_be_negative_is_counted():
    """By the training, whose state stays finite; sampling says how many."""
    integrand = Integrand(lambda x, channel: Values(x[:, 0] - 0.25), 2, signed=False)
    state = integrator.init(integrand, SMALL, jax.random.key(0))
    step = jax.jit(integrator.train_step(integrand, SMALL))
    after, sums = step(state, None)
    assert 80 < sums.n_negative < 180
    assert sums.n_bad == sums.n_negative
    assert all_finite(after)
    with pytest.raises(ValueError, match=r"\d+ of 1000 weights are negative, expected none"):
        sampling.sample(integrand, SMALL, after, jax.random.key(0), 1000, chunk=1000)
    signed = integrand._replace(signed=True)
    assert jax.jit(integrator.train_step(signed, SMALL))(state, None)[1].n_negative == 0
    found, _ = estimated(signed, SMALL, state)
    assert abs(found.value - 0.25) < 4 * found.error
    assert found.negative == pytest.approx(0.1, abs=0.01)  # 1/32 of 1/32 + 9/32


def test_a_step_of_many_channels_is_no_longer_program():
    """What is compiled does not grow with the channels."""

    def program(n):
        def function(x, channel):
            return Values(toys.camel(x), x, jnp.zeros((len(x), n)))

        integrand = Integrand(function, 2, n, 2)
        state = jax.eval_shape(
            lambda key: integrator.init(integrand, SMALL, key), jax.random.key(0)
        )
        return jax.make_jaxpr(integrator.train_step(integrand, SMALL))(state, None)

    def size(jaxpr):
        inner = [x for one in jaxpr.eqns for x in jax.tree.leaves(list(one.params.values()))]
        inner = [getattr(x, "jaxpr", x) for x in inner]
        return len(jaxpr.eqns) + sum(size(x) for x in inner if hasattr(x, "eqns"))

    few, many = (size(program(n).jaxpr) for n in (3, 60))
    assert few > 500
    assert many == few


def test_nothing_at_all_gives_zero():
    integrand = Integrand(lambda x, channel: Values(jnp.zeros(len(x))), 2)
    state = integrator.init(integrand, SMALL, jax.random.key(0))
    state, _ = jax.jit(integrator.train_step(integrand, SMALL))(state, None)
    assert all_finite(state)
    found, _ = estimated(integrand, SMALL, state)
    assert (found.value, found.error) == (0, 0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, c: Values(x), r"gave values \(128, 2\)"),
        (lambda x, c: Values(x[:, 0]), r"gave features None, expected \(128, 3\)"),
        (
            lambda x, c: Values(x[:, 0], jnp.zeros((128, 3)), jnp.zeros((128, 3))),
            r"gave log_prior \(128, 3\), expected \(128, 2\)",
        ),
    ],
)
def test_wrong_shapes_are_named(function, message):
    integrand = Integrand(function, 2, n_channels=2, n_features=3)
    settings = SMALL._replace(n_points=96)
    state = integrator.init(integrand, settings, jax.random.key(0))
    with pytest.raises(ValueError, match=message):
        integrator.train_step(integrand, settings)(state, None)


def test_bad_beginnings_are_named():
    with pytest.raises(ValueError, match="n_features: 0 for 3 channels"):
        integrator.init(Integrand(camel, 2, n_channels=3), SMALL, jax.random.key(0))
    with pytest.raises(ValueError, match=r"grids: \(2, 2, 5\), expected \[1, 2, bin"):
        integrator.init(Integrand(camel, 2), SMALL, jax.random.key(0), np.zeros((2, 2, 5)))


def test_the_history_forgets():
    """Moments of a step count less and less; with a memory of one step only the last is left."""
    integrand = Integrand(camel, 2)
    for memory, expected in ((1, 512), (4, 512 * (1 + 0.75 + 0.75**2))):
        settings = SMALL._replace(memory=memory)
        state = integrator.init(integrand, settings, jax.random.key(0))
        step = jax.jit(integrator.train_step(integrand, settings))
        for _ in range(3):
            state, sums = step(state, None)
        assert state.extra.history.n[0] == pytest.approx(expected)
        assert sums.moments.n[0] == 512
        assert state.step == 3


def test_a_training_that_stopped_goes_on_to_the_same_bits(tmp_path):
    integrand, settings = Integrand(camel, 2), SMALL._replace(n_steps=8, n_points=64)
    step = integrator.train_step(integrand, settings)

    def fit_until(n_steps, folder, resume=False):
        start = integrator.init(integrand, settings, jax.random.key(0))
        plan = train.Settings(n_steps=n_steps, save_every=4, log_every=4)
        with checkpoint.open(folder) as kept:
            return train.fit(
                step, start, None, integrator.finish, plan, checkpoints=kept, resume=resume
            ).state

    whole = fit_until(8, tmp_path / "whole")
    fit_until(4, tmp_path / "parts")
    again = fit_until(8, tmp_path / "parts", resume=True)
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(again.params)):
        np.testing.assert_array_equal(a, b)


def test_what_is_logged():
    """The mean loss of steps, the relative standard deviation, the share of bad points."""
    integrand = Integrand(camel, 2)
    state = integrator.init(integrand, SMALL, jax.random.key(0))
    step = jax.jit(integrator.train_step(integrand, SMALL))
    parts = []
    for _ in range(4):
        state, sums = step(state, None)
        parts.append(sums)
    total = jax.tree.map(lambda *x: sum(x), *parts)
    loss, values = integrator.finish(total)
    assert loss == pytest.approx(np.mean([float(one.loss) for one in parts]))
    assert 0.7 < values["rsd"] < 1.3  # of the camel by even points it is 1.09
    assert values["bad_fraction"] == 0


def test_points_are_shared_by_standard_deviations_and_some_evenly():
    integrand = Integrand(two_peaks, 2, n_channels=2, n_features=2)
    extra = integrator.init(integrand, SMALL, jax.random.key(0)).extra
    np.testing.assert_allclose(integrator.shares(extra, 0.1), [0.5, 0.5])
    n, one = jnp.array([10.0, 10.0]), jnp.zeros(2)
    known = losses.Sums(n, one, one, 10 * jnp.array([9.0, 1.0]), one, one)
    extra = extra._replace(history=known)
    np.testing.assert_allclose(integrator.shares(extra, 0.0), [0.75, 0.25])
    np.testing.assert_allclose(integrator.shares(extra, 0.2), [0.7, 0.3])
    alone = extra._replace(active=jnp.array([False, True]))
    np.testing.assert_allclose(integrator.shares(alone, 0.2), [0.0, 1.0])
