"""The tables and plots of a track finder."""

import numpy as np
import pytest

from hepjax.tracking import report


def test_edges_by_hand():
    pairs = [np.array([[0, 1], [0, 2], [1, 2]]), np.array([[4, 5]])]
    true = [np.array([[0, 1], [1, 2], [2, 3]]), np.array([[5, 6]])]
    table = report.edges(pairs, [np.array([1.0, 2.0, -1.0]), np.array([-3.0])], true)
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
