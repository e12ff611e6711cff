"""Jets of an electron-positron collider: both of an event, labels, charges and kaons."""

import importlib.util

import numpy as np
import pytest

from hepjax.io import root
from hepjax.jets.origin import collisions, data, generator, metrics
from hepjax.jets.simulation import detector as detectors
from hepjax.jets.simulation import generator as jet_generator

needs_pythia = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pythia8mc", "fastjet")),
    reason="pythia8mc and fastjet come with the extra `generators`",
)
TASK = generator.Task("higgs", "b", detectors.HIGGS_FACTORY, 3, 0, 220)


@pytest.fixture(scope="module")
def pieces():
    """A table of 220 events for each flavour."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    made = {name: generator.make_jets(TASK._replace(flavour=name)) for name in collisions.CODES}
    return {name: root.Columns(*piece) for name, piece in made.items()}


@pytest.fixture(scope="module")
def jets(pieces):
    return {name: data.from_columns(piece) for name, piece in pieces.items()}


def p4_of(piece):
    names = ("energy", "px", "py", "pz")
    return np.stack([piece.particles[f"part_{k}"] for k in names], -1).astype(np.float64)


@needs_pythia
def test_the_tables_are_valid_and_hold_both_jets_of_each_event(pieces):
    for name, piece in pieces.items():
        root.validate(piece)
        numbers = piece.jets["event_number"]
        assert len(numbers) == 440
        assert (numbers[::2] == numbers[1::2]).all()
        assert len(np.unique(numbers)) == 220
        labels = [piece.jets[f"label_{c}"].sum() for c in generator.CLASSES]
        expected = [440] if name == "g" else [220, 220]
        assert [n for n in labels if n] == expected
    every = np.concatenate([piece.jets["event_number"][::2] for piece in pieces.values()])
    assert len(np.unique(every)) == len(every)


@needs_pythia
def test_the_two_jets_are_the_visible_event(pieces):
    """Their four-momenta sum to what the detector measures, the same objects each once."""
    piece = pieces["u"]
    source, code = collisions.SOURCES["higgs"], list(collisions.CODES).index("u")
    seed = jet_generator.production.pythia_seed(TASK.seed, code, 0)
    truth, _ = collisions.make_collisions(source, "u", seed, TASK.n_events)
    rng = jet_generator.production.random_numbers(TASK.seed, code, 0)
    objects = detectors.measure(truth, TASK.detector, rng)
    measured = np.stack([np.bincount(objects.region, objects.p4[:, k]) for k in range(4)], -1)
    jets = np.add.reduceat(p4_of(piece), piece.offsets[:-1]).reshape(-1, 2, 4).sum(1)
    np.testing.assert_allclose(jets, measured, rtol=1e-4, atol=1e-3)


@needs_pythia
@pytest.mark.parametrize("flavour", ["u", "d", "s", "g"])
def test_two_jets_have_the_mass_of_the_higgs_boson(pieces, flavour):
    piece = pieces[flavour]
    pair = np.add.reduceat(p4_of(piece), piece.offsets[:-1]).reshape(-1, 2, 4).sum(1)
    mass = np.sqrt(pair[:, 0] ** 2 - np.sum(pair[:, 1:] ** 2, -1))
    low, middle, high = np.quantile(mass, [0.16, 0.5, 0.84])
    assert middle == pytest.approx(125, abs=1.5)
    assert 1.5 < (high - low) / 2 < 5.0  # 3 % for a detector made for it


@needs_pythia
def test_jets_point_to_their_partons(pieces):
    for name, piece in pieces.items():
        angle = piece.jets["aux_parton_angle"]
        assert np.median(angle) < (0.15 if name == "g" else 0.07)
        pid = piece.jets["aux_parton_pid"]
        label = np.stack([piece.jets[f"label_{c}"] for c in generator.CLASSES], -1).argmax(1)
        bar = np.array([c.endswith("bar") for c in generator.CLASSES])[label]
        assert ((pid < 0) == bar).all()
        assert (np.abs(pid) == collisions.CODES[name]).all()


def test_partons_are_shared_so_that_the_sum_of_angles_is_least():
    """Jets at 0 and 80 degrees, partons at 50 and 170: both are nearest to the first parton."""
    degrees = np.radians([0.0, 80.0, 50.0, 170.0])
    p4 = np.stack([np.ones(4), np.cos(degrees), np.sin(degrees), np.zeros(4)], -1)
    partons = collisions.Partons(np.array([[3, -3]]), p4[None, 2:])
    pid, angle = generator.nearest(p4[:2], np.zeros(2, int), partons)
    assert pid.tolist() == [3, -3]
    assert np.degrees(angle) == pytest.approx([50, 90])
    pid, angle = generator.nearest(p4[1::-1], np.zeros(2, int), partons)
    assert pid.tolist() == [-3, 3]


def leading(jets, chosen):
    """Charge of the charged constituent of highest momentum among the chosen ones, by label."""
    part = jets.particles.values
    jet = np.repeat(np.arange(len(jets.label)), np.diff(jets.particles.offsets))
    rows = np.flatnonzero((part.charge != 0) & chosen(part))
    order = rows[np.lexsort((-part.p4[rows, 0], jet[rows]))]
    which, first = np.unique(jet[order], return_index=True)
    return jets.label[which], part.charge[order[first]]


@needs_pythia
@pytest.mark.parametrize(("flavour", "sign"), [("u", 1), ("d", -1), ("s", -1)])
def test_the_leading_charge_is_that_of_the_quark(jets, flavour, sign):
    label, charge = leading(jets[flavour], lambda part: part.p4[:, 0] > 3)
    quark = np.where(label % 2 == 0, sign, -sign)
    mean = np.mean(charge * quark)
    assert mean > 3 / len(label) ** 0.5
    kappas = dict.fromkeys(generator.FLAVOURS, 0.5)
    flip, error = metrics.jet_charge_flip(jets[flavour], kappas)[flavour]
    assert flip < 0.5 - 3 * error


@needs_pythia
def test_hard_kaons_tell_s_from_sbar(jets):
    """A K- holds the s quark, a K+ its antiquark; in u jets a hard K+ holds the u."""

    def hard(part):
        return (part.species[:, 0] == 1) & (part.p4[:, 0] > 8)

    label, charge = leading(jets["s"], hard)
    right = np.mean(charge == np.where(label % 2 == 0, -1, 1))
    assert right > 0.75
    counts = {name: len(leading(jets[name], hard)[0]) for name in ("s", "u", "d")}
    assert counts["s"] > 1.5 * counts["u"] > 1.5 * counts["d"] * 0.8


@needs_pythia
def test_heavy_quarks_have_displaced_tracks_and_gluons_more_particles(jets):
    far = {}
    for name, sample in jets.items():
        part = sample.particles.values
        displaced = (part.d0_error > 0) & (np.abs(part.d0) > 5 * part.d0_error)
        far[name] = np.mean(displaced & (np.abs(part.d0) < 3))
    assert far["b"] > 1.3 * far["c"] > 1.3 * 1.3 * far["d"]
    size = {name: np.diff(sample.particles.offsets).mean() for name, sample in jets.items()}
    assert size["g"] > 1.3 * max(size["u"], size["d"], size["s"])


@needs_pythia
def test_impact_parameters_have_the_precision_of_the_detector(jets):
    part = jets["d"].particles.values
    tracks = part.d0_error > 0
    momentum = np.linalg.norm(part.p4[tracks, 1:], axis=1)
    sin_theta = np.hypot(*part.p4[tracks, 1:3].T) / momentum
    expected = np.hypot(0.005, 0.010 / (momentum * sin_theta**1.5))
    assert np.median(part.d0_error[tracks] / expected) == pytest.approx(1, abs=1e-3)
    pull = part.d0[tracks] / part.d0_error[tracks]
    low, high = np.quantile(pull, [0.16, 0.84])
    assert (high - low) / 2 == pytest.approx(1, abs=0.15)  # of mostly prompt tracks


@needs_pythia
def test_a_sample_is_balanced_and_shuffled(pieces, monkeypatch):
    def produce(request, *_, **__):
        return [root.take(pieces[name], np.arange(n)) for name, n in request.items()]

    monkeypatch.setattr(generator.production, "produce", produce)
    sample = generator.generate("higgs", 110, 2)
    assert all(sample.jets[f"label_{c}"].sum() == 10 for c in generator.CLASSES)
    _, count = np.unique(sample.jets["event_number"], return_counts=True)
    assert (count == 2).all()
    label = np.stack([sample.jets[f"label_{c}"] for c in generator.CLASSES], -1).argmax(1)
    assert np.sum(label[1:] != label[:-1]) > 80
    again = generator.generate("higgs", 110, 2)
    np.testing.assert_array_equal(again.jets["event_number"], sample.jets["event_number"])
    other = generator.generate("higgs", 110, 3)
    assert (other.jets["event_number"] != sample.jets["event_number"]).mean() > 0.8


@pytest.mark.slow
@needs_pythia
def test_a_sample_does_not_know_who_made_it():
    options = {"progress": False, "events_per_task": 6}
    one, two = (generator.generate("z", 110, 2, workers=n, **options) for n in (1, 2))
    for name, column in one.jets.items():
        np.testing.assert_array_equal(column, two.jets[name], err_msg=name)
    assert all(one.jets[f"label_{c}"].sum() == 11 for c in generator.CLASSES[:-1])
    assert one.jets["label_g"].sum() == 0


def test_shares_are_even_and_whole():
    assert generator.shares("z", 220) == dict.fromkeys("bcsud", 44)
    odd = generator.shares("higgs", 1000)
    assert sum(odd.values()) == 1000
    assert all(n % 2 == 0 for n in odd.values())
    assert abs(odd["g"] - odd["b"] / 2) < 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "w"}, r"source is 'w', expected one of \['higgs', 'z'\]"),
        ({"n_jets": 20}, "n_jets is 20"),
        ({"n_jets": 221}, "n_jets is 221, expected an even number"),
        ({"seed": -1}, "seed is -1"),
        ({"events_per_task": 0}, "events_per_task is 0"),
    ],
)
def test_bad_arguments_are_named(change, message):
    options = {"source": "higgs", "n_jets": 220, "seed": 1} | change
    with pytest.raises(ValueError, match=message):
        generator.generate(**options)


def test_a_sample_is_generated_once(tmp_path, monkeypatch, make_columns):
    calls = []
    monkeypatch.setattr(generator, "generate", lambda *a: calls.append(a) or make_columns(44))
    first = generator.cached(tmp_path / "new", "z", 44, 2)
    assert generator.cached(tmp_path / "new", "z", 44, 2) == first
    assert calls == [("z", 44, 2)]
    assert len(root.read_jetclass(first).jets["jet_pt"]) == 44
