"""Learned posteriors beside exact ones: what counts, what is left out, and one run of it all."""

import jax
import numpy as np
import pytest

from hepjax.flows import sphere as flow
from hepjax.neutrino import comparison, exact, population, posterior, pulse_transformer
from hepjax.nn import model


def compared(n=400, seed=0):
    rng = np.random.default_rng(seed)
    area = rng.lognormal(2, 1, n)
    fit = rng.rayleigh(1.0, n)
    good = np.full(n, 2000.0)
    return comparison.Compared(
        area, 1.2 * area, good, fit, 0.9 * fit, 1.1 * fit * rng.lognormal(0, 0.1, n)
    )


@pytest.mark.smoke
def test_ratios_are_those_of_medians_event_by_event():
    found = comparison.summary(compared())
    assert found["area_ratio_90"] == pytest.approx(1.2)
    assert found["n_exact"] == found["n_compared"] == 400
    assert found["angle_ratio"] == pytest.approx(1.1, rel=0.03)
    assert 0 < found["angle_ratio_error"] < 0.05
    assert found["median_angle_exact_deg"] < found["median_angle_likelihood_deg"]


def test_posteriors_that_are_no_reference_are_left_out():
    one = compared()
    effective, area = one.effective.copy(), one.area_exact.copy()
    effective[:100], area[100:120] = 999, np.nan
    ours = np.where(np.arange(400) < 120, 1e6, one.area)
    bad = one._replace(effective=effective, area_exact=area, area=ours)
    found = comparison.summary(bad)
    assert found["n_exact"] == 280
    assert found["area_ratio_90"] == pytest.approx(1.2)
    with pytest.raises(ValueError, match="effective: at most 10 draws, expected 1000"):
        comparison.summary(one._replace(effective=np.full(400, 10.0)))


def test_draws_that_are_all_one_have_no_area():
    still = np.broadcast_to([0.0, 0, 1], (100, 3))
    assert np.isnan(comparison._area(still))
    assert np.isnan(comparison._area(np.full((100, 3), np.nan)))
    n = np.random.default_rng(0).normal(size=(2000, 3)) * 0.02 + [0, 0, 1.0]
    n = n / np.linalg.norm(n, axis=1, keepdims=True)
    expected = -2 * np.pi * np.log(0.1) * np.degrees(0.02) ** 2
    assert comparison._area(n) == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_all_of_it_on_a_small_telescope(small):
    plan = flow.Plan(n_layers=2)
    network = pulse_transformer.small(posterior.size(plan, None), width=16, n_layers=1, n_heads=2)
    chosen = posterior.Posterior(model.from_linen(network), plan, small, None)
    pulses = jax.tree.map(lambda x: np.zeros((1, *x.shape[1:]), x.dtype), _shapes(small))
    variables = posterior.init(chosen, jax.random.key(0), pulses)
    sampling = population.Settings(n_rounds=3, n_draws=256, n_last=512)
    short = exact.Settings(n_components=4, n_draws=200, sampling=sampling)
    found = comparison.compare(
        chosen, variables, small, jax.random.key(1), 4, settings=short, chunk=4
    )
    assert found.area.shape == (4,)
    assert (found.area > 10 * found.area_exact).all()  # nothing was learned
    assert np.median(found.angle_fit) < 10
    told = comparison.mistaken(chosen, variables, small, jax.random.key(2), 8, factor=0.8, chunk=8)
    assert told["median_angle_likelihood_mistaken_deg"] < 20


def _shapes(setup):
    from hepjax.neutrino import simulation

    return jax.eval_shape(lambda k: simulation.events(k, setup, 1), jax.random.key(0))[0]
