"""Flavour taggers as files: every head, the discriminant, and padding that means nothing."""

import jax
import numpy as np
import pytest

from hepjax.io import export
from hepjax.jets import batches, deployment
from hepjax.jets.flavour import data, dl1, metrics, secondary_vertex, taggers
from hepjax.jets.flavour import deployment as flavour_deployment

LENGTH = 16
SLOW = pytest.mark.slow


def tagger(name, jets, *, perturb=0.3):
    """A network whose every parameter, norms and biases too, is away from where it starts."""
    net = taggers.build(name, "small")
    inputs, _ = taggers.reading(name)
    example = inputs(batches.padded(jets, np.arange(8), LENGTH))
    rng = np.random.default_rng(0)

    def moved(x):
        scale = np.std(x) if x.ndim > 1 else 0.3
        return np.asarray(x + perturb * scale * rng.normal(size=x.shape), x.dtype)

    variables = jax.jit(net.init)(jax.random.key(0), example)
    params = jax.tree.map(moved, variables["params"])
    return taggers.Tagger(net, {**variables, "params": params}, inputs, (LENGTH,))


def sample(name, tracks):
    if not taggers.is_table(name):
        return tracks
    n = len(flavour_deployment.VARIABLES)
    return dl1.sample(tracks, np.random.default_rng(0).normal(size=(len(tracks.label), n)))


@pytest.mark.parametrize("name", ["gn2", pytest.param("dl1", marks=SLOW)])
def test_the_function_is_the_tagger(tracks, name):
    jets = sample(name, tracks)
    one, rows = tagger(name, jets), np.arange(12)
    served = flavour_deployment.events(jets, rows, LENGTH)
    assert tuple(served) == flavour_deployment.inputs(name)
    apply, padded = flavour_deployment.function(one), batches.padded(jets, rows, LENGTH)
    both = jax.jit(lambda x, y: (apply(x), one.model.apply(one.variables, one.inputs(y))))
    out, expected = both(served, padded)
    np.testing.assert_allclose(out["logits"], expected.flavour, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["probabilities"].sum(1), 1, rtol=1e-5)
    wanted = metrics.discriminant(np.asarray(out["logits"], np.float64))
    np.testing.assert_allclose(out["discriminant"], wanted, rtol=1e-4, atol=1e-5)
    if name == "gn2":
        np.testing.assert_allclose(out["origin"].sum(-1), 1, rtol=1e-5)
        odds = np.log(out["vertex"] / (1 - out["vertex"]))
        np.testing.assert_allclose(odds, expected.vertex, rtol=1e-3, atol=1e-3)


def test_padding_is_finite_and_changes_nothing(tracks):
    one = tagger("dips", tracks)
    apply = jax.jit(flavour_deployment.function(one))
    alone = apply(flavour_deployment.events(tracks, np.arange(4), LENGTH))
    beside = np.concatenate([np.arange(4), np.full(4, -1)])
    padded = apply(flavour_deployment.events(tracks, beside, LENGTH))
    for key, x in alone.items():
        assert np.isfinite(padded[key]).all()
        np.testing.assert_allclose(padded[key][:4], x, rtol=1e-5, atol=1e-6)


def test_shares_that_make_no_sense(tracks):
    one = taggers.Tagger(taggers.build("dips", "small"), {}, data.inputs, (LENGTH,))
    with pytest.raises(ValueError, match="f_c, f_tau"):
        flavour_deployment.function(one, 0.8, 0.3)


def test_the_variables_are_those_of_dl1(tracks):
    """Their number, and where the mass of the vertex is."""
    filled = np.ones((len(data.CLASSES), 2, 40, 40)) / 1600
    table = dl1.variables(tracks, filled)
    assert table.shape[1] == len(flavour_deployment.VARIABLES)
    found = secondary_vertex.find(tracks)[:, secondary_vertex.VARIABLES.index("sv_mass")]
    at = flavour_deployment.VARIABLES.index("sv_mass")
    np.testing.assert_allclose(table[:, at], np.arcsinh(found), rtol=1e-5)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=SLOW) for n in ("dips", "gn1", "gn2_plain", "rnnip", "dl1")]
)
def test_stablehlo(tracks, tmp_path, name):
    jets = sample(name, tracks)
    path = tmp_path / "t.zip"
    gaps = flavour_deployment.write(
        path, tagger(name, jets), jets, config={"seed": 3}, platforms=("cpu",)
    )
    assert max(gaps.values()) < 1e-5
    meta = export.read(path).meta
    assert meta["config"] == {"seed": 3}
    assert meta["tagger"]["classes"] == list(data.CLASSES)
    assert tuple(meta["inputs"]) == flavour_deployment.inputs(name)
    assert set(meta["outputs"]) == {"logits", "probabilities", "discriminant"} | (
        {"origin", "vertex"} if name == "gn1" else set()
    )


@SLOW
@pytest.mark.parametrize("name", ["gn2", "gn1", "dips", "dl1"])
def test_onnx(tracks, tmp_path, onnx_folder, name):
    jets, path = sample(name, tracks), tmp_path / "t.onnx"
    one = tagger(name, jets)
    gaps = flavour_deployment.write(path, one, jets, folder=onnx_folder)
    assert max(gaps.values()) < 1e-5
    artefact = deployment.read(path, folder=onnx_folder)
    served = flavour_deployment.events(jets, np.arange(64), LENGTH)
    found, expected = artefact.call(served), jax.jit(flavour_deployment.function(one))(served)
    for key, x in expected.items():
        np.testing.assert_allclose(found[key], x, rtol=1e-5, atol=1e-5)
