"""The training of networks that score the edges of graphs.

`labelled` adds to the edges of a graph what is true; `objective` is the mean cross-entropy over all
real edges of a batch, whatever shard they are in; `fit` trains with AdamW and one cycle of the
learning rate, and keeps the step that is best on validation.

>>> Plan(n_epochs=12).learning_rate
0.003
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from hepjax import batch, checkpoint, parallel, runs, train
from hepjax.nn import model
from hepjax.tracking import data, graphs


class Plan(NamedTuple):
    """How a training goes: epochs, the largest learning rate, weight decay of AdamW, share of the
    steps in which the rate rises, edges of the largest graph that is learned from: all graphs are
    padded to the size of the largest, and one that is ten times the mean would make few steps.
    """

    n_epochs: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warm: float = 0.1
    max_edges: int = 32_768


def labelled(graph: graphs.Graph, one: data.Labelled) -> graphs.Graph:
    """Put labels beside the features of edges: {"features", "label", "weight"}; edges that count
    neither as true nor as wrong have no weight.
    """
    ends: Any = graph.senders, graph.receivers
    pairs = np.stack(ends, -1)
    label, weight = data.labels(pairs, one.true), ~data.labels(pairs, one.ignored)
    both = {"label": label.astype(np.float32), "weight": weight.astype(np.float32)}
    return graph._replace(edges={"features": graph.edges, **both})


def _means(network: model.Model, variables: Any, packed: graphs.Graph) -> dict[str, batch.Mean]:
    """Sum cross-entropy, and what a cut at even odds keeps, over shards [shard, ...]."""

    def one(shard: graphs.Graph) -> tuple[jax.Array, jax.Array, jax.Array]:
        edges: Any = shard.edges
        out = network.apply(variables, shard._replace(edges=edges["features"]))
        return out.logits, edges["label"], edges["weight"] * graphs.edge_mask(shard)

    odds, label, real = jax.vmap(one)(packed)
    return {
        "cross_entropy": batch.mean(optax.sigmoid_binary_cross_entropy(odds, label), real),
        "efficiency": batch.mean(odds > 0, real * label),
        "purity": batch.mean(label, real * (odds > 0)),
    }


REPORTED = {"efficiency": 0.0, "purity": 0.0}
"""Means that are reported and not minimised."""


def objective(network: model.Model) -> train.Loss:
    """Build the loss of a network over batches of labelled graphs [shard, ...]."""
    return train.mean_loss(
        lambda params, packed, key: _means(network, {"params": params}, packed), REPORTED
    )


def _small(name: str, some: Sequence[graphs.Graph], max_edges: int) -> list[graphs.Graph]:
    """Leave out graphs that are too large to learn from, and say so."""
    kept = [graph for graph in some if int(graph.n_edge.sum()) <= max_edges]
    if not kept:
        raise ValueError(f"{name}: none of {len(some)} graphs has at most {max_edges} edges")
    if len(kept) < len(some):
        text = f"{name}: {len(some) - len(kept)} of {len(some)} graphs have more than {max_edges}"
        warnings.warn(f"{text} edges and are left out of the training", RuntimeWarning, 3)
    return kept


def fit(
    run: runs.Run,
    network: model.Model,
    sample: Sequence[graphs.Graph],
    validation: Sequence[graphs.Graph],
    plan: Plan,
    *,
    seed: int,
    n_shards: int = 1,
    layout: parallel.Layout | None = None,
    resume: bool = False,
) -> Any:
    """Train a network on labelled graphs and return its variables, those best on validation.

    Checkpoints and metrics go to the run folder; n_shards: graphs a batch, padded to hold the
    largest of the sample each; resume: go on from the latest checkpoint.
    """
    sample, validation = (
        _small(name, some, plan.max_edges)
        for name, some in (("sample", sample), ("validation", validation))
    )
    budget = graphs.budget_of([*sample, *validation])
    served = graphs.serve(sample, budget, n_shards=n_shards, seed=seed)
    seen = graphs.serve(validation, budget, n_shards=n_shards, shuffle=False)
    first: Any = jax.tree.map(lambda x: x[0], served.get(0, 0))
    variables = jax.jit(network.init)(
        jax.random.key(seed), first._replace(edges=first.edges["features"])
    )
    n_steps = sum(len(served.shapes(epoch)) for epoch in range(plan.n_epochs))
    schedule = optax.cosine_onecycle_schedule(n_steps, plan.learning_rate, plan.warm)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=plan.weight_decay)
    )
    loss = objective(network)

    def sums(state: train.TrainState, packed: graphs.Graph) -> Any:
        return loss.sums(state.params, packed, state.key)

    axis_name = None if layout is None else parallel.axis_name(layout)
    start = train.init(variables["params"], optimiser, jax.random.key(seed))
    with checkpoint.open(run.path / "checkpoints") as checkpoints:
        train.fit(
            train.gradient_step(loss, optimiser, axis_name=axis_name),
            start,
            served,
            loss.finish,
            train.Settings(plan.n_epochs),
            layout=layout,
            validation=train.Validation(sums, seen, loss.finish),
            run=run,
            checkpoints=checkpoints,
            resume=resume,
        )
        best, _ = checkpoint.restore(checkpoints, start, "best")
    return {"params": best.params}
