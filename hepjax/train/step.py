"""What a training changes, and the usual way to change it: one gradient, one update.

`TrainState` holds all of it in arrays; `init` sets it up; `gradient_step` turns a loss and an optax
optimiser into a pure step(state, batch) -> (state, sums). Two optimisers are two gradient steps,
one after the other; a problem with a step of its own writes that function instead.

>>> import jax.numpy as jnp, optax
>>> from hepjax import batch
>>> from hepjax.train.loss import mean_loss
>>> optimiser = optax.sgd(0.5)
>>> step = gradient_step(mean_loss(lambda w, x, key: batch.mean((x - w) ** 2)), optimiser)
>>> state, sums = step(init(jnp.zeros(()), optimiser, jax.random.key(0)), jnp.array([1.0, 3.0]))
>>> float(state.params)
2.0
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hepjax.train.loss import Loss, Sums, gradient


class TrainState(NamedTuple):
    """All that a training changes: arrays only, so that it can be saved, sharded and donated.

    step: int32 batches that changed something; params and opt_state: pytrees; key: the root key,
    a step draws from fold_in(key, step); extra: a problem's own pytree (batch statistics, EMA).
    """

    step: jax.Array
    params: Any
    opt_state: Any
    key: jax.Array
    extra: Any


Step = Callable[[TrainState, Any], tuple[TrainState, Sums]]


def init(
    params: Any, optimiser: optax.GradientTransformation, key: jax.Array, extra: Any = None
) -> TrainState:
    """Set up a state at step 0."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimiser.init(params), key, extra)


def gradient_step(
    loss: Loss | Callable[[Any], Loss],
    optimiser: optax.GradientTransformation,
    *,
    axis_name: str | None = None,
    accumulate: int = 1,
    update: Callable[[Any, Any, Sums], Any] | None = None,
) -> Step:
    """Build the usual step: one gradient, one update; an empty batch leaves the state as it was.

    loss: a Loss, or a function of the state's extra that gives one (running statistics);
    axis_name: parallel.axis_name(layout); accumulate: micro-batches a batch; update(extra, params,
    sums) -> extra, from the new parameters and the total sums (running statistics, EMA).
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Sums]:
        key = jax.random.fold_in(state.key, state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        now = loss if isinstance(loss, Loss) else loss(state.extra)
        sums, slope = gradient(
            now, state.params, batch, key, axis_name=axis_name, accumulate=accumulate
        )
        updates, opt_state = optimiser.update(slope, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        extra = state.extra if update is None else update(state.extra, params, sums)
        moved = (state.step + 1, params, opt_state, extra)
        kept = (state.step, state.params, state.opt_state, state.extra)
        empty = jnp.all(jnp.array([jnp.all(x == 0) for x in jax.tree.leaves(sums)]))
        new, params, opt_state, extra = jax.tree.map(
            lambda old, new: jnp.where(empty, old, new), kept, moved
        )
        return TrainState(new, params, opt_state, state.key, extra), sums

    return step
