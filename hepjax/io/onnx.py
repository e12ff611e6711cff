"""Networks as ONNX files, which ONNX Runtime runs in C++, checked against JAX before they are kept.

`write` is `io.export.write` for another format: any number of events, weights and scaling inside,
config, classes and the description of inputs and outputs in the file's metadata_props, each as
JSON. The converter, jax2onnx, wants an older orbax than hepjax does, so it lives in an environment
of its own: `environment` makes it at the first use (a minute, from the package registry) and keeps
it under a folder of the user's choice. What is written is then run there with ONNX Runtime on
samples of events and compared with the function itself; a file that does not agree is an error, and
none is left. `read` gives the function back, `seconds` times it.

>>> OPSETS[0], OPSET in OPSETS
(20, True)
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

import hepjax
from hepjax import runs
from hepjax.io import export, onnx_job

OPSETS = (20, 21, 22, 23)
"""Versions of ONNX's operators that a file can be written for: 20 for older runtimes."""

OPSET = 20
PACKAGES = ("jax2onnx==0.17.1", "onnx>=1.20.1", "onnxruntime>=1.24.1")
SHARED = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "cloudpickle")
"""Packages that the environment has in the versions that run here."""

FOLDER = "HEPJAX_ONNX"
"""The environment variable that names the folder of environments."""


def home(folder: str | os.PathLike[str] | None = None) -> Path:
    """Name the environment of these versions, whether it exists or not.

    folder: where environments are kept (None: $HEPJAX_ONNX, or ~/.cache/hepjax).
    """
    base = folder or os.environ.get(FOLDER) or Path.home() / ".cache" / "hepjax"
    text = " ".join([sys.version.split()[0], *_requirements()])
    return Path(base).absolute() / f"onnx-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def environment(folder: str | os.PathLike[str] | None = None) -> Path:
    """Give the interpreter of the environment, which is made unless it is there.

    Raises RuntimeError with what the installer said where it cannot be made.
    """
    place = home(folder)
    if not (place / "bin" / "python").exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".onnx-") as temporary:
            made = Path(temporary) / "environment"
            _install(made)
            if not place.exists():
                os.replace(made, place)
    return place / "bin" / "python"


def write(
    path: str | os.PathLike[str],
    function: export.Function,
    events: Sequence[export.Arrays],
    meta: Mapping[str, Any],
    *,
    opset: int = OPSET,
    tolerance: float = 1e-5,
    folder: str | os.PathLike[str] | None = None,
) -> dict[str, float]:
    """Write a function to an ONNX file.

    function, events, meta, tolerance: as for `io.export.write`; the function travels to the
    environment by cloudpickle, so it may be a closure; opset: one of OPSETS; folder: of
    environments. Returns the largest difference of each output. Raises ValueError for an opset that
    is unknown, a function that cannot be converted, and a file that does not agree, and leaves no
    file; RuntimeError where the environment cannot be made.
    """
    if opset not in OPSETS:
        raise ValueError(f"opset: expected one of {OPSETS}, found {opset!r}")
    if not events:
        raise ValueError("events: expected at least one sample to check the file with")
    python = environment(folder)
    compiled = jax.jit(lambda inputs: dict(function(inputs)))
    about = {
        **meta,
        **export.described(events[0], jax.eval_shape(compiled, dict(events[0]))),
        "opset": opset,
        "tolerance": tolerance,
        "versions": runs.versions(),
    }
    found: dict[str, float] = {}

    def save(temporary: Path) -> None:
        job = {
            "action": "convert",
            "file": str(temporary.absolute()),
            "name": Path(path).stem,
            "opset": opset,
            "inputs": about["inputs"],
            "meta": {name: json.dumps(value) for name, value in about.items()},
        }
        _do(python, job, function=function)
        found.update(export.compare(_reader(temporary, python).call, compiled, events, tolerance))

    runs.write_atomically(Path(path), save)
    return found


def read(
    path: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None
) -> export.Artefact:
    """Read an ONNX file of `write`; its call runs it with ONNX Runtime in the environment.

    Raises ValueError that names the file where it is none, and as `export.read` for inputs that it
    cannot take.
    """
    return _reader(Path(path), environment(folder))


def seconds(
    path: str | os.PathLike[str],
    inputs: export.Arrays,
    *,
    repeats: int = 5,
    threads: int = 1,
    folder: str | os.PathLike[str] | None = None,
) -> list[float]:
    """Time a file on inputs with ONNX Runtime on a CPU: wall-clock seconds of each repeat."""
    job = {"action": "time", "file": str(Path(path).absolute())}
    job |= {"repeats": repeats, "threads": threads}
    return _do(environment(folder), job, inputs=inputs)[0]["seconds"]


def _reader(path: Path, python: Path) -> export.Artefact:
    job = {"file": str(path.absolute())}
    try:
        found, _ = _do(python, {**job, "action": "describe"})
        meta = {name: json.loads(value) for name, value in found["meta"].items()}
        expected = meta["inputs"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: no ONNX file of hepjax: {error}") from error

    def call(inputs: export.Arrays) -> dict[str, np.ndarray]:
        taken = export.taken(path, expected, inputs)
        return _do(python, {**job, "action": "run"}, inputs=taken)[1]

    return export.Artefact(call, meta)


def _do(
    python: Path,
    job: Mapping[str, Any],
    *,
    function: export.Function | None = None,
    inputs: export.Arrays | None = None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Let the environment do a job of `onnx_job`; raises ValueError with what it said."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "hepjax").symlink_to(Path(hepjax.__file__).parent)  # and nothing beside it
        (place / "job.json").write_text(json.dumps(job))
        if function is not None:
            (place / "function.pickle").write_bytes(_pickled(function))
        if inputs is not None:
            named: Any = {name: np.asarray(x) for name, x in inputs.items()}
            np.savez(place / "inputs.npz", **named)
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "XLA_FLAGS")}
        done = subprocess.run(
            [str(python), "-W", "ignore", "-m", "hepjax.io.onnx_job", str(place)],
            env={**kept, "PYTHONPATH": str(place), "JAX_PLATFORMS": "cpu"},
            cwd=place,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise ValueError(f"{job['action']} of {job['file']} failed: {said[-1]}")
        return json.loads((place / "result.json").read_text()), onnx_job.arrays(
            place / "outputs.npz"
        )


def _pickled(function: export.Function) -> bytes:
    """Serialise a function with what it closes over; one of another package, with its code."""
    import cloudpickle

    module = sys.modules.get(getattr(function, "__module__", None) or "")
    foreign = module is not None and module.__name__.split(".")[0] not in ("hepjax", "__main__")
    if foreign:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(function)
    finally:
        if foreign:
            cloudpickle.unregister_pickle_by_value(module)


def _requirements() -> list[str]:
    return [*PACKAGES, *(f"{name}=={metadata.version(name)}" for name in SHARED)]


def _install(place: Path) -> None:
    """Make a virtual environment with uv, or with venv and pip where there is none."""
    python, uv = str(place / "bin" / "python"), shutil.which("uv")
    if uv:
        steps = [[uv, "venv", "--python", sys.executable, str(place)]]
        steps += [[uv, "pip", "install", "--python", python, *_requirements()]]
    else:
        steps = [[sys.executable, "-m", "venv", str(place)]]
        steps += [[python, "-m", "pip", "install", *_requirements()]]
    for step in steps:
        done = subprocess.run(step, cwd=place.parent, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(
                "the environment of jax2onnx cannot be made: it is installed from the package "
                f"registry at the first use, under the folder that ${FOLDER} or `folder` names. "
                f"`{' '.join(step[:3])} ...` said:\n{done.stderr[-2000:]}"
            )
