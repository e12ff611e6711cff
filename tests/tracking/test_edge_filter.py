"""The filter keeps true edges and few others, in any shape, and says what did not fit."""

import numpy as np
import pytest

from hepjax.io import hits
from hepjax.tracking import data, detectors, edge_filter
from hepjax.tracking.detectors import VELO


def test_it_keeps_true_edges_and_few_others(velo_events, velo_filter):
    kept = n_true = n_edges = n_pairs = 0
    bare = velo_filter._replace(stages=())
    for event in velo_events[10:]:
        true = data.true_edges(event)
        found = edge_filter.select(velo_filter, event)
        label = data.labels(found.pairs, true)
        kept, n_true = kept + label.sum(), n_true + len(true)
        n_edges += len(label)
        n_pairs += int(edge_filter.remaining(bare, event, VELO)[1].n_found)
        assert found.n_lost == 0
    assert kept / n_true > 0.9
    assert n_edges < 0.3 * n_pairs


def test_the_last_cut_sets_the_number_of_edges(velo_events, velo_filter):
    """On the events of its training, on average; the wrong ones are drawn, so not exactly."""
    n = [len(edge_filter.select(velo_filter, event).pairs) for event in velo_events[:10]]
    assert np.mean(n) == pytest.approx(1500, rel=0.15)


def test_features_are_those_of_the_pairs(velo_events, velo_filter):
    event = velo_events[0]
    found = edge_filter.select(velo_filter, event)
    assert found.features.shape[1] == 7 + 12
    z, module = event.hits["z"][found.pairs], event.hits["module"][found.pairs]
    assert (z[:, 1] > z[:, 0]).all()
    np.testing.assert_allclose(found.features[:, 17], module[:, 1] - module[:, 0] - 2)
    assert (5 * found.features[:, 0] > velo_filter.stages[-1].cut).all()
    assert np.isfinite(found.features).all()


def test_the_shape_does_not_matter(velo_events, velo_filter):
    once = edge_filter.select(velo_filter, velo_events[1])
    again = edge_filter.select(velo_filter, velo_events[1], VELO._replace(shapes=VELO.shapes[1:]))
    order = [np.lexsort(found.pairs.T) for found in (once, again)]
    np.testing.assert_array_equal(again.pairs[order[1]], once.pairs[order[0]])
    np.testing.assert_allclose(again.features[order[1]], once.features[order[0]], atol=2e-3)


def test_too_small_a_shape_is_left_for_the_next_and_the_last_counts(velo_events, velo_filter):
    event = velo_events[2]
    expected = edge_filter.select(velo_filter, event)
    tiny = detectors.Shape(1024, 48, 512, 256, 256)
    two = VELO._replace(shapes=(tiny, VELO.shapes[0]))
    assert len(edge_filter.select(velo_filter, event, two).pairs) == len(expected.pairs)
    cut = edge_filter.select(velo_filter, event, VELO._replace(shapes=(tiny,)))
    assert cut.n_lost > 0
    assert len(cut.pairs) <= 256


def nothing(n=0):
    table = {k: np.zeros(n) for k in hits.POSITION}
    return hits.Event({**table, "module": np.zeros(n, int)}, {}, np.zeros((0, 2), int))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_no_pair_at_all(velo_filter, n):
    """No hit, one hit, and some hits in one place."""
    found = edge_filter.select(velo_filter, nothing(n))
    assert found.pairs.shape == (0, 2)
    assert found.n_lost == 0


def test_an_event_that_is_too_large_is_named(velo_filter):
    with pytest.raises(ValueError, match="event: 9300 hits, up to 9300 a cell"):
        edge_filter.select(velo_filter, nothing(9300))


def test_no_true_edge_to_learn_from():
    with pytest.raises(ValueError, match="events: no true edge in 1 events"):
        edge_filter.fit([data.Labelled(nothing(), data.NO_EDGES)])


def test_each_network_keeps_most_true_edges_and_fewer_pairs(velo_events, velo_filter):
    """On the events of its training, by its cuts."""
    n = np.zeros((4, 2))
    behind = [velo_filter._replace(stages=velo_filter.stages[:k]) for k in range(4)]
    for event in velo_events[:10]:
        true = data.true_edges(event)
        for k in range(4):
            pairs = edge_filter.listed(edge_filter.remaining(behind[k], event, VELO)[1])
            n[k] += len(pairs), data.labels(pairs, true).sum()
    assert (np.diff(n[:, 0]) < 0).all()
    assert n[1, 1] / n[0, 1] == pytest.approx(0.999, abs=1e-3)
    assert n[2, 1] / n[1, 1] == pytest.approx(0.9995, abs=1e-3)


def test_a_file_gives_the_same_filter(velo_events, velo_filter, tmp_path):
    edge_filter.save(tmp_path / "filter", velo_filter)
    again = edge_filter.load(tmp_path / "filter")
    found = [edge_filter.select(chosen, velo_events[0]) for chosen in (velo_filter, again)]
    np.testing.assert_array_equal(found[0].features, found[1].features)


def test_pairs_that_do_not_count_are_not_learned_from(velo_events, velo_filter):
    """All true edges but one ignored: only that one is true, and no ignored one is drawn."""
    event = velo_events[0]
    true = data.true_edges(event)
    bare = velo_filter._replace(stages=())
    drawn = edge_filter._draw(
        bare,
        [data.Labelled(event, true[:1], true[1:])],
        1e9,
        np.random.default_rng(0),
        VELO,
    )
    _, left, _ = edge_filter.remaining(bare, event, VELO)
    pairs = edge_filter.listed(left)
    there = data.labels(pairs, true[:1]).sum()
    assert drawn[1].sum() == there
    assert len(drawn[1]) == len(pairs) - data.labels(pairs, true[1:]).sum()
