"""The experiment of directions by graph networks, tiny: its numbers, files and resume."""

import dataclasses
import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("trident_gnn")


@pytest.fixture(scope="module")
def tiny(experiment, tmp_path_factory):
    return experiment.Config(
        out=tmp_path_factory.mktemp("trident") / "run",
        detector="pone",
        log_energy=(3.0, 4.0),
        n_pulses=48,
        n_modules=24,
        n_steps=8,
        n_events=16,
        n_test=200,
    )


@pytest.fixture(scope="module")
def results(experiment, tiny):
    return experiment.main(tiny)


def test_numbers_and_files(results, tiny):
    assert json.loads((tiny.out / "metrics.json").read_text()) == results
    assert results["n_events"] == 200
    assert 0 < results["median_angle_deg_error"] < results["median_angle_deg"] < 90
    assert 0 < results["median_angle_line_deg"] < 90
    assert 0 < results["median_distance_m_error"] < results["median_distance_m"]
    assert results["milliseconds_per_event"] > 0
    assert results["n_parameters"] > 10_000
    assert len(results["in_bins"]["lite"]["median_angle_deg"]) == 6
    line = results["in_bins"]["line fit"]
    low, high = np.nanmin(line["median_angle_deg"]), np.nanmax(line["median_angle_deg"])
    assert low < results["median_angle_line_deg"] < high
    for name in ("angle", "angle_against_energy", "event"):
        assert (tiny.out / "plots" / f"{name}.png").exists()


def test_it_resumes_to_the_same(experiment, tiny, results):
    again = experiment.main(dataclasses.replace(tiny, resume=True))
    assert again["median_angle_deg"] == results["median_angle_deg"]
    with pytest.raises(ValueError, match="holds a run already"):
        experiment.main(tiny)


@pytest.mark.slow
def test_dynedge_has_no_emission_points(experiment, tiny, tmp_path):
    config = dataclasses.replace(tiny, network="dynedge", out=tmp_path / "run", n_steps=2)
    results = experiment.main(config)
    assert "median_distance_m" not in results
    assert 0 < results["median_angle_deg"] < 90
