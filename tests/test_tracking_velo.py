"""The Velo experiment with a tiny config: all stages, both algorithms, a test set, and resume."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

KEYS = ("velo_efficiency", "long_efficiency", "long5_efficiency", "electron_efficiency")
KEYS += ("clone_rate", "ghost_rate")
STAGES = ("graph_edge_efficiency", "edges_per_event", "edge_efficiency", "edge_purity")


@pytest.fixture
def experiment(load_experiment):
    return load_experiment("tracking_velo")


def test_tracking_velo(velo_config, velo_run):
    for sample, n_skipped in (("validation", 1), ("test", 0)):
        table = velo_run[sample]
        assert table["n_skipped"] == n_skipped
        for algorithm in ("ours", "triplet_trie"):
            assert table[algorithm]["n_events"] == 2
            for key in KEYS:
                assert 0 <= table[algorithm][key] <= 1
                assert table[algorithm][f"{key}_error"] > 0
        assert table["triplet_trie"]["velo_efficiency"] > 0.999
        for key in STAGES:
            assert table["ours"][key] > 0
            assert table["ours"][f"{key}_error"] >= 0
        assert (velo_config.out / "plots" / sample / "efficiency_p.png").exists()
    assert json.loads((velo_config.out / "metrics.json").read_text()) == velo_run


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 of .* files skipped:RuntimeWarning")
def test_resume_gives_the_same(experiment, velo_config, velo_run, tmp_path):
    """From what is kept of the finished stages, in a copy of the run."""
    shutil.copytree(velo_config.out, tmp_path / "run")
    config = dataclasses.replace(velo_config, out=tmp_path / "run", resume=True, test=None)
    again = experiment.main(config)
    assert again["validation"]["ours"] == velo_run["validation"]["ours"]


def test_too_few_events(experiment, velo_config, tmp_path):
    config = experiment.Config(out=tmp_path / "run", data=velo_config.data, n_train=20)
    with pytest.raises(ValueError, match="data: 15 events, expected more than 20"):
        experiment.main(config)


def test_pairs_of_lists(experiment):
    found = experiment.pairs([[4, 7], [], [7]])
    np.testing.assert_array_equal(found, [[4, 0], [7, 0], [7, 2]])
    assert experiment.pairs([]).shape == (0, 2)
