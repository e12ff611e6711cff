"""Jets of all flavours from top pairs: labels, tracks and their truth."""

import importlib.util

import numpy as np
import pytest

from hepjax.io import root
from hepjax.jets import batches, events
from hepjax.jets.flavour import data, generator

needs_pythia = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pythia8mc", "fastjet")),
    reason="pythia8mc and fastjet come with the extra `generators`",
)


@pytest.fixture(scope="module")
def sample():
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    return generator.generate("ttbar", 700, 2, workers=2, progress=False, events_per_task=50)


@needs_pythia
def test_the_table_is_valid_and_holds_all_flavours(sample):
    root.validate(sample)
    count = {name: sample.jets[f"label_{name}"].sum() for name in generator.CLASSES}
    assert sum(count.values()) == 700
    assert count["u"] > count["b"] > count["c"] > count["tau"] > 0
    assert 0.25 < count["b"] / 700 < 0.45
    assert sample.jets["jet_pt"].min() >= 20
    assert sample.jets["jet_pt"].max() <= 250
    assert np.abs(sample.jets["jet_eta"]).max() <= 2.5
    hadron = sample.jets["aux_hadron_pt"]
    assert np.isnan(hadron[sample.jets["label_u"] == 1]).all()
    assert hadron[sample.jets["label_u"] == 0].min() > 5


@needs_pythia
def test_tracks_of_b_jets_are_displaced_in_front(sample):
    jets = data.from_columns(sample)
    padded = batches.padded(jets, np.arange(700), 32)
    transverse = np.asarray(data.inputs(padded).tracks[..., 0])
    origin, mask = padded.particles.origin, padded.mask
    of = {
        name: transverse[mask & (origin == k)]
        for name, k in (("pv", events.PRIMARY), ("b", events.FROM_B), ("bc", events.FROM_BC))
    }
    assert abs(np.median(of["pv"])) < 0.05
    assert np.median(of["b"]) > 0.5
    assert np.median(of["bc"]) > 0.5
    assert (of["b"] > 0).mean() > 0.75
    assert 0.4 < (of["pv"] > 0).mean() < 0.6


@needs_pythia
def test_truth_of_tracks_and_hits(sample):
    part = sample.particles
    charged = part["part_charge"] != 0
    assert (part["part_truth_origin"][~charged] == -1).all()
    assert (part["part_truth_origin"][charged] >= events.PRIMARY).all()
    primary = charged & (part["part_truth_origin"] == events.PRIMARY)
    assert (part["part_truth_vertex"][primary] == 0).mean() > 0.99
    late = charged & (part["part_truth_origin"] == events.OTHER)
    assert part["part_hits_first"][primary].mean() > 0.95
    assert part["part_hits_first"][late].mean() < 0.8
    hits = part["part_hits_pixel"] + part["part_hits_strip"]
    assert hits[charged].min() >= 8
    assert (hits[~charged] == 0).all()
    assert (part["part_pterr"][charged] > 0).all()


@needs_pythia
def test_a_sample_is_the_beginning_of_a_larger_one(sample):
    less = generator.generate("ttbar", 90, 2, workers=1, progress=False, events_per_task=50)
    for name, column in less.jets.items():
        np.testing.assert_array_equal(column, sample.jets[name][:90], err_msg=name)


@needs_pythia
def test_jets_of_a_heavy_boson_are_hard():
    space = events.ZPRIME
    task = generator.Task("zprime", space, space.detector, 1, 0, 12)
    jets = generator.make_jets(task).jets
    assert len(jets["jet_pt"]) > 5
    assert jets["jet_pt"].min() >= 250


@pytest.mark.parametrize(
    ("source", "n_jets", "message"),
    [("higgs", 10, r"source is 'higgs', expected one of \['ttbar', 'zprime'\]"), ("ttbar", 0, "0")],
)
def test_bad_arguments_are_named(source, n_jets, message):
    with pytest.raises(ValueError, match=message):
        generator.generate(source, n_jets, 1)


@needs_pythia
def test_a_sample_is_generated_once(tmp_path, monkeypatch, sample):
    calls = []
    monkeypatch.setattr(generator, "generate", lambda *a: calls.append(a) or sample)
    first = generator.cached(tmp_path / "new", "ttbar", 700, 2)
    assert generator.cached(tmp_path / "new", "ttbar", 700, 2) == first
    assert len(calls) == 1
    np.testing.assert_array_equal(root.read_jetclass(first).jets["jet_pt"], sample.jets["jet_pt"])
