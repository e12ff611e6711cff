"""All ways to find tracks behind one face: a name, and what it learns, give a function of events.

`of_graph` makes those that work on the edges of a finder: its own triplets, the walkthrough, Denby
and Peterson's neurons, the LSTM, and the Kalman filter, which takes only the map of cells;
`of_clouds` those that need no graph: masks, object condensation, contrastive places. A method is a
function of an event that gives pairs (hit, track) [pair, 2].

>>> sorted(set(NAMES) - set(CLOUDS))
['hopfield', 'kalman', 'lstm', 'triplets', 'walkthrough']
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import serialization

from hepjax import runs
from hepjax.io import hits
from hepjax.nn import model
from hepjax.tracking import (
    clouds,
    condensation,
    data,
    finder,
    mask_decoder,
    triplets,
    walkthrough,
)
from hepjax.tracking.baselines import hopfield, kalman, next_hit

CLOUDS = ("masks", "condensation", "contrastive")
NAMES = ("triplets", "kalman", "walkthrough", "lstm", "hopfield", *CLOUDS)

Find = Callable[[hits.Event], np.ndarray]
OfEdges = Callable[[hits.Event, triplets.Edges], np.ndarray]


def check(names: Sequence[str]) -> None:
    """Raise ValueError for a name that is not one of NAMES."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ValueError(f"methods: {', '.join(unknown)}, expected some of {', '.join(NAMES)}")


def of_graph(
    name: str,
    tracker: finder.Finder,
    sample: Sequence[data.Labelled],
    *,
    lstm: next_hit.Settings = next_hit.DEFAULT,
    seed: int = 0,
) -> Find:
    """Make a method on the edges of a finder; sample: what an LSTM learns from."""
    check([name])
    if name == "kalman":
        return lambda event: kalman.find(event, tracker.chosen.links)

    def direction(event: hits.Event, ends: np.ndarray) -> np.ndarray:
        return np.asarray(tracker.detector.direction(data.position(event), tuple(ends.T)))

    def walk(event: hits.Event, edges: triplets.Edges) -> np.ndarray:
        return walkthrough.link(edges.ends, edges.odds, hits.n_hits(event))

    def judged(event: hits.Event, edges: triplets.Edges) -> np.ndarray:
        return finder.link(tracker, edges)

    def neurons(event: hits.Event, edges: triplets.Edges) -> np.ndarray:
        return hopfield.link(data.position(event), edges.ends, edges.direction)

    found: dict[str, OfEdges] = {"triplets": judged, "walkthrough": walk, "hopfield": neurons}
    if name == "lstm":
        known = [(x, data.position(x.event), direction(x.event, x.true)) for x in sample]
        predictor = next_hit.fit(known, lstm, seed=seed)

        def follow(event: hits.Event, edges: triplets.Edges) -> np.ndarray:
            return next_hit.link(predictor, data.position(event), edges.ends, edges.direction)

        found[name] = follow

    def find(event: hits.Event) -> np.ndarray:
        return found[name](event, finder.edges(tracker, event))

    return find


def of_clouds(
    name: str,
    sample: Sequence[clouds.Cloud],
    plan: clouds.Plan,
    *,
    width: int = 64,
    seed: int = 0,
    run: runs.Run | None = None,
) -> Find:
    """Train a method without a graph on clouds of events.

    run: where its losses are logged and the network is kept, in trainings/; one that is there
    already is taken and not trained.
    """
    check([name])
    trained: dict[str, Any] = {"sample": sample, "plan": plan, "seed": seed}
    if name == "masks":
        network = model.from_linen(mask_decoder.MaskDecoder(width))
        variables = _kept(run, name, lambda log: mask_decoder.fit(network, run=log, **trained))
        return lambda event: mask_decoder.find(network, variables, event)
    network = model.from_linen(condensation.Embedding(width))
    loss: Any = condensation.contrastive()
    weights: dict[str, float] | None = None
    options: dict[str, Any] = {"by": "density", "radius": 0.15}
    if name == "condensation":
        loss, weights, options = condensation.condensation(), condensation.WEIGHTS, {}
    variables = _kept(
        run, name, lambda log: clouds.fit(network, loss, weights=weights, run=log, **trained)
    )
    return lambda event: condensation.find(network, variables, event, **options)


def _kept(run: runs.Run | None, name: str, train: Callable[[runs.Run | None], Any]) -> Any:
    """Train a network, or take it from the run folder."""
    if run is None:
        return train(None)
    path = run.path / "trainings" / name / "variables.msgpack"
    if path.exists():
        return serialization.msgpack_restore(path.read_bytes())
    log = runs.create(path.parent, {"name": name}, resume=True)
    (log.path / "metrics.jsonl").unlink(missing_ok=True)  # of a training that did not end
    found = jax.device_get(train(log))
    runs.write_atomically(path, lambda new: new.write_bytes(serialization.msgpack_serialize(found)))
    return found
