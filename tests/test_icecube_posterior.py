"""The experiment of posteriors of directions, tiny: numbers, files, resume and what is left."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from hepjax import sphere
from hepjax.neutrino import posterior


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("icecube_posterior")


@pytest.fixture(scope="module")
def tiny(experiment, tmp_path_factory):
    return experiment.Config(
        out=tmp_path_factory.mktemp("posterior") / "run",
        detector="pone",
        log_energy=(3.0, 4.0),
        width=16,
        n_layers=1,
        n_flow_layers=2,
        n_modes=0,
        n_steps=8,
        n_events=16,
        n_fresh=64,
        n_test=300,
        n_samples=100,
        n_exact=0,
    )


@pytest.fixture(scope="module")
def results(experiment, tiny):
    return experiment.main(tiny)


def test_numbers_and_files(results, tiny):
    assert json.loads((tiny.out / "metrics.json").read_text()) == results
    assert results["n_events"] == 300
    for level in (50, 68, 90):
        assert 0 < results[f"coverage_{level}"] <= 1
        assert 0 < results[f"coverage_{level}_error"] < 0.05
    assert 0 < results["median_angle_deg_error"] < results["median_angle_deg"] < 90
    assert results["worst_bin_zenith"] > 0
    assert results["scan_total"] == pytest.approx(1, abs=2e-2)
    assert results["milliseconds_per_event"] > 0
    names = ("coverage", "coverage_log_energy", "coverage_zenith", "angle", "event")
    assert all((tiny.out / "plots" / f"{name}.png").exists() for name in names)
    assert json.loads((tiny.out / "recalibration.json").read_text())["n_events"] == 64


def test_it_resumes_to_the_same_and_may_be_tested_anew(experiment, tiny, results):
    again = experiment.main(dataclasses.replace(tiny, resume=True))
    assert again["median_angle_deg"] == results["median_angle_deg"]
    fewer = experiment.main(dataclasses.replace(tiny, resume=True, n_test=200))
    assert fewer["n_events"] == 200
    with pytest.raises(ValueError, match="width: 16 -> 32"):
        experiment.main(dataclasses.replace(tiny, resume=True, width=32))
    with pytest.raises(ValueError, match="holds a run already"):
        experiment.main(tiny)


def test_a_run_is_loaded_again(experiment, tiny, results):
    chosen, variables = experiment.load(tiny.out)
    assert variables[posterior.RECALIBRATION].shape == (len(posterior.TERMS), 2)
    assert chosen.setup.prior.log_energy == [3.0, 4.0]
    pulses, _ = experiment._telescopes.simulate(chosen.setup)(jax.random.key(1), 2)
    encoded = posterior.encode(chosen, variables, pulses)
    n = np.broadcast_to(sphere.fibonacci(20_000)[:, None], (20_000, 2, 3)).astype(np.float32)
    density = np.exp(np.asarray(posterior.log_prob(chosen, encoded, n), np.float64))
    np.testing.assert_allclose(density.mean(0) * sphere.AREA, 1, atol=0.05)
    with pytest.raises(FileNotFoundError):
        experiment.load(tiny.out / "nothing")
