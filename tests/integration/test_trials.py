"""Trials: integrals of many seeds scatter as much as their errors say, about what is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import coupling
from hepjax.integration import (
    integrator,
    losses,
    sampling,
    toys,
    trials,
    vegas,
)
from hepjax.integration.integrator import Integrand, Values

SMALL = integrator.Settings(
    n_points=256, flow=coupling.Settings(4, 8, 1), n_steps=20, learning_rate=1e-2
)
CAMEL = Integrand(lambda x, channel: Values(toys.camel(x)), 2)


def halves(x, channel):
    """The camel in two channels of one map, whose weights are learned."""
    return Values(toys.camel(x), x, jnp.log(jnp.array([[0.7, 0.3]])) + 0 * x)


HALVES = Integrand(halves, 2, n_channels=2, n_features=2)


def seeds(n):
    return jax.random.split(jax.random.key(11), n)


@pytest.fixture(scope="module")
def found():
    with jax.enable_x64(True):
        return trials.estimates(CAMEL, SMALL, seeds(20), 4000)


def test_few_seeds_scatter_as_they_say(found):
    pull = trials.pulls(found, toys.camel_integral(2))
    assert abs(pull.mean()) < 4 / np.sqrt(20)
    assert 0.5 < pull.std(ddof=1) < 1.7
    assert len(np.unique(pull)) == 20
    assert (np.asarray(found.n) == 4000).all()
    assert np.median(found.rsd) < 1.0  # by even points it is 1.09


def test_a_summary_holds_mean_width_and_what_a_point_is_worth(found):
    numbers, pull = trials.summary(found, toys.camel_integral(2))
    assert numbers["n"] == len(pull) == 20
    assert numbers["mean"] == pytest.approx(np.mean(pull))
    assert numbers["width"] == pytest.approx(np.std(pull, ddof=1))
    assert numbers["rsd"] == np.median(found.rsd)


def test_an_integral_that_is_not_that_is_seen(found):
    """Ten errors away: pulls are no test that cannot fail."""
    wrong = toys.camel_integral(2) + 10 * float(np.mean(found.error))
    assert trials.pulls(found, wrong).mean() < -5


@pytest.mark.slow
def test_kept_points_make_an_integrand_cheaper():
    """With as many calls: the flow is narrower in the median, and no integral is off."""
    rsd = {}
    for buffered in (0, 3):
        settings = SMALL._replace(buffer=2 * buffered, buffered=buffered, learning_rate=3e-3)
        found = trials.estimates(CAMEL, settings, seeds(8), 8192)
        assert np.abs(trials.pulls(found, toys.camel_integral(2))).max() < 4.5
        rsd[buffered] = np.median(found.rsd)
    assert rsd[3] < 0.9 * rsd[0]


@pytest.mark.slow
@pytest.mark.parametrize("integrand", [CAMEL, HALVES], ids=["one channel", "two channels"])
def test_a_hundred_seeds_scatter_as_they_say(integrand):
    found = trials.estimates(integrand, SMALL, seeds(100), 8192)
    pull = trials.pulls(found, toys.camel_integral(2))
    assert abs(pull.mean()) < 0.3
    assert 0.8 < pull.std(ddof=1) < 1.2


def test_measured_is_what_the_points_say():
    """Sums on the device and weighted points on the host: one estimate."""
    rng, none = np.random.default_rng(0), np.zeros(500)
    weight, channel = rng.lognormal(size=500), rng.integers(0, 3, 500)
    sampled = sampling.Sampled(none[:, None], channel, weight, none, none == 0)
    host = sampling.estimate(sampled, np.ones(3, bool))
    moments = (np.bincount(channel, weight**k) for k in (0, 1, 1, 2))
    device = trials.measured(losses.Sums(*map(jnp.asarray, moments), jnp.zeros(3), jnp.zeros(3)))
    assert device.value == pytest.approx(float(host.value), rel=1e-9)
    assert device.error == pytest.approx(float(host.error), rel=1e-9)
    assert device.rsd == pytest.approx(float(host.rsd), rel=0.01)  # which divides by n - 1


def log_peak(x):
    return -0.5 * ((x - jnp.array([0.3, 0.6])) ** 2).sum(-1) / 1e-8 - np.log(2 * np.pi * 1e-8)


def peak_and_camel(x, channel):
    log_both = jnp.stack([log_peak(x), jnp.log(toys.camel(x))], -1)
    return Values(jnp.exp(log_both).sum(-1), x, jax.nn.log_softmax(log_both))


PEAKS = {
    "alone": (Integrand(lambda x, channel: Values(toys.peak(x)), 2), 1.0),
    "one of two channels": (
        Integrand(peak_and_camel, 2, n_channels=2, n_features=2),
        1 + toys.camel_integral(2),
    ),
}


@pytest.mark.parametrize("case", PEAKS)
def test_narrow_peaks_are_found_behind_a_graded_grid(case):
    """Of 1e-4 in two dimensions; behind a bare grid the tails are lost, ten errors of them."""
    integrand, exact = PEAKS[case]
    front = vegas.Settings(n_points=20_000, n_bins=100, beta=0.0)
    grids = integrator.classical(integrand, jax.random.key(0), front, n_steps=20)[0].edges
    settings = SMALL._replace(n_points=512, n_steps=10)
    found = trials.estimates(integrand, settings, seeds(4), 4096, vegas.graded(grids))
    pull = trials.pulls(found, exact)
    assert np.abs(pull).max() < 4.5
    assert abs(pull.mean()) < 2
    assert (np.asarray(found.rsd) < 1).all()


def test_trials_without_an_error_are_counted():
    estimate = vegas.Estimate(np.array([1.0, 1.0, np.nan]), np.array([0.1, 0.0, 0.1]), 10, 1.0)
    with pytest.raises(ValueError, match="trials: 2 of 3 without a value and an error"):
        trials.pulls(estimate, 1.0)


def test_pulls_are_drawn(tmp_path):
    trials.draw(tmp_path / "pulls", np.random.default_rng(0).normal(size=50), title="camel2")
    assert (tmp_path / "pulls.png").stat().st_size > 5000
