"""Checkpoints that survive a crash: the state, the config and the place in the data, by orbax.

A step is on disk whole or not at all. The latest N and the best M are kept, never only the best,
and a metric that is not finite is never the best. Arrays are always restored against an abstract
target, so that a changed model is an error and not a silent mix. With each step lies a seal, the
sums of its files: what a disk has changed since is `Damaged` and no wrong number, and the latest
step that is whole is read instead. `open` a folder, `save` a step, `restore` the latest, the best
or a given one, onto any number of devices.

>>> import tempfile, jax.numpy as jnp
>>> with open(tempfile.mkdtemp()) as checkpoints:
...     save(checkpoints, 3, {"w": jnp.ones(2)}, meta={"epoch": 1}, metrics={"loss": 0.5})
...     state, meta = restore(checkpoints, {"w": jnp.zeros(2)})
>>> state["w"].tolist(), meta["epoch"]
([1.0, 1.0], 1)
"""

import json
import math
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

SEAL, ASIDE = "seal.json", "damaged"
"""File of each step with the sums of all others, and folder beside the steps of damaged ones."""


class Damaged(ValueError):
    """A step on disk that is not what was saved."""


class Checkpoints(NamedTuple):
    """An open folder of checkpoints; manager: orbax's CheckpointManager, metric: of the best."""

    path: Path
    manager: Any
    metric: str
    worst: float


@contextmanager
def open(
    path: str | Path,
    *,
    keep_latest: int = 2,
    keep_best: int = 1,
    metric: str = "loss",
    maximise: bool = False,
) -> Iterator[Checkpoints]:
    """Open a folder of checkpoints, made if need be; what is being saved is finished on leaving.

    Kept are the latest `keep_latest` steps and the `keep_best` best by `metric`. Damaged steps are
    put aside, into a folder of their own, with a warning: so the latest one is whole, and their
    numbers are free again. Raises Damaged where no other is left.
    """
    import orbax.checkpoint as ocp
    from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

    def metric_of(metrics: Mapping[str, float]) -> float:
        return metrics[metric]

    kept: list[Any] = [policy.LatestN(keep_latest)]
    if keep_best:
        kept.append(policy.BestN(get_metric_fn=metric_of, reverse=not maximise, n=keep_best))
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policy.AnyPreservationPolicy(kept),
        best_fn=metric_of,
        best_mode="max" if maximise else "min",
        enable_async_checkpointing=False,
        create=True,
    )
    _put_aside(Path(path))
    manager = ocp.CheckpointManager(Path(path).absolute(), options=options)
    try:
        yield Checkpoints(Path(path), manager, metric, -1e300 if maximise else 1e300)
    finally:
        manager.close()


def save(
    checkpoints: Checkpoints,
    step: int,
    state: Any,
    *,
    meta: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Write one step; returns when it is on disk.

    state: a pytree of arrays (typed keys too); meta: JSON values (config, normalisation, place in
    the data); metrics: name -> number, those not finite count as the worst possible.
    Raises ValueError where orbax would silently write nothing: a step not past the latest one.
    """
    import orbax.checkpoint as ocp

    numbers = {name: float(x) for name, x in (metrics or {}).items()}
    finite = {name: x for name, x in numbers.items() if math.isfinite(x)}
    arguments = ocp.args.Composite(
        state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(dict(meta))
    )
    if not checkpoints.manager.save(
        step, args=arguments, metrics={checkpoints.metric: checkpoints.worst, **finite}
    ):
        raise ValueError(
            f"step {step} was not saved in {checkpoints.path}: "
            f"the latest step there is {checkpoints.manager.latest_step()}"
        )
    checkpoints.manager.wait_until_finished()
    if jax.process_index() == 0:
        _seal(checkpoints.path / str(step))


def steps(checkpoints: Checkpoints) -> list[int]:
    """List the steps on disk, ascending; one left half written by a crash is not among them."""
    checkpoints.manager.reload()
    return sorted(checkpoints.manager.all_steps())


def restore(
    checkpoints: Checkpoints,
    target: Any,
    step: int | Literal["latest", "best"] = "latest",
    *,
    partial: bool = False,
) -> tuple[Any, dict[str, Any]]:
    """Read a step back as (state, meta), placed where the target is.

    target: a pytree of arrays or of jax.ShapeDtypeStruct with the shapes, dtypes and shardings
    wanted; with partial it may leave out branches of what was saved (a mapping stands for a
    NamedTuple), to read a network without its optimiser. Raises ValueError where the folder has no
    such step, or its arrays do not fit the target.
    """
    import orbax.checkpoint as ocp

    found = steps(checkpoints)
    chosen = checkpoints.manager.best_step() if step == "best" else step
    if step == "latest":
        chosen = found[-1] if found else None
    if chosen not in found:
        raise ValueError(f"{checkpoints.path} holds no checkpoint {step!r}, only steps {found}")
    _check_fit(checkpoints.path / str(chosen) / "state", target, partial)
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, target)
    if partial:
        wanted: Any = ocp.args.PyTreeRestore(
            item=abstract,
            restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
            partial_restore=True,
        )
    else:
        wanted = ocp.args.StandardRestore(abstract)
    arguments = ocp.args.Composite(state=wanted, meta=ocp.args.JsonRestore())
    # a manager of its own: the one at hand may be bound to whole states already
    with ocp.CheckpointManager(checkpoints.path.absolute()) as manager:
        restored = manager.restore(chosen, args=arguments)
    return restored.state, restored.meta


def _check_fit(folder: Path, target: Any, partial: bool) -> None:
    """Compare names and shapes of the arrays wanted with those on disk, before any is read."""
    import orbax.checkpoint as ocp

    def name_of(path: Any) -> str:
        return jax.tree_util.keystr(path, simple=True, separator="/")

    def shape_of(x: Any) -> tuple[int, ...]:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.eval_shape(jax.random.key_data, x)
        return tuple(x.shape)

    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
        return {name_of(path): shape_of(x) for path, x in leaves}

    absolute: Any = folder.absolute()
    saved = shapes(ocp.StandardCheckpointHandler().metadata(absolute).tree)
    wanted = shapes(target)
    lacking, further = sorted(set(wanted) - set(saved)), sorted(set(saved) - set(wanted))
    other = {
        name: f"{saved[name]} on disk, {shape} wanted"
        for name, shape in wanted.items()
        if name in saved and saved[name] != shape
    }
    if lacking or other or (further and not partial):
        raise ValueError(
            f"{folder} does not fit: it does not hold {lacking}, "
            f"it holds further {[] if partial else further}, shapes differ in {other}"
        )


def _seal(folder: Path) -> None:
    """Write down the sums of all files of a step."""
    temporary = folder.parent / f".{os.getpid()}.{SEAL}"
    temporary.write_text(json.dumps(_sums(folder)))
    os.replace(temporary, folder / SEAL)


def _sums(folder: Path) -> dict[str, int]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != SEAL]
    return {file.relative_to(folder).as_posix(): zlib.crc32(file.read_bytes()) for file in files}


def _put_aside(path: Path) -> None:
    """Move steps that are damaged, by the first process of a job. Those that were never sealed, of
    an older version or a process that was killed right then, are taken to be whole.
    """
    sealed = [file.parent for file in path.glob(f"*/{SEAL}") if file.parent.name.isdecimal()]
    damaged = {folder: what for folder in sorted(sealed) if (what := _damage(folder))}
    for folder, what in damaged.items():
        (path / ASIDE).mkdir(exist_ok=True)
        n = len(list((path / ASIDE).glob(f"{folder.name}.*")))
        os.replace(folder, path / ASIDE / f"{folder.name}.{n}")
        text = f"{folder} is damaged ({what}): put aside into {ASIDE}/"
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    if damaged and not any(folder.name.isdecimal() for folder in path.iterdir()):
        raise Damaged(
            f"{path} holds no checkpoint that is whole, {len(damaged)} are damaged: "
            + "; ".join(f"{folder.name}: {what}" for folder, what in damaged.items())
        )


def _damage(folder: Path) -> str:
    """Name the files of a step that are not as they were when it was sealed; "" where all are."""
    try:
        sealed = dict(json.loads((folder / SEAL).read_bytes()))
    except (ValueError, TypeError):
        return SEAL
    now = _sums(folder)
    return ", ".join(sorted(name for name in {*now, *sealed} if now.get(name) != sealed.get(name)))


def load_meta(checkpoints: Checkpoints, step: int | None = None) -> dict[str, Any]:
    """Read the meta of a step (None: the latest), as a model is rebuilt before its arrays."""
    import orbax.checkpoint as ocp

    chosen = step if step is not None else (steps(checkpoints) or [None])[-1]
    if chosen is None:
        raise ValueError(f"{checkpoints.path} holds no checkpoint")
    arguments = ocp.args.Composite(meta=ocp.args.JsonRestore())
    return checkpoints.manager.restore(chosen, args=arguments).meta
