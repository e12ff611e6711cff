"""Following tracks by a recurrent network that says where the next hit is (HEP.TrkX,
arXiv:1810.06111).

An LSTM reads the steps of a track so far, one edge after the other, and gives a Gaussian for the
next step: a mean and a width in each of the two directions that stay along a track
(`doublets.turn`, `doublets.slope`). It is a Kalman filter whose model of the detector is learned.
`fit` trains it on the tracks of true edges; `link` follows the edges of a graph: a beam of the best
few candidates goes from hit to hit, and the most likely long ones are tracks.

>>> steps, mask = np.zeros((4, 6, 5), np.float32), np.ones((4, 6), bool)
>>> network = NextHit(width=8)
>>> out = network.apply(network.init(jax.random.key(0), steps, mask), steps, mask)
>>> out.mean.shape, out.width.shape
((4, 2), (4, 2))
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import batch, train
from hepjax.nn import mlp, recurrent
from hepjax.tracking import data, tracks

LENGTH = 6
"""Steps that the network remembers, the last ones of a track."""

CHUNK = 4096
"""Candidates that the network looks at in one go."""


class Settings(NamedTuple):
    """The network and the search.

    width: of its memory; n_steps, batch_size, learning_rate: of its training; max_chi2: of a step
    that is followed, two degrees of freedom; n_best: candidates that begin with one edge and go on.
    """

    width: int = 32
    n_steps: int = 3000
    batch_size: int = 1024
    learning_rate: float = 5e-3
    max_chi2: float = 16.0
    n_best: int = 3


DEFAULT = Settings()


class Gaussian(NamedTuple):
    """Where the next step goes: mean, width [track, 2], in units of `scale`."""

    mean: Any
    width: Any


class Predictor(NamedTuple):
    """A trained network: parameters; scale [2] of the change of direction in a step."""

    params: Any
    scale: np.ndarray
    settings: Settings


class NextHit(linen.Module):
    """The next step of tracks by those so far, steps [track, step, 5] with a mask [track, step]."""

    width: int

    @linen.compact
    def __call__(self, steps: jax.Array, mask: jax.Array) -> Gaussian:
        """Read the steps; the last ones are the latest."""
        memory = recurrent.LSTM(self.width, name="memory")(steps, mask)
        out = mlp.MLP((self.width, 4), name="head")(memory)
        return Gaussian(out[:, :2], jnp.exp(jnp.clip(out[:, 2:], -5, 5)))


def describe(position: np.ndarray, ends: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Say of edges [edge, 2] (sender, receiver) what the network reads of each [edge, 5]: where it
    ends, how long it is, and the two directions.
    """
    end, way = position[ends[:, 1]], position[ends[:, 1]] - position[ends[:, 0]]
    r = np.hypot(end[:, 0], end[:, 1])
    length = np.linalg.norm(way, axis=-1)
    columns = [r / 100, end[:, 2] / 500, length / 100]
    return np.concatenate([np.stack(columns, -1), direction], -1).astype(np.float32)


def _sequences(known: np.ndarray, chain: np.ndarray) -> tuple[np.ndarray, ...]:
    """Lay out the prefixes of chains: steps [prefix, LENGTH, 5], mask, and the edge that follows.

    chain: [edge] where the edge before it stands, -1 for the first of a track.
    """
    later = np.flatnonzero(chain >= 0)
    before = np.full((len(later), LENGTH), -1)
    now = chain[later]
    for k in range(LENGTH - 1, -1, -1):
        before[:, k] = now
        now = np.where(now >= 0, chain[now], -1)
    mask = before >= 0
    return np.where(mask[..., None], known[before], 0), mask, later


def _chain(true: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Find the edge before each true edge [edge], the straighter of two, -1 without."""
    pairs = tracks.triplets(*true.T)
    found = np.full(len(true), -1)
    order = np.argsort(-tracks.kinks(direction, pairs), kind="stable")
    found[pairs[order, 1]] = pairs[order, 0]
    return found


def fit(
    sample: Sequence[tuple[data.Labelled, np.ndarray, np.ndarray]],
    settings: Settings,
    *,
    seed: int = 0,
) -> Predictor:
    """Train the network on the true edges of events.

    sample: [event] with its true edges, positions of its hits [hit, 3] mm, directions [edge, 2] of
    its true edges. Raises ValueError where no true edge follows another.
    """
    parts = []
    for one, position, direction in sample:
        known = describe(position, one.true, direction)
        steps, mask, later = _sequences(known, _chain(one.true, direction))
        parts.append((steps, mask, known[later, 3:] - steps[:, -1, 3:]))
    steps, mask, change = (np.concatenate(x) for x in zip(*parts))
    if not len(steps):
        raise ValueError(f"sample: no true edge follows another in {len(parts)} events")
    scale = np.median(np.abs(change), 0) + 1e-6
    network, one = NextHit(settings.width), np.ones(len(steps), int)

    def plan(epoch: int) -> list[batch.Selection]:
        return batch.plan(one, seed=seed, epoch=epoch, buckets=(1,), budget=settings.batch_size)

    def fill(chosen: batch.Selection) -> tuple[Any, ...]:
        rows = chosen.rows
        return steps[rows], mask[rows], change[rows] / scale, (rows >= 0).astype(np.float32)

    def means(params: Any, given: tuple, key: Any) -> batch.Mean:
        out = network.apply({"params": params}, *given[:2])
        return batch.mean(_surprise(out, given[2]), given[3])

    schedule = optax.cosine_onecycle_schedule(settings.n_steps, settings.learning_rate, 0.1)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    params = network.init(jax.random.key(seed), steps[:1], mask[:1])["params"]
    batches, until = batch.from_plan(plan, fill), train.Settings(n_steps=settings.n_steps)
    params = train.minimise(means, params, optimiser, batches, until, seed=seed)
    return Predictor(jax.device_get(params), scale, settings)


def _surprise(out: Any, change: jax.Array) -> jax.Array:
    """Give minus the logarithm of the density of changes [track, 2], by Student's t of four degrees
    of freedom, whose tails allow for large scatterings.
    """
    pull = (change - out.mean) / out.width
    return (2.5 * jnp.log1p(pull**2 / 4) + jnp.log(out.width)).sum(-1)


def _predict(predictor: Predictor, steps: np.ndarray, mask: np.ndarray) -> Gaussian:
    """Predict any number of tracks in chunks of one shape."""
    parts = []
    for start in range(0, max(len(steps), 1), CHUNK):
        some = steps[start : start + CHUNK], mask[start : start + CHUNK]
        more = CHUNK - len(some[0])
        padded = (np.pad(x, ((0, more), *[(0, 0)] * (x.ndim - 1))) for x in some)
        out = _compiled(predictor.params, *padded)
        parts.append([np.asarray(x)[: CHUNK - more] for x in out])
    return Gaussian(*(np.concatenate(x) for x in zip(*parts)))


@jax.jit
def _compiled(params: Any, steps: Any, mask: Any) -> Any:
    width = params["head"]["dense_0"]["kernel"].shape[1]
    return NextHit(width).apply({"params": params}, steps, mask)


def link(
    predictor: Predictor, position: np.ndarray, ends: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Follow the edges of one event and make tracks: pairs (hit, track) [pair, 2].

    position: [hit, 3] mm; ends: [edge, 2] (sender, receiver); direction: [edge, 2]. Candidates
    begin with the edges that no other leads to well, and a hit is given to the longest, of equals
    to the likeliest.
    """
    known = describe(position, ends, direction)
    pairs = tracks.triplets(*ends.T)
    start, count = _grouped(pairs, len(ends))
    second = pairs[np.argsort(pairs[:, 0], kind="stable"), 1]
    beam = np.arange(len(ends))[:, None]  # [candidate, place], the latest edge last
    score, done = np.zeros(len(ends)), []
    reached = np.zeros(len(ends), bool)
    while len(beam):
        last = beam[:, -1]
        steps, mask = _read(known, beam)
        out = _predict(predictor, steps, mask)
        n = count[last]
        of = np.repeat(np.arange(len(beam)), n)
        place = np.arange(len(of)) - np.repeat(np.cumsum(n) - n, n)
        edge = second[start[last[of]] + place]
        change = (known[edge, 3:] - known[last[of], 3:]) / predictor.scale
        chi2 = (((change - out.mean[of]) / out.width[of]) ** 2).sum(-1)
        good = chi2 < predictor.settings.max_chi2
        of, edge, chi2 = of[good], edge[good], chi2[good]
        reached[edge] = True
        stopped = ~np.isin(np.arange(len(beam)), of)
        done += [(path, s) for path, s in zip(beam[stopped], score[stopped])]
        total = score[of] + chi2
        kept = _first(beam[of, 0], total, predictor.settings.n_best)
        beam, score = np.concatenate([beam[of], edge[:, None]], 1)[kept], total[kept]
    return _tracks(done, ends, reached)


def _grouped(pairs: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Give where the edges behind each edge begin in a list by edge, and how many there are."""
    count = np.bincount(pairs[:, 0], minlength=n)
    return np.cumsum(count) - count, count


def _read(known: np.ndarray, beam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay out the last steps of candidates [candidate, LENGTH, 5] with their mask."""
    some = beam[:, -LENGTH:]
    more = LENGTH - some.shape[1]
    mask = np.pad(np.ones(some.shape, bool), ((0, 0), (more, 0)))
    return np.pad(known[some], ((0, 0), (more, 0), (0, 0))), mask


def _first(group: np.ndarray, score: np.ndarray, n: int) -> np.ndarray:
    """List the n lowest of each group."""
    order = np.lexsort((score, group))
    _, start, size = np.unique(group[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(start, size)
    return order[place < n]


def _tracks(
    done: list[tuple[np.ndarray, float]], ends: np.ndarray, reached: np.ndarray
) -> np.ndarray:
    """Give each hit to the longest candidate, of equals to the likeliest."""
    taken = np.zeros(int(ends.max(initial=0)) + 1, bool)
    parts = []
    ordered = sorted(done, key=lambda x: (-len(x[0]), x[1] / len(x[0])))
    for path, _ in ordered:
        some = np.append(ends[path, 0], ends[path[-1], 1])
        if reached[path[0]] or len(some) < tracks.MIN_HITS or taken[some].sum() > 1:
            continue
        taken[some] = True
        parts.append(np.stack([some, np.full(len(some), len(parts))], -1))
    return np.concatenate(parts) if parts else np.zeros((0, 2), int)
