"""Simulation: what is kept, Poisson numbers, where and when photons are, one event and its seed."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hepjax.neutrino import arrival, data, detectors, light, media, prior, simulation


def repeated(setup, n, seed=1, **fields):
    """The truth of one event, n times."""
    one = prior.draw(jax.random.key(seed), setup.prior, setup.kind, 1)
    one = one._replace(position=jnp.asarray([setup.prior.centre]) * 0 + 5.0, **fields)
    return jax.tree.map(lambda x: jnp.repeat(x, n, axis=0), one)


@pytest.mark.smoke
def test_events_are_sound_and_kept(small, small_events):
    pulses, truth = small_events
    data.check(pulses, len(small.detector.string))
    mask = np.asarray(pulses.mask)
    number = mask.sum(1)
    assert number.min() >= small.min_pulses
    assert number.max() <= small.cap
    assert (mask == (np.arange(small.cap) < number[:, None])).all()
    late = np.where(mask, pulses.time, np.inf)
    assert (np.diff(late, axis=1)[mask[:, 1:]] >= 0).all()
    hit = [len(np.unique(m[k])) for m, k in zip(np.asarray(pulses.module), mask)]
    assert min(hit) >= small.min_modules
    place = np.asarray(small.detector.position)[pulses.module]
    np.testing.assert_array_equal(np.asarray(pulses.position)[mask], place[mask])
    for x in pulses[:4]:
        assert (np.asarray(x)[~mask] == 0).all()
    assert (np.asarray(pulses.charge)[mask] == 1).all()
    assert np.isfinite(truth.log_energy).all()
    assert 10 < np.median(number) < 40


def test_the_default_of_icecube_has_the_pulses_that_it_should():
    telescope = simulation.setup(detectors.icecube86(), media.south_pole())
    pulses, _ = jax.jit(lambda key: simulation.events(key, telescope, 256))(jax.random.key(0))
    assert pulses.time.shape == (256, 64)
    assert 20 <= np.median(pulses.mask.sum(1)) <= 40


def test_numbers_follow_poisson_and_modules_their_expectation(small):
    setup = small._replace(noise=0.0, cap=200)
    n = 3000
    truth = repeated(setup, n, log_energy=jnp.array([2.5]))
    one = jax.tree.map(lambda x: x[0], truth)
    pulses, number = jax.jit(lambda key: simulation.observe(key, setup, truth))(jax.random.key(2))
    seen = light.expected(setup.kind, setup.medium, one, setup.detector.position, area=setup.area)
    mean = np.asarray(seen.mean[0] * one.efficiency)
    assert mean.sum() > 5
    assert abs(np.mean(number) - mean.sum()) < 4 * np.sqrt(mean.sum() / n)
    assert np.var(number) == pytest.approx(mean.sum(), rel=0.1)
    count = np.bincount(np.asarray(pulses.module)[np.asarray(pulses.mask)], minlength=len(mean))
    bright = mean * n > 20
    chi2 = (((count - mean * n) ** 2) / (mean * n))[bright]
    assert stats.chi2.sf(chi2.sum(), bright.sum()) > 1e-3


@pytest.mark.parametrize("kind", light.KINDS)
def test_times_have_the_density_of_their_module(small, kind):
    """Photons' times, turned into probabilities by the density of all sources, are even."""
    setup = small._replace(noise=0.0, kind=kind, cap=100)
    truth = repeated(setup, 300, log_energy=jnp.array([3.0 if kind == "track" else 3.3]))
    one = jax.tree.map(lambda x: x[0], truth)
    pulses, _ = jax.jit(lambda key: simulation.observe(key, setup, truth))(jax.random.key(4))
    kept = np.asarray(pulses.mask)
    module, times = np.asarray(pulses.module)[kept], np.asarray(pulses.time)[kept]
    seen = light.expected(setup.kind, setup.medium, one, setup.detector.position)
    here = [jnp.asarray(x)[:, module] for x in seen]
    after = arrival.survival(times - here[1], here[2], here[3], setup.jitter)
    below = 1 - np.asarray((here[0] * after).sum(0) / here[0].sum(0))
    assert len(below) > 1000
    assert stats.kstest(below, "uniform").pvalue > 1e-3


def test_noise_is_even_in_its_window(small):
    setup = small._replace(noise=3e-6, area=1e-12)
    truth = repeated(setup, 2000)
    pulses, number = jax.jit(lambda key: simulation.observe(key, setup, truth))(jax.random.key(5))
    mean = 3e-6 * len(small.detector.string) * 7500
    assert abs(np.mean(number) - mean) < 4 * np.sqrt(mean / 2000)
    kept = np.asarray(pulses.mask)
    share = (np.asarray(pulses.time)[kept] + 2500) / 7500
    assert stats.kstest(share, "uniform").pvalue > 1e-3
    share = np.asarray(pulses.module)[kept] / len(small.detector.string)
    assert stats.kstest(share, "uniform").pvalue > 1e-3


def test_more_light_is_more_pulses_and_overflow_is_counted(small):
    truth = repeated(small, 200)
    means = []
    for factor in (1, 3, 10):
        bright = small._replace(area=small.area * factor, noise=0.0)
        pulses, number = simulation.observe(jax.random.key(1), bright, truth)
        means.append(np.mean(number))
        np.testing.assert_array_equal(pulses.mask.sum(1), np.minimum(number, small.cap))
    np.testing.assert_allclose(np.array(means) / means[0], [1, 3, 10], rtol=0.1)


def test_kept_events_are_those_that_observe_would_keep(small):
    """Selecting afterwards gives the same distribution of the truth."""
    truth = prior.draw(jax.random.key(7), small.prior, "track", 3000)
    pulses, number = jax.jit(lambda key: simulation.observe(key, small, truth))(jax.random.key(8))
    hit = np.array([len(np.unique(m[k])) for m, k in zip(*map(np.asarray, (pulses[3], pulses[4])))])
    kept = (number >= small.min_pulses) & (number <= small.cap) & (hit >= small.min_modules)
    share = float(simulation.acceptance(jax.random.key(9), small, 3000))
    assert np.mean(kept) == pytest.approx(share, abs=0.04)
    drawn = jax.jit(lambda key: simulation.events(key, small, 512))(jax.random.key(0))[1]
    for a, b in ((drawn.log_energy, truth.log_energy), (drawn.efficiency, truth.efficiency)):
        assert stats.ks_2samp(np.asarray(a), np.asarray(b)[kept]).pvalue > 1e-3


def test_same_key_same_events(small, small_events):
    again = jax.jit(lambda key: simulation.events(key, small, 512))(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, again, small_events)
    other = jax.jit(lambda key: simulation.events(key, small, 512))(jax.random.key(1))
    assert not np.array_equal(other[0].time, small_events[0].time)


def test_events_that_never_come_are_nan(small):
    dark = small._replace(area=1e-12, noise=0.0)
    pulses, truth = jax.jit(lambda key: simulation.events(key, dark, 4))(jax.random.key(0))
    assert not pulses.mask.any()
    assert np.isnan(truth.log_energy).all()


def test_charges_of_photoelectrons(small):
    charged = small._replace(charges=True)
    pulses, _ = jax.jit(lambda key: simulation.events(key, charged, 512))(jax.random.key(0))
    charge = np.asarray(pulses.charge)[np.asarray(pulses.mask)]
    assert (charge > 0).all()
    assert charge.mean() == pytest.approx(0.85, abs=0.03)
    data.check(pulses)


def test_wrong_setups_are_named(small):
    with pytest.raises(ValueError, match="kind: 'tau', expected one of track"):
        simulation.setup(small.detector, small.medium, "tau")
    with pytest.raises(ValueError, match="jiter: no field of Setup or Prior"):
        simulation.setup(small.detector, small.medium, jiter=3.0)
    with pytest.raises(ValueError, match="min_pulses: 9, expected 1 to cap = 8"):
        simulation.setup(small.detector, small.medium, cap=8, min_pulses=9)
    with pytest.raises(ValueError, match="area: 0, expected a positive number"):
        simulation.setup(small.detector, small.medium, area=0)
    assert simulation.setup(small.detector, small.medium, radius=7.0).prior.radius == 7.0


@pytest.mark.slow
def test_a_thousand_events_a_second_of_cpu():
    telescope = simulation.setup(detectors.icecube86(), media.south_pole())
    draw = jax.jit(lambda key: simulation.events(key, telescope, 1024))
    jax.block_until_ready(draw(jax.random.key(0)))
    start = time.process_time()
    jax.block_until_ready(draw(jax.random.key(1)))
    assert 1024 / (time.process_time() - start) > 1000
