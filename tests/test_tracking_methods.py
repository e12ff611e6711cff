"""The experiment that compares trackers, with a tiny config: rows, plots, a finder from a run."""

import json

import pytest

from hepjax.tracking import clouds

KEYS = ("double_majority_efficiency", "double_majority_fake_rate", "duplicate_rate")


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("tracking_methods")


@pytest.fixture
def config(experiment, pixel_config, tmp_path):
    return experiment.Config(
        out=tmp_path / "run",
        methods=("triplets", "walkthrough"),
        edges_from=pixel_config.out,
        pile_up=3.0,
        data_seed=21,
        n_train=7,
        n_validation=2,
        plan=clouds.Plan(1),
        width=8,
    )


def test_tracking_methods(experiment, config, pixel_run):
    """With the finder of a run of tracking_trackml, on its events: the same numbers."""
    results = experiment.main(config)
    assert list(results["validation"]) == list(config.methods)
    for row in results["validation"].values():
        assert row["n_events"] == 2
        assert row["n_targets"] > 30
        assert row["cpu_seconds_per_event"] > 0
        for key in KEYS:
            assert 0 <= row[key] <= 1
            assert row[f"{key}_error"] > 0
    assert json.loads((config.out / "metrics.json").read_text()) == results
    assert (config.out / "plots" / "efficiency_pt.png").exists()
    row = results["validation"]["triplets"]
    same = {k: x for k, x in row.items() if "seconds" not in k}
    assert same == {k: pixel_run["validation"]["ours"][k] for k in same}


def test_unknown_methods_stop_at_once(experiment, config):
    bad = experiment.dataclasses.replace(config, methods=("triplets", "magic"))
    with pytest.raises(ValueError, match="methods: magic, expected some of triplets"):
        experiment.main(bad)
    assert not config.out.exists()
