"""How taggers are trained, whatever they tell apart: one cycle of the rate, and an average.

`Plan` says how long and how fast; `fit` trains a network on its `Objective`, with AdamW, gradients
of limited norm, a learning rate that rises and falls once, running statistics and the moving
average of parameters, which is what validation looks at; `restore` gives back what was best from a
run folder. What differs between problems stays with them: inputs, loss and the description of the
network, which lies beside its checkpoints under "tagger".

>>> Plan(n_epochs=4, learning_rate=4e-3).decay
0.998
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import optax

from hepjax import batch, checkpoint, parallel, runs, train
from hepjax.jets import loss
from hepjax.nn.model import Model
from hepjax.train import transfer


class Plan(NamedTuple):
    """How a training goes.

    n_epochs; learning_rate: the largest; weight_decay: of AdamW; decay: of the average of
    parameters, a step; warm: share of the steps in which the rate rises; momentum: weight of a
    batch in the running statistics.
    """

    n_epochs: int
    learning_rate: float
    weight_decay: float = 0.01
    decay: float = 0.998
    warm: float = 0.15
    momentum: float = 0.02


class Objective(NamedTuple):
    """What is learned: TrainState.extra -> train.Loss, and sums(state, jets) of the averaged
    network for validation.
    """

    loss: Callable[[Any], train.Loss]
    evaluation: Callable[[train.TrainState, Any], train.Sums]


class Restored(NamedTuple):
    """A network from a run folder, its averaged variables, and how it was described."""

    model: Model
    variables: Any
    about: dict[str, Any]


def fit(
    run: runs.Run,
    variables: Any,
    objective: Objective,
    served: batch.Batches,
    validation: batch.Batches,
    plan: Plan,
    *,
    key: jax.Array,
    meta: Mapping[str, Any],
    layout: parallel.Layout | None = None,
    settings: Mapping[str, Any] | None = None,
    pace: Mapping[str, float] | None = None,
    known: bool = False,
    keep_latest: int = 2,
    resume: bool = False,
) -> train.Fit:
    """Train a network from its first variables; checkpoints and metrics go to the run folder.

    served, validation: batches of jets; key: of the training; meta: what `restore` needs to know,
    {"tagger": ...}; settings: fields of train.Settings beside n_epochs; pace: factors on the
    learning rate by patterns of paths, train.transfer.paced; known: whether the variables are from
    a training before, so that their running statistics count; resume: from the latest checkpoint.
    """
    n_steps = plan.n_epochs * len(served.shapes(0))
    schedule = optax.cosine_onecycle_schedule(n_steps, plan.learning_rate, plan.warm)
    adamw = optax.adamw(schedule, weight_decay=plan.weight_decay)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), adamw)
    if pace:
        optimiser = transfer.paced(optimiser, pace)
    extra = loss.start(variables)
    finish = objective.loss(extra).finish
    step = train.gradient_step(
        objective.loss,
        optimiser,
        axis_name=None if layout is None else parallel.axis_name(layout),
        update=loss.update(plan.decay, plan.momentum, known=known),
    )
    with checkpoint.open(run.path / "checkpoints", keep_latest=keep_latest) as checkpoints:
        return train.fit(
            step,
            train.init(variables["params"], optimiser, key, extra),
            served,
            finish,
            train.Settings(plan.n_epochs, **(settings or {})),
            layout=layout,
            validation=train.Validation(objective.evaluation, validation, finish),
            run=run,
            checkpoints=checkpoints,
            meta=meta,
            resume=resume,
        )


def restore(
    run: str | Path,
    build: Callable[[dict[str, Any]], tuple[Model, Any]],
    step: Literal["best", "latest"] = "best",
) -> Restored:
    """Rebuild the network of a run folder with its averaged parameters.

    build: how it was described -> the network and an example of its inputs. Raises ValueError
    where the folder holds no checkpoint.
    """
    folder = Path(run) / "checkpoints"
    if not folder.is_dir():
        raise ValueError(f"{run} is no run folder: it has no checkpoints/")
    with checkpoint.open(folder) as checkpoints:
        about = checkpoint.load_meta(checkpoints)["tagger"]
        network, example = build(about)
        shapes = jax.eval_shape(network.init, jax.random.key(0), example)
        wanted = {"params": shapes["params"], "extra": jax.eval_shape(loss.start, shapes)}
        found, _ = checkpoint.restore(checkpoints, wanted, step, partial=True)
    best = loss.averaged(found["params"], found["extra"], about["decay"])
    return Restored(network, best, about)
