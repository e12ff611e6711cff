"""Tests of posteriors that are known: right ones pass, and those that are too narrow do not."""

import jax
import numpy as np
import pytest

from hepjax import sphere
from hepjax.neutrino import data, evaluation, posterior


def answers(fisher, n=4000, kappa=200.0, said=200.0, n_samples=60, seed=0):
    """Posteriors of von Mises and Fisher of a width that is said, about directions that are off by
    the true one.
    """
    rng = np.random.default_rng(seed)
    middle = sphere.fibonacci(n)
    true = fisher(rng, middle, kappa)
    drawn = fisher(rng, middle, said, n_samples)

    def density(x):
        return np.log(said / (2 * np.pi)) - 2 * said * sphere.height(x, middle)

    zero = np.zeros(n)
    truth = data.Truth(np.zeros((n, 3)), true, zero, np.linspace(2, 4, n), zero, zero, zero)
    found = evaluation.Answers(drawn, density(drawn), density(true))
    return evaluation.judged(truth, np.arange(n) % 7 + 5, found)


@pytest.mark.smoke
def test_a_right_posterior_covers(fisher):
    measured = answers(fisher)
    found = evaluation.summary(measured)
    for level in (50, 68, 90):
        error = found[f"coverage_{level}_error"]
        assert found[f"coverage_{level}"] == pytest.approx(level / 100, abs=4 * error)
        area = -2 * np.pi * np.log(1 - level / 100) / 200 * np.degrees(1) ** 2
        assert found[f"median_area_{level}_deg2"] == pytest.approx(area, rel=0.05)
    expected = np.degrees(np.sqrt(2 * np.log(2) / 200))
    assert found["median_angle_deg"] == pytest.approx(expected, rel=0.05)
    assert found["p_value_hpd"] > 1e-3
    assert found["p_value_tarp"] > 1e-3
    worst = evaluation.worst(evaluation.binned(measured, 5))
    assert max(worst.values()) < 0.08


def test_a_narrow_one_does_not(fisher):
    found = evaluation.summary(answers(fisher, said=400.0))
    assert found["coverage_90"] < 0.75
    assert found["p_value_hpd"] < 1e-10


def test_bins_hold_equal_numbers_and_integers_are_not_cut():
    x = np.random.default_rng(0).exponential(size=1000)
    edges = evaluation.edges(x, 4)
    assert np.histogram(x, edges)[0].tolist() == pytest.approx([250] * 4, abs=1)
    whole = np.random.default_rng(0).integers(5, 12, 1000).astype(float)
    edges = evaluation.edges(whole, 4)
    assert ((edges % 1) == 0.5).all()
    assert np.histogram(whole, edges)[0].sum() == 1000


def test_measure_keeps_all_events_and_speed_is_told(tiny, simulate):
    pulses, _ = simulate(jax.random.key(0), 2)
    variables = posterior.init(tiny, jax.random.key(1), pulses)
    found = evaluation.measure(
        tiny, variables, simulate, jax.random.key(2), 250, n_samples=20, chunk=100
    )
    assert found.level.shape == (250,)
    assert found.area.shape == (250, 3)
    assert (np.diff(found.area) >= 0).all()
    assert ((found.level > 0) & (found.level < 1)).all()
    assert (found.n_modules >= 4).all()
    again = evaluation.measure(
        tiny, variables, simulate, jax.random.key(2), 250, n_samples=20, chunk=100
    )
    np.testing.assert_array_equal(found.level, again.level)
    told = evaluation.speed(tiny, variables, simulate, jax.random.key(3), 16, repeats=2)
    assert told["milliseconds_per_event"] > 0
    assert told["device"]
