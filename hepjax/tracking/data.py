"""What a tracker may know of an event, and what it shall find: true edges between hits.

An event is `io.hits.Event`: hits with their positions and modules, particles, and the pairs (hit,
particle). A particle counts as reconstructible with hits in three modules or more. Its true edges
join the hits of each module to those of the next module that it crossed, wherever that is; where it
left two hits in one module (a sensor's edge), both are joined, and not to each other.

>>> event = hits.Event({k: np.zeros(4) for k in "xyz"} | {"module": np.array([0, 2, 2, 4])},
...                    {"pid": np.array([211])}, np.stack([np.arange(4), np.zeros(4, int)], -1))
>>> true_edges(event).tolist()
[[0, 1], [0, 2], [1, 3], [2, 3]]
>>> labels(np.array([[0, 1], [0, 3]]), true_edges(event)).tolist()
[True, False]
"""

from typing import NamedTuple

import numpy as np

from hepjax.io import hits

MIN_MODULES = 3

NO_EDGES = np.zeros((0, 2), np.int64)


class Labelled(NamedTuple):
    """An event with its true edges [edge, 2], and those that count neither as true nor as wrong."""

    event: hits.Event
    true: np.ndarray
    ignored: np.ndarray = NO_EDGES


def position(event: hits.Event) -> np.ndarray:
    """Stack the positions of the hits [hit, 3], mm."""
    return np.stack([event.hits[k] for k in hits.POSITION], -1)


def n_modules(event: hits.Event, group: np.ndarray | None = None) -> np.ndarray:
    """Count the modules, or the groups [hit], in which each particle left hits [particle]."""
    hit, particle = event.truth.T
    group = event.hits["module"] if group is None else group
    crossed = np.unique(np.stack([particle, group[hit]], -1), axis=0)
    return np.bincount(crossed[:, 0], minlength=hits.n_particles(event))


def reconstructible(event: hits.Event) -> np.ndarray:
    """Tell which particles left hits in enough modules for a track [particle]."""
    return n_modules(event) >= MIN_MODULES


def true_edges(
    event: hits.Event,
    along: np.ndarray | None = None,
    group: np.ndarray | None = None,
    wanted: np.ndarray | None = None,
) -> np.ndarray:
    """List the pairs of hits that follow each other on a reconstructible particle [edge, 2].

    along: [hit] what rises along a track (None: the module's index, as in the Velo); group: [hit]
    hits of one particle and one group are not joined (None: the module); wanted: [particle] bool,
    whose edges (None: all that are reconstructible). Edges point along; an edge of two particles
    stands once; sorted.
    """
    module = event.hits["module"]
    along, group = (module if x is None else x for x in (along, group))
    wanted = reconstructible(event) if wanted is None else wanted
    hit, particle = event.truth[wanted[event.truth[:, 1]]].T
    if not len(hit):
        return np.zeros((0, 2), np.int64)
    order = np.lexsort((hit, group[hit], along[hit], particle))
    hit, particle = hit[order], particle[order]
    new = np.r_[True, (np.diff(particle) != 0) | (np.diff(group[hit]) != 0)]
    start = np.flatnonzero(new)
    size = np.diff(np.r_[start, len(hit)])
    joined = np.flatnonzero(particle[start][1:] == particle[start][:-1])  # runs with a next one
    n, m = size[joined], size[joined + 1]
    run = np.repeat(joined, n * m)
    place = np.arange(len(run)) - np.repeat(np.cumsum(n * m) - n * m, n * m)
    first, second = place // size[run + 1], place % size[run + 1]
    edges = np.stack([hit[start[run] + first], hit[start[run + 1] + second]], -1)
    return np.unique(edges, axis=0)


def targets(event: hits.Event, group: np.ndarray, *, min_pt: float) -> np.ndarray:
    """Tell which particles a tracker shall find [particle]: those of pt above a cut, GeV, with hits
    in enough groups.
    """
    return (n_modules(event, group) >= MIN_MODULES) & (event.particles["pt"] > min_pt)


def labelled(event: hits.Event, group: np.ndarray, *, min_pt: float) -> Labelled:
    """Find the true edges of targets; those of other particles count neither as true nor as wrong.

    group: [hit] layer; edges point away from the middle of the detector.
    """
    far = (position(event) ** 2).sum(-1)
    true = true_edges(event, far, group, targets(event, group, min_pt=min_pt))
    every = true_edges(event, far, group, np.ones(hits.n_particles(event), bool))
    return Labelled(event, true, every[~labels(every, true)])


def labels(edges: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Tell which edges [edge, 2] are among the true ones [edge', 2]: [edge] bool."""
    n = int(max(edges.max(initial=0), true.max(initial=0))) + 1
    return np.isin(edges[:, 0] * n + edges[:, 1], true[:, 0] * n + true[:, 1])


def features(event: hits.Event) -> np.ndarray:
    """Describe hits by their positions, scaled to order one [hit, 6] float32."""
    x, y, z = position(event).T
    r = np.hypot(x, y) + 1e-6
    listed = [x / 30, y / 30, z / 300, np.log(r / 10), x / r, y / r]
    return np.stack(listed, -1).astype(np.float32)


HALF_TURN = np.array([-1, -1, 1, 1, -1, -1], np.float32)


def half_turn(features: np.ndarray) -> np.ndarray:
    """Turn the features of hits [hit, 6] by half a turn about the beam, which detectors of two
    equal halves do not notice.
    """
    return features * HALF_TURN
