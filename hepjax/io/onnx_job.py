"""What the environment of `io.onnx` does: convert a function, and run and time what came of it.

This module is started in that environment, `python -m hepjax.io.onnx_job FOLDER`, and imports
nothing of hepjax but `io.primitives`. A job is a folder: job.json says what to do, function.pickle
and inputs.npz are what it is done with; result.json, outputs.npz and the file are the answer.

>>> sorted(ACTIONS)
['convert', 'describe', 'run', 'time']
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

Job = dict[str, Any]


def convert(job: Job, folder: Path) -> dict[str, Any]:
    """Write function.pickle, a function of named arrays, to the file, for any number of events."""
    jax2onnx, onnx = (importlib.import_module(name) for name in ("jax2onnx", "onnx"))
    import cloudpickle
    import jax
    import jax.export

    from hepjax.io import primitives

    function = cloudpickle.loads((folder / "function.pickle").read_bytes())
    (size,) = jax.export.symbolic_shape("event")
    shapes = {
        name: jax.ShapeDtypeStruct((size, *x["shape"][1:]), np.dtype(x["dtype"]))
        for name, x in job["inputs"].items()
    }
    plain = primitives.flatten(function, shapes)
    model = jax2onnx.to_onnx(
        plain.call,
        list(shapes.values()),
        opset=job["opset"],
        model_name=job["name"],
        input_names=list(shapes),
        output_names=list(plain.outputs),
    )
    tidy(model.graph)
    onnx.helper.set_model_props(model, job["meta"])
    onnx.save(model, job["file"])
    return {"nodes": len(model.graph.node)}


def tidy(graph: Any) -> None:
    """Merge what a graph says twice, constants and nodes, and drop the shapes that a runtime finds
    by itself.
    """
    del graph.value_info[:]
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return  # a loop, which may use any name
    outputs = {x.name for x in graph.output}
    known: dict[bytes, list[str]] = {}
    other_name: dict[str, str] = {}
    fresh = type(graph)()
    for constant in graph.initializer:
        name, constant.name = constant.name, ""
        first = known.setdefault(constant.SerializeToString(), [name])
        other_name[name], constant.name = first[0], name
        if first[0] == name:
            fresh.initializer.append(constant)
    for node in graph.node:
        node.input[:] = [other_name.get(name, name) for name in node.input]
        names = list(node.output)
        node.output[:], node.name = [], ""
        what = node.SerializeToString()
        node.output[:] = names
        if outputs & set(names) or known.setdefault(what, names) is names:
            fresh.node.append(node)
        else:
            other_name.update(zip(names, known[what]))
    for field in ("initializer", "node"):
        graph.ClearField(field)
        getattr(graph, field).extend(getattr(fresh, field))


def describe(job: Job, folder: Path) -> dict[str, Any]:
    """Read what was said of a file, and its opset."""
    onnx = importlib.import_module("onnx")
    model = onnx.load(job["file"])
    opsets = {x.domain or "ai.onnx": x.version for x in model.opset_import}
    return {"meta": {x.key: x.value for x in model.metadata_props}, "opset": opsets["ai.onnx"]}


def run(job: Job, folder: Path) -> dict[str, Any]:
    """Run a file on inputs.npz with ONNX Runtime."""
    session = _session(job)
    found = session.run(None, arrays(folder / "inputs.npz"))
    np.savez(folder / "outputs.npz", **dict(zip([x.name for x in session.get_outputs()], found)))
    return {}


def measure(job: Job, folder: Path) -> dict[str, Any]:
    """Time a file on inputs.npz: seconds of each of job["repeats"] calls, after one to warm up."""
    session, inputs = _session(job), arrays(folder / "inputs.npz")
    seconds = []
    for _ in range(job["repeats"] + 1):
        began = time.perf_counter()
        session.run(None, inputs)
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds[1:]}


ACTIONS = {"convert": convert, "describe": describe, "run": run, "time": measure}


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file by their names; none where there is no file."""
    if not path.exists():
        return {}
    with np.load(path) as file:
        return dict(file)


def _session(job: Job) -> Any:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = job.get("threads") or 0
    options.log_severity_level = 3
    return runtime.InferenceSession(job["file"], options, providers=["CPUExecutionProvider"])


def main(folder: Path) -> None:
    """Do the job of a folder."""
    job = json.loads((folder / "job.json").read_text())
    result = ACTIONS[job["action"]](job, folder)
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
