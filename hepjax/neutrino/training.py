"""How a posterior is learned: from events that are simulated as they are needed, each seen once.

A step draws truths from the prior, simulates their pulses, and raises the density that the flow has
at the true directions; there is no sample that could be learned by heart. `Plan` says how long and
how fast, `fit` trains and leaves checkpoints, `restore` gives the averaged variables back. By
`averaged` any loss is trained that draws its own events.

>>> Plan(n_steps=100).n_events
512
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hepjax import batch, checkpoint, runs, train
from hepjax.neutrino import data, posterior

Simulate = Callable[[jax.Array, int], tuple[data.Pulses, data.Truth]]
"""(key, n) -> n events; traced inside the step."""


class Plan(NamedTuple):
    """How a training goes.

    n_steps; n_events: of a step; learning_rate: the largest, of AdamW, which rises for a share
    `warm` of the steps and falls along a cosine; clip: largest norm of a gradient; decay: of the
    average of parameters, a step.
    """

    n_steps: int
    n_events: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm: float = 0.05
    clip: float = 1.0
    decay: float = 0.999


def loss(model: posterior.Posterior, simulate: Simulate, n_events: int) -> train.Loss:
    """Build the loss: minus the mean log-density at the true directions of n new events."""

    def function(params: Any, _: Any, key: jax.Array) -> batch.Mean:
        pulses, truth = jax.lax.stop_gradient(simulate(key, n_events))
        encoded = posterior.encode(model, {"params": params}, pulses)
        return batch.mean(-posterior.log_prob(model, encoded, truth.direction))

    return train.mean_loss(function)


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
    """Train from nothing, or from the latest checkpoint; returns the averaged variables."""
    first, then, example = jax.random.split(key, 3)
    params = posterior.init(model, first, simulate(example, 2)[0])["params"]
    goal = loss(model, simulate, plan.n_events)
    return averaged(run, goal, params, plan, key=then, settings=settings, resume=resume)


def averaged(
    run: runs.Run,
    goal: train.Loss,
    params: Any,
    plan: Plan,
    *,
    key: jax.Array,
    settings: train.Settings | None = None,
    resume: bool = False,
) -> Any:
    """Train any loss that draws its own events, from its first params or from the latest checkpoint
    in the run's folder; returns variables averaged over the last steps.

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
        state = train.fit(step, state, None, goal.finish, settings, **keep).state
    return {"params": jax.tree.map(jnp.asarray, state.extra["average"])}


def restore(folder: str | Path, model: posterior.Posterior, pulses: data.Pulses) -> Any:
    """Give the averaged variables of a run folder; pulses: an example. Raises ValueError where the
    folder holds no checkpoint.
    """
    path = Path(folder) / "checkpoints"
    if not path.is_dir():
        raise ValueError(f"{folder} is no run folder: it has no checkpoints/")
    shapes = jax.eval_shape(lambda: posterior.init(model, jax.random.key(0), pulses))
    with checkpoint.open(path) as kept:
        wanted = {"extra": {"average": shapes["params"]}}
        found, _ = checkpoint.restore(kept, wanted, "latest", partial=True)
    return {"params": jax.tree.map(jnp.asarray, found["extra"]["average"])}
