"""From hits to tracks: most are found, few are ghosts, and no event stops the others."""

import numpy as np
import pytest

from hepjax import runs
from hepjax.io import hits
from hepjax.tracking import (
    data,
    detectors,
    edge_filter,
    finder,
    metrics,
    module_map,
    report,
    triplets,
)
from hepjax.tracking.simulation import solenoid


@pytest.fixture(scope="module")
def found(velo_finder, velo_events):
    return finder.find(velo_finder, velo_events[12:])


def test_tracks_are_found(found, velo_events):
    table = metrics.lhcb(
        [one.pairs for one in found], [(e.truth, e.particles) for e in velo_events[12:]]
    )
    assert table["velo_efficiency"].value > 0.6
    assert table["ghost_rate"].value < 0.3
    assert table["velo_clone_rate"].value < 0.1
    assert not any(one.problem for one in found)


def test_each_track_has_three_hits_in_different_modules(found, velo_events):
    for one, event in zip(found, velo_events[12:]):
        hit, track = one.pairs.T
        assert np.bincount(track).min() >= 3
        assert len(np.unique(one.pairs, axis=0)) == len(one.pairs)
        rows = np.stack([track, event.hits["module"][hit]], -1)
        assert len(np.unique(rows, axis=0)) == len(rows)


def test_the_order_of_hits_does_not_matter(velo_finder, velo_events, found):
    event = velo_events[12]
    order = np.random.default_rng(0).permutation(hits.n_hits(event))
    moved = event._replace(
        hits={k: x[order] for k, x in event.hits.items()},
        truth=np.stack([np.argsort(order)[event.truth[:, 0]], event.truth[:, 1]], -1),
    )
    again = finder.find(velo_finder, [moved])[0].pairs
    lists = [
        {frozenset(p[p[:, 1] == k, 0].tolist()) for k in range(p[:, 1].max() + 1)}
        for p in (found[0].pairs, np.stack([order[again[:, 0]], again[:, 1]], -1))
    ]
    assert len(lists[0] & lists[1]) > 0.97 * len(lists[0])


def empty(n=0):
    table = {k: np.zeros(n) for k in hits.POSITION}
    return hits.Event({**table, "module": np.zeros(n, int)}, {}, np.zeros((0, 2), int))


def test_no_event_stops_the_others(velo_finder, velo_events, found):
    """None, one, hits in one place, a NaN, an empty module, too many, hits twice, a good event."""
    good = velo_events[12]
    x = np.where(good.hits["x"] > 9, np.nan, good.hits["x"])
    nan = good._replace(hits={**good.hits, "x": x})
    kept = good.hits["module"] != 20
    lacking = hits.Event({k: x[kept] for k, x in good.hits.items()}, {}, np.zeros((0, 2), int))
    again = np.r_[np.arange(hits.n_hits(good)), np.arange(0, hits.n_hits(good), 5)]
    twice = hits.Event({k: x[again] for k, x in good.hits.items()}, {}, np.zeros((0, 2), int))
    events = [empty(), empty(1), empty(3), nan, lacking, empty(9999), twice, good]
    answers = finder.find(velo_finder, events)
    assert [len(one.pairs) == 0 for one in answers] == [True] * 4 + [False, True, False, False]
    problems = [one.problem for one in answers]
    assert problems[:3] == ["", "", ""]
    assert problems[4] == problems[6] == problems[7] == ""
    assert "x of hit" in problems[3]
    assert "9999 hits" in problems[5]
    np.testing.assert_array_equal(answers[7].pairs, found[0].pairs)


def test_scores_of_true_edges_are_higher(found, velo_events):
    label = data.labels(found[0].edges, data.true_edges(velo_events[12]))
    assert found[0].odds[label].mean() > found[0].odds[~label].mean() + 2


def test_a_graph_that_is_too_large_is_named(velo_finder, velo_filter, velo_events, monkeypatch):
    monkeypatch.setattr(finder, "BUDGETS", finder.BUDGETS[:1])
    one, _ = finder.graph(velo_filter, velo_events[0])
    big = one._replace(n_node=np.array([5000]))
    with pytest.raises(ValueError, match="graph: 5000 nodes"):
        finder.score(velo_finder.network, velo_finder.variables, big)


def test_what_the_network_knows_of_edges(velo_finder, velo_filter, velo_events):
    """In the order of the graph's edges, whatever the shape that it is computed in."""
    one, _ = finder.graph(velo_filter, velo_events[0])
    edges = finder.edges_of(
        velo_finder.network, velo_finder.variables, velo_events[0], one, velo_finder.detector
    )
    n = len(one.senders)
    assert [x.shape for x in edges] == [(n, 2), (n,), (n, 16), (n, 2)]
    position = data.position(velo_events[0])
    d = position[edges.ends[:, 1]] - position[edges.ends[:, 0]]
    np.testing.assert_allclose(edges.direction, d[:, :2] / d[:, 2:], rtol=1e-3, atol=1e-4)


def test_shapes_are_few(velo_finder, velo_events):
    """The network is compiled once for all events of a budget."""
    before = finder._compiled._cache_size()
    finder.find(velo_finder, velo_events)
    assert finder._compiled._cache_size() - before <= len(finder.BUDGETS)


def test_too_few_events_to_learn_from(velo_events, tmp_path):
    sample = [data.Labelled(event, data.true_edges(event)) for event in velo_events[:3]]
    run = runs.create(tmp_path / "run", {})
    with pytest.raises(ValueError, match="sample: 3 events, expected 41 or more"):
        finder.fit(run, sample, finder.Settings(n_filter=2))


def test_an_even_cut_has_equal_efficiency_and_purity(velo_events):
    """Odds at random, some true edges that the graph lacks, some edges that do not count."""
    rng = np.random.default_rng(0)
    sample = []
    for event in velo_events[:3]:
        true = data.true_edges(event)
        wrong = np.stack([true[:, 0], rng.permutation(true[:, 1])], -1)
        wrong = wrong[~data.labels(wrong, true)]
        ends = np.concatenate([true[20:], wrong])
        odds = rng.normal(size=len(ends)) + 2 * (np.arange(len(ends)) < len(true) - 20)
        labelled = data.Labelled(event, true, wrong[:50])
        sample.append((labelled, triplets.Edges(ends, odds, odds[:, None], np.zeros_like(ends))))
    cut = finder.even_cut(sample)
    pairs, odds = ([getattr(edges, k) for _, edges in sample] for k in ("ends", "odds"))
    found = report.edges(pairs, odds, [one for one, _ in sample], cut=cut)
    assert found["edge_efficiency"] == pytest.approx(found["edge_purity"], abs=2e-3)
    assert 0.5 < found["edge_efficiency"] < 0.98
    assert finder.even_cut([(sample[0][0], triplets.Edges(*(x[:0] for x in sample[0][1])))]) == 0


def test_all_stages_in_pixels(pixel_config, pixel_run):
    """From hits in a solenoid to tracks, with a map that is learned; all kept in the run."""
    loaded = finder.load(pixel_config.out, detectors.PIXELS)
    event = solenoid.events(1, 21, solenoid.Beam(pile_up=3.0), first=7)[0]
    layer = detectors.PIXELS.layers(event)
    one = data.labelled(event, layer, min_pt=0.5)
    answer = finder.find(loaded, [event])[0]
    matched = metrics.match(answer.pairs, event.truth, style="double_majority")
    wanted = data.targets(event, layer, min_pt=1.0)[: len(matched.is_found)]
    assert matched.is_found[wanted].mean() > 0.4
    assert (matched.particle_of >= 0).mean() > 0.5
    links = edge_filter.load(pixel_config.out / "filter.msgpack").links
    assert module_map.coverage(links, detectors.PIXELS.cells(event), one.true) > 0.95
    np.testing.assert_array_equal(links, loaded.chosen.links)
    edges = report.edges([answer.edges], [answer.odds], [one], cut=loaded.cut)
    assert edges["edge_efficiency"] > 0.5
    assert pixel_run["n_skipped"] == 0


def test_a_file_without_a_finder_is_named(tmp_path):
    for content in (b"", b"\x80", b"no finder at all"):
        (tmp_path / finder.NAME).write_bytes(content)
        with pytest.raises(ValueError, match=r"finder\.msgpack: no finder"):
            finder.load(tmp_path)
    with pytest.raises(ValueError, match=r"missing\.msgpack: no finder"):
        finder.load(tmp_path / "missing.msgpack")
