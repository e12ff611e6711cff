"""Triplets that are true, what is said of them, and tracks that are made of them."""

import numpy as np
import pytest

from hepjax.io import hits
from hepjax.tracking import data, metrics, scorers, tracks, triplets

N_PLANES = 6


@pytest.fixture(scope="module")
def crossing():
    """Straight tracks, of which two cross in a hit, edges of neighbours, odds that tell little."""
    rng = np.random.default_rng(0)
    slope = rng.normal(scale=0.2, size=(20, 1, 2))
    start = rng.normal(scale=4, size=(20, 1, 2))
    z = 10.0 * np.arange(N_PLANES)
    xy = start + slope * z[:, None]
    shift = xy[1, 3] - xy[0, 3]
    xy[1] -= shift  # tracks 0 and 1 meet in plane 3
    position = np.concatenate([xy, np.broadcast_to(z[:, None], (20, N_PLANES, 1))], -1)
    hit = np.arange(20 * N_PLANES).reshape(20, N_PLANES)
    hit[1, 3] = hit[0, 3]
    truth = np.stack([hit.ravel(), np.repeat(np.arange(20), N_PLANES)], -1)
    flat = position.reshape(-1, 3)
    flat[N_PLANES + 3, :2] = 99.0  # the hit that track 1 has no more
    module = np.tile(np.arange(N_PLANES), 20)
    table = dict(zip("xyz", flat.T)) | {"module": module}
    event = hits.Event(table, {"pid": np.full(20, 211)}, truth)
    near = [
        (a, b)
        for k in range(N_PLANES - 1)
        for a in np.flatnonzero(module == k)
        for b in np.flatnonzero(module == k + 1)
        if np.hypot(*(flat[a] - flat[b])[:2]) < 5
    ]
    ends = np.array(near)
    d = flat[ends[:, 1]] - flat[ends[:, 0]]
    label = data.labels(ends, data.true_edges(event))
    odds = np.where(label, 1.0, -1.0) + rng.normal(size=len(ends))
    known = rng.normal(size=(len(ends), 4))
    return event, triplets.Edges(ends, odds, known, d[:, :2] / d[:, 2:])


@pytest.fixture(scope="module")
def judge(crossing):
    event, edges = crossing
    how = triplets.Settings(network=scorers.Settings(16, 1024, 3e-2, 300), cut=0.0)
    return triplets.fit([(data.Labelled(event, data.true_edges(event)), edges)], how)


def test_true_triplets_are_of_one_particle(crossing):
    event, edges = crossing
    pairs = tracks.triplets(*edges.ends.T)
    label = triplets.true(event, edges.ends, pairs)
    of = [set(event.truth[event.truth[:, 0] == h, 1].tolist()) for h in range(20 * N_PLANES)]
    for (first, second), found in list(zip(pairs, label))[::7]:
        (a, b), c = edges.ends[first], edges.ends[second, 1]
        assert found == bool(of[a] & of[b] & of[c])
    assert 0 < label.sum() == 20 * (N_PLANES - 2)


def test_what_is_said_of_a_triplet(crossing):
    edges = crossing[1]
    pairs = tracks.triplets(*edges.ends.T)[:5]
    x = triplets.describe(edges, pairs)
    assert x.shape == (5, 2 * 4 + 3)
    np.testing.assert_allclose(x[:, :4], edges.known[pairs[:, 0]], rtol=1e-6)
    np.testing.assert_allclose(x[:, -2:], edges.odds[pairs] / 5, rtol=1e-6)
    turn = np.hypot(*(edges.direction[pairs[:, 0]] - edges.direction[pairs[:, 1]]).T)
    np.testing.assert_allclose(x[:, 8], np.log(turn / 1e-4 + 1) / np.log(1e4 + 1), rtol=1e-5)


def test_tracks_that_cross_are_found_both(crossing, judge):
    event, edges = crossing
    found = triplets.link(judge, edges, triplets.Settings())
    matched = metrics.match(found, event.truth, style="perfect")
    assert matched.is_found[:2].all()
    assert matched.is_found.mean() > 0.9
    assert (matched.particle_of < 0).mean() < 0.1


def test_a_high_cut_leaves_nothing(crossing, judge):
    edges = crossing[1]
    for how in (triplets.Settings(min_odds=99.0), triplets.Settings(-9.0, 99.0, 99.0)):
        assert triplets.link(judge, edges, how).shape == (0, 2)


def test_a_track_of_one_triplet_has_a_cut_of_its_own(crossing, judge):
    """Longer tracks stay as they are, and those of three hits go."""
    edges = crossing[1]
    sizes = [
        np.bincount(triplets.link(judge, edges, triplets.Settings(-9.0, -9.0, lone))[:, 1])
        for lone in (-9.0, 99.0)
    ]
    assert (sizes[0] == 3).any()
    assert sizes[1].min() > 3
    assert sorted(sizes[1]) == sorted(sizes[0][sizes[0] > 3])
