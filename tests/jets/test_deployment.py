"""Taggers as files: the scores of the tagger itself, from physical quantities."""

import jax
import numpy as np
import pytest

from hepjax.io import export
from hepjax.jets import batches, data, deployment, taggers

SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def jets(toy_columns):
    return data.select(data.from_columns(toy_columns(n=60)[0]), ("QCD", "Tbqq"))


def tagger(name, features, jets, buckets=(16, 32)):
    net = taggers.build(name, "small", n_classes=2)
    inputs = data.inputs(batches.padded(jets, np.arange(8), 32), features)
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    return taggers.Tagger(net, variables, features, jets.classes, buckets)


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("pfn", "full"),
        ("efn", "kinematic"),
        pytest.param("part", "full", marks=SLOW),
        pytest.param("particlenet", "kinematic", marks=SLOW),
    ],
)
def test_the_file_gives_the_scores_of_the_tagger(jets, tmp_path, name, features):
    one = tagger(name, features, jets)
    gaps = deployment.write(tmp_path / "t.zip", one, jets, platforms=("cpu",))
    assert max(gaps.values()) < 1e-5
    artefact = export.read(tmp_path / "t.zip")
    assert tuple(artefact.meta["inputs"]) == deployment.INPUTS[features]
    assert artefact.meta["tagger"]["classes"] == ["QCD", "Tbqq"]
    assert artefact.meta["length"] == 32
    out = artefact.call(deployment.events(jets, np.arange(60), 32, features))
    expected = taggers.score(one, jets)
    np.testing.assert_allclose(out["logits"], expected, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(out["probabilities"].sum(1), 1, rtol=1e-5)


def test_jets_are_cut_at_the_length_of_the_file(jets, tmp_path):
    one = tagger("pfn", "full", jets)
    deployment.write(tmp_path / "t.zip", one, jets, length=8, platforms=("cpu",))
    artefact = export.read(tmp_path / "t.zip")
    out = artefact.call(deployment.events(jets, np.arange(9), 8, "full"))
    padded = data.inputs(batches.padded(jets, np.arange(9), 8))
    expected = jax.jit(one.model.apply)(one.variables, padded)
    np.testing.assert_allclose(out["logits"], expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="part_p4"):
        artefact.call(deployment.events(jets, np.arange(9), 9, "full"))


def test_features_without_a_name_are_refused(jets, tmp_path):
    one = tagger("pfn", "full", jets)._replace(features=lambda batch: data.inputs(batch))
    with pytest.raises(
        ValueError, match=r"tagger.features is a function, expected one of \['full'"
    ):
        deployment.write(tmp_path / "t.zip", one, jets)
    assert not (tmp_path / "t.zip").exists()


@SLOW
@pytest.mark.parametrize("name", ["part", "particlenet", "pfn"])
def test_onnx(jets, tmp_path, onnx_folder, name):
    one, path = tagger(name, "full", jets, buckets=(16,)), tmp_path / "t.onnx"
    gaps = deployment.write(path, one, jets, config={"seed": 1}, folder=onnx_folder)
    assert max(gaps.values()) < 1e-5
    artefact = deployment.read(path, folder=onnx_folder)
    assert artefact.meta["config"] == {"seed": 1}
    assert artefact.meta["opset"] == 20
    for n in (1, 7, 60):
        served = deployment.events(jets, np.arange(n), 16, "full")
        found, expected = artefact.call(served), jax.jit(deployment.function(one))(served)
        for key, x in expected.items():
            np.testing.assert_allclose(found[key], x, rtol=1e-5, atol=1e-5)


def test_files_are_of_a_kind_that_the_ending_tells(jets, tmp_path):
    one = taggers.Tagger(taggers.build("pfn", "small", n_classes=2), {}, "full", ("a", "b"), (16,))
    with pytest.raises(ValueError, match=r"path: expected a name that ends in .*net.pb"):
        deployment.write(tmp_path / "net.pb", one, jets)


def test_files_are_checked_on_the_largest_jets_and_on_padding(jets):
    rows = deployment.chosen(jets)
    size = np.diff(jets.particles.offsets)
    assert size.max() in size[rows[2]]
    assert size.min() in size[rows[2]]
    assert [len(some) for some in rows] == [16, 1, 7, 8, 2]
    assert (rows[-1] < 0).all()
