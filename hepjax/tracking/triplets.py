"""Triplets, two edges with a hit between them: which belong to one particle?

Edges that are both true may be of two particles that share a hit, and a wrong edge has wrong
triplets only; so tracks are made of triplets (arXiv:2406.12869, section 3.3). A small network looks
at what the interaction network knows of both edges in the end, at their odds and at the kink.

>>> event = hits.Event({"x": np.zeros(5)}, {"pid": np.zeros(2)},
...                    np.array([[0, 0], [1, 0], [2, 0], [1, 1], [3, 1], [4, 1]]))
>>> edges = np.array([[0, 1], [1, 2], [1, 3], [3, 4]])
>>> pairs = tracks.triplets(*edges.T)
>>> pairs.tolist(), true(event, edges, pairs).tolist()
([[0, 1], [0, 2], [2, 3]], [True, False, True])
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from hepjax.io import hits
from hepjax.tracking import data, partners, scorers, tracks


class Settings(NamedTuple):
    """How triplets are judged.

    min_odds: of edges, logarithmic, that make triplets; cut: on the logarithm of odds of triplets;
    lone: the same of those that are a track by themselves, if larger; n_events: for the training,
    the last of the sample; network: which, and how it is trained.
    """

    min_odds: float = -3.0
    cut: float = 0.25
    lone: float = 0.25
    n_events: int = 150
    network: scorers.Settings = scorers.Settings(64, 8192, 2e-3, 2500)


class Edges(NamedTuple):
    """What is known of the edges of an event.

    ends: [edge, 2] (sender, receiver); odds: [edge], logarithmic; known: [edge, width] of the
    interaction network; direction: [edge, 2] what stays along a track.
    """

    ends: np.ndarray
    odds: np.ndarray
    known: np.ndarray
    direction: np.ndarray


def above(edges: Edges, odds: float) -> Edges:
    """Keep the edges above a cut."""
    return Edges(*(x[edges.odds > odds] for x in edges))


def describe(edges: Edges, pairs: np.ndarray) -> np.ndarray:
    """Say of triplets [triplet, 2] of edges what is known of them [triplet, 2 width + 3]."""
    kink = tracks.kinks(edges.direction, pairs)
    scale = np.log(1 / partners.RESOLUTION + 1)
    scaled = np.log(kink / partners.RESOLUTION + 1) / scale
    both = [edges.known[pairs[:, k]] for k in (0, 1)]
    odds = edges.odds[pairs] / 5
    return np.concatenate([*both, scaled[:, None], odds], -1).astype(np.float32)


def true(event: hits.Event, ends: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Tell which triplets have all three hits of one particle [triplet] bool.

    ends: [edge, 2] (sender, receiver); pairs: [triplet, 2] edges.
    """
    shape = hits.n_hits(event), max(hits.n_particles(event), 1)
    of = sparse.coo_matrix((np.ones(len(event.truth)), tuple(event.truth.T)), shape).tocsr()
    first, middle, last = (
        of[x] for x in (ends[pairs[:, 0], 0], ends[pairs[:, 0], 1], ends[pairs[:, 1], 1])
    )
    common = first.multiply(middle).multiply(last)
    return np.asarray(common.sum(1)).ravel() > 0


def fit(
    sample: Sequence[tuple[data.Labelled, Edges]], settings: Settings, *, seed: int = 0
) -> scorers.Scorer:
    """Train the network on the triplets of events; both edges of a true one are true.

    sample: [event] with its true edges, and what is known of the edges of its graph.
    """
    parts = []
    for one, edges in sample:
        kept = above(edges, settings.min_odds)
        pairs = tracks.triplets(*kept.ends.T)
        right = data.labels(kept.ends, one.true)
        label = true(one.event, kept.ends, pairs) & right[pairs].all(1)
        parts.append((describe(kept, pairs), label))
    x, label = (np.concatenate(part) for part in zip(*parts))
    return scorers.fit((x,), label, np.ones(len(label)), settings.network, seed=seed)


def link(
    judge: scorers.Scorer, edges: Edges, settings: Settings, *, overlaps: bool = False
) -> np.ndarray:
    """Make tracks of the edges of an event: pairs (hit, track) [pair, 2].

    Each edge takes its best triplet on either side, of those above the cut; a track of one triplet
    must be above `lone` too, since no other speaks for it. overlaps: whether particles have two
    hits in a layer (`tracks.merged`).
    """
    kept = above(edges, settings.min_odds)
    pairs = tracks.triplets(*kept.ends.T)
    odds = scorers.score_all(judge, describe(kept, pairs))
    pairs, odds = pairs[odds > settings.cut], odds[odds > settings.cut]
    chain = tracks.chains(len(kept.ends), pairs, odds)
    first, second = chain[pairs].T
    best = np.full(int(chain.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, first[first == second], odds[first == second])
    good = ((np.bincount(chain, minlength=len(best)) > 2) | (best > settings.lone))[chain]
    senders, receivers = kept.ends[good].T
    found = tracks.assemble(senders, receivers, chain[good])
    if overlaps:
        found = tracks.merged(found, edges.ends[edges.odds > 0])
    return tracks.without_clones(found)
