"""How a posterior is learned: from events that are simulated as they are needed.

Truths are drawn from the prior, their pulses simulated and looked at, and steps raise the density
that flows have at the true directions. A look by the likelihood takes longer than a step of a
small network, so threads make the next ones meanwhile; each is used once, for what is used again is
learned by heart and shows as ripples in densities. `Plan` says how long and how fast, `fit` trains
and leaves checkpoints, `restore` gives the averaged variables back. By `averaged` any loss is
trained, also one that draws its own events.

>>> Plan(n_steps=100).n_events
512
"""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import batch as batching
from hepjax import checkpoint, runs, train
from hepjax.neutrino import data, posterior, recalibration

Simulate = Callable[[jax.Array, int], tuple[data.Pulses, data.Truth]]
"""(key, n) -> n events; traced inside the step."""

Looker = Callable[[jax.Array, jax.Array], tuple[posterior.Look, Any]]
"""(key, index) -> looks at new events and their true directions."""

N_AHEAD = 2
"""Steps whose events are looked at at once, each in a thread: a look keeps one core busy."""
FRESH = 2**31
"""Folded into the key of events that are left for recalibration."""


class Plan(NamedTuple):
    """How a training goes.

    n_steps; n_events: of a step; learning_rate: the largest, of AdamW, which rises for a share
    `warm` of the steps and falls along a cosine; clip: largest norm of a gradient; tail: share of
    the steps, the last ones, over which parameters are averaged; n_fresh: events that are left for
    `recalibration` in the end, 0 for none.
    """

    n_steps: int
    n_events: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm: float = 0.05
    clip: float = 1.0
    tail: float = 0.4
    n_fresh: int = 0


def loss(model: posterior.Posterior) -> train.Loss:
    """Build the loss: minus the mean log-density at the true directions of events; a batch is
    their posterior.Look and directions [event, 3].
    """

    def function(params: Any, batch: tuple[posterior.Look, Any], _: Any) -> batching.Mean:
        seen, direction = batch
        encoded = posterior.found(model, {"params": params}, seen)
        return batching.mean(-posterior.log_prob(model, encoded, direction))

    return train.mean_loss(function)


def looker(model: posterior.Posterior, simulate: Simulate, plan: Plan) -> Looker:
    """Build what simulates the events of a step and looks at them; jitted."""

    @jax.jit
    def new(key: jax.Array, index: jax.Array) -> tuple[posterior.Look, Any]:
        pulses, truth = simulate(jax.random.fold_in(key, index), plan.n_events)
        return posterior.look(model, pulses), truth.direction

    return new


def looks(new: Looker, plan: Plan, key: jax.Array) -> batching.Batches:
    """Make batches of the loss: `plan.n_steps` of one epoch, each a function of key and index."""

    def ready(index: int) -> tuple[posterior.Look, Any]:
        return jax.block_until_ready(new(key, jnp.uint32(index)))

    threads = ThreadPoolExecutor(N_AHEAD, thread_name_prefix="looks")
    ahead: dict[int, Future] = {}

    def get(_: int, index: int) -> tuple[posterior.Look, Any]:
        for k in range(index, min(index + 1 + N_AHEAD, plan.n_steps)):
            ahead[k] = ahead.get(k) or threads.submit(ready, k)
        return ahead.pop(index).result()

    rows = np.zeros(0, np.int64)
    return batching.Batches(lambda _: [0] * plan.n_steps, get, lambda _, index: rows)


def schedule(plan: Plan) -> optax.Schedule:
    """Build the learning rate of each step."""
    warm = max(int(plan.warm * plan.n_steps), 1)
    return optax.warmup_cosine_decay_schedule(
        0.0, plan.learning_rate, warm, plan.n_steps, plan.learning_rate * 1e-2
    )


def optimiser(plan: Plan) -> optax.GradientTransformation:
    """Build AdamW with its schedule."""
    adamw = optax.adamw(schedule(plan), weight_decay=plan.weight_decay)
    return optax.chain(optax.clip_by_global_norm(plan.clip), adamw)


def fit(
    run: runs.Run,
    model: posterior.Posterior,
    simulate: Simulate,
    plan: Plan,
    *,
    key: jax.Array,
    settings: train.Settings | None = None,
    resume: bool = False,
) -> Any:
    """Train from nothing, or from the latest checkpoint; returns the averaged variables, which
    `recalibration` has corrected if the plan leaves events for it.
    """
    first, then, example = jax.random.split(key, 3)
    pulses = jax.eval_shape(lambda key: simulate(key, 2)[0], example)
    params = posterior.init(model, first, pulses)["params"]
    words: dict[str, Any] = {"key": then, "settings": settings, "resume": resume}
    new = looker(model, simulate, plan)
    variables = averaged(run, loss(model), params, plan, looks(new, plan, then), **words)
    if plan.n_fresh:
        unseen = jax.random.fold_in(then, FRESH)
        one = functools.partial(new, unseen)
        table = recalibration.fit(run, model, variables, one, plan.n_fresh)
        variables[posterior.RECALIBRATION] = table
    return variables


def averaged(
    run: runs.Run,
    goal: train.Loss,
    params: Any,
    plan: Plan,
    batches: batching.Batches | None = None,
    *,
    key: jax.Array,
    settings: train.Settings | None = None,
    resume: bool = False,
) -> Any:
    """Train any loss, of batches or of events that it draws itself, from its first params or from
    the latest checkpoint in the run's folder; returns variables averaged over the last steps.

    settings: how often to look up, its end is the plan's.
    """
    update = optimiser(plan)

    def average(extra: Any, params: Any, _: Any) -> Any:
        n_before = jnp.maximum(extra["n"] - round((1 - plan.tail) * plan.n_steps), 0)
        mean = jax.tree.map(
            lambda old, new: old + (new - old) / (1 + n_before), extra["average"], params
        )
        return {"average": mean, "n": extra["n"] + 1}

    step = train.gradient_step(goal, update, update=average)
    state = train.init(params, update, key, {"average": params, "n": jnp.zeros(())})
    often = min(max(plan.n_steps // 2, 1), 500)
    settings = settings or train.Settings(log_every=min(50, often), save_every=often)
    settings = settings._replace(n_steps=plan.n_steps)
    run.path.mkdir(parents=True, exist_ok=True)
    with checkpoint.open(run.path / "checkpoints") as kept:
        keep: dict[str, Any] = {"run": run, "checkpoints": kept, "resume": resume}
        state = train.fit(step, state, batches, goal.finish, settings, **keep).state
    return {"params": jax.tree.map(jnp.asarray, state.extra["average"])}


def restore(folder: str | Path, model: posterior.Posterior, pulses: data.Pulses) -> Any:
    """Give the averaged variables of a run folder, recalibrated if they were; pulses: an example.
    Raises ValueError where the folder holds no checkpoint.
    """
    path = Path(folder) / "checkpoints"
    if not path.is_dir():
        raise ValueError(f"{folder} is no run folder: it has no checkpoints/")
    shapes = jax.eval_shape(lambda: posterior.init(model, jax.random.key(0), pulses))
    with checkpoint.open(path) as kept:
        wanted = {"extra": {"average": shapes["params"]}}
        found, _ = checkpoint.restore(kept, wanted, "latest", partial=True)
    table = recalibration.read(folder)
    corrected = {} if table is None else {posterior.RECALIBRATION: table}
    return {"params": jax.tree.map(jnp.asarray, found["extra"]["average"]), **corrected}
