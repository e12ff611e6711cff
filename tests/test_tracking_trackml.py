"""The pixel experiment with a tiny config: simulated events, and ACTS' CSV with its tracks."""

import json

import jax
import numpy as np
import pytest

from hepjax.io import hits
from hepjax.tracking.detectors import PIXELS
from hepjax.tracking.simulation import solenoid

KEYS = ("double_majority_efficiency", "double_majority_fake_rate", "lhc_efficiency")
KEYS += ("perfect_efficiency", "duplicate_rate", "edge_efficiency", "edge_purity")


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("tracking_trackml")


@pytest.fixture
def config(experiment, pixel_config, tmp_path):
    return experiment.dataclasses.replace(pixel_config, out=tmp_path / "run")


def test_tracking_trackml(pixel_config, pixel_run):
    row = pixel_run["validation"]["ours"]
    assert row["n_events"] == 2
    assert row["n_targets"] > 50
    for key in KEYS:
        assert 0 <= row[key] <= 1
        assert row[f"{key}_error"] >= 0
    assert row["graph_edge_efficiency"] > 0.5
    for name in ("efficiency_pt", "efficiency_eta", "efficiency_radius", "event"):
        assert (pixel_config.out / "plots" / f"{name}.png").exists()
    assert json.loads((pixel_config.out / "metrics.json").read_text()) == pixel_run


def test_tracks_below_the_cut_are_dropped(experiment, config):
    """Perfect tracks of particles far from the cut, in the barrel: kept or not by their pt."""
    event = solenoid.event(jax.random.key(3), solenoid.Beam(pile_up=3.0))
    prompt = np.hypot(event.particles["vx"], event.particles["vy"]) < 0.1
    layers = np.bincount(event.truth[:, 1], minlength=hits.n_particles(event))
    chosen = prompt & (np.abs(event.particles["eta"]) < 1) & (layers >= 4)
    for wanted in (event.particles["pt"] > 1.2, event.particles["pt"] < 0.5):
        some = chosen & wanted
        pairs = event.truth[some[event.truth[:, 1]]]
        pairs[:, 1] = np.unique(pairs[:, 1], return_inverse=True)[1]
        kept = experiment.above(pairs, event, config)
        share = len(np.unique(kept[:, 1])) / some.sum()
        assert share > 0.95 if event.particles["pt"][some][0] > 1 else share < 0.05


def test_events_of_acts_with_its_tracks(experiment, config, monkeypatch, tmp_path):
    """What ACTS would write, without it."""
    event = solenoid.event(jax.random.key(4), solenoid.Beam(pile_up=1.0))
    monkeypatch.setattr(experiment._acts, "events", lambda *words: tmp_path)
    monkeypatch.setattr(experiment.acts, "read_event", lambda path: event)
    monkeypatch.setattr(experiment.acts, "tracks_beside", lambda path, ids: event.truth[:3])
    event.hits["hit_id"] = np.arange(hits.n_hits(event))
    (tmp_path / "event0-measurements.csv").touch()
    sample, classical, n_skipped = experiment.events(
        experiment.dataclasses.replace(config, acts=True)
    )
    np.testing.assert_array_equal(PIXELS.layers(sample[0]), PIXELS.layers(event))
    np.testing.assert_array_equal(classical[0], event.truth[:3])
    assert n_skipped == 0


def test_too_few_events(experiment, config):
    few = experiment.dataclasses.replace(config, n_train=2, n_validation=0)
    with pytest.raises(ValueError, match="data: 2 events, expected more than 2"):
        experiment.main(few)
