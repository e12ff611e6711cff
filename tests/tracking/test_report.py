"""The tables and plots of a track finder."""

import numpy as np
import pytest

from hepjax.io import hits
from hepjax.tracking import data, report


def test_edges_by_hand():
    pairs = [np.array([[0, 1], [0, 2], [1, 2]]), np.array([[4, 5]])]
    true = [np.array([[0, 1], [1, 2], [2, 3]]), np.array([[5, 6]])]
    event = hits.Event({}, {}, data.NO_EDGES)
    ignored = [np.array([[0, 2]]), data.NO_EDGES]
    odds = [np.array([1.0, 2.0, -1.0]), np.array([-3.0])]
    table = report.edges(pairs, odds, [data.Labelled(event, x) for x in true])
    truth = [data.Labelled(event, *x) for x in zip(true, ignored)]
    assert report.edges(pairs, odds, truth)["edge_purity"] == 1
    assert table["graph_edge_efficiency"] == 0.5
    assert table["edges_per_event"] == 2
    assert table["edge_efficiency"] == 0.25
    assert table["edge_purity"] == 0.5
    assert table["edge_purity_error"] > 0


def test_perfect_tracks_beside_none(velo_events, tmp_path):
    events = velo_events[:3]
    found = {"ours": [e.truth for e in events], "triplet_trie": [np.zeros((0, 2), int)] * 3}
    table = report.velo(tmp_path, found, events, sample="toys")
    ours, other = table["ours"], table["triplet_trie"]
    for name in ("velo", "long", "electron"):
        assert ours[f"{name}_efficiency"] == pytest.approx(1, abs=1e-9)
        assert 0 < ours[f"{name}_efficiency_error"] < 0.2
        assert other[f"{name}_efficiency"] == 0
    assert ours["clone_rate"] == ours["ghost_rate"] == 0
    assert ours["n_tracks"] == sum(len(e.particles["pid"]) for e in events)
    assert other["n_tracks"] == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {
        "efficiency_p.png",
        "efficiency_eta.png",
        "ghosts_n_hits.png",
        "event.png",
        "event.html",
    } <= names


def test_targets_by_perfect_tracks_half_of_them_and_a_fake(pixel_sample, tmp_path):
    events = [one.event for one in pixel_sample[:2]]
    wanted = [data.targets(e, e.hits["layer"] + 100 * e.hits["volume"], min_pt=1.0) for e in events]
    half = []
    for event, chosen in zip(events, wanted):
        kept = np.flatnonzero(chosen)[::2]
        pairs = event.truth[np.isin(event.truth[:, 1], kept)]
        pairs[:, 1] = np.unique(pairs[:, 1], return_inverse=True)[1]
        free = np.setdiff1d(np.arange(hits.n_hits(event)), event.truth[:, 0])[:3]
        fake = np.stack([free, np.full(3, pairs[:, 1].max() + 1)], -1)
        half.append(np.concatenate([pairs, fake]))
    found = {"ours": [e.truth for e in events], "acts_ckf": half}
    table = report.targets(tmp_path, found, events, wanted, sample="toys")
    n_kept = sum(len(np.flatnonzero(x)[::2]) for x in wanted)
    for style in report.STYLES:
        assert table["ours"][f"{style}_efficiency"] == 1
        assert table["ours"][f"{style}_fake_rate"] == 0
        assert table["acts_ckf"][f"{style}_efficiency"] == n_kept / sum(map(np.sum, wanted))
        assert table["acts_ckf"][f"{style}_fake_rate"] == pytest.approx(2 / (n_kept + 2))
    assert table["ours"]["duplicate_rate"] == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"efficiency_pt.png", "efficiency_eta.png", "efficiency_radius.png"} <= names
