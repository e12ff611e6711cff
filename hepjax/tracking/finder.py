"""A track finder: edges are chosen, scored by a network, and linked to tracks.

`graph` makes an event's graph of what the filter chooses (`edge_filter`); `score` gives the
logarithm of odds of its edges by the interaction network; `link` makes tracks of edges above a cut
(`tracks`). `fit` trains all stages. `find` does all of it, one event after the other, and an event
without hits, or one that is larger than any shape, has no tracks and is counted, where the others
go on.

>>> edges = np.array([[0, 1], [1, 2]]), np.array([2.0, 3.0])
>>> link(np.array([[0, 0, 0], [1, 0, 10], [2, 0, 20.0]]), *edges).tolist()
[[0, 0], [1, 0], [2, 0]]
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hepjax import runs
from hepjax.io import hits
from hepjax.nn import model
from hepjax.tracking import (
    data,
    detectors,
    doublets,
    edge_filter,
    graphs,
    partners,
    tracks,
    training,
)
from hepjax.tracking.detectors import Detector
from hepjax.tracking.interaction_network import InteractionNetwork

BUDGETS = (
    graphs.Budget(2048, 12_288),
    graphs.Budget(4608, 32_768),
    graphs.Budget(9728, 131_072),
)
"""Shapes of a graph of one event."""

WEIGHT = 0.5
"""Of the odds of a triplet's edges, against the logarithm of its kink, in its score."""


class Finder(NamedTuple):
    """All that finds tracks: the filter, the network with its variables, the cut on edges, and what
    is known of the detector.
    """

    chosen: edge_filter.Filter
    network: model.Model
    variables: Any
    cut: float = 0.0
    detector: Detector = detectors.VELO


class Settings(NamedTuple):
    """How a finder is trained.

    filter: the choice of edges; n_filter: events it is learned from, the first; n_tuning: events
    that tell which step of the network is best, the last; width, n_rounds: of the network; plan: of
    its training; cut: on the logarithm of odds of edges.
    """

    filter: edge_filter.Settings = edge_filter.DEFAULT
    n_filter: int = 150
    n_tuning: int = 40
    width: int = 32
    n_rounds: int = 6
    plan: training.Plan = training.Plan(14)
    cut: float = 0.0


class Found(NamedTuple):
    """What is found in one event.

    pairs: (hit, track) [pair, 2]; edges: [edge, 2] (sender, receiver) of the graph; odds: [edge]
    their logarithm of odds; problem: why nothing was found, "" where all went well.
    """

    pairs: np.ndarray
    edges: np.ndarray
    odds: np.ndarray
    problem: str = ""


NOTHING = Found(np.zeros((0, 2), int), np.zeros((0, 2), int), np.zeros(0))


def graph(
    chosen: edge_filter.Filter, event: hits.Event, detector: Detector = detectors.VELO
) -> tuple[graphs.Graph, edge_filter.Selection]:
    """Make the graph of one event, features on nodes and edges."""
    selection = edge_filter.select(chosen, event, detector)
    senders, receivers = selection.pairs.T
    return graphs.build(data.features(event), selection.features, senders, receivers), selection


def _odds(network: model.Model, variables: Any, packed: graphs.Graph) -> jax.Array:
    return network.apply(variables, packed).logits


_compiled: Any = jax.jit(_odds, static_argnums=0)


def score(network: model.Model, variables: Any, one: graphs.Graph) -> np.ndarray:
    """Give the logarithm of odds of the edges of one event's graph [edge].

    Raises ValueError for a graph that none of `BUDGETS` holds.
    """
    n_nodes, n_edges = int(one.n_node[0]), int(one.n_edge[0])
    for budget in BUDGETS:
        if n_nodes < budget.n_nodes and n_edges <= budget.n_edges:
            packed = graphs.pack([one], n_nodes=budget.n_nodes, n_edges=budget.n_edges)
            return np.asarray(_compiled(network, variables, packed))[:n_edges]
    raise ValueError(f"graph: {n_nodes} nodes and {n_edges} edges, expected room in {BUDGETS[-1]}")


def link(
    position: np.ndarray,
    edges: np.ndarray,
    odds: np.ndarray,
    direction: partners.Direction = doublets.slope,
) -> np.ndarray:
    """Make tracks of edges: pairs (hit, track) [pair, 2].

    position: [hit, 3] mm; edges: [edge, 2] (sender, receiver); odds: [edge], of those to use alone;
    direction: what stays along a track.
    """
    senders, receivers = edges.T
    pairs = tracks.triplets(senders, receivers)
    along = np.asarray(direction(position, (senders, receivers)))
    straight = -np.log(tracks.kinks(along, pairs) + 1e-3)
    chain = tracks.chains(len(edges), pairs, straight + WEIGHT * odds[pairs].sum(1))
    return tracks.without_clones(tracks.assemble(senders, receivers, chain))


def fit(
    run: runs.Run,
    sample: Sequence[data.Labelled],
    settings: Settings,
    *,
    detector: Detector = detectors.VELO,
    seed: int = 0,
    resume: bool = False,
) -> Finder:
    """Train all stages on events with their true edges; everything is kept in the run folder.

    resume: go on from what is there. Raises ValueError for fewer events than are needed.
    """
    needed = max(settings.n_filter, settings.n_tuning + 1)
    if len(sample) < needed:
        raise ValueError(f"sample: {len(sample)} events, expected {needed} or more")
    kept = run.path / "filter.msgpack"
    if not (resume and kept.exists()):
        some = sample[: settings.n_filter]
        learned = edge_filter.fit(some, settings.filter, detector=detector, seed=seed)
        edge_filter.save(kept, learned)
    chosen = edge_filter.load(kept)
    made = []
    with runs.progress(len(sample), "graphs") as advance:
        for one in sample:
            made.append(training.labelled(graph(chosen, one.event, detector)[0], one))
            advance(1)
    network = model.from_linen(InteractionNetwork(settings.width, settings.n_rounds))
    first = len(made) - settings.n_tuning
    variables = training.fit(
        run, network, made[:first], made[first:], settings.plan, seed=seed, resume=resume
    )
    return Finder(chosen, network, variables, settings.cut, detector)


def find(finder: Finder, events: Sequence[hits.Event]) -> list[Found]:
    """Find the tracks of events; what cannot be done for one is said in its `Found.problem`."""
    found = []
    with runs.progress(len(events), "find tracks") as advance:
        for event in events:
            try:
                found.append(_find(finder, event))
            except ValueError as error:
                found.append(NOTHING._replace(problem=str(error)))
            advance(1)
    return found


def _find(finder: Finder, event: hits.Event) -> Found:
    if not hits.n_hits(event):
        return NOTHING
    hits.validate(event)
    one, selection = graph(finder.chosen, event, finder.detector)
    odds = score(finder.network, finder.variables, one)
    ends: Any = one.senders, one.receivers
    edges, kept = np.stack(ends, -1), odds > finder.cut
    pairs = link(data.position(event), edges[kept], odds[kept], finder.detector.direction)
    problem = f"{selection.n_lost} pairs did not fit" if selection.n_lost else ""
    return Found(pairs, edges, odds, problem)
