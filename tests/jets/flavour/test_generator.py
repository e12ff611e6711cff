"""Jets of all flavours from top pairs: labels, tracks and their truth."""

import importlib.util

import numpy as np
import pytest

from hepjax.io import root
from hepjax.jets import batches
from hepjax.jets.flavour import data, generator
from hepjax.jets.simulation import events

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


@needs_pythia
def test_hadrons_of_jets_fly_by_their_lifetime(sample):
    """The transverse flight of b hadrons is c tau pT / m: half a millimetre at pT = m."""
    jets = sample.jets
    bottom = np.isin(np.abs(jets["aux_hadron_pid"]), sorted(events.BOTTOM))
    assert (bottom == (jets["label_b"] == 1)).all()
    proper = jets["aux_hadron_flight"][bottom] / jets["aux_hadron_pt"][bottom] * 5.28
    n = bottom.sum()
    assert proper.mean() == pytest.approx(0.46, abs=5 * 0.46 / n**0.5)  # mm; mesons and baryons
    charm = np.isin(np.abs(jets["aux_hadron_pid"]), sorted(events.CHARM))
    assert (charm == (jets["label_c"] == 1)).all()
    tau = np.abs(jets["aux_hadron_pid"]) == events.TAU
    assert (tau == (jets["label_tau"] == 1)).all()


@needs_pythia
def test_impact_parameters_of_primary_tracks_have_their_errors(sample):
    part = sample.particles
    primary = (part["part_truth_origin"] == events.PRIMARY) & (part["part_truth_vertex"] == 0)
    for name in ("d0", "dz"):
        pull = part[f"part_{name}val"][primary] / part[f"part_{name}err"][primary]
        inner = np.abs(pull) < 3
        assert np.std(pull[inner]) == pytest.approx(0.99, abs=0.06)
        assert 0.003 < 1 - inner.mean() < 0.03  # tails, in which light jets look displaced
    no_first = primary & (part["part_hits_first"] == 0) & (part["part_charge"] != 0)
    with_first = primary & (part["part_hits_first"] == 1)
    assert part["part_d0err"][no_first].mean() > 1.2 * part["part_d0err"][with_first].mean()


@needs_pythia
def test_jets_of_an_event_share_its_number(sample):
    numbers, count = np.unique(sample.jets["event_number"], return_counts=True)
    assert 2 < count.mean() < 8
    assert count.max() < 14
    for number in numbers[count > 1][:20]:
        same = sample.jets["event_number"] == number
        phi, eta = sample.jets["jet_phi"][same], sample.jets["jet_eta"][same]
        gap = np.abs(phi[:, None] - phi)
        apart = np.hypot(eta[:, None] - eta, np.minimum(gap, 2 * np.pi - gap))
        assert apart[np.triu_indices(len(phi), 1)].min() > 0.35


@needs_pythia
def test_true_vertices_hold_tracks_of_one_kind(sample):
    """Tracks of one secondary vertex come from one decay, but for those that touch."""
    part = sample.particles
    jet = np.repeat(np.arange(700), np.diff(sample.offsets))
    away = part["part_truth_vertex"] > 0
    key = jet[away].astype(np.int64) * 1000 + part["part_truth_vertex"][away]
    _, index = np.unique(key, return_inverse=True)
    origin = part["part_truth_origin"][away]
    low = np.full(index.max() + 1, 99)
    high = np.zeros(index.max() + 1, int)
    np.minimum.at(low, index, origin)
    np.maximum.at(high, index, origin)
    assert (low == high).mean() > 0.9
    many = np.bincount(index) >= 2
    assert many.sum() > 100


@needs_pythia
def test_a_vertex_finder_sees_what_was_generated(sample):
    """The classical algorithm finds the flight of b hadrons that it has no truth of."""
    from hepjax.jets.flavour import secondary_vertex

    jets = data.from_columns(sample)
    found = dict(zip(secondary_vertex.VARIABLES, secondary_vertex.find(jets).T))
    some = found["sv_n_tracks"] >= 2
    b, u = (sample.jets[f"label_{k}"] == 1 for k in ("b", "u"))
    assert some[b].mean() > 0.7
    assert some[u].mean() < 0.4
    assert np.median(found["sv_mass"][b & some]) > 1.4
    far = b & (found["sv_n_tracks"] >= 3) & (found["sv_significance"] > 10)
    flight = sample.jets["aux_hadron_flight"][far]
    # a vertex of b and c together lies behind the decay of the b hadron
    assert 0.9 < np.median(found["sv_flight"][far] / flight) < 1.6
    assert np.corrcoef(found["sv_flight"][far], flight)[0, 1] > 0.6
