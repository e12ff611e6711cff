"""Likelihood: the score has mean zero at the truth, all is finite, both ways agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import data, likelihood, prior, simulation


def over(setup, function, pulses, truth):
    """A function of one event for all, at once."""
    each = jax.jit(jax.vmap(lambda p, t: function(setup, p, t)))
    return each(pulses, truth)


def truths(setup, n, seed=3):
    """Unselected events with enough light."""
    truth = prior.draw(jax.random.key(seed), setup.prior, setup.kind, n)
    return truth._replace(log_energy=jnp.full(n, 2.3 if setup.kind == "track" else 3.0))


@pytest.mark.parametrize(
    ("kind", "first", "n"),
    [
        pytest.param("track", False, 150, marks=pytest.mark.smoke),
        ("cascade", False, 150),
        *(
            pytest.param(kind, first, 1500, marks=pytest.mark.slow)
            for kind in ("track", "cascade", "starting")
            for first in (False, True)
        ),
    ],
)
def test_the_score_has_mean_zero(small, kind, first, n):
    """That holds at the truth for the density that the data are drawn from, and for no other."""
    dim = 1 if kind == "track" else 0.03  # a vertex next to a module is bright
    setup = small._replace(kind=kind, cap=250, area=small.area * dim)
    truth = truths(setup, n)
    pulses, number = jax.jit(lambda key: simulation.observe(key, setup, truth))(jax.random.key(4))
    function = likelihood.first_photon if first else likelihood.all_photons
    pulses = data.first_of_module(pulses) if first else pulses
    slope = jax.jit(
        lambda p, t: jax.lax.map(
            lambda x: jax.grad(function, 2)(setup, x[0], x[1]), (p, t), batch_size=50
        )
    )(pulses, truth)
    assert np.max(number) <= setup.cap
    for name, x in slope._asdict().items():
        x = np.asarray(x)
        assert np.isfinite(x).all(), name
        pull = x.mean(0) / (x.std(0) / np.sqrt(n))
        assert (np.abs(pull) < 4).all(), f"{name}: {pull}"
        assert (x.std(0) > 0).all(), name


def test_the_truth_is_better_than_what_is_near(small, small_events):
    pulses, truth = small_events
    best = over(small, likelihood.all_photons, pulses, truth)
    for field, step in (("time", 20.0), ("time", -20.0), ("log_energy", 0.5), ("log_energy", -0.5)):
        other = truth._replace(**{field: getattr(truth, field) + step})
        assert (best - over(small, likelihood.all_photons, pulses, other)).mean() > 0.3
    back = truth._replace(direction=-truth.direction)
    assert np.mean(best > over(small, likelihood.all_photons, pulses, back)) > 0.95


def test_the_order_of_pulses_and_padding_do_not_matter(small, small_events):
    pulses, truth = jax.tree.map(lambda x: x[:40], small_events)
    expected = over(small, likelihood.all_photons, pulses, truth)
    turned = jax.tree.map(lambda x: x[:, ::-1], pulses)
    found = over(small, likelihood.all_photons, turned, truth)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    wider = jax.tree.map(lambda x: jnp.concatenate([x, jnp.zeros_like(x[:, :9])], 1), pulses)
    found = over(small, likelihood.all_photons, wider, truth)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_single_photons_are_the_same_for_both(small, small_events):
    """Where no module has two pulses, the first are all."""
    pulses, truth = small_events
    one = data.first_of_module(pulses)
    one = one._replace(charge=jnp.where(one.mask, 1.0, 0.0))
    a = over(small, likelihood.all_photons, one, truth)
    b = over(small, likelihood.first_photon, one, truth)
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_two_photons_are_integrated_over_the_second(small, small_events):
    """The density of first time and number is that of both, integrated over the later one."""
    pulses, truth = jax.tree.map(lambda x: x[0], small_events)
    module = pulses.module[0]
    times = np.linspace(pulses.time[0], pulses.time[0] + 8000, 4001)
    times = np.concatenate([pulses.time[0] + np.linspace(0, 40, 2001)[:-1], times[20:]])

    def both(t):
        two = jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), pulses)
        return likelihood.all_photons(small, two._replace(time=jnp.stack([times[0], t])), truth)

    value = jax.jit(jax.vmap(both))(jnp.asarray(times, jnp.float32))
    integral = np.trapezoid(np.exp(np.asarray(value, float)), times)
    first = jax.tree.map(lambda x: x[:1], pulses)._replace(charge=jnp.array([2.0]))
    assert int(module) == int(first.module[0])
    found = likelihood.first_photon(small, first, truth)
    assert float(found) == pytest.approx(np.log(integral), abs=0.02)


def test_float32_is_enough(small, small_events):
    pulses, truth = jax.tree.map(lambda x: x[:100], small_events)
    found = over(small, likelihood.all_photons, pulses, truth)
    slope = over(small, jax.grad(likelihood.all_photons, 2), pulses, truth)
    with jax.enable_x64(True):
        double = jax.tree.map(
            lambda x: np.asarray(x, float) if np.asarray(x).dtype == np.float32 else np.asarray(x),
            (pulses, truth),
        )
        exact = over(small, likelihood.all_photons, *double)
        expected = over(small, jax.grad(likelihood.all_photons, 2), *double)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(found, exact, atol=0.01)
    for a, b in zip(*(map(np.asarray, x) for x in (slope, expected))):
        scale = np.abs(b).mean()
        assert np.quantile(np.abs(a - b), 0.99) < 5e-3 * scale


def test_gradients_are_finite_far_away_and_without_noise(small, small_events):
    pulses, truth = jax.tree.map(lambda x: x[:50], small_events)
    wild = truth._replace(
        position=truth.position + 400.0, time=truth.time - 3000.0, direction=-truth.direction
    )
    for setup in (small, small._replace(noise=0.0)):
        for function, seen in (
            (likelihood.all_photons, pulses),
            (likelihood.first_photon, data.first_of_module(pulses)),
        ):
            value = over(setup, function, seen, wild)
            slope = over(setup, jax.grad(function, 2), seen, wild)
            assert np.isfinite(value).all()
            assert all(np.isfinite(x).all() for x in slope)


def test_the_total_is_the_mean_number(small):
    truth = truths(small, 400)
    _, number = jax.jit(lambda key: simulation.observe(key, small, truth))(jax.random.key(1))
    mean = jax.vmap(lambda t: likelihood.total(small, t))(truth)
    pull = (np.asarray(number) - np.asarray(mean)).sum() / np.sqrt(np.sum(mean))
    assert abs(pull) < 4


def test_empty_events_have_the_probability_of_nothing(small, small_events):
    pulses, truth = jax.tree.map(lambda x: x[0], small_events)
    empty = jax.tree.map(jnp.zeros_like, pulses)
    expected = -likelihood.total(small, truth)
    for function in (likelihood.all_photons, likelihood.first_photon):
        assert float(function(small, empty, truth)) == pytest.approx(float(expected), rel=1e-6)


def totals(setup, truth, modules):
    """Of events: expected signal by the modules that are asked, and by all."""
    noise = setup.noise * len(setup.detector.efficiency) * (setup.window[1] - setup.window[0])
    some = jax.jit(jax.vmap(lambda t, m: likelihood.total(setup, t, m)))(truth, modules)
    all_ = jax.jit(jax.vmap(lambda t: likelihood.total(setup, t)))(truth)
    return np.asarray(some) - noise, np.asarray(all_) - noise


@pytest.mark.parametrize("kind", ["track", "cascade"])
def test_some_modules_speak_for_all(small, kind):
    """Where they are chosen to a thousandth, and close by to some per cent."""
    setup = small._replace(kind=kind)
    truth = truths(setup, 32)
    asked = jax.jit(jax.vmap(lambda t: likelihood.asked(setup, t, 100)))(truth)
    some, all_ = totals(setup, truth, asked)
    np.testing.assert_allclose(some, all_, rtol=1e-3, atol=1e-3)
    moved = truth._replace(position=truth.position + jnp.array([5.0, -5.0, 5.0]))
    some, all_ = totals(setup, moved, asked)
    off = np.abs(some - all_) / np.sqrt(all_ + 1)  # beside what Poisson numbers vary by
    assert np.median(off) < 0.02
    assert np.quantile(off, 0.9) < 0.2


def test_modules_speak_for_several_events(small):
    truth = truths(small, 4)
    near = jax.tree.map(lambda x: x[:1] + 0.01 * (x - x[:1]), truth)
    asked = likelihood.asked(small, near, 150)
    alike = jax.tree.map(lambda a: jnp.tile(a, (4, 1)), asked)
    some, all_ = totals(small, near, alike)
    assert some.mean() == pytest.approx(all_.mean(), rel=1e-3)
    np.testing.assert_allclose(some, all_, rtol=0.05)


def test_modules_are_chosen_among_others_that_speak_for_all(small):
    """Of 300 for several events, 100 for one of them: as far off as these are, and no more."""
    truth = truths(small, 4)
    near = jax.tree.map(lambda x: x[:1] + 0.01 * (x - x[:1]), truth)
    many = likelihood.asked(small, near, 300)
    one = jax.tree.map(lambda x: x[0], near)
    few = likelihood.asked(small, one, 100, many)
    assert set(np.asarray(few.rows).tolist()) <= set(np.asarray(many.rows).tolist())
    found, expected, all_ = (likelihood.total(small, one, m) for m in (few, many, None))
    assert float(found) == pytest.approx(float(expected), rel=1e-3)
    assert float(expected) == pytest.approx(float(all_), rel=0.02)


def test_all_modules_are_asked_where_there_are_no_more(small):
    n = len(small.detector.efficiency)
    asked = likelihood.asked(small, jax.tree.map(lambda x: x[0], truths(small, 1)), n + 5)
    np.testing.assert_array_equal(asked.rows, np.arange(n))
    np.testing.assert_array_equal(asked.weight, 1)
