"""A track finder: edges are chosen, scored by a network, and joined to tracks by triplets.

`graph` makes an event's graph of what the filter chooses (`edge_filter`); `score` gives what the
interaction network says of its edges; tracks are made of the triplets of edges that a third network
holds for true (`triplets`). `fit` trains all stages and keeps them in the run folder, from where
`load` takes them. `find` does all of it, one event after the
other, and an event without hits, or one that is larger than any shape, has no tracks and is
counted, where the others go on.

>>> empty = hits.Event({k: np.zeros(0) for k in ("x", "y", "z", "module")}, {}, data.NO_EDGES)
>>> find(Finder(*[None] * 4, 0.0, Settings()), [empty])[0].pairs.shape
(0, 2)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization

from hepjax import runs
from hepjax.io import hits
from hepjax.nn import model
from hepjax.tracking import (
    data,
    detectors,
    edge_filter,
    graphs,
    scorers,
    training,
    triplets,
)
from hepjax.tracking.detectors import Detector
from hepjax.tracking.interaction_network import InteractionNetwork

BUDGETS = (
    graphs.Budget(2048, 12_288),
    graphs.Budget(4608, 16_384),
    graphs.Budget(7168, 32_768),
    graphs.Budget(9728, 65_536),
    graphs.Budget(9728, 131_072),
    graphs.Budget(24_832, 262_144),
    graphs.Budget(98_816, 1_048_576),
)
"""Shapes of a graph of one event."""


class Settings(NamedTuple):
    """How a finder is trained.

    filter: the choice of edges; n_filter: events it is learned from, the first; n_tuning: events
    that tell which step of the network is best and where the cut on edges is even, the last; width,
    n_rounds: of the network; plan: of its training, which sees each event turned by half a turn
    too; judge: how triplets are judged.
    """

    filter: edge_filter.Settings = edge_filter.DEFAULT
    n_filter: int = 150
    n_tuning: int = 40
    width: int = 48
    n_rounds: int = 6
    plan: training.Plan = training.Plan(8)
    judge: triplets.Settings = triplets.Settings()


PIXELS = Settings(
    filter=edge_filter.Settings(scorers.Settings(n_steps=2000), n_edges=6500),
    n_filter=80,
    n_tuning=20,
    width=32,
    plan=training.Plan(6),
    judge=triplets.Settings(cut=-3.0, lone=-0.35),
)
"""For `detectors.PIXELS` with some fifteen collisions."""


class Finder(NamedTuple):
    """All that finds tracks.

    chosen: the filter of edges; network, variables: score them; judge: of triplets; cut: on
    the logarithm of odds of edges, where they are used alone; settings; detector.
    """

    chosen: edge_filter.Filter
    network: model.Model
    variables: Any
    judge: scorers.Scorer
    cut: float
    settings: Settings
    detector: Detector = detectors.VELO


class Found(NamedTuple):
    """What is found in one event.

    pairs: (hit, track) [pair, 2]; edges: [edge, 2] (sender, receiver) of the graph; odds: [edge]
    their logarithm of odds; problem: why nothing was found, "" where all went well.
    """

    pairs: np.ndarray
    edges: np.ndarray
    odds: np.ndarray
    problem: str = ""


NAME = "finder.msgpack"
"""Of the file in the run folder."""

NOTHING = Found(np.zeros((0, 2), int), np.zeros((0, 2), int), np.zeros(0))


def graph(
    chosen: edge_filter.Filter, event: hits.Event, detector: Detector = detectors.VELO
) -> tuple[graphs.Graph, edge_filter.Selection]:
    """Make the graph of one event, features on nodes and edges."""
    selection = edge_filter.select(chosen, event, detector)
    senders, receivers = selection.pairs.T
    return graphs.build(data.features(event), selection.features, senders, receivers), selection


def _apply(network: model.Model, variables: Any, packed: graphs.Graph) -> Any:
    out = network.apply(variables, packed)
    return out.logits, out.edges


_compiled: Any = jax.jit(_apply, static_argnums=0)


def score(network: model.Model, variables: Any, one: graphs.Graph) -> tuple[np.ndarray, np.ndarray]:
    """Give the logarithm of odds of the edges of one event's graph [edge], and what the network
    knows of them [edge, width].

    Raises ValueError for a graph that none of `BUDGETS` holds.
    """
    n_nodes, n_edges = int(one.n_node[0]), int(one.n_edge[0])
    for budget in BUDGETS:
        if n_nodes < budget.n_nodes and n_edges <= budget.n_edges:
            packed = graphs.pack([one], n_nodes=budget.n_nodes, n_edges=budget.n_edges)
            odds, known = _compiled(network, variables, packed)
            return np.asarray(odds)[:n_edges], np.asarray(known)[:n_edges].astype(np.float32)
    raise ValueError(f"graph: {n_nodes} nodes and {n_edges} edges, expected room in {BUDGETS[-1]}")


def edges_of(
    network: model.Model, variables: Any, event: hits.Event, one: graphs.Graph, detector: Detector
) -> triplets.Edges:
    """Collect what is known of the edges of an event's graph."""
    ends: Any = one.senders, one.receivers
    odds, known = score(network, variables, one)
    direction = np.asarray(detector.direction(data.position(event), ends))
    return triplets.Edges(np.stack(ends, -1), odds, known, direction)


def edges(tracker: Finder, event: hits.Event) -> triplets.Edges:
    """Give the edges of one event with what a finder knows of them.

    Raises ValueError for an event that no shape holds.
    """
    one, _ = graph(tracker.chosen, event, tracker.detector)
    return edges_of(tracker.network, tracker.variables, event, one, tracker.detector)


def link(tracker: Finder, edges: triplets.Edges) -> np.ndarray:
    """Make tracks of the edges of an event: pairs (hit, track) [pair, 2]."""
    return triplets.link(
        tracker.judge, edges, tracker.settings.judge, overlaps=tracker.detector.overlaps
    )


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
    turned = [one._replace(nodes=data.half_turn(one.nodes)) for one in made[:first]]
    variables = training.fit(
        run, network, made[:first] + turned, made[first:], settings.plan, seed=seed, resume=resume
    )
    seen = slice(max(first - settings.judge.n_events, 0), None)
    known = []
    with runs.progress(len(made[seen]), "triplets") as advance:
        for one, labelled in zip(sample[seen], made[seen]):
            bare = labelled._replace(edges=labelled.edges["features"])
            known.append((one, edges_of(network, variables, one.event, bare, detector)))
            advance(1)
    judge = triplets.fit(known[: -settings.n_tuning], settings.judge, seed=seed)
    cut = even_cut(known[-settings.n_tuning :])
    found = Finder(chosen, network, variables, judge, cut, settings, detector)
    save(run.path / NAME, found)
    return found


def save(path: Path, finder: Finder) -> None:
    """Write a finder, its detector excepted, to a file."""
    settings = finder.settings
    kept = {
        "stages": [stage._asdict() for stage in finder.chosen.stages],
        "links": finder.chosen.links,
        "params": finder.variables["params"],
        "judge": finder.judge._asdict(),
        "cut": finder.cut,
        "network": [settings.width, settings.n_rounds],
        "link": [settings.judge.min_odds, settings.judge.cut, settings.judge.lone],
    }
    path.write_bytes(serialization.msgpack_serialize(jax.device_get(kept)))


def load(path: Path, detector: Detector = detectors.VELO) -> Finder:
    """Read a finder that `save` wrote, or `fit` into its run folder, for the detector that it was
    trained with. Raises ValueError for a file that holds none.
    """
    path = path / NAME if path.is_dir() else path
    try:
        kept: Any = serialization.msgpack_restore(path.read_bytes())
        stages = tuple(scorers.Scorer(**stage) for stage in kept["stages"])
        judge = scorers.Scorer(**kept["judge"])
        width, n_rounds = kept["network"]
        settings = Settings(width=width, n_rounds=n_rounds)
        settings = settings._replace(judge=triplets.Settings(*kept["link"]))
        chosen = edge_filter.Filter(stages, kept["links"])
        variables, cut = {"params": kept["params"]}, kept["cut"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no finder ({error})") from error
    network = model.from_linen(InteractionNetwork(width, n_rounds))
    return Finder(chosen, network, variables, judge, cut, settings, detector)


def even_cut(sample: Sequence[tuple[data.Labelled, triplets.Edges]]) -> float:
    """Find the cut on the odds of edges that lets through as many wrong ones as it loses true ones,
    those that the graph lacks among them: efficiency and purity are equal.
    """
    odds = np.concatenate([edges.odds for _, edges in sample])
    counts = np.concatenate([~data.labels(x.ends, one.ignored) for one, x in sample])
    falling = np.sort(odds[counts])[::-1]
    n_true = sum(len(one.true) for one, _ in sample)
    return float(falling[min(n_true, len(falling)) - 1]) if len(falling) else 0.0


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
    edges = edges_of(finder.network, finder.variables, event, one, finder.detector)
    pairs = link(finder, edges)
    problem = f"{selection.n_lost} pairs did not fit" if selection.n_lost else ""
    return Found(pairs, edges.ends, edges.odds, problem)
