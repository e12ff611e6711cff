"""Artefacts: any number of events, checked when written, and nothing left of a bad one."""

import json
import subprocess
import sys
import zipfile

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.io import export

RNG = np.random.default_rng(0)


def events(n, length=6):
    mask = np.arange(length) < RNG.integers(0, length + 1, n)[:, None]
    return {"x": RNG.normal(size=(n, length, 3)).astype(np.float32), "mask": mask}


def network(inputs):
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)), jnp.float32)
    hidden = jnp.where(inputs["mask"][..., None], jnp.tanh(inputs["x"] @ kernel), 0)
    return {"logits": hidden.sum(1), "count": inputs["mask"].sum(1)}


SAMPLES = [events(8), events(1), {**events(4), "mask": np.zeros((4, 6), bool)}]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("export") / "net.zip"
    gaps = export.write(found, network, SAMPLES, {"classes": ["a", "b"], "scale": 0.7})
    assert set(gaps) == {"logits", "count"}
    assert max(gaps.values()) < 1e-5
    return found


@pytest.mark.parametrize("n", [1, 3, 64])
def test_any_number_of_events(path, n):
    artefact, inputs = export.read(path), events(n)
    out, expected = artefact.call(inputs), network(inputs)
    np.testing.assert_allclose(out["logits"], expected["logits"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out["count"], expected["count"])


def test_it_carries_what_was_said_of_it(path):
    meta = export.read(path).meta
    assert meta["classes"] == ["a", "b"]
    assert meta["scale"] == 0.7
    assert meta["inputs"]["x"] == {"shape": ["event", 6, 3], "dtype": "float32"}
    assert meta["inputs"]["mask"]["dtype"] == "bool"
    assert meta["outputs"]["logits"]["shape"] == ["event", 4]
    assert "jax" in json.dumps(meta["versions"])


def test_another_process_runs_it_without_the_network(path, tmp_path):
    inputs = events(5)
    np.savez(tmp_path / "in.npz", **inputs)
    code = (
        "import jax, numpy as np, sys, zipfile\n"
        "module = zipfile.ZipFile(sys.argv[1]).read('module.stablehlo')\n"
        "out = jax.export.deserialize(bytearray(module)).call(dict(np.load(sys.argv[2])))\n"
        "np.save(sys.argv[3], out['logits'])\n"
        "assert 'hepjax' not in sys.modules\n"
    )
    files = [path, tmp_path / "in.npz", tmp_path / "out.npy"]
    code = "import jax.export\n" + code
    subprocess.run([sys.executable, "-c", code, *map(str, files)], check=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), network(inputs)["logits"], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": None}, "input 'mask' is missing"),
        ({"x": np.zeros((2, 5, 3), np.float32)}, "input 'x' is"),
        ({"x": np.zeros((2, 6, 3), np.float64)}, "float64"),
    ],
)
def test_inputs_that_do_not_fit_are_named(path, change, message):
    inputs = {k: v for k, v in {**events(2), **change}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        export.read(path).call(inputs)


def test_a_file_that_does_not_agree_is_not_left(tmp_path, monkeypatch):
    target = tmp_path / "net.zip"
    target.write_text("an older file")

    def wrong(path):
        return export.Artefact(lambda inputs: {"y": np.asarray(inputs["x"] + 0.01)}, {})

    monkeypatch.setattr(export, "read", wrong)
    with pytest.raises(ValueError, match=r"outputs differ by .'y'"):
        export.write(target, lambda i: {"y": i["x"]}, [{"x": np.zeros((2, 2), np.float32)}], {})
    assert target.read_text() == "an older file"
    assert [p.name for p in tmp_path.iterdir()] == ["net.zip"]


def test_a_network_that_is_not_finite_on_one_side_only():
    def one(inputs):
        return {"y": jnp.log(inputs["x"])}

    def other(inputs):
        return {"y": jnp.log(jnp.abs(inputs["x"]))}

    samples = [{"x": np.array([[1.0], [-1.0]], np.float32)}]
    assert export.compare(one, one, samples, 1e-5) == {"y": 0.0}
    with pytest.raises(ValueError, match="finite numbers differ"):
        export.compare(one, other, samples, 1e-5)


def test_what_is_no_artefact(tmp_path):
    with pytest.raises(ValueError, match=r"none.zip: no artefact"):
        export.read(tmp_path / "none.zip")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
        file.writestr("meta.json", "{}")
    with pytest.raises(ValueError, match=r"bad.zip: no artefact"):
        export.read(tmp_path / "bad.zip")
    with pytest.raises(ValueError, match="events"):
        export.write(tmp_path / "x.zip", network, [], {})


def test_one_event_is_not_special():
    """Networks of jets export with a symbolic number of events, whatever their pairs do."""
    from hepjax.jets import data, taggers

    n = np.random.default_rng(0)
    p4 = np.abs(n.normal(size=(3, 8, 4))).astype(np.float32)
    p4[..., 0] = np.linalg.norm(p4[..., 1:], axis=-1) * 1.01
    net = taggers.build("pfn", "small", n_classes=2)
    inputs = data.Inputs(
        n.normal(size=(3, 8, 17)).astype(np.float32), p4[..., :2], p4, np.ones((3, 8), bool)
    )
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    (size,) = jax.export.symbolic_shape("b")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), inputs)
    out = jax.eval_shape(lambda x: net.apply(variables, x), shapes)
    assert out.shape[1:] == (2,)
