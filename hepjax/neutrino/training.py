"""How a posterior is learned: from events that are simulated as they are needed.

Truths are drawn from the prior, their pulses simulated and looked at, and steps raise the density
that flows have at the true directions. A look by the likelihood takes longer than a step of a small
network, so each is used some times, among those of other events, before it is dropped: there is no
sample that could be learned by heart, and threads make the next ones meanwhile. `Plan` says how
long and how fast, `fit` trains and leaves checkpoints, `restore` gives the averaged variables back.
By `averaged` any loss is trained, also one that draws its own events.

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
"""Parts that are made at once, each in a thread: a look keeps no more than one core busy."""
FRESH = 2**31
"""Folded into the key of events that are left for recalibration."""


class Plan(NamedTuple):
    """How a training goes.

    n_steps; n_events: of a step; learning_rate: the largest, of AdamW, which rises for a share
    `warm` of the steps and falls along a cosine; clip: largest norm of a gradient; decay: of the
    average of parameters, a step; n_parts: that a step's events are made of, one of them new, the
    others among the latest n_kept, so that each is used n_parts times; n_fresh: events that are
    left for `recalibration` in the end, 0 for none.
    """

    n_steps: int
    n_events: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm: float = 0.05
    clip: float = 1.0
    decay: float = 0.999
    n_parts: int = 1
    n_kept: int = 32
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
    """Build what simulates events and looks at them, as many as are new in a step; jitted.

    Raises ValueError for parts that are uneven, or more than are kept.
    """
    if plan.n_events % plan.n_parts or not 0 < plan.n_parts <= plan.n_kept:
        raise ValueError(
            f"n_parts: {plan.n_parts}, expected to share n_events {plan.n_events} evenly, and up "
            f"to n_kept: {plan.n_kept}"
        )

    @jax.jit
    def new(key: jax.Array, index: jax.Array) -> tuple[posterior.Look, Any]:
        pulses, truth = simulate(jax.random.fold_in(key, index), plan.n_events // plan.n_parts)
        return posterior.look(model, pulses), truth.direction

    return new


def looks(new: Looker, plan: Plan, key: jax.Array) -> batching.Batches:
    """Make batches of the loss: `plan.n_steps` of one epoch, each a function of key and index."""

    def ready(index: int) -> tuple[posterior.Look, Any]:
        return jax.block_until_ready(new(key, jnp.uint32(index)))

    threads = ThreadPoolExecutor(N_AHEAD, thread_name_prefix="looks")
    kept: dict[int, Future] = {}

    def get(_: int, index: int) -> tuple[posterior.Look, Any]:
        newest = index + plan.n_parts - 1
        first = max(newest - plan.n_kept + 1, 0)
        for old in [k for k in kept if k < first]:
            del kept[old]
        rng = batching.generator(0, index)
        others = rng.choice(np.arange(first, newest), plan.n_parts - 1, replace=False)
        chosen = sorted({newest, *others.tolist()})
        last = min(newest + 1 + N_AHEAD, plan.n_steps + plan.n_parts - 1)
        for k in (*chosen, *range(newest + 1, last)):
            kept[k] = kept.get(k) or threads.submit(ready, k)
        return jax.tree.map(lambda *x: jnp.concatenate(x), *(kept[k].result() for k in chosen))

    rows = np.zeros(0, np.int64)
    return batching.Batches(lambda _: [0] * plan.n_steps, get, lambda _, index: rows)


def optimiser(plan: Plan) -> optax.GradientTransformation:
    """Build AdamW with its schedule."""
    warm = max(int(plan.warm * plan.n_steps), 1)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, plan.learning_rate, warm, plan.n_steps, plan.learning_rate * 1e-2
    )
    adamw = optax.adamw(schedule, weight_decay=plan.weight_decay)
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
        n = extra["n"]
        decay = jnp.minimum(plan.decay, (1 + n) / (10 + n))  # forget the first ones sooner
        mean = jax.tree.map(
            lambda old, new: decay * old + (1 - decay) * new, extra["average"], params
        )
        return {"average": mean, "n": n + 1}

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
