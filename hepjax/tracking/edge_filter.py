"""The edges of a graph of hits, chosen among all pairs by small networks, one after the other.

All pairs of hits in a geometric window are 300 for each true edge in the Velo. The first network
looks at a pair by itself (`doublets`). Those after it look at what the pairs that are left
say of each other as well (`partners`): what goes before and behind, and what competes for the hits.
A cut on the logarithm of odds follows each: all but the last keep a given share of the true edges,
the last a given number of edges an event, on average over the events of the training.

`fit` learns networks and cuts from events, `select` gives the edges of one event, `save` and `load`
keep a filter in a file. What is compiled has one of the detector's shapes; an event whose pairs do
not fit goes to the next larger one, and what does not fit the largest is counted in
`Selection.n_lost`.

>>> shapes_of(np.repeat(np.arange(52), 40), detectors.VELO)[0].n_hits
2560
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch, runs
from hepjax.io import hits
from hepjax.tracking import data, detectors, module_map, neighbours, partners, scorers
from hepjax.tracking.detectors import CHUNK, Detector, Shape

N_PARTNERS = 8
"""On each side of an edge."""


class Filter(NamedTuple):
    """What chooses the edges of a detector's events.

    stages: the networks, the first for pairs by themselves, the others with partners; links:
    [link, 2] cells of the detector whose hits are compared.
    """

    stages: tuple[scorers.Scorer, ...]
    links: np.ndarray


class Settings(NamedTuple):
    """How a filter is trained.

    network: of each; negatives: wrong pairs in the training for each true one, drawn at random;
    keep: share of true edges behind each cut but the last, which makes as many networks and one;
    n_edges: an event behind the last, on average.
    """

    network: scorers.Settings = scorers.Settings()
    negatives: float = 12.0
    keep: tuple[float, ...] = (0.999, 0.9995)
    n_edges: int = 9000


DEFAULT = Settings()


class Selection(NamedTuple):
    """Edges of one event: pairs of hits, what is known of them, and how much did not fit.

    pairs: [edge, 2] (sender, receiver); features: [edge, feature], the first their odds; n_lost:
    pairs beyond the room of the shape, 0 unless the event is larger than any.
    """

    pairs: np.ndarray
    features: np.ndarray
    n_lost: int


class Candidates(NamedTuple):
    """Pairs of one event that are left: senders, receivers, odds [pair], -inf of padding, and how
    many there are, those without room included.
    """

    senders: jax.Array
    receivers: jax.Array
    odds: jax.Array
    n_found: jax.Array


class Laid(NamedTuple):
    """An event in its shape: table of hits by cell, position [hit, 3] mm, layer [hit]."""

    table: neighbours.Table
    position: Any
    layer: Any


def shapes_of(cell: np.ndarray, detector: Detector) -> list[Shape]:
    """List the shapes that hold an event, the smallest first, by its hits [hit] and those of each
    cell.

    Raises ValueError for an event that none holds.
    """
    n, widest = len(cell), int(np.bincount(cell, minlength=1).max())
    shapes = detector.shapes
    found = [shape for shape in shapes if n <= shape.n_hits and widest <= shape.width]
    if not found:
        raise ValueError(
            f"event: {n} hits, up to {widest} a cell, expected at most {shapes[-1].n_hits} and "
            f"{shapes[-1].width}"
        )
    return found


def lay(event: hits.Event, shape: Shape, detector: Detector) -> Laid:
    """Lay out an event in its shape."""
    n = hits.n_hits(event)
    table = neighbours.table(detector.cells(event), n_modules=detector.n_cells, width=shape.width)
    more = shape.n_hits - n
    position = np.pad(data.position(event).astype(np.float32), ((0, more), (0, 0)))
    return Laid(table, position, np.pad(detector.layers(event), (0, more)).astype(np.int32))


@functools.partial(jax.jit, static_argnames=("detector", "room"))
def _window(laid: Laid, links: np.ndarray, detector: Detector, room: int) -> Candidates:
    """Find the pairs in the window, all of even odds."""
    known = detector.coordinates(laid.position)
    pairs = neighbours.search(laid.table, known, detector.accept, links=links, capacity=room)
    odds = jnp.where(pairs.mask, 0.0, -jnp.inf)
    return Candidates(pairs.senders, pairs.receivers, odds, pairs.n_found)


def _known(
    laid: Laid,
    left: Candidates,
    near: partners.Near | None,
    pair: jax.Array,
    detector: Detector,
) -> tuple[jax.Array, ...]:
    """Make what a network looks at for some pairs [n], with their partners if near is given."""
    ends = left.senders[pair], left.receivers[pair]
    x = detector.describe(laid.position, laid.layer, ends)
    if near is None:
        return (x,)
    own, of_partners = partners.describe(near, pair)
    return jnp.concatenate([own, x], -1), of_partners


def _look(laid: Laid, left: Candidates, detector: Detector, alone: bool) -> partners.Near | None:
    if alone:
        return None
    ends = left.senders, left.receivers
    return partners.look(laid.position, ends, left.odds, N_PARTNERS, detector.direction)


@functools.partial(jax.jit, static_argnames=("detector", "alone", "room"))
def _advance(
    scorer: scorers.Scorer, laid: Laid, left: Candidates, detector: Detector, alone: bool, room: int
) -> Candidates:
    """Score pairs with one network, and keep those above its cut."""
    near = _look(laid, left, detector, alone)
    size = min(CHUNK, len(left.odds))

    def one(chunk: Any, odds: jax.Array) -> jax.Array:
        pair = chunk * size + jnp.arange(size)
        found = scorers.score(scorer, *_known(laid, left, near, pair, detector))
        return jax.lax.dynamic_update_slice(odds, found, (chunk * size,))

    n_chunks = -(-jnp.minimum(left.n_found, len(left.odds)) // size)  # and not all that have room
    odds = jax.lax.fori_loop(0, n_chunks, one, jnp.full_like(left.odds, -jnp.inf))
    above = (left.odds > -jnp.inf) & (odds > scorer.cut)
    place = neighbours.places(above, room)
    pair = jnp.zeros(room, jnp.int32).at[place].set(jnp.arange(len(odds)), mode="drop")
    n_found = above.sum()
    kept = jnp.where(jnp.arange(room) < n_found, odds[pair], -jnp.inf)
    return Candidates(left.senders[pair], left.receivers[pair], kept, n_found)


@functools.partial(jax.jit, static_argnames=("detector", "alone"))
def _inputs(
    laid: Laid, left: Candidates, pair: jax.Array, detector: Detector, alone: bool
) -> tuple[jax.Array, ...]:
    return _known(laid, left, _look(laid, left, detector, alone), pair, detector)


def remaining(
    chosen: Filter, event: hits.Event, detector: Detector
) -> tuple[Laid, Candidates, int]:
    """Find what is left of an event behind some networks, and how much did not fit.

    Raises ValueError for an event that no shape holds.
    """
    for shape in shapes_of(detector.cells(event), detector):
        laid = lay(event, shape, detector)
        left = _window(laid, chosen.links, detector, room=shape.n_pairs)
        lost = max(int(left.n_found) - shape.n_pairs, 0)
        for k, scorer in enumerate(chosen.stages):
            room = shape.n_left if k else shape.n_kept
            left = _advance(scorer, laid, left, detector, alone=not k, room=room)
            lost += max(int(left.n_found) - room, 0)
        if not lost:
            break
    return laid, left, lost


def listed(left: Candidates) -> np.ndarray:
    """List the pairs that have room [pair, 2]."""
    n = min(int(left.n_found), len(left.odds))
    return np.stack([left.senders[:n], left.receivers[:n]], -1)


def select(chosen: Filter, event: hits.Event, detector: Detector = detectors.VELO) -> Selection:
    """Choose the edges of one event; one without hits has none.

    Raises ValueError for an event that no shape holds.
    """
    laid, left, lost = remaining(chosen, event, detector)
    pairs = listed(left)
    every = np.arange(len(left.odds))
    known, _ = _inputs(laid, left, every, detector, alone=False)
    return Selection(pairs, np.asarray(known[: len(pairs)]), lost)


def fit(
    sample: Sequence[data.Labelled],
    settings: Settings = DEFAULT,
    *,
    detector: Detector = detectors.VELO,
    seed: int = 0,
) -> Filter:
    """Train the networks, one after the other, and set their cuts.

    sample: some hundred events with their true edges. Cells are compared that the detector links,
    or that true edges of the sample link. Raises ValueError where there is no true edge.
    """
    rng = batch.generator(seed)
    if not sum(len(one.true) for one in sample):
        raise ValueError(f"events: no true edge in {len(sample)} events, expected some")
    learned = ((detector.cells(one.event), one.true) for one in sample)
    links = detector.links or functools.partial(
        module_map.learn, learned, n_sectors=detector.n_sectors
    )
    chosen = Filter((), links())
    for k in range(len(settings.keep) + 1):
        known, label, weight = _draw(chosen, sample, settings.negatives, rng, detector)
        scorer = scorers.fit(known, label, weight, settings.network, seed=seed + k)
        odds = scorers.score_all(scorer, *known)
        if k < len(settings.keep):
            cut = np.quantile(odds[label > 0], 1 - settings.keep[k])
        else:
            order = np.argsort(-odds)
            n_kept = np.cumsum(weight[order]) / len(sample)
            cut = odds[order[min(int(np.searchsorted(n_kept, settings.n_edges)), len(odds) - 1)]]
        scorer = scorer._replace(cut=np.float32(cut))
        chosen = chosen._replace(stages=(*chosen.stages, scorer))
    return chosen


def _draw(
    chosen: Filter,
    sample: Sequence[data.Labelled],
    negatives: float,
    rng: np.random.Generator,
    detector: Detector,
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Draw pairs for the network behind some: what it looks at, labels, weights [pair]."""
    parts = []
    with runs.progress(len(sample), f"pairs {len(chosen.stages) + 1}") as advance:
        for one in sample:
            laid, left, _ = remaining(chosen, one.event, detector)
            pairs = listed(left)
            label = data.labels(pairs, one.true)
            wrong = ~label & ~data.labels(pairs, one.ignored)
            share = min(1.0, negatives * label.sum() / max(wrong.sum(), 1))
            drawn = np.flatnonzero(label | wrong & (rng.random(len(label)) < share))
            room = -(-max(len(drawn), 1) // CHUNK) * CHUNK
            index = np.pad(drawn, (0, room - len(drawn)))
            known = _inputs(laid, left, index, detector, alone=not chosen.stages)
            weight = np.where(label[drawn], 1, 1 / max(share, 1e-9)).astype(np.float32)
            looked = (np.asarray(x)[: len(drawn)] for x in known)
            parts.append((*looked, label[drawn].astype(np.float32), weight))
            advance(1)
    *known, label, weight = (np.concatenate(x) for x in zip(*parts))
    return tuple(known), label, weight


def save(path: Path, chosen: Filter) -> None:
    """Write a filter to a file."""
    scorers.save(path, *chosen.stages, links=chosen.links)


def load(path: Path) -> Filter:
    """Read a filter that `save` wrote. Raises ValueError for a file that holds none."""
    stages, arrays = scorers.load(path)
    return Filter(stages, arrays["links"])
