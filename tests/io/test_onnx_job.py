"""What happens in the environment of ONNX, with a runtime that is played here."""

import importlib
import json
import types
from pathlib import Path

import numpy as np
import pytest

from hepjax.io import onnx_job


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
