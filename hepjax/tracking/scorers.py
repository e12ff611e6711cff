"""Small networks that tell what is true of what is listed, be it pairs of hits or triplets.

A `Scorer` is a network with the scale of its inputs and a cut on its output, the logarithm of odds.
It looks at features of each item, and at the partners of it where these are given (`partners`).

>>> x = np.random.default_rng(0).normal(size=(512, 2)).astype(np.float32)
>>> settings = Settings(width=8, batch_size=256, learning_rate=3e-2, n_steps=60)
>>> found = fit((x,), x[:, 0] > 0, np.ones(512), settings, seed=0)
>>> bool(((score_all(found, x) > 0) == (x[:, 0] > 0)).mean() > 0.9)
True
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax import serialization

from hepjax import batch, train
from hepjax.nn import mlp
from hepjax.tracking import partners

CHUNK = 8192
"""Items that are scored in one go by `score_all`."""


class Scorer(NamedTuple):
    """A network from features to the logarithm of odds, and the cut on it.

    params; mean, scale: [feature] of the training; cut: pairs below it are dropped.
    """

    params: Any
    mean: np.ndarray
    scale: np.ndarray
    cut: Any


class Settings(NamedTuple):
    """A network and its training.

    width: of its two hidden layers; batch_size: items; learning_rate: the largest; n_steps.
    """

    width: int = 64
    batch_size: int = 4096
    learning_rate: float = 3e-3
    n_steps: int = 4000


def score(scorer: Scorer, known: jax.Array, of_partners: jax.Array | None = None) -> jax.Array:
    """Give the logarithm of odds of items [item, feature] -> [item].

    of_partners: [item, partner, feature], for a network that looks at them.
    """
    scaled = (known - scorer.mean) / scorer.scale
    odds: Any
    if of_partners is None:
        width = scorer.params["dense_0"]["kernel"].shape[1]
        odds = alone(width).apply({"params": scorer.params}, scaled)
        return odds[:, 0]
    width = scorer.params["edge"]["dense_0"]["kernel"].shape[1]
    return social(width).apply({"params": scorer.params}, scaled, of_partners)  # type: ignore


def alone(width: int) -> mlp.MLP:
    """Give the network that looks at items by themselves."""
    return mlp.MLP((width, width, 1))


def social(width: int) -> partners.PartnerNetwork:
    """Give the network that looks at partners too."""
    return partners.PartnerNetwork(width)


def score_all(scorer: Scorer, *known: np.ndarray) -> np.ndarray:
    """Score any number of items in chunks of one shape [item]."""
    n = len(known[0])
    found = [np.zeros(0, np.float32)]
    for start in range(0, n, CHUNK):
        parts = [np.asarray(x[start : start + CHUNK]) for x in known]
        more = CHUNK - len(parts[0])
        padded = [np.pad(x, ((0, more), *[(0, 0)] * (x.ndim - 1))) for x in parts]
        found.append(np.asarray(_score(scorer, *padded))[: CHUNK - more])
    return np.concatenate(found)


_score = jax.jit(score)


def fit(
    known: tuple[np.ndarray, ...],
    label: np.ndarray,
    weight: np.ndarray,
    settings: Settings,
    *,
    seed: int,
) -> Scorer:
    """Train a network on items: what it looks at [item, ...], true or not, with weights [item]."""
    x, size, one = known[0], settings.batch_size, np.ones(len(label), np.int64)
    label, weight = (np.asarray(y, np.float32) for y in (label, weight))
    scorer = Scorer(None, x.mean(0), x.std(0) + 1e-3, np.float32(0))
    network: Any = (alone if len(known) == 1 else social)(settings.width)
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
    batches, until = batch.from_plan(plan, fill), train.Settings(n_steps=settings.n_steps)
    params = train.minimise(cross_entropy, params, optimiser, batches, until, seed=seed)
    return scorer._replace(params=params)


def save(path: Path, *scorers: Scorer, **arrays: np.ndarray) -> None:
    """Write scorers, and arrays beside them, to a file."""
    listed = {f"{k}": scorer._asdict() for k, scorer in enumerate(scorers)}
    kept = jax.device_get({"scorers": listed, "arrays": arrays})
    path.write_bytes(serialization.msgpack_serialize(kept))


def load(path: Path) -> tuple[tuple[Scorer, ...], dict[str, np.ndarray]]:
    """Read what `save` wrote. Raises ValueError for a file that holds none."""
    try:
        kept: Any = serialization.msgpack_restore(path.read_bytes())
        listed = kept["scorers"]
        return tuple(Scorer(**listed[key]) for key in sorted(listed)), kept["arrays"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no scorers ({error})") from error
