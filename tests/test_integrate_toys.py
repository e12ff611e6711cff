"""The experiment of known integrals, tiny: all three ways, their keys and pulls."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("restored_precision")
WAYS = ("vegas", "vegas_plus", "flow")


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("integrate_toys")


@pytest.mark.parametrize(
    ("case", "behind_grid", "buffered"),
    [("camel2", True, 0), pytest.param("ring_line", False, 1, marks=pytest.mark.slow)],
)
def test_all_ways_find_the_integral(experiment, tmp_path, case, behind_grid, buffered):
    config = experiment.Config(
        out=tmp_path / "run",
        case=case,
        n_steps=20,
        n_points=512,
        n_bins=4,
        behind_grid=behind_grid,
        buffered=buffered,
        n_sample=20_000,
        seeds=8,
    )
    results = experiment.main(config)
    for way in WAYS:
        row = results[way]
        assert abs(row["pull"]) < 4
        assert row["n"] >= 20_000
        assert 0 < row["unweighting_efficiency_maximum"] <= row["unweighting_efficiency"] < 1
    assert results["pulls"]["n"] == 8
    assert abs(results["pulls"]["mean"]) < 4 / 8**0.5
    assert (tmp_path / "run" / "plots" / "pulls.png").exists()
    assert results["vegas_plus"]["rsd"] < results["vegas"]["rsd"]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == results
    assert (tmp_path / "run" / "plots" / "weights.png").exists()


def test_cases_know_their_integrals(experiment):
    assert {name: case.dim for name, case in experiment.CASES.items()} == {
        "camel2": 2,
        "camel4": 4,
        "camel8": 8,
        "ring_line": 2,
        "peak": 2,
    }
