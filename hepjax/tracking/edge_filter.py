"""The edges of a graph of hits, chosen among all pairs by small networks, one after the other.

All pairs of hits in a geometric window are 300 for each true edge in the Velo. The first network
looks at a pair by itself (`doublets.features`). Those after it look at what the pairs that are left
say of each other as well (`partners`): what goes before and behind, and what competes for the hits.
A cut on the logarithm of odds follows each: all but the last keep a given share of the true edges,
the last a given number of edges an event, on average over the events of the training.

`fit` learns networks and cuts from events, `select` gives the edges of one event, `save` and `load`
keep a filter in a file. What is compiled has one of `SHAPES`; an event whose pairs do not fit goes
to the next larger one, and what does not fit the largest is counted in `Selection.n_lost`.

>>> shapes_of(np.repeat(np.arange(52), 40))[0].n_hits
2560
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization

from hepjax import batch, runs, train
from hepjax.io import hits
from hepjax.nn import mlp
from hepjax.tracking import data, doublets, neighbours, partners

STEPS = (1, 2, 3, 4, 5, 6)
"""Differences of modules that a true edge bridges: all but 0.04 % in the Velo."""

SLOPE = 1.25
N_MODULES = 52
N_PARTNERS = 8
"""On each side of an edge."""

CHUNK = 8192
"""Pairs that a network looks at in one go."""


class Shape(NamedTuple):
    """Room for one event: its hits, the hits of a module, pairs in the window, and pairs that the
    first network keeps, and those after it.
    """

    n_hits: int
    width: int
    n_pairs: int
    n_kept: int
    n_left: int


SHAPES = (
    Shape(1024, 48, 20 * CHUNK, 12 * CHUNK, 2 * CHUNK),
    Shape(1792, 64, 52 * CHUNK, 30 * CHUNK, 5 * CHUNK),
    Shape(2560, 96, 100 * CHUNK, 60 * CHUNK, 10 * CHUNK),
    Shape(3584, 128, 192 * CHUNK, 115 * CHUNK, 18 * CHUNK),
    Shape(5632, 192, 460 * CHUNK, 275 * CHUNK, 45 * CHUNK),
    Shape(9216, 320, 1200 * CHUNK, 700 * CHUNK, 110 * CHUNK),
)


class Scorer(NamedTuple):
    """A network from features to the logarithm of odds, and the cut on it.

    params; mean, scale: [feature] of the training; cut: pairs below it are dropped.
    """

    params: Any
    mean: np.ndarray
    scale: np.ndarray
    cut: Any


class Filter(NamedTuple):
    """The networks, the first for pairs by themselves, the others with partners."""

    stages: tuple[Scorer, ...]


class Settings(NamedTuple):
    """How a filter is trained.

    width: of the networks, which have two hidden layers; negatives: wrong pairs in the training
    for each true one, drawn at random; keep: share of true edges behind each cut but the last,
    which makes as many networks and one; n_edges: an event behind the last, on average; batch_size:
    pairs; learning_rate: the largest; n_steps: of each network.
    """

    width: int = 64
    negatives: float = 12.0
    keep: tuple[float, ...] = (0.999, 0.9995)
    n_edges: int = 9000
    batch_size: int = 4096
    learning_rate: float = 3e-3
    n_steps: int = 4000


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
    """An event in its shape: table of hits by module, position [hit, 3], module [hit]."""

    table: neighbours.Table
    position: np.ndarray
    module: np.ndarray


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


def score(scorer: Scorer, known: jax.Array, of_partners: jax.Array | None = None) -> jax.Array:
    """Give the logarithm of odds of pairs [pair, feature] -> [pair].

    of_partners: [pair, partner, feature], for a network that looks at them.
    """
    scaled = (known - scorer.mean) / scorer.scale
    odds: Any
    if of_partners is None:
        width = scorer.params["dense_0"]["kernel"].shape[1]
        odds = _alone(width).apply({"params": scorer.params}, scaled)
        return odds[:, 0]
    width = scorer.params["edge"]["dense_0"]["kernel"].shape[1]
    return _social(width).apply({"params": scorer.params}, scaled, of_partners)  # type: ignore


def _alone(width: int) -> mlp.MLP:
    return mlp.MLP((width, width, 1))


def _social(width: int) -> partners.PartnerNetwork:
    return partners.PartnerNetwork(width)


def _lay(event: hits.Event, shape: Shape) -> Laid:
    """Lay out an event in its shape."""
    module = event.hits["module"]
    table = neighbours.table(module, n_modules=N_MODULES, width=shape.width)
    more = shape.n_hits - len(module)
    position = np.pad(data.position(event).astype(np.float32), ((0, more), (0, 0)))
    return Laid(table, position, np.pad(module, (0, more)).astype(np.int32))


@functools.partial(jax.jit, static_argnames="room")
def _window(laid: Laid, room: int) -> Candidates:
    """Find the pairs in the window, all of even odds."""
    accept = neighbours.window(SLOPE)
    pairs = neighbours.search(laid.table, laid.position, accept, steps=STEPS, capacity=room)
    odds = jnp.where(pairs.mask, 0.0, -jnp.inf)
    return Candidates(pairs.senders, pairs.receivers, odds, pairs.n_found)


def _known(
    laid: Laid, left: Candidates, near: partners.Near | None, pair: jax.Array
) -> tuple[jax.Array, ...]:
    """Make what a network looks at for some pairs [n], with their partners if near is given."""
    ends = left.senders[pair], left.receivers[pair]
    x = doublets.features(laid.position, laid.module, ends)
    if near is None:
        return (x,)
    own, of_partners = partners.describe(near, pair)
    return jnp.concatenate([own, x], -1), of_partners


def _look(laid: Laid, left: Candidates, alone: bool) -> partners.Near | None:
    ends = left.senders, left.receivers
    return None if alone else partners.look(laid.position, ends, left.odds, N_PARTNERS)


@functools.partial(jax.jit, static_argnames=("alone", "room"))
def _advance(scorer: Scorer, laid: Laid, left: Candidates, alone: bool, room: int) -> Candidates:
    """Score pairs with one network, and keep those above its cut."""
    near = _look(laid, left, alone)
    size = min(CHUNK, len(left.odds))

    def one(chunk: Any, odds: jax.Array) -> jax.Array:
        pair = chunk * size + jnp.arange(size)
        found = score(scorer, *_known(laid, left, near, pair))
        return jax.lax.dynamic_update_slice(odds, found, (chunk * size,))

    n_chunks = -(-jnp.minimum(left.n_found, len(left.odds)) // size)  # and not all that have room
    odds = jax.lax.fori_loop(0, n_chunks, one, jnp.full_like(left.odds, -jnp.inf))
    above = (left.odds > -jnp.inf) & (odds > scorer.cut)
    place = neighbours.places(above, room)
    pair = jnp.zeros(room, jnp.int32).at[place].set(jnp.arange(len(odds)), mode="drop")
    n_found = above.sum()
    kept = jnp.where(jnp.arange(room) < n_found, odds[pair], -jnp.inf)
    return Candidates(left.senders[pair], left.receivers[pair], kept, n_found)


@functools.partial(jax.jit, static_argnames="alone")
def _inputs(laid: Laid, left: Candidates, pair: jax.Array, alone: bool) -> tuple[jax.Array, ...]:
    return _known(laid, left, _look(laid, left, alone), pair)


def _left(stages: Sequence[Scorer], event: hits.Event) -> tuple[Laid, Candidates, int]:
    """Find what is left of an event behind some networks, and how much did not fit.

    Raises ValueError for an event that no shape holds.
    """
    for shape in shapes_of(event.hits["module"]):
        laid = _lay(event, shape)
        left = _window(laid, room=shape.n_pairs)
        lost = max(int(left.n_found) - shape.n_pairs, 0)
        for k, scorer in enumerate(stages):
            room = shape.n_left if k else shape.n_kept
            left = _advance(scorer, laid, left, alone=not k, room=room)
            lost += max(int(left.n_found) - room, 0)
        if not lost:
            break
    return laid, left, lost


def _pairs(left: Candidates) -> np.ndarray:
    """List the pairs that have room [pair, 2]."""
    n = min(int(left.n_found), len(left.odds))
    return np.stack([left.senders[:n], left.receivers[:n]], -1)


def select(chosen: Filter, event: hits.Event) -> Selection:
    """Choose the edges of one event; one without hits has none.

    Raises ValueError for an event that no shape holds.
    """
    laid, left, lost = _left(chosen.stages, event)
    pairs = _pairs(left)
    every = np.arange(len(left.odds))
    known, _ = _inputs(laid, left, every, alone=False)
    return Selection(pairs, np.asarray(known[: len(pairs)]), lost)


def fit(events: Sequence[hits.Event], settings: Settings = DEFAULT, *, seed: int = 0) -> Filter:
    """Train the networks, one after the other, and set their cuts.

    events: with truth, some hundred. Raises ValueError where they have no true edge.
    """
    rng = batch.generator(seed)
    true = [data.true_edges(event) for event in events]
    if not sum(map(len, true)):
        raise ValueError(f"events: no true edge in {len(events)} events, expected some")
    stages: list[Scorer] = []
    for k in range(len(settings.keep) + 1):
        known, label, weight = _draw(stages, events, true, settings.negatives, rng)
        scorer = _fit(known, label, weight, settings, seed + k)
        parts = np.array_split(np.arange(len(label)), -(-len(label) // CHUNK))
        odds = np.concatenate([_score(scorer, *(x[part] for x in known)) for part in parts])
        if k < len(settings.keep):
            cut = np.quantile(odds[label > 0], 1 - settings.keep[k])
        else:
            order = np.argsort(-odds)
            n_kept = np.cumsum(weight[order]) / len(events)
            cut = odds[order[min(int(np.searchsorted(n_kept, settings.n_edges)), len(odds) - 1)]]
        stages.append(scorer._replace(cut=np.float32(cut)))
    return Filter(tuple(stages))


_score = jax.jit(score)


def _draw(
    stages: Sequence[Scorer],
    events: Sequence[hits.Event],
    true: Sequence[np.ndarray],
    negatives: float,
    rng: np.random.Generator,
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Draw pairs for the network behind some stages: what it looks at, labels, weights [pair]."""
    parts = []
    with runs.progress(len(events), f"pairs {len(stages) + 1}") as advance:
        for event, edges in zip(events, true):
            laid, left, _ = _left(stages, event)
            label = data.labels(_pairs(left), edges)
            share = min(1.0, negatives * label.sum() / max((~label).sum(), 1))
            drawn = np.flatnonzero(label | (rng.random(len(label)) < share))
            room = -(-max(len(drawn), 1) // CHUNK) * CHUNK
            index = np.pad(drawn, (0, room - len(drawn)))
            known = _inputs(laid, left, index, alone=not stages)
            weight = np.where(label[drawn], 1, 1 / max(share, 1e-9)).astype(np.float32)
            looked = (np.asarray(x)[: len(drawn)] for x in known)
            parts.append((*looked, label[drawn].astype(np.float32), weight))
            advance(1)
    *known, label, weight = (np.concatenate(x) for x in zip(*parts))
    return tuple(known), label, weight


def _fit(
    known: tuple[np.ndarray, ...],
    label: np.ndarray,
    weight: np.ndarray,
    settings: Settings,
    seed: int,
) -> Scorer:
    """Train one network on pairs: what it looks at [pair, ...], true or not, with weights."""
    x, size, one = known[0], settings.batch_size, np.ones(len(label), np.int64)
    scorer = Scorer(None, x.mean(0), x.std(0) + 1e-3, np.float32(0))
    network: Any = (_alone if len(known) == 1 else _social)(settings.width)
    params = network.init(jax.random.key(seed), *(x[:1] for x in known))["params"]

    def plan(epoch: int) -> list[batch.Selection]:
        return batch.plan(one, seed=seed, epoch=epoch, buckets=(1,), budget=size)

    def fill(chosen: batch.Selection) -> tuple[Any, ...]:
        there = chosen.rows >= 0
        looked = tuple(x[chosen.rows] for x in known)
        return looked, label[chosen.rows], weight[chosen.rows] * there

    def cross_entropy(params: Any, pairs: tuple, key: Any) -> batch.Mean:
        odds = score(scorer._replace(params=params), *pairs[0])
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


def save(path: Path, chosen: Filter) -> None:
    """Write a filter to a file."""
    stages = [jax.device_get(scorer._asdict()) for scorer in chosen.stages]
    path.write_bytes(serialization.msgpack_serialize({f"{k}": x for k, x in enumerate(stages)}))


def load(path: Path) -> Filter:
    """Read a filter that `save` wrote. Raises ValueError for a file that holds none."""
    try:
        stages = serialization.msgpack_restore(path.read_bytes())
        return Filter(tuple(Scorer(**stages[key]) for key in sorted(stages)))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no filter of edges ({error})") from error
