"""Networks as files that need no hepjax: StableHLO, with its config, checked before it is kept.

An artefact is a zip of the compiled function (StableHLO by jax.export, for any number of events,
weights inside) and of meta.json: names, shapes and types of inputs and outputs, the config and
normalisation that the caller gives, and the versions it was made with. `write` compares the file
with the function itself on the events given, padded ones too, before it takes its place; a file
that does not agree is an error, and none is left. `read` gives the function back; it needs jax
alone, of a version within JAX's window of compatibility (half a year), so keep the run folder.

>>> import tempfile, jax.numpy as jnp
>>> def double(x):
...     return {"y": 2 * x["x"]}
>>> path = Path(tempfile.mkdtemp()) / "double.zip"
>>> _ = write(path, double, [{"x": np.ones((3, 2), np.float32)}], {"name": "double"})
>>> read(path).call({"x": np.ones((5, 2), np.float32)})["y"].shape
(5, 2)
"""

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import numpy as np

from hepjax import runs

Arrays = Mapping[str, Any]
Function = Callable[[dict[str, Any]], dict[str, Any]]
MODULE, META = "module.stablehlo", "meta.json"
PLATFORMS = ("cpu", "cuda")
BROKEN = (OSError, EOFError, LookupError, ValueError, zipfile.BadZipFile, zlib.error, struct.error)
BROKEN += (RuntimeError,)  # locked or packed in another way, says zipfile


class Artefact(NamedTuple):
    """A function from named arrays [event, ...] to named arrays, and what was said of it."""

    call: Callable[[Arrays], dict[str, np.ndarray]]
    meta: dict[str, Any]


def write(
    path: str | os.PathLike[str],
    function: Function,
    events: Sequence[Arrays],
    meta: Mapping[str, Any],
    *,
    tolerance: float = 1e-5,
    platforms: Sequence[str] = PLATFORMS,
) -> dict[str, float]:
    """Write a function to a file that `read` and other programs can run.

    function: {name: array [event, ...]} -> {name: array [event, ...]}, traceable by jax; events:
    samples to check the file with, of which the first sets the shapes but for the number of events:
    random ones, padded ones, one event alone; meta: JSON values (config, normalisation, classes);
    tolerance: largest difference from the function, relative for values above 1; platforms: to
    compile for. Returns the largest difference of each output. Raises ValueError for a file that
    does not agree or gives no finite number where the function does, and leaves none.
    """
    if not events:
        raise ValueError("events: expected at least one sample to check the file with")
    compiled = jax.jit(lambda inputs: dict(function(inputs)))
    (size,) = jax.export.symbolic_shape("event")
    shapes = {
        name: jax.ShapeDtypeStruct((size, *np.shape(x)[1:]), np.asarray(x).dtype)
        for name, x in events[0].items()
    }
    exported = jax.export.export(compiled, platforms=tuple(platforms))(shapes)
    outputs = jax.eval_shape(compiled, dict(events[0]))
    about = {
        **meta,
        **described(events[0], outputs),
        "platforms": list(platforms),
        "tolerance": tolerance,
        "versions": runs.versions(),
    }
    found: dict[str, float] = {}

    def save(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(MODULE, bytes(exported.serialize()))
            file.writestr(META, json.dumps(about, indent=1))
        found.update(compare(read(temporary).call, compiled, events, tolerance))

    runs.write_atomically(Path(path), save)
    return found


def read(path: str | os.PathLike[str]) -> Artefact:
    """Read an artefact; its call names what is wrong with inputs that it cannot take.

    Raises ValueError that names the file where it is none.
    """
    try:
        with zipfile.ZipFile(path) as file:
            module, meta = file.read(MODULE), json.loads(file.read(META))
        exported = jax.export.deserialize(bytearray(module))
    except BROKEN as error:
        raise ValueError(f"{path}: no artefact of hepjax: {error}") from error

    def call(inputs: Arrays) -> dict[str, np.ndarray]:
        out: Any = exported.call(taken(path, meta["inputs"], inputs))
        return {name: np.asarray(x) for name, x in out.items()}

    return Artefact(call, meta)


def compare(
    one: Function, other: Function, events: Sequence[Arrays], tolerance: float
) -> dict[str, float]:
    """Find the largest difference of two functions on some samples, relative above 1, by output.

    Raises ValueError where it is above the tolerance, or only one of them is finite.
    """
    largest: dict[str, float] = {}
    for number, inputs in enumerate(events):
        a, b = one(dict(inputs)), other(dict(inputs))
        for name in b:
            x, y = (np.asarray(v[name], np.float64) for v in (a, b))
            if x.shape != y.shape or np.any(np.isfinite(x) != np.isfinite(y)):
                raise ValueError(
                    f"output {name!r} of sample {number}: shape or finite numbers differ, "
                    f"{x.shape} and {y.shape}"
                )
            real = np.isfinite(y)
            gap = np.abs(x - y)[real] / np.maximum(np.abs(y)[real], 1)
            largest[name] = max(largest.get(name, 0.0), float(gap.max(initial=0)))
    bad = {name: gap for name, gap in largest.items() if gap > tolerance}
    if bad:
        raise ValueError(f"outputs differ by {bad}, expected at most {tolerance}")
    return largest


def described(inputs: Arrays, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the inputs and outputs of a file in JSON values: name -> shape and dtype."""
    both = {"inputs": inputs, "outputs": outputs}
    return {k: {name: _describe(x) for name, x in part.items()} for k, part in both.items()}


def taken(
    path: str | os.PathLike[str], expected: Mapping[str, Any], inputs: Arrays
) -> dict[str, Any]:
    """Pick the inputs that a file takes, as `described`; raises ValueError that names a bad one."""
    for name, wanted in expected.items():
        if name not in inputs:
            raise ValueError(f"{path}: input {name!r} is missing, of {list(expected)}")
        found = _describe(inputs[name])
        if found != wanted:
            raise ValueError(f"{path}: input {name!r} is {found}, expected {wanted}")
    return {name: inputs[name] for name in expected}


def _describe(x: Any) -> dict[str, Any]:
    return {"shape": ["event", *np.shape(x)[1:]], "dtype": str(np.dtype(x.dtype))}
