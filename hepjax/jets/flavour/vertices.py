"""Vertices of a jet from what a network says of its tracks: origins, and pairs of one vertex.

`group` joins tracks by union-find: every pair above the threshold is one set, and so is what they
are joined with. Sets that the network holds for tracks of the primary vertex get the number 0.
`performance` does so for the jets of a sample and counts what was found of the true ones.

>>> together = np.array([[[0, 4, -4], [4, 0, -4], [-4, -4, 0.0]]])
>>> group(together, np.array([[3, 3, 2]]), np.ones((1, 3), bool)).tolist()
[1, 1, 0]
"""

import jax
import numpy as np

from hepjax.jets import batches, data
from hepjax.jets.flavour import loss, metrics, taggers
from hepjax.jets.simulation import events


def group(
    together: np.ndarray, origin: np.ndarray, mask: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    """Number the vertices of each jet: [track] int32, flat over the real tracks, 0 = primary.

    together: [jet, track, track] logits of a shared vertex; origin: [jet, track] predicted
    events.ORIGINS; mask: [jet, track] True = real; threshold: least probability to join two tracks,
    in (0, 1). A set is secondary if more than half of its tracks are not predicted to be primary,
    pile-up or fake; the numbers of a jet are not consecutive.
    """
    from scipy import sparse

    if not 0 < threshold < 1:
        raise ValueError(f"threshold: expected a probability in (0, 1), found {threshold}")
    if together.shape != (*mask.shape, mask.shape[1]) or origin.shape != mask.shape:
        raise ValueError(
            f"together {together.shape}, origin {origin.shape}, expected [jet, track, track] and "
            f"[jet, track] as mask {mask.shape}"
        )
    joined = together > np.log(threshold / (1 - threshold))
    joined &= mask[:, :, None] & mask[:, None]
    number = np.cumsum(mask.ravel()).reshape(mask.shape) - 1  # of a track among the real ones
    jet, i, j = np.nonzero(joined)
    n_tracks = int(mask.sum())
    edges = (np.ones(len(jet), bool), (number[jet, i], number[jet, j]))
    graph = sparse.coo_matrix(edges, (n_tracks, n_tracks))
    n_sets, index = sparse.csgraph.connected_components(graph, directed=False)
    away = origin[mask] > events.PRIMARY
    share = np.bincount(index, away, n_sets) / np.bincount(index, minlength=n_sets)
    first = np.full(n_sets, n_tracks)
    np.minimum.at(first, index, np.arange(n_tracks))
    begin = np.repeat(np.cumsum(mask.sum(1)) - mask.sum(1), mask.sum(1))
    return np.where(share[index] > 0.5, first[index] - begin + 1, 0).astype(np.int32)


def performance(
    tagger: taggers.Tagger,
    jets: data.RaggedJets,
    *,
    n_jets: int = 40_000,
    threshold: float = 0.5,
    budget: int = 16384,
) -> dict[str, float]:
    """Count the vertices that a tagger finds in the first `n_jets` of a sample.

    Returns vertex_efficiency_{class} and vertex_fake_rate_{class} with _error; see
    metrics.vertex_performance. Tracks past the largest bucket are not looked at, on either side.
    """
    some = data.take(jets, np.arange(min(n_jets, len(jets.label))))
    served = batches.of_sample(some, shuffle=False, buckets=tagger.buckets, budget=budget)
    apply = jax.jit(loss.outputs(tagger.model, tagger.inputs))
    found, true, jet = [], [], []
    for index in range(len(served.shapes(0))):
        here, rows = served.get(0, index), served.rows(0, index)
        out = apply(tagger.variables, here)
        origin = np.asarray(out.origin).argmax(-1)
        found.append(group(np.asarray(out.vertex), origin, here.mask, threshold))
        true.append(here.particles.vertex[here.mask])
        jet.append(np.repeat(rows, here.mask.sum(1)))
    groups, truth, where = (np.concatenate(x) for x in (found, true, jet))
    of_sample = metrics.vertex_performance(groups, truth, where, some.label)
    numbers = {}
    for kind, by_class in zip(("efficiency", "fake_rate"), of_sample):
        for name, value in by_class.items():
            key = f"vertex_{kind}_{name}"
            numbers |= {key: value.value, f"{key}_error": (value.high - value.low) / 2}
    return numbers
