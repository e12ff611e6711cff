"""The learned space: true edges are near in it, and a filter of edges works on its pairs."""

import jax
import numpy as np
import pytest

from hepjax.tracking import data, detectors, edge_filter, embedding, neighbours

SMALL = embedding.Settings(
    width=48, n_coordinates=4, room=8192, n_tuning=3, n_epochs=12, learning_rate=1e-2
)


@pytest.fixture(scope="module")
def sample(velo_events):
    return [data.Labelled(event, data.true_edges(event)) for event in velo_events]


@pytest.fixture(scope="module")
def learned(sample):
    return embedding.fit(sample[:12], detectors.VELO, SMALL)


def pairs_of(detector, event):
    """All pairs that a detector's window accepts."""
    shape = edge_filter.shapes_of(detector.cells(event), detector)[0]
    laid = edge_filter.lay(event, shape, detector)
    known = detector.coordinates(laid.position)
    found = neighbours.search(
        laid.table, known, detector.accept, links=detector.links(), capacity=shape.n_pairs
    )
    n = int(found.n_found)
    assert n <= shape.n_pairs
    return np.stack([found.senders[:n], found.receivers[:n]], -1)


def test_true_edges_are_near_and_there_are_fewer_pairs(sample, learned):
    """Against the geometric window, on events that were not learned from."""
    narrow = embedding.detector(detectors.VELO, learned)
    right = there = near = window = 0
    for one in sample[12:]:
        pairs = pairs_of(narrow, one.event)
        right += data.labels(pairs, one.true).sum()
        there += len(one.true)
        near += len(pairs)
        window += len(pairs_of(detectors.VELO, one.event))
    assert right / there > 0.93
    assert near < 0.5 * window


def test_pairs_are_those_within_the_radius(sample, learned):
    one = sample[12]
    at = np.asarray(embedding.place(learned.params, data.position(one.event).astype(np.float32)))
    pairs = pairs_of(embedding.detector(detectors.VELO, learned), one.event)
    apart = np.linalg.norm(at[pairs[:, 0]] - at[pairs[:, 1]], axis=-1)
    assert apart.max() < learned.radius * (1 + 1e-5)


def test_hard_negatives_weigh_and_true_edges_do_not_push(sample, learned):
    """By hand: the terms of one event, its hard pairs found by all against all."""
    one = sample[0]
    shape = edge_filter.shapes_of(detectors.VELO.cells(one.event), detectors.VELO)[0]
    given = embedding._give(one, shape, detectors.VELO)
    terms = embedding._means(learned.params, given, jax.random.key(0), learned.links, SMALL)
    at = np.asarray(embedding.place(learned.params, data.position(one.event).astype(np.float32)))
    square = ((at[one.true[:, 0]] - at[one.true[:, 1]]) ** 2).sum(-1)
    mean = float(terms["true"].total / terms["true"].weight)
    assert mean == pytest.approx(square.mean(), rel=1e-4)
    apart = np.linalg.norm(at[:, None] - at, axis=-1)
    cell = detectors.VELO.cells(one.event)
    linked = np.zeros((52, 52), bool)
    linked[tuple(learned.links.T)] = True
    wrong = linked[cell[:, None], cell] & (apart < SMALL.margin)
    wrong[tuple(one.true.T)] = False
    assert float(terms["hard"].weight) == pytest.approx(wrong.sum(), rel=1e-3)
    expected = ((SMALL.margin - apart[wrong]) ** 2).mean()
    assert float(terms["hard"].total / terms["hard"].weight) == pytest.approx(expected, rel=1e-3)


def test_too_few_events(sample):
    with pytest.raises(ValueError, match="sample: 3 events, expected over 3"):
        embedding.fit(sample[:3], detectors.VELO, SMALL)
