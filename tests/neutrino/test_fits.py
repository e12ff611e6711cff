"""Fits: plane waves, the truth found, seeds that do not matter, errors, more light."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import data, fits, likelihood, prior, simulation

CHEAP = fits.Settings(n_starts=6, n_climb=6, n_kept=2, n_newton=8, n_modules=200)


def angle(a, b):
    """Degrees between directions [..., 3]."""
    chord = np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1)
    return np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1)))


@pytest.fixture(scope="module")
def fitted(small, small_events):
    """Fits of 16 events, with these."""
    pulses, truth = jax.tree.map(lambda x: x[:16], small_events)
    return jax.jit(lambda p: fits.fits(small, p, CHEAP))(pulses), pulses, truth


@pytest.mark.smoke
def test_a_plane_wave_is_found():
    rng = np.random.default_rng(0)
    position = rng.normal(0, 100, (30, 3)).astype(np.float32)
    n = np.array([0.6, 0.0, -0.8])
    time = (position @ n / 0.2).astype(np.float32)
    mask = np.arange(30) < 25
    time[25:] = 1e5
    pulses = data.Pulses(position, time, np.ones(30, np.float32), None, mask)
    direction, speed = jax.jit(fits.line)(pulses._replace(module=np.zeros(30, np.int32)))
    # the fit is of places by times, which is not the wave's own direction unless places are even
    assert angle(direction, n) < 25
    assert 0.05 < speed < 0.3
    straight = position[:, :1] * n
    direction, speed = fits.line(
        pulses._replace(position=straight, time=(straight @ n / 0.3).astype(np.float32))
    )
    assert angle(direction, n) < 0.01
    assert float(speed) == pytest.approx(0.3, rel=1e-4)


def test_most_fits_are_near_the_truth_and_above_it(small, fitted):
    found, pulses, truth = fitted
    error = angle(found.truth.direction[:, 0], truth.direction)
    assert np.median(error) < 6
    seed = angle(jax.vmap(fits.line)(pulses)[0], truth.direction)
    assert np.median(error) < np.median(seed)
    nominal = truth._replace(**{name: jnp.ones(16) for name in prior.NUISANCES})
    at_truth = jax.jit(jax.vmap(lambda p, t: likelihood.all_photons(small, p, t)))(pulses, nominal)
    share = prior.energy_share(small.prior, truth.log_energy)
    at_truth = at_truth + jnp.log(share * (1 - share))  # as the fit's value has it
    assert np.mean(np.asarray(found.value[:, 0]) > np.asarray(at_truth)) > 0.7


def test_fits_are_sorted_and_say_what_they_found(small, fitted):
    found, pulses, _ = fitted
    assert (np.diff(found.value, axis=1) <= 0).all()
    best, modules = jax.tree.map(lambda x: x[:, 0], (found.truth, found.modules))
    value = jax.jit(jax.vmap(lambda p, t, m: likelihood.all_photons(small, p, t, m)))(
        pulses, best, modules
    )
    share = prior.energy_share(small.prior, best.log_energy)
    value = value + jnp.log(share * (1 - share))
    gap = np.abs(np.asarray(value) - np.asarray(found.value[:, 0]))
    assert np.median(gap) < 0.05
    for name in prior.NUISANCES:
        np.testing.assert_allclose(getattr(best, name), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(best.direction, axis=1), 1, atol=1e-5)
    assert (np.linalg.eigvalsh(found.covariance) > 0).all()


def test_hessians_become_positive():
    hessian = jnp.array([[1.0, 3.0], [3.0, 1.0]])
    made, inverse = jax.jit(fits.positive)(hessian)
    np.testing.assert_allclose(np.linalg.eigvalsh(made), [2, 4], rtol=1e-5)
    np.testing.assert_allclose(made @ inverse, np.eye(2), atol=1e-5)
    good = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    np.testing.assert_allclose(fits.positive(good)[0], good, rtol=1e-5)


def test_wrong_settings_are_named(small, small_events):
    pulses = jax.tree.map(lambda x: x[0], small_events[0])
    with pytest.raises(ValueError, match="n_kept: 9, expected 1 to 4 starts"):
        fits.fit(small, pulses, fits.Settings(n_starts=4, n_kept=9))


@pytest.mark.slow
def test_the_error_falls_as_light_grows(small):
    """A likelihood that is not that of the data would grow worse with more of them."""
    setup = small._replace(cap=200, min_pulses=8)
    n = 120
    truth = prior.draw(jax.random.key(1), setup.prior, "track", n)
    middle = truth.position * 0.3
    known = {name: jnp.ones(n) for name in prior.NUISANCES}
    truth = truth._replace(log_energy=jnp.full(n, 2.0), position=middle, **known)
    median = []
    for factor in (1, 3, 10):
        bright = setup._replace(area=setup.area * factor / 3)
        draw = jax.jit(lambda key, s=bright: simulation.observe(key, s, truth))
        pulses, number = draw(jax.random.key(2))
        found = jax.jit(lambda p, s=bright: fits.fits(s, p))(pulses)
        error = angle(found.truth.direction[:, 0], truth.direction)
        median.append(np.median(error[(np.asarray(number) <= 200)]))
    assert median[0] > 1.2 * median[1]
    assert median[1] > 1.2 * median[2]
