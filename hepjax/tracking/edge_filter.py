"""The edges of a graph of hits, chosen among all pairs by two small networks, one after the other.

All pairs of hits in a geometric window are 140 for each true edge in the Velo. The first network
looks at a pair by itself (`doublets.features`), the second at what the other hits say of it as well
(`doublets.support`), which costs more and is done for the pairs that are left alone. Both cuts are
on the logarithm of odds: the first keeps a given share of the true edges, the second a given number
of edges an event, both on average over the events of the training.

`fit` learns both networks and cuts from events, `select` gives the edges of one event. What is
compiled has one of `SHAPES`; an event whose pairs do not fit goes to the next larger one, and what
does not fit the largest is counted in `Selection.n_lost`.

>>> shapes_of(np.repeat(np.arange(52), 40))[0]
Shape(n_hits=2560, width=96, n_pairs=524288, n_kept=65536)
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import batch, runs, train
from hepjax.io import hits
from hepjax.nn import mlp
from hepjax.tracking import data, doublets, neighbours

STEPS = (1, 2, 3, 4)
"""Differences of modules that a true edge bridges: all but 0.1 % in the Velo."""

SLOPE = 1.0
N_MODULES = 52


class Shape(NamedTuple):
    """Room for one event: its hits, the hits of a module, pairs in the window, and pairs that the
    first network keeps.
    """

    n_hits: int
    width: int
    n_pairs: int
    n_kept: int


SHAPES = (
    Shape(1024, 48, 98_304, 16_384),
    Shape(1792, 64, 262_144, 32_768),
    Shape(2560, 96, 524_288, 65_536),
    Shape(3584, 128, 1_048_576, 131_072),
    Shape(5632, 192, 2_621_440, 262_144),
    Shape(9216, 320, 6_291_456, 524_288),
)


class Scorer(NamedTuple):
    """A small network from features to the logarithm of odds, and the cut on it.

    params; mean, scale: [feature] of the training; cut: pairs below it are dropped.
    """

    params: Any
    mean: np.ndarray
    scale: np.ndarray
    cut: float


class Filter(NamedTuple):
    """Both networks."""

    first: Scorer
    second: Scorer


class Settings(NamedTuple):
    """How a filter is trained.

    width: of both networks, which have two hidden layers; negatives: wrong pairs in the training
    for each true one, drawn at random; keep: share of true edges behind the first cut; n_edges: an
    event behind the second, on average; batch_size: pairs; learning_rate: the largest; n_steps: of
    each network.
    """

    width: int = 48
    negatives: float = 10.0
    keep: float = 0.998
    n_edges: int = 9500
    batch_size: int = 16_384
    learning_rate: float = 3e-3
    n_steps: int = 3000


DEFAULT = Settings()


class Selection(NamedTuple):
    """Edges of one event: pairs of hits, what is known of them, and how much did not fit.

    pairs: [edge, 2] (sender, receiver); features: [edge, feature], the last the score of the second
    network; n_lost: pairs beyond the room of the shape, 0 unless the event is larger than any.
    """

    pairs: np.ndarray
    features: np.ndarray
    n_lost: int


def shapes_of(module: np.ndarray) -> list[Shape]:
    """List the shapes that hold an event, the smallest first, by its hits [hit] and those of each
    module.

    Raises ValueError for an event that none holds.
    """
    n, widest = len(module), int(np.bincount(module, minlength=1).max())
    found = [shape for shape in SHAPES if n <= shape.n_hits and widest <= shape.width]
    if not found:
        raise ValueError(
            f"event: {n} hits, up to {widest} a module, expected at most {SHAPES[-1].n_hits} and "
            f"{SHAPES[-1].width}"
        )
    return found


def _network(width: int) -> mlp.MLP:
    return mlp.MLP((width, width, 1))


def score(scorer: Scorer, x: jax.Array) -> jax.Array:
    """Give the logarithm of odds of pairs [pair, feature] -> [pair]."""
    width = scorer.params["dense_0"]["kernel"].shape[1]
    scaled = (x - scorer.mean) / scorer.scale
    odds: Any = _network(width).apply({"params": scorer.params}, scaled)
    return odds[:, 0]


def _padded(event: hits.Event, shape: Shape) -> tuple[neighbours.Table, np.ndarray, np.ndarray]:
    """Lay out an event in its shape: table of hits, positions [hit, 3], modules [hit]."""
    module = event.hits["module"]
    table = neighbours.table(module, n_modules=N_MODULES, width=shape.width)
    more = shape.n_hits - len(module)
    position = np.pad(data.position(event).astype(np.float32), ((0, more), (0, 0)))
    return table, position, np.pad(module, (0, more)).astype(np.int32)


@functools.partial(jax.jit, static_argnames="n_pairs")
def _window(
    table: neighbours.Table, position: jax.Array, module: jax.Array, n_pairs: int
) -> tuple[neighbours.Pairs, jax.Array]:
    """Find the pairs in the window, with the features of each by itself."""
    window = neighbours.window(SLOPE)
    pairs = neighbours.search(table, position, window, steps=STEPS, capacity=n_pairs)
    return pairs, doublets.features(position, module, (pairs.senders, pairs.receivers))


@functools.partial(jax.jit, static_argnames="n_kept")
def _support(
    first: Scorer,
    table: neighbours.Table,
    position: jax.Array,
    module: jax.Array,
    pairs: neighbours.Pairs,
    x: jax.Array,
    n_kept: int,
) -> tuple[neighbours.Pairs, jax.Array]:
    """Keep the pairs above the first cut, with all that the second network looks at."""
    odds = score(first, x)
    above = pairs.mask & (odds > first.cut)
    place = neighbours.places(above, n_kept)
    index = jnp.zeros(n_kept, jnp.int32).at[place].set(jnp.arange(len(odds)), mode="drop")
    n_found = above.sum()
    kept = jnp.arange(n_kept) < n_found
    ends, odds = (pairs.senders[index], pairs.receivers[index]), odds[index]
    near = doublets.support(table, position, module, ends)
    half = near.shape[1] // 2
    nearest = near[:, :half].min(1), near[:, half:].min(1), near.min(1), jnp.where(kept, odds, 0)
    known = jnp.concatenate([x[index], near, jnp.stack(nearest, -1)], -1)
    return neighbours.Pairs(*ends, kept, n_found), known


def _in_window(event: hits.Event, shape: Shape) -> tuple[tuple, neighbours.Pairs, jax.Array, int]:
    """Lay out an event and find its pairs in the window, with features, and how many are lost."""
    laid = _padded(event, shape)
    pairs, x = _window(*laid, n_pairs=shape.n_pairs)
    return laid, pairs, x, max(int(pairs.n_found) - shape.n_pairs, 0)


def _pairs(event: hits.Event) -> tuple[np.ndarray, np.ndarray]:
    """Give the pairs in the window [pair, 2] and their features."""
    for shape in shapes_of(event.hits["module"]):
        _, pairs, x, lost = _in_window(event, shape)
        if not lost:
            break
    n = min(int(pairs.n_found), shape.n_pairs)
    return np.stack([pairs.senders[:n], pairs.receivers[:n]], -1), np.asarray(x[:n])


def _candidates(first: Scorer, event: hits.Event) -> tuple[np.ndarray, np.ndarray, int]:
    """Find what the first network keeps: pairs [pair, 2], features, and how much did not fit."""
    for shape in shapes_of(event.hits["module"]):
        laid, pairs, x, lost = _in_window(event, shape)
        kept, known = _support(first, *laid, pairs, x, n_kept=shape.n_kept)
        n = min(int(kept.n_found), shape.n_kept)
        lost += int(kept.n_found) - n
        if not lost:
            break
    return np.stack([kept.senders[:n], kept.receivers[:n]], -1), np.asarray(known[:n]), lost


def select(chosen: Filter, event: hits.Event) -> Selection:
    """Choose the edges of one event; one without hits has none.

    Raises ValueError for an event that no shape holds.
    """
    pairs, known, lost = _candidates(chosen.first, event)
    n = len(pairs)
    room = next((shape.n_kept for shape in SHAPES if n <= shape.n_kept), n)
    odds = np.asarray(_score(chosen.second, np.pad(known, ((0, room - n), (0, 0)))))[:n]
    above = odds > chosen.second.cut
    return Selection(pairs[above], np.c_[known, odds][above].astype(np.float32), lost)


_score = jax.jit(score)


def fit(events: Sequence[hits.Event], settings: Settings = DEFAULT, *, seed: int = 0) -> Filter:
    """Train both networks, one after the other, and set their cuts.

    events: with truth, some hundred. Raises ValueError where they have no true edge.
    """
    rng = batch.generator(seed)
    true = [data.true_edges(event) for event in events]
    if not sum(map(len, true)):
        raise ValueError(f"events: no true edge in {len(events)} events, expected some")

    def draw(of: Any, title: str) -> tuple[Any, ...]:
        parts = []
        with runs.progress(len(events), title) as advance:
            for event, edges in zip(events, true):
                pairs, x = of(event)
                label = data.labels(pairs, edges)
                share = min(1.0, settings.negatives * label.sum() / max((~label).sum(), 1))
                kept = label | (rng.random(len(label)) < share)
                parts.append((x[kept], label[kept], np.where(label, 1, 1 / max(share, 1e-9))[kept]))
                advance(1)
        return tuple(np.concatenate(x).astype(np.float32) for x in zip(*parts))

    x, label, weight = draw(_pairs, "pairs")
    first = _fit(x, label, weight, settings, seed)
    odds = np.concatenate([_score(first, part) for part in np.array_split(x[label > 0], 16)])
    first = first._replace(cut=float(np.quantile(odds, 1 - settings.keep)))
    x, label, weight = draw(lambda event: _candidates(first, event)[:2], "candidates")
    second = _fit(x, label, weight, settings, seed + 1)
    odds = np.concatenate([_score(second, part) for part in np.array_split(x, 16)])
    order = np.argsort(-odds)
    n_kept = np.cumsum(weight[order]) / len(events)
    last = order[min(int(np.searchsorted(n_kept, settings.n_edges)), len(order) - 1)]
    return Filter(first, second._replace(cut=float(odds[last])))


def _fit(
    x: np.ndarray, label: np.ndarray, weight: np.ndarray, settings: Settings, seed: int
) -> Scorer:
    """Train one network on pairs [pair, feature], true or not, with weights."""
    scorer = Scorer(None, x.mean(0), x.std(0) + 1e-3, 0.0)
    network = _network(settings.width)
    params = network.init(jax.random.key(seed), x[:1])["params"]
    size, one = settings.batch_size, np.ones(len(x), np.int64)

    def plan(epoch: int) -> list[batch.Selection]:
        return batch.plan(one, seed=seed, epoch=epoch, buckets=(1,), budget=size)

    def fill(chosen: batch.Selection) -> tuple[np.ndarray, ...]:
        there = chosen.rows >= 0
        return x[chosen.rows], label[chosen.rows], weight[chosen.rows] * there

    def cross_entropy(params: Any, pairs: tuple, key: Any) -> batch.Mean:
        odds = score(scorer._replace(params=params), pairs[0])
        return batch.mean(optax.sigmoid_binary_cross_entropy(odds, pairs[1]), pairs[2])

    schedule = optax.cosine_onecycle_schedule(settings.n_steps, settings.learning_rate, 0.1)
    optimiser = optax.adamw(schedule, weight_decay=1e-4)
    loss = train.mean_loss(cross_entropy)
    done = train.fit(
        train.gradient_step(loss, optimiser),
        train.init(params, optimiser, jax.random.key(seed)),
        batch.from_plan(plan, fill),
        loss.finish,
        train.Settings(n_steps=settings.n_steps),
    )
    return scorer._replace(params=done.state.params)
