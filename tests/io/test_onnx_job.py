"""What happens in the environment of ONNX, with a runtime that is played here."""

import importlib
import json
import subprocess
import types
from pathlib import Path

import numpy as np
import pytest

from hepjax.io import onnx, onnx_job


class Session:
    """A runtime whose file holds a number to multiply by."""

    def __init__(self, file, options, providers):
        self.factor, self.options = float(Path(file).read_text()), options
        assert providers == ["CPUExecutionProvider"]

    def run(self, names, inputs):
        assert names is None
        return [self.factor * inputs["x"]]

    def get_outputs(self):
        return [types.SimpleNamespace(name="y")]


@pytest.fixture
def job(tmp_path, monkeypatch):
    runtime = types.SimpleNamespace(
        InferenceSession=Session, SessionOptions=lambda: types.SimpleNamespace()
    )
    known = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda n: runtime if n == "onnxruntime" else known(n)
    )
    (tmp_path / "file").write_text("3")
    np.savez(tmp_path / "inputs.npz", x=np.arange(4.0))

    def do(**options):
        text = json.dumps({"file": str(tmp_path / "file"), **options})
        (tmp_path / "job.json").write_text(text)
        onnx_job.main(tmp_path)
        return json.loads((tmp_path / "result.json").read_text())

    return do


def test_outputs_come_by_name(job, tmp_path):
    assert job(action="run") == {}
    found = onnx_job.arrays(tmp_path / "outputs.npz")
    np.testing.assert_array_equal(found["y"], 3 * np.arange(4.0))
    assert onnx_job.arrays(tmp_path / "none.npz") == {}


def test_each_repeat_is_timed(job):
    seconds = job(action="time", repeats=4, threads=1)["seconds"]
    assert len(seconds) == 4
    assert min(seconds) > 0


def test_an_unknown_action(job):
    with pytest.raises(KeyError):
        job(action="fly")


TWICE = """
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
from hepjax.io import onnx_job

numbers = {"a": 2, "b": 2, "c": 5}
constants = [numpy_helper.from_array(np.full(3, x, np.float32), k) for k, x in numbers.items()]
nodes = [
    helper.make_node("Mul", ["x", "a"], ["p"]),
    helper.make_node("Mul", ["x", "b"], ["q"]),  # the same
    helper.make_node("Mul", ["x", "c"], ["r"]),
    helper.make_node("Add", ["p", "q"], ["s"]),
    helper.make_node("Mul", ["x", "b"], ["same"]),  # the same, but an output
    helper.make_node("Sub", ["s", "r"], ["y"]),
]
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["event", 3])
graph = helper.make_graph(
    nodes, "g", [value("x")], [value("y"), value("same")], constants, value_info=[value("p")]
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
def run():
    onnx.checker.check_model(model)
    x = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
before = run()
onnx_job.tidy(model.graph)
assert all(np.array_equal(a, b) for a, b in zip(before, run()))
print(len(model.graph.node), len(model.graph.initializer), len(model.graph.value_info))
"""


def test_what_is_said_twice_is_merged_and_outputs_stay(onnx_folder):
    root = Path(onnx_job.__file__).parents[2]
    environment = {"PATH": "", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [onnx.environment(), "-c", TWICE], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["5", "2", "0"], done.stderr
