"""ONNX files: checked when written, nothing left of a bad one, an environment made when needed."""

import json
import os
import stat
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.io import export, onnx

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 4)).astype(np.float32)


def events(n, length=6):
    mask = np.arange(length) < RNG.integers(0, length + 1, n)[:, None]
    return {"x": RNG.normal(size=(n, length, 3)).astype(np.float32), "mask": mask}


def network(inputs):
    hidden = jnp.where(inputs["mask"][..., None], jnp.tanh(inputs["x"] @ KERNEL), 0)
    return {"logits": hidden.sum(1), "count": inputs["mask"].sum(1, dtype=jnp.int32)}


SAMPLES = [events(8), events(1), {**events(4), "mask": np.zeros((4, 6), bool)}]


@pytest.fixture
def no_jax2onnx(monkeypatch):
    """The tests' own interpreter in the place of the environment."""
    monkeypatch.setattr(onnx, "environment", lambda folder=None: sys.executable)


@pytest.mark.parametrize("opset", [7, 24, "20"])
def test_unknown_opsets_are_named(tmp_path, opset):
    with pytest.raises(ValueError, match=r"opset: expected one of \(20, 21, 22, 23\), found"):
        onnx.write(tmp_path / "x.onnx", network, SAMPLES, {}, opset=opset)


def test_a_file_that_nothing_checks_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="events: expected at least one sample"):
        onnx.write(tmp_path / "x.onnx", network, [], {})


def test_a_conversion_that_fails_leaves_nothing(tmp_path, no_jax2onnx):
    with pytest.raises(ValueError, match=r"convert of .* failed: .*jax2onnx"):
        onnx.write(tmp_path / "x.onnx", network, SAMPLES, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shift", [0.0, 1e-4])
def test_a_file_that_does_not_agree_is_not_left(tmp_path, monkeypatch, no_jax2onnx, shift):
    """The environment is played by one that gives the network's own answer, or one beside it."""
    target = tmp_path / "net.onnx"
    target.write_text("an older file")
    jobs = []

    def do(python, job, *, function=None, inputs=None):
        jobs.append(job)
        if job["action"] == "convert":
            with open(job["file"], "w") as file:
                file.write("a new file")
        if job["action"] == "describe":
            return {"meta": jobs[0]["meta"], "opset": 20}, {}
        out = {} if inputs is None else network(inputs)
        return {}, {k: np.asarray(x + shift if k == "logits" else x) for k, x in out.items()}

    monkeypatch.setattr(onnx, "_do", do)
    if shift:
        with pytest.raises(ValueError, match=r"outputs differ by .'logits': "):
            onnx.write(target, network, SAMPLES, {})
        assert target.read_text() == "an older file"
    else:
        gaps = onnx.write(target, network, SAMPLES, {"classes": ["a", "b"]})
        assert set(gaps) == {"logits", "count"}
        assert max(gaps.values()) < 1e-6
        assert target.read_text() == "a new file"
        assert json.loads(jobs[0]["meta"]["classes"]) == ["a", "b"]
        assert json.loads(jobs[0]["meta"]["inputs"])["x"]["shape"] == ["event", 6, 3]
        assert [job["action"] for job in jobs[2:]] == ["run"] * len(SAMPLES)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def installer(folder, text):
    program = folder / "uv"
    program.write_text("#!/bin/sh\n" + text)
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return str(folder)


def test_an_environment_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    refuse = 'if [ "$1" = venv ]; then mkdir -p "$4"; else echo "no route to host" >&2; exit 2; fi'
    monkeypatch.setenv("PATH", installer(tmp_path, refuse) + os.pathsep + os.environ["PATH"])
    with pytest.raises(RuntimeError, match=r"HEPJAX_ONNX(.|\n)*no route to host"):
        onnx.write(tmp_path / "x.onnx", network, SAMPLES, {}, folder=tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_an_environment_is_made_once_where_the_user_wants_it(tmp_path, monkeypatch):
    make = (
        'if [ "$1" = venv ]; then mkdir -p "$4/bin"; else echo "$@" > "$4"; fi; echo x >> "$0.log"'
    )
    monkeypatch.setenv("PATH", installer(tmp_path, make) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv(onnx.FOLDER, str(tmp_path / "kept"))
    python = onnx.environment()
    assert python == onnx.home() / "bin" / "python"
    assert python.is_relative_to(tmp_path / "kept")
    asked = python.read_text()
    assert "jax2onnx==" in asked
    assert f"numpy=={np.__version__}" in asked
    assert onnx.environment() == python
    assert (tmp_path / "uv.log").read_text().count("x") == 2
    assert onnx.home(tmp_path / "other") != onnx.home()


def test_what_is_no_file_of_ours(tmp_path, no_jax2onnx):
    with pytest.raises(ValueError, match=r"none.onnx: no ONNX file of hepjax"):
        onnx.read(tmp_path / "none.onnx")


@pytest.fixture(scope="module")
def written(tmp_path_factory, onnx_folder):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    gaps = onnx.write(path, network, SAMPLES, {"classes": ["a", "b"]}, folder=onnx_folder)
    assert max(gaps.values()) < 1e-6
    return onnx.read(path, folder=onnx_folder), path


@pytest.mark.parametrize("n", [1, 3, 64])
def test_any_number_of_events(written, n):
    artefact, _ = written
    inputs = events(n)
    found, expected = artefact.call(inputs), network(inputs)
    np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["count"], expected["count"])


def test_it_carries_what_was_said_of_it_and_names_bad_inputs(written, onnx_folder):
    artefact, path = written
    assert artefact.meta["classes"] == ["a", "b"]
    assert artefact.meta["outputs"]["logits"] == {"shape": ["event", 4], "dtype": "float32"}
    assert "jax" in artefact.meta["versions"]["packages"]
    with pytest.raises(ValueError, match="input 'mask' is missing"):
        artefact.call({"x": SAMPLES[0]["x"]})
    assert len(onnx.seconds(path, SAMPLES[0], repeats=3, folder=onnx_folder)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("opset", onnx.OPSETS)
def test_opsets(tmp_path, onnx_folder, opset):
    path = tmp_path / "net.onnx"
    onnx.write(path, network, SAMPLES[:2], {}, opset=opset, folder=onnx_folder)
    assert onnx.read(path, folder=onnx_folder).meta["opset"] == opset


@pytest.mark.slow
def test_a_real_file_that_does_not_agree(tmp_path, onnx_folder):
    """A tolerance below the rounding of float32."""
    with pytest.raises(ValueError, match="outputs differ"):
        onnx.write(tmp_path / "x.onnx", network, SAMPLES, {}, tolerance=-1.0, folder=onnx_folder)
    assert not list(tmp_path.iterdir())


def test_the_format_is_that_of_the_other_artefacts():
    described = export.described(SAMPLES[0], network(SAMPLES[0]))
    assert described["inputs"]["mask"] == {"shape": ["event", 6], "dtype": "bool"}
    assert described["outputs"]["count"]["dtype"] == "int32"
