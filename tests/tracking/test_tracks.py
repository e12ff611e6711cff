"""Edges become tracks: triplets, links that both sides want, shared hits, and no clones."""

import itertools

import numpy as np
import pytest

from hepjax.tracking import doublets, metrics, tracks


def straight(n_tracks=12, n_planes=8, seed=0):
    """Straight tracks from the origin: positions, edges of all of them, pairs (hit, particle)."""
    slope = np.random.default_rng(seed).normal(scale=0.2, size=(n_tracks, 1, 2))
    z = 10.0 * (1 + np.arange(n_planes))
    position = np.concatenate(
        [slope * z[:, None], np.broadcast_to(z[:, None], (n_tracks, n_planes, 1))], -1
    ).reshape(-1, 3)
    hit = np.arange(len(position))
    last = hit % n_planes == n_planes - 1
    return position, hit[~last], hit[~last] + 1, np.stack([hit, hit // n_planes], -1)


def found(position, senders, receivers):
    pairs = tracks.triplets(senders, receivers)
    direction = np.asarray(doublets.slope(position, (senders, receivers)))
    chain = tracks.chains(len(senders), pairs, -tracks.kinks(direction, pairs))
    return tracks.assemble(senders, receivers, chain)


def test_triplets_are_those_of_a_loop():
    senders, receivers = np.random.default_rng(0).integers(0, 20, (2, 60))
    pairs = tracks.triplets(senders, receivers)
    loop = {(a, b) for a in range(60) for b in range(60) if receivers[a] == senders[b]}
    assert len(pairs) == len(loop)
    assert set(map(tuple, pairs.tolist())) == loop


def test_straight_tracks_among_wrong_edges():
    """All tracks come out whole although each hit has wrong edges to other tracks as well."""
    position, senders, receivers, truth = straight()
    rng = np.random.default_rng(1)
    wrong = rng.integers(0, 12, (2, 300)) * 8 + np.stack(
        [np.arange(300) % 7, np.arange(300) % 7 + 1]
    )
    edges = np.unique(np.concatenate([[senders, receivers], wrong], 1), axis=1)
    m = metrics.match(found(position, *edges), truth, style="perfect")
    assert m.is_found.all()


def test_the_order_of_edges_does_not_matter():
    position, senders, receivers, _ = straight()
    order = np.random.default_rng(2).permutation(len(senders))
    once, again = (
        found(position, senders, receivers),
        found(position, senders[order], receivers[order]),
    )
    split = [{frozenset(p[p[:, 1] == k, 0]) for k in range(12)} for p in (once, again)]
    assert split[0] == split[1]


@pytest.mark.smoke
def test_two_tracks_cross_in_one_hit():
    z = np.arange(5.0)
    first, second = np.stack([z, 0 * z, z], -1), np.stack([4 - z, 0 * z, z], -1)
    position = np.concatenate([first, second[[0, 1, 3, 4]]])
    ends = np.array([(0, 1), (1, 2), (2, 3), (3, 4), (5, 6), (6, 2), (2, 7), (7, 8)])
    pairs = found(position, *ends.T)
    assert {frozenset(pairs[pairs[:, 1] == k, 0]) for k in (0, 1)} == {
        frozenset({0, 1, 2, 3, 4}),
        frozenset({5, 6, 2, 7, 8}),
    }


def test_a_second_hit_in_a_module_makes_no_clone():
    """Hits 1 and 2 are of one module: 0-1-3-4 stays, 0-2-3 goes."""
    pairs = np.array(
        [(0, 0), (1, 0), (3, 0), (4, 0), (0, 1), (2, 1), (3, 1), (8, 2), (9, 2), (4, 2)]
    )
    kept = tracks.without_clones(pairs)
    assert kept.tolist() == [[0, 0], [1, 0], [3, 0], [4, 0], [8, 1], [9, 1], [4, 1]]


def test_of_equal_tracks_the_first_stays():
    pairs = np.array([(h, t) for t in range(3) for h in range(3)])
    assert tracks.without_clones(pairs).tolist() == [[0, 0], [1, 0], [2, 0]]


def test_short_tracks_are_left_out():
    senders, receivers = np.array([0, 5, 6]), np.array([1, 6, 7])
    chain = np.array([0, 3, 3])
    assert tracks.assemble(senders, receivers, chain).tolist() == [[5, 0], [6, 0], [7, 0]]
    assert len(tracks.assemble(senders, receivers, chain, min_hits=2)) == 5


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_build(n):
    ends = np.arange(n), np.arange(n) + 1
    pairs = tracks.triplets(*ends)
    assert pairs.shape == (0, 2)
    chain = tracks.chains(n, pairs, np.zeros(0))
    assert tracks.assemble(*ends, chain).shape == (0, 2)
    assert tracks.without_clones(np.zeros((0, 2), int)).shape == (0, 2)


def test_tracks_are_kept_and_numbered_anew():
    pairs = np.array([[3, 0], [4, 0], [3, 1], [5, 2]])
    assert tracks.keep(pairs, np.array([False, True, True])).tolist() == [[3, 0], [5, 1]]
    assert tracks.keep(np.zeros((0, 2), int), np.zeros(0, bool)).shape == (0, 2)


def doubled(n_layers, doubles):
    """The chains of a particle with hits 2k, and 2k + 1 in some layers, and all its edges."""
    layers = [[2 * k, 2 * k + 1] if k in doubles else [2 * k] for k in range(n_layers)]
    ends = [(a, b) for x, y in itertools.pairwise(layers) for a in x for b in y]
    chains = [[x[0] for x in layers]]
    runs = [k for k in range(n_layers) if k in doubles]
    if runs:
        chains.append([x[-1] for x in layers[max(runs[0] - 1, 0) : runs[-1] + 2]])
    pairs = [(hit, track) for track, chain in enumerate(chains) for hit in chain]
    return np.array(pairs), np.array(ends)


@pytest.mark.parametrize("doubles", [(1, 2), (0, 1, 2, 3, 4), (3, 4), (1,), (1, 2, 3)])
def test_chains_of_doubled_hits_are_one_track(doubles):
    pairs, ends = doubled(5, doubles)
    found = tracks.merged(pairs, ends)
    assert set(found[:, 1]) == {0}
    assert sorted(found[:, 0]) == sorted(set(pairs[:, 0]))


def test_particles_that_cross_or_run_beside_stay_two():
    cross = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [2, 1], [4, 1], [5, 1], [6, 1]])
    edges = np.array([[0, 1], [1, 2], [2, 3], [4, 5], [5, 2], [2, 6], [1, 6]])
    assert tracks.merged(cross, edges[:6]).tolist() == cross.tolist()
    beside = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 1], [5, 1], [6, 1], [7, 1]])
    edges = np.array([[0, 1], [1, 2], [2, 3], [4, 5], [5, 6], [6, 7], [1, 6], [5, 2]])
    assert tracks.merged(beside, edges).tolist() == beside.tolist()  # two edges, three are asked
    assert len(tracks.merged(np.zeros((0, 2), int), edges)) == 0
    assert tracks.merged(beside, np.zeros((0, 2), int)).tolist() == beside.tolist()
