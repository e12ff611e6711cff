"""A run folder: what was run, with what, and how it went, so that a number can be made again.

`parse` reads an experiment's command line, `again` the options of an earlier run; `create` lays out
config.json, versions.json, metrics.jsonl, plots/ and checkpoints/; `log` adds a line of metrics;
`read` gives them back; `finish` writes metrics.json, the result; `progress` shows a bar on a
terminal and plain lines elsewhere; `told_to_stop` catches the signals by which a cluster announces
the end, `Stopped` ends the process so that it is started again; `write_atomically` never leaves
half a file.

>>> import tempfile
>>> run = create(tempfile.mkdtemp() + "/run", {"seed": 1})
>>> log(run, 10, {"loss": 0.5}, "train")
>>> read(run)
[{'step': 10, 'split': 'train', 'loss': 0.5}]
"""

import dataclasses
import importlib.metadata
import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import jax
import numpy as np

from hepjax import parallel

STACK = ("hepjax", "jax", "jaxlib", "flax", "optax", "jraph", "distrax", "chex", "numpy", "scipy")
STACK_IO = ("orbax-checkpoint", "uproot", "awkward", "pythia8mc", "fastjet", "scikit-learn")


STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""By which clusters announce that a job has to end: SLURM's --signal, preemption, a time limit."""
REQUEUE = 75
"""Exit code of a process that has saved what it did and can go on with --resume (EX_TEMPFAIL)."""

Config = TypeVar("Config")


class Stopped(SystemExit):
    """The end of a process that was told to stop, and has saved what it did."""

    def __init__(self, why: str) -> None:
        super().__init__(REQUEUE)
        print(f"{why}; --resume goes on, exit code {REQUEUE}", file=sys.stderr, flush=True)


class Run(NamedTuple):
    """A run folder that exists."""

    path: Path


def parse(
    config: type[Config],
    presets: Mapping[str, Mapping[str, Any]],
    arguments: Sequence[str] | None = None,
) -> Config:
    """Read an experiment's command line (None: the process's own) into its config.

    config: a frozen dataclass, each field an option; presets: name -> fields that the flag --name
    sets, before the other options are read; --from RUN takes those of an earlier run instead, all
    but `out` and `resume`. Raises ValueError for two of these at once, and what is no run.
    """
    import tyro

    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = [f"--{name}" for name in presets if f"--{name}" in words]
    words = [word for word in words if word.removeprefix("--") not in presets]
    default = config(**presets[chosen[0][2:]]) if chosen else config()
    taken = any(field.name == "from_run" for field in dataclasses.fields(cast(Any, config)))
    if "--from" in words and not taken:  # or it means another thing there
        at = words.index("--from")
        default, chosen = again(config, "".join(words[at + 1 : at + 2])), [*chosen, "--from"]
        words = words[:at] + words[at + 2 :]
    if len(chosen) > 1:
        raise ValueError(f"choose one of {', '.join(chosen)}")
    listed = "\n".join(
        f"--{name}: " + ", ".join(f"{field} {value}" for field, value in fields.items())
        for name, fields in presets.items()
    )
    module = sys.modules[config.__module__].__doc__ or ""
    module = re.sub(r"\n(?=[A-Z]\w+: )", "\n\n", module)  # a line each, where help joins lines
    about = f"{module}\nPresets, which any option can change:\n{listed}"
    about += "" if taken else "\n--from RUN: the options of that run"
    return tyro.cli(config, default=default, args=words, description=about)


def again(config: type[Config], folder: str | Path) -> Config:
    """Make the config of a run's folder, to run it again elsewhere: `out` and `resume` are what
    they are without. Raises ValueError for a folder without one, and for options that are not known
    any more; those that are new have their defaults.
    """
    file = Path(folder) / "config.json"
    if not file.is_file():
        raise ValueError(f"--from {folder}: no run, expected {file}")
    hints = get_type_hints(config)
    try:
        stored = dict(json.loads(file.read_text()))
        unknown = sorted(set(stored) - set(hints))
        if unknown:
            raise ValueError(f"{unknown} are no options of {config.__name__}")
        return config(
            **{k: _typed(hints[k], x) for k, x in stored.items() if k not in ("out", "resume")}
        )
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(f"{file}: {error}") from error


def _typed(hint: Any, value: Any) -> Any:
    """Give a value of JSON the type that a field asks for: paths, tuples and dataclasses."""
    if get_origin(hint) in (Union, UnionType):
        inside = [kind for kind in get_args(hint) if kind is not type(None)]
        return value if value is None else _typed(inside[0], value)
    if hint is Path:
        return Path(value)
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return tuple(_typed(kinds[0 if kinds[-1] is ... else k], x) for k, x in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        hints = get_type_hints(hint)
        return cast(Any, hint)(**{k: _typed(hints[k], x) for k, x in value.items()})
    return value


def create(
    out: str | Path, config: Any, *, resume: bool = False, ignore: tuple[str, ...] = ("resume",)
) -> Run:
    """Make a run folder, or open it again to resume; a run keeps its memory from step to step.

    config: a dataclass or mapping, written as config.json. Raises ValueError when the folder holds
    a run already and resume is off, or when the config differs from the stored one in a field
    that is not in `ignore`; its field `out` may: folders are moved.
    """
    parallel.keep_memory()
    run, fresh = Run(Path(out)), _plain(config)
    stored_file = run.path / "config.json"
    if stored_file.exists():
        if not resume:
            raise ValueError(f"{out} holds a run already: resume it, or choose another folder")
        stored = json.loads(stored_file.read_text())
        changed = [
            f"{name}: {stored.get(name)!r} -> {fresh.get(name)!r}"
            for name in sorted({*stored, *fresh} - {"out", *ignore})
            if stored.get(name) != fresh.get(name)
        ]
        if changed:
            raise ValueError(f"{out} was run with another config ({'; '.join(changed)})")
    for folder in ("plots", "checkpoints"):
        (run.path / folder).mkdir(parents=True, exist_ok=True)
    write_json(stored_file, fresh)
    write_json(run.path / "versions.json", versions())
    return run


def log(run: Run, step: int, metrics: Mapping[str, Any], split: str) -> None:
    """Add one line to metrics.jsonl; split says which sample the metrics are of."""
    line = {"step": int(step), "split": split, **_plain(metrics)}
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")


def read(run: Run | str | Path) -> list[dict[str, Any]]:
    """Read the lines of metrics.jsonl; a last line cut short by a crash is left out."""
    path = Path(run.path if isinstance(run, Run) else run) / "metrics.jsonl"
    lines = path.read_text().split("\n") if path.exists() else []
    complete = lines[:-1]
    return [json.loads(line) for line in complete]


def rewind(run: Run, step: int) -> None:
    """Drop the logged lines past a step, before it is run again from a checkpoint."""
    kept = [line for line in read(run) if line["step"] <= step]
    text = "".join(json.dumps(line) + "\n" for line in kept)
    write_atomically(run.path / "metrics.jsonl", lambda path: path.write_text(text))


def finish(run: Run, results: Mapping[str, Any]) -> dict[str, Any]:
    """Write metrics.json, the numbers that the run is for, and return them as plain values."""
    plain = _plain(results)
    write_json(run.path / "metrics.json", plain)
    return plain


def versions() -> dict[str, Any]:
    """Tell what the run stands on: packages, Python, devices, and the state of the source tree."""
    packages = {}
    for name in STACK + STACK_IO:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = None
    devices = jax.devices()
    return {
        "python": platform.python_version(),
        "packages": packages,
        "devices": {"count": len(devices), "kind": devices[0].device_kind},
        "source": _source(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _source() -> dict[str, Any]:
    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *words],
                cwd=Path(__file__).parent,
                capture_output=True,
                text=True,
                timeout=10,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    changed = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "changed": bool(changed)}


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    text = json.dumps(_plain(value), indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text))


def write_atomically(path: str | Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside path, then give it the name in one step."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def told_to_stop() -> Iterator[Callable[[], str | None]]:
    """Catch STOP_SIGNALS: yields a function that names the first that has come, None before.

    A second one ends the process at once, as it would have without. In a thread other than the
    main one, which gets no signals, nothing is caught.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came: list[str] = []

    def note(number: int, _: Any) -> None:
        if came:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        came.append(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield lambda: came[0] if came else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(
    total: int | None, title: str, *, initial: int = 0, every: float = 30.0
) -> Iterator[Callable[..., None]]:
    """Show how far a loop is: yields advance(n, **metrics).

    A bar on a terminal; elsewhere a plain line each `every` seconds and one at the end. Silent on
    all processes of a job but the first.
    """
    if jax.process_index() != 0:
        yield lambda n, **metrics: None
        return
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=title, initial=initial, dynamic_ncols=True) as bar:

            def advance_bar(n: int, **metrics: float) -> None:
                bar.update(n)
                if metrics:
                    bar.set_postfix({name: f"{x:.4g}" for name, x in metrics.items()})

            yield advance_bar
        return
    done, shown, start, latest = initial, time.monotonic(), time.monotonic(), {}

    def line() -> None:
        seconds = time.monotonic() - start
        rate = (done - initial) / seconds if seconds > 0 else 0.0
        values = "".join(f"  {name} {x:.4g}" for name, x in latest.items())
        goal = f"/{total}" if total is not None else ""
        print(f"{title}: {done}{goal}  {seconds:.0f} s  {rate:.3g}/s{values}", file=sys.stderr)

    def advance(n: int, **metrics: float) -> None:
        nonlocal done, shown
        done += n
        latest.update(metrics)
        if time.monotonic() - shown >= every:
            line()
            shown = time.monotonic()

    yield advance
    if done > initial:
        line()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(x) for name, x in value.items()}
    fields = getattr(value, "_fields", None)
    if isinstance(value, tuple) and fields:
        return _plain(dict(zip(fields, value)))
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
