"""Tracks from edges: edges are linked one after the other, and two tracks may share a hit.

Where components of hits would join two particles that cross, edges are what is linked here. Two
edges with a hit between them are a triplet (`triplets`); straight particles turn little in it
(`kinks`). Each edge takes its best triplet onwards and its best one back, and what two edges agree
on is a link (`chains`): a hit with two edges in and two out belongs to two tracks, as in a photon's
conversion. `assemble` turns chains of edges into hits of tracks, and `without_clones` drops tracks
whose hits are mostly on a longer one, such as those of a particle with two hits in one module.

>>> senders, receivers = np.array([0, 1, 4, 1]), np.array([1, 2, 1, 3])  # 0-1-2 and 4-1-3
>>> slopes = np.array([[1, 0], [1, 0], [0, 1], [0, 1.0]])
>>> pairs = triplets(senders, receivers)
>>> chain = chains(4, pairs, -kinks(slopes, pairs))
>>> assemble(senders, receivers, chain)[:, 0].tolist()
[0, 1, 2, 1, 3, 4]
"""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

MIN_HITS = 3


def triplets(senders: np.ndarray, receivers: np.ndarray) -> np.ndarray:
    """List the pairs of edges (first, second) where the second begins at the first's end.

    senders, receivers: [edge] index of a hit. Returns [triplet, 2] index of an edge, by second.
    """
    order = np.argsort(receivers, kind="stable")
    ends = receivers[order]
    low, high = (np.searchsorted(ends, senders, side) for side in ("left", "right"))
    count = high - low
    second = np.repeat(np.arange(len(senders)), count)
    place = np.arange(len(second)) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([order[np.repeat(low, count) + place], second], -1)


def kinks(direction: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Measure how much the direction of tracks would change in triplets [triplet].

    direction: [edge, 2], what stays along a track (`doublets.slope`, `doublets.turn`); pairs:
    [triplet, 2] index of an edge.
    """
    return np.hypot(*(direction[pairs[:, 0]] - direction[pairs[:, 1]]).T)


def chains(n_edges: int, pairs: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Link edges where both agree, and number the chains [edge].

    pairs: [triplet, 2] (first, second) edge; score: [triplet], the higher the better; of equals the
    last counts.
    """
    order = np.argsort(score, kind="stable")
    best = np.full((2, n_edges), -1)
    for side in (0, 1):
        best[side][pairs[order, side]] = order
    own = np.arange(len(pairs))
    agreed = (best[0][pairs[:, 0]] == own) & (best[1][pairs[:, 1]] == own)
    first, second = pairs[agreed].T
    graph = sparse.coo_matrix((np.ones(len(first)), (first, second)), (n_edges, n_edges))
    return csgraph.connected_components(graph, directed=False)[1]


def assemble(
    senders: np.ndarray, receivers: np.ndarray, chain: np.ndarray, *, min_hits: int = MIN_HITS
) -> np.ndarray:
    """Collect the hits of each chain: pairs (hit, track) [pair, 2], by track.

    chain: [edge] number of its chain; min_hits: a track has at least.
    """
    pairs = np.concatenate([np.stack([chain, ends], -1) for ends in (senders, receivers)])
    return numbered(np.unique(pairs, axis=0)[:, ::-1], min_hits)


def numbered(pairs: np.ndarray, min_hits: int = 1) -> np.ndarray:
    """Number the tracks of pairs (hit, track) [pair, 2] from 0 on, those with too few hits left
    out.
    """
    _, track, count = np.unique(pairs[:, 1], return_inverse=True, return_counts=True)
    kept = count[track] >= min_hits
    _, track = np.unique(track[kept], return_inverse=True)
    return np.stack([pairs[kept, 0], track], -1)


def keep(pairs: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Keep some tracks [track] bool of pairs (hit, track) [pair, 2], numbered anew."""
    return numbered(pairs[kept[pairs[:, 1]]])


def merged(pairs: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Join tracks that are one particle's where it has two hits in many layers, in modules that
    overlap: each of them has a chain of its own, and edges lead from one to the other.

    pairs: (hit, track) [pair, 2]; ends: [edge, 2] edges that are held for true. Of two tracks the
    hits that only one has count, and the edges between those: the tracks are joined where there are
    as many edges as the shorter has such hits, less one, or where two hits are on both. Two
    particles that cross in one hit have no such edge. Returns pairs, tracks numbered anew.
    """
    if not len(pairs):
        return pairs
    n_hits = max(int(pairs[:, 0].max()), int(ends.max(initial=0))) + 1
    n = int(pairs[:, 1].max()) + 1
    on = sparse.csr_matrix((np.ones(len(pairs)), tuple(pairs.T)), (n_hits, n))
    size = np.bincount(pairs[:, 1])
    shared = sparse.triu(on.T @ on, 1).tocsr()
    edges = sparse.csr_matrix((np.ones(len(ends)), tuple(ends.T)), (n_hits, n_hits))
    between = on.T @ edges @ on
    between = sparse.triu(between + between.T, 1).tocoo()
    some = (between + shared).tocoo()
    joined = []
    hits_of = [set(x) for x in np.split(on.tocsc().indices, np.cumsum(size)[:-1])]
    onwards = {hit: set(edges.indices[slice(*edges.indptr[hit : hit + 2])]) for hit in pairs[:, 0]}
    for a, b in zip(some.row, some.col):
        own, other = hits_of[a] - hits_of[b], hits_of[b] - hits_of[a]
        n_own = min(len(own), len(other))
        n_edges = sum(len(onwards[h] & other) for h in own)
        n_edges += sum(len(onwards[h] & own) for h in other)
        if n_edges >= max(n_own - 1, 1) or shared[a, b] >= 2:
            joined.append((a, b))
    first, second = np.array(joined, int).reshape(-1, 2).T
    graph = sparse.coo_matrix((np.ones(len(first)), (first, second)), (n, n))
    whole = csgraph.connected_components(graph, directed=False)[1]
    return numbered(np.unique(np.stack([whole[pairs[:, 1]], pairs[:, 0]], -1), axis=0)[:, ::-1])


def without_clones(pairs: np.ndarray, *, share: float = 0.5, least: int = 2) -> np.ndarray:
    """Drop tracks that share `least` hits and more than a share of theirs with a longer one.

    pairs: (hit, track) [pair, 2]. Of two tracks of one length the first stays; tracks are looked at
    from the shortest on, and one that is dropped drops no other. Returns pairs, tracks numbered
    anew.
    """
    if not len(pairs):
        return pairs
    shape = pairs.max(0) + 1
    on = sparse.coo_matrix((np.ones(len(pairs)), tuple(pairs.T)), shape).tocsc()
    size = np.bincount(pairs[:, 1])
    common = (on.T @ on).tocoo()
    longer = size[common.row] < size[common.col]
    longer |= (size[common.row] == size[common.col]) & (common.row > common.col)
    close = longer & (common.data >= least) & (common.data > share * size[common.row])
    short, long = common.row[close], common.col[close]
    dropped = np.zeros(shape[1], bool)
    for k in np.lexsort((-short, size[short])):
        dropped[short[k]] |= not dropped[long[k]]
    return numbered(pairs[~dropped[pairs[:, 1]]])
