"""Numbers behind the plots of integrals, and that all are drawn."""

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration import report, sampling
from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.hadrons import observables, pdf, processes
from hepjax.io import lhagrid


def test_a_distribution_adds_up_to_the_integral():
    rng = np.random.default_rng(0)
    value, weight = rng.uniform(size=50_000), rng.uniform(0, 4, 50_000)
    edges = np.linspace(0, 1, 11)
    y, error = report.binned(value, weight, edges, len(value))
    assert (y * np.diff(edges)).sum() == pytest.approx(weight.mean())
    pull = (y - 2) / error
    assert np.abs(pull).max() < 4
    assert 0.4 < pull.std() < 1.8


def test_weights_of_channels_have_the_integral_for_their_mean():
    channel = np.repeat([0, 1], [100, 300])
    weight = np.repeat([2.0, 5.0], [100, 300])
    one = np.zeros((400, 1))
    sampled = sampling.Sampled(one, channel, weight, one[:, 0], one[:, 0] == 0)
    whole = report.whole_weights(sampled, 2)
    assert whole.mean() == pytest.approx(7)
    found = report.summary(sampled, np.ones(2, bool), 0.0)
    assert found["sigma_pb"] == pytest.approx(7)
    assert found["sigma_error_pb"] == 0
    assert found["unweighting_efficiency"] == pytest.approx(7 / whole.max())
    assert found["n"] == 400
    assert found["rsd_error"] == pytest.approx(0, abs=1e-12)  # no channel varies


def test_a_jackknife_is_the_error_of_a_mean():
    x = np.random.default_rng(2).normal(size=4000)
    found = report.jackknife(lambda rows: np.delete(x, rows).mean(), 100)
    assert found == pytest.approx(x.std() / np.sqrt(len(x)), rel=0.2)


def test_errors_of_the_summary_are_those_of_many_samples():
    rng = np.random.default_rng(3)
    one = np.zeros((4000, 1))

    def summary():
        weight = rng.lognormal(0, 0.5, 4000)
        sampled = sampling.Sampled(one, one[:, 0].astype(int), weight, one[:, 0], one[:, 0] == 0)
        return report.summary(sampled, np.ones(1, bool), 0.01)

    many = [summary() for _ in range(40)]
    for name in ("rsd", "unweighting_efficiency"):
        spread = np.std([one[name] for one in many], ddof=1)
        said = np.mean([one[f"{name}_error"] for one in many])
        assert said == pytest.approx(spread, rel=0.5)


def test_all_is_drawn(tmp_path):
    x, q = np.geomspace(1e-6, 1, 8), np.geomspace(1, 1e4, 5)
    flat = pdf.prepare(lhagrid.Grid(x, q, (0,), np.ones((8, 5, 14))))
    z = closed_forms.z_boson(91.2, 2.5, 0.23)
    process = processes.drell_yan([closed_forms.PHOTON, z], (60.0, 120.0))
    integrand = processes.integrand(process, flat)
    rng, samples = np.random.default_rng(0), {}
    for name in ("one", "other"):
        u, channel = rng.uniform(size=(3000, 3)), rng.integers(0, 2, 3000)
        value = np.asarray(integrand.function(jnp.asarray(u), jnp.asarray(channel)).value)
        samples[name] = sampling.Sampled(u, channel, value, np.zeros(3000), np.ones(3000, bool))
    report.process(tmp_path, observables.of_pair(process), integrand, None, samples, title="test")
    names = {"mass.png", "cos_theta.png", "weights.png", "channels.png"}
    assert names <= {path.name for path in tmp_path.iterdir()}
