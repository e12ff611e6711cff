import itertools

import jax
import numpy as np
import pytest

from hepjax.tracking import data, metrics, walkthrough


def dag(seed, n=60, n_edges=150):
    """Edges outwards, from smaller to larger hits a few on, each once."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n - 6, n_edges)
    ends = np.unique(np.stack([first, first + rng.integers(1, 6, n_edges)], -1), axis=0)
    return ends, rng.permutation(len(ends)) / len(ends)


def longest(ends, n):
    """By one walk through hits in order: edges of the longest road from each [hit]."""
    found = np.zeros(n, int)
    for sender, receiver in ends[np.argsort(-ends[:, 0], kind="stable")]:
        found[sender] = max(found[sender], found[receiver] + 1)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_reach_is_the_longest_road(seed):
    ends, _ = dag(seed)
    found = walkthrough._reach(ends[:, 1], ends[:, 0], np.ones(len(ends), np.float32), 60, 64)
    np.testing.assert_array_equal(found, longest(ends, 60))


@pytest.mark.parametrize("seed", range(3))
def test_each_hit_goes_on_once_and_a_longest_road_is_whole(seed):
    """Where all edges may be walked, a road as long as the longest is among the tracks."""
    ends, p = dag(seed)
    cuts = walkthrough.Cuts(0.0, 0.0, 0.0)
    labels = np.asarray(walkthrough.walk(*ends.T, p, 60, cuts, min_hits=2))
    size = np.bincount(labels[labels >= 0])
    assert size.max() == longest(ends, 60).max() + 1
    for track in np.flatnonzero(size):
        hit = np.flatnonzero(labels == track)
        joined = {tuple(x) for x in ends.tolist()}
        assert all((a, b) in joined for a, b in itertools.pairwise(hit))


def test_chains_are_taken_with_low_probability_and_forks_are_not():
    """0-1-2 is a chain; 3-4-5 has a fork 4-6, and its edges are below what is walked."""
    ends = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [4, 6]])
    p = np.array([0.05, 0.05, 0.05, 0.05, 0.04])
    labels = walkthrough.walk(*ends.T, p, 7)
    assert labels.tolist() == [0, 0, 0, -1, -1, -1, -1]
    p = np.array([0.05, 0.05, 0.2, 0.3, 0.04])  # the best one out of each hit is enough
    assert walkthrough.walk(*ends.T, p, 7).tolist() == [0, 0, 0, 3, 3, 3, -1]
    p = np.array([0.005, 0.05, 0.2, 0.3, 0.25])  # and a dropped edge parts
    assert walkthrough.walk(*ends.T, p, 7).tolist() == [-1, -1, -1, 3, 3, 3, -1]


def test_the_longer_road_has_the_hit():
    """0-1-2-3-4 and 5-2-6: two roads by hit 2, though the short one is likelier."""
    ends = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [5, 2], [2, 6]])
    p = np.array([0.7, 0.7, 0.7, 0.7, 0.9, 0.9])
    assert walkthrough.walk(*ends.T, p, 7).tolist() == [0, 0, 0, 0, 0, -1, -1]


def test_scan_is_one_walk_after_the_other_and_padding_changes_nothing():
    ends, p = dag(7)
    cuts = walkthrough.Cuts(
        *(np.linspace(low, high, 5) for low, high in ((0, 0.1), (0.1, 0.4), (0.3, 0.9)))
    )
    found = walkthrough.scan(*ends.T, p, 60, cuts)
    for k in range(5):
        one = walkthrough.Cuts(*(x[k] for x in cuts))
        np.testing.assert_array_equal(found[k], walkthrough.walk(*ends.T, p, 60, one))
    more = np.pad(ends, ((0, 9), (0, 0)), constant_values=60)
    padded = walkthrough.walk(*more.T, np.pad(p, (0, 9)), 61)
    np.testing.assert_array_equal(padded[:60], walkthrough.walk(*ends.T, p, 60))
    assert int(padded[60]) == -1


def test_order_of_edges_does_not_matter():
    ends, p = dag(3)
    order = np.random.default_rng(0).permutation(len(p))
    again = walkthrough.walk(*ends[order].T, p[order], 60)
    np.testing.assert_array_equal(again, walkthrough.walk(*ends.T, p, 60))


def test_true_edges_of_an_event_give_its_tracks(velo_events):
    """A perfect network: particles whose hits are shared by none are found whole."""
    event = velo_events[0]
    ends = data.true_edges(event)
    found = walkthrough.link(ends, np.full(len(ends), 3.0), len(event.hits["x"]))
    matched = metrics.match(found, event.truth, style="double_majority")
    wanted = data.reconstructible(event)[: len(matched.is_found)]
    assert matched.is_found[wanted].mean() > 0.93
    assert (matched.particle_of >= 0).mean() > 0.98
    none = walkthrough.link(data.NO_EDGES, np.zeros(0), 5)
    assert none.shape == (0, 2)


def test_jit_has_no_python_branches():
    ends, p = dag(1)
    compiled = jax.jit(lambda p: walkthrough.walk(*ends.T, p, 60))
    np.testing.assert_array_equal(compiled(p), walkthrough.walk(*ends.T, p, 60))
