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

import numpy as np

from hepjax.io import hits

MIN_MODULES = 3


def position(event: hits.Event) -> np.ndarray:
    """Stack the positions of the hits [hit, 3], mm."""
    return np.stack([event.hits[k] for k in hits.POSITION], -1)


def n_modules(event: hits.Event) -> np.ndarray:
    """Count the modules in which each particle left hits [particle]."""
    hit, particle = event.truth.T
    crossed = np.unique(np.stack([particle, event.hits["module"][hit]], -1), axis=0)
    return np.bincount(crossed[:, 0], minlength=hits.n_particles(event))


def reconstructible(event: hits.Event) -> np.ndarray:
    """Tell which particles left hits in enough modules for a track [particle]."""
    return n_modules(event) >= MIN_MODULES


def true_edges(
    event: hits.Event, along: np.ndarray | None = None, group: np.ndarray | None = None
) -> np.ndarray:
    """List the pairs of hits that follow each other on a reconstructible particle [edge, 2].

    along: [hit] what rises along a track (None: the module's index, as in the Velo); group: [hit]
    hits of one particle and one group are not joined (None: the module). Edges point along; an edge
    of two particles stands once; sorted.
    """
    module = event.hits["module"]
    along, group = (module if x is None else x for x in (along, group))
    wanted = reconstructible(event)[event.truth[:, 1]]
    hit, particle = event.truth[wanted].T
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
