"""The fit of the top mass, tiny: slopes, errors, pulls, and what it writes."""

import importlib.util
import json

import pytest

pytestmark = [
    pytest.mark.usefixtures("restored_precision"),
    pytest.mark.skipif(
        importlib.util.find_spec("pythia8mc") is None,
        reason="pythia8mc, whose parton densities are used, comes with the extra `generators`",
    ),
]


def test_the_mass_is_found(load_experiment, tmp_path):
    experiment = load_experiment("fit_mass")
    config = experiment.Config(
        out=tmp_path / "run",
        luminosity=1.0,
        n_bins=8,
        n_steps=20,
        n_points=256,
        n_sample=16_384,
        n_experiments=400,
    )
    results = experiment.main(config)
    assert abs(results["sigma_pb"] - 565.3) < 4 * results["sigma_error_pb"]
    assert results["slope_pb"] == pytest.approx(results["slope_difference_pb"], rel=1e-4)
    assert abs(results["slope_pb"] + 14.07) < 4 * results["slope_error_pb"]
    assert abs(results["mass"] - config.truth) < 4 * results["mass_error"]
    assert results["mass_error_fisher"] < results["mass_error"] < 1.5 * results["mass_error_fisher"]
    assert abs(results["pull_mean"]) < 1
    assert 0.8 < results["pull_width"] < 1.2
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == results
    for name in ("momenta", "pulls"):
        assert (tmp_path / "run" / "plots" / f"{name}.png").exists()
