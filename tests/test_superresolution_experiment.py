"""The experiment of light on modules that are not there, tiny."""

import json

import pytest

from hepjax.neutrino import detectors, media, superresolution


@pytest.mark.slow
def test_all_three_inputs_are_compared(load_experiment, tmp_path):
    experiment = load_experiment("superresolution")
    config = experiment.Config(
        out=tmp_path / "run",
        width=16,
        n_layers=1,
        n_virtual=12,
        n_modules=16,
        n_pulses=64,
        n_steps=4,
        n_events=16,
        n_test=150,
    )
    results = experiment.main(config)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == results
    for what in ("real", "predicted", "whole"):
        row = results[what]
        assert row["n_events"] == 150
        assert 0 < row["median_angle_deg"] < 90
        assert (tmp_path / "run" / "trainings" / what / "checkpoints").is_dir()
    gain = results["real"]["median_angle_line_deg"] / results["predicted"]["median_angle_line_deg"]
    assert results["gain_line_fit"] == pytest.approx(gain)
    assert results["room_line_fit_error"] > 0
    assert 0 < results["light"]["seen"] < 1
    for name in ("angle", "angle_against_energy", "event"):
        assert (tmp_path / "run" / "plots" / f"{name}.png").exists()


def test_every_second_string_leaves_the_density_of_icecube(load_experiment):
    experiment = load_experiment("superresolution")
    dense, _ = experiment.telescope(experiment.Config(), media.south_pole())
    hidden = superresolution.every_second(dense, "strings")
    assert hidden.mean() == 0.5
    around = detectors.extent(dense)
    icecube = detectors.hexagonal(detectors.ICECUBE_ROWS, 125.0)
    widest = (icecube**2).sum(-1).max() ** 0.5
    assert around.radius == pytest.approx(widest / 2**0.5, rel=1e-3)
