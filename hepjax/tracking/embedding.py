"""A learned space in which hits that follow each other on a track are near.

A network places each hit by itself; pairs of hits on linked cells that are closer than a radius are
the edges of a graph (metric learning, arXiv:2103.06995). It learns from true edges, which are drawn
together, from pairs at random, and from hard negatives: in every step the pairs that are near each
other just now are searched on device, in fixed memory (`neighbours`), and wrong ones are pushed out
of the margin. The radius is the one that holds a given share of true edges.

`detector` puts the space in the place of a detector's geometric window, so that all that comes
after it, the filter of edges and the tracker, works on learned pairs.

>>> Settings().n_coordinates
6
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import batch, train
from hepjax.io import hits
from hepjax.nn import mlp
from hepjax.tracking import data, edge_filter, module_map, neighbours
from hepjax.tracking.detectors import CHUNK, Detector, Shape

NONE = np.uint32(2**32 - 1)
"""The number of an edge that is padding."""


class Settings(NamedTuple):
    """A space and how it is learned.

    width, n_coordinates: of the network; margin: within which wrong pairs are pushed, in learned
    units; room: hard negatives that a step looks at, at most; random: pairs at random for each true
    edge; keep: share of true edges within the radius; n_tuning: events, the last of the sample,
    that set it; n_epochs, learning_rate.
    """

    width: int = 128
    n_coordinates: int = 6
    margin: float = 0.2
    room: int = 8 * CHUNK
    random: int = 4
    keep: float = 0.995
    n_tuning: int = 20
    n_epochs: int = 8
    learning_rate: float = 3e-3


class Embedding(NamedTuple):
    """A learned space: params; links [link, 2] of cells that are compared; radius."""

    params: Any
    links: np.ndarray
    radius: float


class _Given(NamedTuple):
    """An event for a step: hits in their shape, true and ignored edges as sorted numbers."""

    laid: edge_filter.Laid
    true: Any
    ignored: Any
    n_hits: Any


def _network(params: Any) -> mlp.MLP:
    widths = [params[f"dense_{k}"]["kernel"].shape[1] for k in range(len(params))]
    return _layers(*widths)


def _layers(*widths: int) -> mlp.MLP:
    return mlp.MLP(tuple(widths), activation=jnp.tanh)


def features(position: Any) -> jax.Array:
    """Describe positions [hit, 3], mm, as a network takes them [hit, 7]."""
    x, y, z = jnp.moveaxis(jnp.asarray(position), -1, 0)
    r = jnp.hypot(x, y) + 1e-6
    return jnp.stack([x / 60, y / 60, z / 500, r / 60, x / r, y / r, jnp.arcsinh(z / r) / 3], -1)


def place(params: Any, position: Any) -> jax.Array:
    """Place hits [hit, 3], mm, in the learned space [hit, coordinate]."""
    return _network(params).apply({"params": params}, features(position))  # type: ignore


def fit(
    sample: Sequence[data.Labelled], detector: Detector, settings: Settings, *, seed: int = 0
) -> Embedding:
    """Learn the space from events with their true edges.

    Raises ValueError for too few events, and for one of more than 65,536 hits.
    """
    if len(sample) <= settings.n_tuning:
        raise ValueError(f"sample: {len(sample)} events, expected over {settings.n_tuning}")
    learned = ((detector.cells(one.event), one.true) for one in sample)
    links = detector.links() if detector.links else _learned(learned, detector)
    last = len(sample) - settings.n_tuning
    shapes = [edge_filter.shapes_of(detector.cells(one.event), detector)[0] for one in sample]
    given = [_give(one, shape, detector) for one, shape in zip(sample, shapes)]
    widths = settings.width, settings.width, settings.width, settings.n_coordinates
    params = _layers(*widths).init(jax.random.key(seed), jnp.zeros((1, 7)))["params"]
    order = {shape: k for k, shape in enumerate(detector.shapes)}

    def plan(epoch: int) -> list[batch.Selection]:
        rows = batch.generator(seed, epoch).permutation(last)
        return [batch.Selection(order[shapes[row]], np.array([row])) for row in rows]

    def fill(chosen: batch.Selection) -> _Given:  # a batch of one event
        return jax.tree.map(lambda x: np.asarray(x)[None], given[int(chosen.rows[0])])

    def means(params: Any, one: _Given, key: Any) -> Any:
        return _means(params, jax.tree.map(lambda x: x[0], one), key, links, settings)

    n_steps = settings.n_epochs * last
    schedule = optax.cosine_onecycle_schedule(n_steps, settings.learning_rate, 0.1)
    optimiser = optax.adamw(schedule, weight_decay=1e-4)
    batches, until = batch.from_plan(plan, fill), train.Settings(settings.n_epochs)
    params = train.minimise(means, params, optimiser, batches, until, seed=seed)
    params = jax.device_get(params)
    apart = np.concatenate([_apart(params, one) for one in sample[last:]])
    return Embedding(params, links, float(np.quantile(apart, settings.keep)))


def _learned(learned: Any, detector: Detector) -> np.ndarray:
    return module_map.learn(learned, n_sectors=detector.n_sectors)


def _give(one: data.Labelled, shape: Shape, detector: Detector) -> _Given:
    """Lay out an event for a step."""
    n = hits.n_hits(one.event)
    if n > 65_536:
        raise ValueError(f"event: {n} hits, expected at most 65,536 to learn a space from")
    laid = edge_filter.lay(one.event, shape, detector)

    def numbers(edges: np.ndarray) -> np.ndarray:
        number = np.sort(edges[:, 0].astype(np.uint32) * np.uint32(65_536) + edges[:, 1])
        room = -(-max(len(number), 1) // 2048) * 2048
        return np.pad(number.astype(np.uint32), (0, room - len(number)), constant_values=NONE)

    return _Given(laid, numbers(one.true), numbers(one.ignored), np.int32(n))


def _among(pairs: tuple[jax.Array, jax.Array], numbers: jax.Array) -> jax.Array:
    """Tell which pairs are among sorted numbers [pair] bool."""
    number = pairs[0].astype(jnp.uint32) * jnp.uint32(65_536) + pairs[1].astype(jnp.uint32)
    at = jnp.searchsorted(numbers, number)
    return numbers[jnp.minimum(at, len(numbers) - 1)] == number


def _means(
    params: Any, one: _Given, key: Any, links: np.ndarray, settings: Settings
) -> dict[str, batch.Mean]:
    """Give the terms of the loss of one event: pull of true edges, push of wrong pairs."""
    at = place(params, one.laid.position)
    near = neighbours.search(
        one.laid.table,
        jax.lax.stop_gradient(at),
        neighbours.within(settings.margin),
        links=links,
        capacity=settings.room,
    )
    real = one.true < NONE
    number = jnp.where(real, one.true, 0)
    true = (number >> 16).astype(jnp.int32), (number & 65_535).astype(jnp.int32)
    drawn = jax.random.randint(key, (2, settings.random * len(one.true)), 0, one.n_hits)
    pull = _square(at, true)

    def push(pairs: tuple[jax.Array, jax.Array], mask: jax.Array) -> batch.Mean:
        wrong = mask & ~_among(pairs, one.true) & ~_among(pairs, one.ignored)
        square = _square(at, pairs)
        inside = wrong & (square < settings.margin**2)
        gap = settings.margin - jnp.sqrt(jnp.where(inside, square, 1.0) + 1e-9)
        return batch.mean(jnp.where(inside, gap, 0) ** 2, inside.astype(jnp.float32))

    hard = push((near.senders, near.receivers), near.mask)
    other = push((drawn[0], drawn[1]), drawn[0] != drawn[1])
    return {"true": batch.mean(pull, real.astype(jnp.float32)), "hard": hard, "random": other}


def _square(at: jax.Array, pairs: tuple[jax.Array, jax.Array]) -> jax.Array:
    return ((at[pairs[0]] - at[pairs[1]]) ** 2).sum(-1)


def _apart(params: Any, one: data.Labelled) -> np.ndarray:
    """Give the distances of true edges [edge] in the learned space."""
    position = data.position(one.event).astype(np.float32)
    at = np.asarray(place(params, position))
    return np.linalg.norm(at[one.true[:, 0]] - at[one.true[:, 1]], axis=-1)


def detector(detector: Detector, embedding: Embedding) -> Detector:
    """Make a detector whose pairs are those that are near in the learned space."""
    params = embedding.params
    return detector._replace(
        links=lambda: embedding.links,
        coordinates=lambda position: place(params, position),
        accept=neighbours.within(embedding.radius),
    )
