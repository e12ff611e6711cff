"""Flows that channels share, discrete numbers beside points, and shapes that are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import coupling
from hepjax.integration import (
    integrator,
    losses,
    mixture,
    sampling,
    vegas,
)
from hepjax.integration.integrator import Integrand, Values

SMALL = integrator.Settings(
    n_points=512, flow=coupling.Settings(6, 16, 1), n_steps=80, learning_rate=1e-2
)


def log_peak(y):
    """A normal peak, longer along one axis."""
    return -0.5 * (((y - jnp.array([0.35, 0.7])) / jnp.array([0.05, 0.1])) ** 2).sum(-1)


def images(x, channel):
    """A peak and its image; in the second channel the coordinates change places."""
    y = jnp.where((channel == 1)[:, None], x[:, ::-1], x)
    both = jnp.stack([log_peak(y), log_peak(y[:, ::-1])], -1)
    return Values(jnp.exp(both).sum(-1), y, jax.nn.log_softmax(both))


IMAGES = Integrand(images, 2, n_channels=2, n_features=2)
EXACT = 2 * 2 * np.pi * 0.05 * 0.1 * 0.998650  # 3 standard deviations to an edge


def trained(integrand, settings):
    step = jax.jit(integrator.train_step(integrand, settings))
    state = integrator.init(integrand, settings, jax.random.key(0))
    state, sums = jax.jit(lambda s: jax.lax.scan(step, s, None, length=settings.n_steps))(state)
    return state, sums


@pytest.fixture(scope="module", params=[False, True], ids=["learned", "alike"])
def grouped(request):
    with jax.enable_x64(True):
        settings = SMALL._replace(alike=request.param)
        return settings, *trained(IMAGES._replace(groups=(0, 0)), settings)


def test_images_share_a_flow_and_find_the_integral(grouped):
    settings, state, _ = grouped
    integrand = IMAGES._replace(groups=(0, 0))
    assert all(len(x) == 1 for x in jax.tree.leaves(state.params.flows))
    assert state.extra.history.n.shape == (2,)
    drawn = sampling.sample(integrand, settings, state, jax.random.key(1), 20_000)
    found = sampling.estimate(drawn, state.extra.active)
    assert abs(found.value - EXACT) < 4 * found.error
    assert found.rsd < 1.0  # by even points it is 3.8
    means = [drawn.x[drawn.channel == k].mean(0) for k in (0, 1)]
    np.testing.assert_allclose(means[0], means[1], atol=0.01)  # one density for both


def test_alike_is_one_number_of_the_network_and_as_many_points(grouped):
    settings, state, sums = grouped
    n_out = state.params.weights[-1]["bias"].shape[-1]
    n = np.asarray(sums.moments.n)[5:]
    if settings.alike:
        assert n_out == 1
        assert np.abs(n[:, 0] - n[:, 1]).max() <= 1
    else:
        assert n_out == 2
        assert np.abs(n[:, 0] - n[:, 1]).max() > 1


def test_channels_of_a_group_share_their_grid():
    settings = vegas.Settings(n_points=2000, n_bins=20, beta=0.0)
    edges = integrator.classical(IMAGES, jax.random.key(0), settings)[0].edges
    state = integrator.init(IMAGES._replace(groups=(0, 0)), SMALL, jax.random.key(0), edges)
    np.testing.assert_array_equal(state.extra.grids[0], state.extra.grids[1])
    np.testing.assert_allclose(state.extra.grids[0], edges.mean(0))
    own = integrator.init(IMAGES, SMALL, jax.random.key(0), edges)
    np.testing.assert_array_equal(own.extra.grids, edges)


def test_shares_within_a_group_are_those_of_the_mean():
    extra = integrator.init(IMAGES, SMALL, jax.random.key(0)).extra
    one, zero = jnp.array([10.0, 10.0]), jnp.zeros(2)
    known = losses.Sums(one, zero, zero, 10 * jnp.array([9.0, 1.0]), zero, zero)
    extra = extra._replace(history=known)
    np.testing.assert_allclose(integrator.shares(extra, 0.0), [0.75, 0.25])
    np.testing.assert_allclose(integrator.shares(extra, 0.0, np.array([0, 0])), [0.5, 0.5])
    gone = extra._replace(active=jnp.array([True, False]))
    np.testing.assert_allclose(integrator.shares(gone, 0.1, np.array([0, 0])), [1.0, 0.0])


@pytest.mark.parametrize("wrong", [(0,), (0, 2), (1, 1), (0, 1, 1)])
def test_groups_that_are_none_are_named(wrong):
    with pytest.raises(ValueError, match=r"groups: .* of 2 channels, expected one each, from 0"):
        integrator.init(IMAGES._replace(groups=wrong), SMALL, jax.random.key(0))


SIZES = (3, 2)
TERM = np.array([[1.0, 30.0], [0.1, 5.0], [100.0, 0.0]])


def terms(x, channel, index):
    """Six terms of very unequal size, each a peak of its own place; one of them none."""
    size = jnp.asarray(TERM)[index[:, 0], index[:, 1]]
    centre = 0.2 + 0.3 * index[:, 0]
    return Values(size * jnp.exp(-0.5 * ((x[:, 0] - centre) / 0.05) ** 2) * 2 * x[:, 1])


def terms_integral():
    grid = (np.arange(20_000) + 0.5) / 20_000
    centre = 0.2 + 0.3 * np.arange(3)[:, None]
    return float((np.exp(-0.5 * ((grid - centre) / 0.05) ** 2).mean(1) * TERM.sum(1)).sum())


DISCRETE = Integrand(terms, 2, discrete=SIZES)


@pytest.fixture(scope="module")
def discrete():
    with jax.enable_x64(True):
        settings = SMALL._replace(n_steps=200)
        start = integrator.init(DISCRETE, settings, jax.random.key(0))
        return settings, start, trained(DISCRETE, settings)[0]


def test_discrete_numbers_are_summed_over_and_learned(discrete):
    settings, *states = discrete
    found = []
    for state in states:
        drawn = sampling.sample(DISCRETE, settings, state, jax.random.key(2), 20_000)
        found.append(sampling.estimate(drawn))
        assert drawn.discrete.shape == (len(drawn.weight), 2)
        assert abs(found[-1].value - terms_integral()) < 4 * found[-1].error
    assert found[0].rsd > 4  # even over the values
    assert found[1].rsd < 0.25 * found[0].rsd
    size = np.bincount(drawn.discrete @ np.array([2, 1]), minlength=6) / len(drawn.weight)
    assert size.argmax() == 4
    assert size[4] > 0.5


def test_the_density_is_that_of_the_points(discrete):
    settings, _, state = discrete
    points = integrator.fresh(DISCRETE, settings, state, jax.random.key(3))
    now = mixture.log_density(DISCRETE, state.params, points)
    np.testing.assert_allclose(now, points.log_drawn, atol=2e-2)
    drawn = sampling.sample(DISCRETE, settings, state, jax.random.key(4), 40_000)
    each = np.exp(-drawn.log_density)  # its mean is the volume, six cubes
    assert abs(each.mean() - 6) < 5 * each.std() / np.sqrt(len(each))


@pytest.mark.parametrize("beta", [0.0, 0.75])
def test_vegas_has_an_axis_for_each_discrete_number(beta):
    settings = vegas.Settings(n_points=8000, n_bins=48, beta=beta)
    state, found = integrator.classical(DISCRETE, jax.random.key(0), settings)
    assert state.edges.shape == (1, 4, 49)
    assert abs(found.value[0] - terms_integral()) < 5 * found.error[0]


def test_discrete_numbers_in_channels_with_a_buffer():
    """All at once: two channels that share a flow and its networks, and points kept."""

    def both(x, channel, index):
        found = terms(x, channel, index).value
        return Values(found, x, jnp.log(jnp.array([[0.6, 0.4]])) + 0 * x)

    integrand = Integrand(both, 2, 2, 2, groups=(0, 0), discrete=SIZES)
    small = coupling.Settings(4, 8, 1)
    settings = SMALL._replace(n_steps=20, buffer=4, buffered=1, flow=small)
    state, sums = trained(integrand, settings)
    assert sums.again.sum() > 10
    drawn = sampling.sample(integrand, settings, state, jax.random.key(5), 20_000)
    found = sampling.estimate(drawn, state.extra.active)
    assert abs(found.value - terms_integral()) < 4 * found.error


def test_an_integrand_that_is_wrong_only_for_one_reason():
    """`called` names it; what is right comes back, with even weights where there were none."""
    x, channel = jnp.ones((4, 2)), jnp.zeros(4, int)
    given = Integrand(lambda x, channel: Values(x[:, 0], x), 2, 3, 2)
    found = mixture.called(given, x, channel)
    np.testing.assert_array_equal(found.log_prior, np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"gave features \(4, 2\), expected \(4, 5\)"):
        mixture.called(given._replace(n_features=5), x, channel)
    with pytest.raises(ValueError, match=r"gave values \(4, 2\), expected \(4,\)"):
        mixture.called(given._replace(function=lambda x, channel: Values(x)), x, channel)
