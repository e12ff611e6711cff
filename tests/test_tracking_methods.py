"""The experiment that compares trackers, with a tiny config: rows, plots, a finder from a run."""

import json

import pytest

from hepjax.tracking import clouds, edge_filter, finder, scorers, training, triplets

KEYS = ("double_majority_efficiency", "double_majority_fake_rate", "duplicate_rate")


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("tracking_methods")


@pytest.fixture
def config(experiment, tmp_path):
    small = scorers.Settings(16, 2048, 1e-2, 60)
    edges = edge_filter.Settings(small, n_edges=900)
    judge = triplets.Settings(network=small)
    tracker = finder.Settings(edges, 6, 2, 8, 2, training.Plan(3), judge=judge)
    return experiment.Config(
        out=tmp_path / "run",
        methods=("triplets", "walkthrough"),
        pile_up=1.0,
        n_train=8,
        n_validation=2,
        tracker=tracker,
        plan=clouds.Plan(1),
        width=8,
    )


def test_tracking_methods(experiment, config, tmp_path):
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
    again = experiment.dataclasses.replace(
        config, out=tmp_path / "again", edges_from=config.out, methods=("triplets",)
    )
    row = experiment.main(again)["validation"]["triplets"]
    same = {k: x for k, x in results["validation"]["triplets"].items() if "seconds" not in k}
    assert {k: x for k, x in row.items() if "seconds" not in k} == same


def test_unknown_methods_stop_at_once(experiment, config):
    bad = experiment.dataclasses.replace(config, methods=("triplets", "magic"))
    with pytest.raises(ValueError, match="methods: magic, expected some of triplets"):
        experiment.main(bad)
    assert not config.out.exists()
