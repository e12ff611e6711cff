"""The one training loop: it drives any pure step over seeded batches and can stop and go on.

`fit` owns compilation with donated memory, several batches a call, logging, validation, early
stopping, checkpoints and the stop on a sum that is not finite. The data order is a pure function of
seed, epoch and index, so a checkpoint holds a `Position` of a few numbers, and a training that was
killed goes on to the same parameters, bit for bit on a CPU, as one that was not. `Settings` say how
long and how often, `Validation` what to look at.

>>> Settings(n_epochs=3, patience=2).steps_per_call
1
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from hepjax import batch as batching
from hepjax import checkpoint, parallel, runs
from hepjax.train import evaluation
from hepjax.train.loss import Sums, mean_loss
from hepjax.train.step import Step, TrainState, gradient_step, init

Finish = Callable[[Sums], tuple[Any, dict[str, Any]]]
MAX_PENDING = 8
"""Calls in flight before their sums are fetched: more may dead-lock virtual CPU devices."""
MAX_NAMED = 100
"""Events of a batch that an error names."""


class Settings(NamedTuple):
    """How long to train and how often to look up.

    n_epochs, n_steps: the end, whichever comes first (a sampler has steps only); steps_per_call:
    batches of one shape in one compiled call (lax.scan); log_every, validate_every, save_every:
    steps (by default validation at the end of each epoch, saving with each validation); patience:
    validations without a better `metric` before stopping.
    """

    n_epochs: int | None = None
    n_steps: int | None = None
    steps_per_call: int = 1
    log_every: int = 50
    validate_every: int | None = None
    save_every: int | None = None
    patience: int | None = None
    metric: str = "loss"
    maximise: bool = False


class Validation(NamedTuple):
    """A sample to look at now and then: sums(state, batch) -> Sums, added up and finished."""

    sums: Callable[[Any, Any], Sums]
    batches: batching.Batches
    finish: Finish


class Position(NamedTuple):
    """The place of a training in its data, saved with each checkpoint.

    epoch, index: the next batch; step: batches done; best, best_step: the best validation;
    stale: validations since then.
    """

    epoch: int = 0
    index: int = 0
    step: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0


class Fit(NamedTuple):
    """What fit returns: the last state, its position, why it ended, and the seconds it took."""

    state: Any
    position: Position
    reason: Literal["finished", "stopped early"]
    seconds: float


class _Group(NamedTuple):
    """Batches index to index + size - 1 of an epoch, all of one shape, done in one call."""

    epoch: int
    index: int
    size: int
    ends_epoch: bool


class _Loop(NamedTuple):
    """What stays the same throughout a training."""

    finish: Finish
    settings: Settings
    layout: parallel.Layout
    batches: batching.Batches | None
    validation: Validation | None
    run: runs.Run | None
    checkpoints: checkpoint.Checkpoints | None
    meta: Mapping[str, Any]


def fit(
    step: Step,
    state: TrainState,
    batches: batching.Batches | None,
    finish: Finish,
    settings: Settings,
    *,
    layout: parallel.Layout | None = None,
    validation: Validation | None = None,
    run: runs.Run | None = None,
    checkpoints: checkpoint.Checkpoints | None = None,
    meta: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Fit:
    """Train: drive a pure step over seeded batches, watching, saving and resuming.

    step(state, batch) -> (state, sums); batches None is a sampler, whose step gets None and draws
    from its key; finish: of the sums, for the log; layout: devices (None: one); run: where metrics
    are logged; checkpoints: where states are saved, with meta (config, normalisation) beside them;
    resume: go on from the latest checkpoint, if there is one, as if the training had not stopped.
    Raises ValueError for settings without an end, and FloatingPointError, naming step, epoch, batch
    and events, when a sum is not finite; what was saved before stays intact. At a signal to stop
    (`runs.STOP_SIGNALS`) the step at hand is finished and saved, and runs.Stopped ends the process.
    """
    if settings.n_steps is None and (settings.n_epochs is None or batches is None):
        raise ValueError("settings need n_steps, or n_epochs together with batches")
    layout = layout or parallel.layout(devices=1)
    parallel.keep_memory()
    loop = _Loop(finish, settings, layout, batches, validation, run, checkpoints, dict(meta or {}))
    state, position = _start(loop, state, resume)
    began, state = time.monotonic(), parallel.place_state(layout, state)
    state, position, reason = _train(loop, step, state, position)
    return Fit(parallel.collect_state(layout, state), position, reason, time.monotonic() - began)


def _train(
    loop: _Loop, step: Step, state: Any, position: Position
) -> tuple[Any, Position, Literal["finished", "stopped early"]]:
    settings, groups = loop.settings, _groups(loop.batches, position, loop.settings)
    call = parallel.compile(loop.layout, _call(step, loop), donate=True)
    look = loop.validation and evaluation.compile_sums(loop.validation.sums, loop.layout)
    pending: list[tuple[_Group, Position, Sums]] = []
    totals, logged, saved = None, time.monotonic(), position.step
    if _is_stale(position, settings):
        return state, position, "stopped early"
    total_steps = _total_steps(loop.batches, settings)
    catching = loop.checkpoints is not None  # where nothing is saved a signal ends all at once
    with (
        runs.told_to_stop() if catching else nullcontext(lambda: None) as told,
        runs.progress(total_steps, "train", initial=position.step) as advance,
    ):
        for group, batch in evaluation.ahead(lambda g: (g, _load(loop, g)), groups):
            state, sums = call(state, _place(loop, batch))
            before, position = position, _moved(position, group)
            pending.append((group, before, sums))
            advance(group.size)
            due = _due(before, position, settings, group.ends_epoch)
            if due or len(pending) >= MAX_PENDING:
                totals = _settle(loop, pending, totals)
            if "log" in due and totals is not None:
                seconds = time.monotonic() - logged
                advance(0, **_log(loop, position.step, totals, seconds))
                totals, logged = None, time.monotonic()
            values = None
            if "validate" in due and look:
                position, values = _validate(loop, look, state, position)
                advance(0, **{f"validation {settings.metric}": values[settings.metric]})
            if "save" in due or _is_stale(position, settings):
                _save(loop, state, position, values)
                saved = position.step
            if _is_stale(position, settings):
                return state, position, "stopped early"
            if told():
                _settle(loop, pending, totals)
                if position.step != saved:
                    _save(loop, state, position, None)
                raise runs.Stopped(f"{told()}: saved step {position.step}")
        _settle(loop, pending, totals)
        if position.step != saved:
            _save(loop, state, position, None)
    return state, position, "finished"


def _start(loop: _Loop, state: Any, resume: bool) -> tuple[Any, Position]:
    if not resume or loop.checkpoints is None or not checkpoint.steps(loop.checkpoints):
        return state, Position()
    state, stored = checkpoint.restore(loop.checkpoints, state)
    position = Position(**stored["position"])
    if loop.run is not None:
        runs.rewind(loop.run, position.step)
    return state, position


def _call(step: Step, loop: _Loop) -> Callable:
    """One step, or a scan over those of a group: (state, batch) -> (state, sums [step, ...])."""
    if loop.settings.steps_per_call > 1:
        length = None if loop.batches is not None else loop.settings.steps_per_call
        return lambda state, batch: jax.lax.scan(step, state, batch, length=length)

    def call(state: Any, batch: Any) -> tuple[Any, Sums]:
        state, sums = step(state, batch)
        return state, jax.tree.map(lambda x: x[None], sums)

    return call


def _groups(
    batches: batching.Batches | None, position: Position, settings: Settings
) -> Iterator[_Group]:
    """List the calls from a position on; equal positions give equal calls."""
    step, most = position.step, settings.steps_per_call
    last = settings.n_steps if settings.n_steps is not None else float("inf")
    if batches is None:
        if last % most:
            raise ValueError(f"n_steps {last} must be a multiple of steps_per_call {most}")
        while step < last:
            yield _Group(0, step, most, False)
            step += most
        return
    epoch, index = position.epoch, position.index
    while settings.n_epochs is None or epoch < settings.n_epochs:
        shapes = batches.shapes(epoch)
        if not len(shapes):
            raise ValueError(f"epoch {epoch} has no batches")
        while index < len(shapes):
            if step >= last:
                return
            most_now = int(min(most, len(shapes) - index, last - step))
            size = next(
                (i for i in range(1, most_now) if shapes[index + i] != shapes[index]), most_now
            )
            yield _Group(epoch, index, size, index + size == len(shapes))
            index, step = index + size, step + size
        epoch, index = epoch + 1, 0


def _load(loop: _Loop, group: _Group) -> Any:
    """Read the batches of a call; a short group is filled up with empty batches."""
    if loop.batches is None:
        return None
    count = loop.settings.steps_per_call
    found = [loop.batches.get(group.epoch, group.index + i) for i in range(group.size)]
    if count == 1:
        return found[0]
    empty = jax.tree.map(np.zeros_like, found[0])
    return jax.tree.map(lambda *x: np.stack(x), *found, *[empty] * (count - group.size))


def _place(loop: _Loop, batch: Any) -> Any:
    """Bring a batch to the devices, in the thread whose precision settings count."""
    stacked = loop.settings.steps_per_call > 1
    return parallel.place_batch(loop.layout, batch, stacked=stacked)


def _moved(position: Position, group: _Group) -> Position:
    step = position.step + group.size
    if group.ends_epoch:
        return position._replace(epoch=group.epoch + 1, index=0, step=step)
    return position._replace(epoch=group.epoch, index=group.index + group.size, step=step)


def _due(before: Position, after: Position, settings: Settings, ends_epoch: bool) -> set[str]:
    def crossed(every: int) -> bool:
        return before.step // every != after.step // every

    validate = crossed(settings.validate_every) if settings.validate_every else ends_epoch
    save = crossed(settings.save_every) if settings.save_every else validate
    due = {"log": crossed(settings.log_every) or validate, "validate": validate, "save": save}
    return {name for name, now in due.items() if now}


def _settle(loop: _Loop, pending: list[tuple[_Group, Position, Sums]], totals: Any) -> Any:
    """Fetch the sums of the calls in flight and add them to the totals; stop on any not finite."""
    for group, before, sums in pending:
        size = group.size
        steps = jax.tree.map(lambda x, n=size: np.asarray(x, np.float64)[:n], sums)
        finite = [np.isfinite(x).reshape(size, -1).all(1) for x in jax.tree.leaves(steps)]
        bad = ~np.all(finite, axis=0)
        if bad.any():
            first = int(np.argmax(bad))
            raise FloatingPointError(
                f"a sum of the loss is not finite at step {before.step + first}: epoch "
                f"{group.epoch}, batch {group.index + first}"
                f"{_events(loop.batches, group, first)}; the checkpoints before are intact"
            )
        added = jax.tree.map(lambda x: x.sum(0), steps)
        totals = added if totals is None else jax.tree.map(np.add, totals, added)
    pending.clear()
    return totals


def _events(batches: batching.Batches | None, group: _Group, k: int) -> str:
    """Name the events of the k-th batch of a call, the first MAX_NAMED of them."""
    rows = np.zeros(0) if batches is None else batches.rows(group.epoch, group.index + k)
    real = np.asarray(rows)[np.asarray(rows) >= 0].tolist()
    if not real:
        return ""
    return f" of the events {real[:MAX_NAMED]}{' and others' if len(real) > MAX_NAMED else ''}"


def _log(loop: _Loop, step: int, totals: Sums, seconds: float) -> dict[str, float]:
    metrics = evaluation.finished(loop.finish, totals)
    if loop.run is not None:
        runs.log(loop.run, step, {**metrics, "seconds": seconds}, "train")
    return {"loss": metrics["loss"]}


def _validate(
    loop: _Loop, look: Callable, state: Any, position: Position
) -> tuple[Position, dict[str, float]]:
    assert loop.validation is not None
    _, batches, finish = loop.validation
    metrics = evaluation.evaluate_placed(look, state, batches, finish, loop.layout)
    settings = loop.settings
    if settings.metric not in metrics:
        raise ValueError(f"validation gives {sorted(metrics)}, not the metric {settings.metric!r}")
    if loop.run is not None:
        runs.log(loop.run, position.step, metrics, "validation")
    value, best = metrics[settings.metric], position.best
    better = np.isfinite(value) and (
        best is None or (value > best if settings.maximise else value < best)
    )
    if better:
        return position._replace(best=value, best_step=position.step, stale=0), metrics
    return position._replace(stale=position.stale + 1), metrics


def _is_stale(position: Position, settings: Settings) -> bool:
    return settings.patience is not None and position.stale >= settings.patience


def _save(loop: _Loop, state: Any, position: Position, metrics: dict | None) -> None:
    if loop.checkpoints is None:
        return
    meta = {**loop.meta, "position": position._asdict()}
    plain = parallel.collect_state(loop.layout, state)
    checkpoint.save(loop.checkpoints, position.step, plain, meta=meta, metrics=metrics)


def _total_steps(batches: batching.Batches | None, settings: Settings) -> int | None:
    if settings.n_epochs is None or batches is None:
        return settings.n_steps
    steps = settings.n_epochs * len(batches.shapes(0))
    return steps if settings.n_steps is None else min(steps, settings.n_steps)


def minimise(
    means: Callable[[Any, Any, Any], Any],
    params: Any,
    optimiser: Any,
    batches: batching.Batches,
    settings: Settings,
    *,
    seed: int,
    weights: Mapping[str, float] | None = None,
    run: runs.Run | None = None,
) -> Any:
    """Train the parameters of a small network by its means alone, and return them.

    means, weights: as for `mean_loss`; optimiser: of optax; seed: of the keys that means gets. What
    needs validation or checkpoints takes `fit`.
    """
    loss = mean_loss(means, weights)
    state = init(params, optimiser, jax.random.key(seed))
    step = gradient_step(loss, optimiser)
    return fit(step, state, batches, loss.finish, settings, run=run).state.params
