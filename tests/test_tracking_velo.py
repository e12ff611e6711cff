"""The Velo experiment with a tiny config: all stages, both algorithms, a test set, and resume."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from hepjax import runs
from hepjax.io import velo as velo_files
from hepjax.tracking import edge_filter, finder, scorers, training, triplets
from hepjax.tracking.simulation import velo

KEYS = ("velo_efficiency", "long_efficiency", "long5_efficiency", "electron_efficiency")
KEYS += ("clone_rate", "ghost_rate")
STAGES = ("graph_edge_efficiency", "edges_per_event", "edge_efficiency", "edge_purity")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("events")
    beam = velo.Beam(n_collisions=1.5, n_prompt=40.0)
    for k in range(12):
        event = velo.event(jax.random.key(k), beam)
        runs.write_json(path / f"event_{k}.json", velo_files.to_json(event))
    (path / "event_99.json").write_text("{}")  # a bad file among those to look at
    return path


@pytest.fixture(scope="module")
def more(folder, tmp_path_factory):
    """Two of the events in a folder of their own, to test on."""
    path = tmp_path_factory.mktemp("more")
    for k in range(2):
        shutil.copy(folder / f"event_{k}.json", path)
    return path


@pytest.fixture
def experiment(load_experiment, monkeypatch):
    """The experiment, with perfect tracks in the place of velopix's."""
    found = load_experiment("tracking_velo")

    def perfect(cache, files, out):
        events, _ = velo_files.read(files)
        lists = [
            [e.truth[e.truth[:, 1] == k, 0] for k in range(len(e.particles["pid"]))] for e in events
        ]
        return lists, 0

    monkeypatch.setattr(found._velopix, "tracks", perfect)
    return found


@pytest.fixture
def config(experiment, folder, more, tmp_path):
    return experiment.Config(
        out=tmp_path / "run",
        data=folder,
        test=more,
        n_train=9,
        tracker=finder.Settings(
            filter=edge_filter.Settings(scorers.Settings(16, n_steps=60), n_edges=1500),
            n_filter=5,
            n_tuning=2,
            width=8,
            n_rounds=2,
            plan=training.Plan(n_epochs=2),
            judge=triplets.Settings(cut=-9.0, network=scorers.Settings(16, 2048, 1e-2, 100)),
        ),
    )


@pytest.mark.filterwarnings("ignore:1 of .* files skipped:RuntimeWarning")
def test_tracking_velo(experiment, config):
    results = experiment.main(config)
    for sample, n_events in (("validation", 3), ("test", 2)):
        table = results[sample]
        assert table["n_skipped"] == (sample == "validation")
        for algorithm in ("ours", "triplet_trie"):
            assert table[algorithm]["n_events"] == n_events
            for key in KEYS:
                assert 0 <= table[algorithm][key] <= 1
                assert table[algorithm][f"{key}_error"] > 0
        assert table["triplet_trie"]["velo_efficiency"] > 0.999
        for key in STAGES:
            assert table["ours"][key] > 0
            assert table["ours"][f"{key}_error"] >= 0
        assert (config.out / "plots" / sample / "efficiency_p.png").exists()
    assert json.loads((config.out / "metrics.json").read_text()) == results


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 of .* files skipped:RuntimeWarning")
def test_resume_gives_the_same(experiment, config):
    results = experiment.main(config)
    again = experiment.main(dataclasses.replace(config, resume=True, test=None))
    assert again["validation"]["ours"] == results["validation"]["ours"]


def test_too_few_events(experiment, folder, tmp_path):
    config = experiment.Config(out=tmp_path / "run", data=folder, n_train=20)
    with pytest.raises(ValueError, match="data: 13 events, expected more than 20"):
        experiment.main(config)


def test_pairs_of_lists(experiment):
    found = experiment.pairs([[4, 7], [], [7]])
    np.testing.assert_array_equal(found, [[4, 0], [7, 0], [7, 2]])
    assert experiment.pairs([]).shape == (0, 2)
