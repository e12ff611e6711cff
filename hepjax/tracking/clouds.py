"""Events without a graph: hits as a cloud of points, in the order of their azimuth.

The hits of a particle that comes from near the beam line stand close to each other in this order,
so a network may look at a window of it (`nn.windows`). `cloud` lays out one event with its truth,
`fit` trains any network on clouds, `apply` runs it on one event, and `targets_of` gives what a
supervised network learns from. Shapes are few: a cloud has room for a multiple of `STEP` hits.

>>> event = hits.Event({"x": np.array([9.0, -9, 0, 1]), "y": np.array([0, -1e-3, 9, 0]),
...     "z": np.zeros(4)}, {"pid": np.zeros(1)}, np.array([[1, 0], [3, 0]]))
>>> one = cloud(event, wanted=np.array([True]))
>>> one.hit[:4].tolist(), one.particle[:5].tolist(), one.is_first[:4].tolist()
([1, 0, 3, 2], [0, -1, 0, -1, -1], [False, False, True, False])
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import numpy as np
import optax

from hepjax import batch, runs, train
from hepjax.io import hits
from hepjax.nn import mlp, model, windows
from hepjax.tracking import data

STEP = 1024
"""Room of clouds, hits, is a multiple of this."""

HITS_A_PARTICLE = 12
"""A cloud has room for one wanted particle for so many hits."""


class Cloud(NamedTuple):
    """The hits of one event, sorted by azimuth and padded.

    features: [hit, 6] (`data.features`); mask: [hit]; hit: [hit] its number in the event;
    particle: [hit] the number of the particle it belongs to, -1 for noise, and for particles that
    are not wanted, -2; is_first: [hit] whether it is the first of that particle, outwards.
    """

    features: Any
    mask: Any
    hit: Any
    particle: Any
    is_first: Any


class Plan(NamedTuple):
    """How a network is trained: epochs, events a batch, the largest learning rate."""

    n_epochs: int = 10
    n_events: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4


class Encoder(linen.Module):
    """What is known of each hit of a cloud [hit, width], from it and from those in its window.

    width; n_layers; window: hits; dtype: of the matrix products.
    """

    width: int = 64
    n_layers: int = 4
    window: int = 128
    dtype: Any = None

    @linen.compact
    def __call__(self, cloud: Cloud) -> jax.Array:
        """Encode a cloud."""
        x = mlp.MLP((self.width, self.width), dtype=self.dtype, name="hits")(cloud.features)
        encoder = windows.WindowEncoder(
            self.n_layers, width=self.window, dtype=self.dtype, name="windows"
        )
        return encoder(x, cloud.mask)


def cloud(event: hits.Event, wanted: np.ndarray | None = None, *, room: int = 0) -> Cloud:
    """Lay out an event.

    wanted: [particle] bool, those that a network shall find (None: all); room: hits (0: the next
    multiple of `STEP` that also has `HITS_A_PARTICLE` for each wanted particle). A hit of several
    particles belongs to the first wanted one. Raises ValueError for an event that is larger.
    """
    n = hits.n_hits(event)
    wanted = np.ones(hits.n_particles(event), bool) if wanted is None else wanted
    n_wanted = int(wanted[np.unique(event.truth[:, 1])].sum())
    room = room or -(-max(n, HITS_A_PARTICLE * n_wanted, 1) // STEP) * STEP
    if n > room or n_wanted > room // HITS_A_PARTICLE:
        raise ValueError(
            f"event: {n} hits, {n_wanted} wanted particles, expected at most {room}, "
            f"{room // HITS_A_PARTICLE}"
        )
    position = data.position(event)
    order = np.argsort(np.arctan2(position[:, 1], position[:, 0]), kind="stable")
    particle = np.full(n, -1)
    hit, of = event.truth[::-1].T
    particle[hit] = -2
    particle[hit[wanted[of]]] = of[wanted[of]]
    far = (position**2).sum(-1)
    is_first = np.zeros(n, bool)
    outwards = np.lexsort((far, particle))
    _, first = np.unique(particle[outwards], return_index=True)
    is_first[outwards[first]] = True
    is_first &= particle >= 0
    columns = data.features(event), np.ones(n, bool), np.arange(n), particle, is_first
    fill = 0, False, 0, -1, False
    padded = [
        np.pad(
            x[order],
            ((0, room - n), *[(0, 0)] * (x.ndim - 1)),
            constant_values=value,
        )
        for x, value in zip(columns, fill)
    ]
    return Cloud(*padded)


def same(cloud: Cloud, of: jax.Array, to: jax.Array) -> jax.Array:
    """Tell whether hits, by their places in a cloud, are of one wanted particle."""
    particle = cloud.particle[of]
    return (particle == cloud.particle[to]) & (particle >= 0)


def _serve(sample: Sequence[Cloud], plan: Plan, seed: int) -> batch.Batches:
    """Serve batches of clouds of one room each, and whether each cloud is real [event]."""
    rooms = np.array([len(one.mask) for one in sample])

    def plan_of(epoch: int) -> list[batch.Selection]:
        rng, chosen = batch.generator(seed, epoch), []
        for room in np.unique(rooms):
            rows = rng.permutation(np.flatnonzero(rooms == room))
            filled = np.pad(rows, (0, -len(rows) % plan.n_events), constant_values=-1)
            parts = filled.reshape(-1, plan.n_events)
            chosen += [batch.Selection(int(room), part) for part in parts]
        return [chosen[k] for k in rng.permutation(len(chosen))]

    def fill(chosen: batch.Selection) -> tuple[Cloud, np.ndarray]:
        there = chosen.rows >= 0
        some = [sample[row] for row in np.where(there, chosen.rows, chosen.rows.max())]
        return Cloud(*(np.stack(x) for x in zip(*some))), there

    return batch.from_plan(plan_of, fill)


def fit(
    network: model.Model,
    loss: Callable[[Any, Cloud], Any],
    sample: Sequence[Cloud],
    plan: Plan,
    *,
    seed: int,
    weights: dict[str, float] | None = None,
    run: runs.Run | None = None,
) -> Any:
    """Train a network on clouds and return its variables.

    loss: of the network's output and a cloud: batch.Mean, or several by name, with
    `weights` of each (`train.mean_loss`). Raises ValueError for an empty sample.
    """
    if not sample:
        raise ValueError("sample: no event, expected some")
    served = _serve(sample, plan, seed)
    variables = jax.jit(network.init)(jax.random.key(seed), sample[0])

    def means(params: Any, given: tuple[Cloud, Any], key: Any) -> Any:
        def one(cloud: Cloud, there: jax.Array, key: Any) -> Any:
            out = network.apply({"params": params}, cloud, train=True, key=key)
            found = loss(out, cloud)
            return jax.tree.map(lambda x: x * there, found)

        keys = jax.random.split(key, len(given[1]))
        return jax.tree.map(lambda x: x.sum(0), jax.vmap(one)(*given, keys))

    n_steps = len(served.shapes(0)) * plan.n_epochs
    schedule = optax.cosine_onecycle_schedule(n_steps, plan.learning_rate, 0.1)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=plan.weight_decay)
    )
    until, start = train.Settings(plan.n_epochs), variables["params"]
    params = train.minimise(
        means, start, optimiser, served, until, seed=seed, weights=weights, run=run
    )
    return {"params": params}


def apply(network: model.Model, variables: Any, one: Cloud) -> Any:
    """Run a network on one cloud, compiled for its room."""
    return _compiled(network, variables, one)


def _apply(network: model.Model, variables: Any, one: Cloud) -> Any:
    return network.apply(variables, one)


_compiled: Any = jax.jit(_apply, static_argnums=0)
