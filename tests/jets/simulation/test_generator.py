"""Generated jets: the layout, the physics, and that a sample is a function of its seed alone."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from hepjax.io import root
from hepjax.jets import substructure
from hepjax.jets.simulation import generator

needs_pythia = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pythia8mc", "fastjet")),
    reason="pythia8mc and fastjet come with the extra `generators`",
)
N_JETS = 240
QUICK = {"progress": False, "regions_per_task": 96}


@pytest.fixture(scope="module")
def sample():
    """Half tops, half QCD, by two workers."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    return generator.top_tagging_sample(N_JETS, 5, workers=2, **QUICK)


def four_vectors(columns):
    names = ("part_energy", "part_px", "part_py", "part_pz")
    return np.stack([columns.particles[name] for name in names], axis=1).astype(np.float64)


def mass(columns):
    p4 = substructure.jet_p4(four_vectors(columns), columns.offsets)
    return np.sqrt(p4[:, 0] ** 2 - np.sum(p4[:, 1:] ** 2, axis=1))


def same(a, b):
    np.testing.assert_array_equal(a.offsets, b.offsets)
    for first, second in ((a.particles, b.particles), (a.jets, b.jets)):
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@needs_pythia
def test_the_table_is_valid_and_balanced(sample):
    root.validate(sample)
    assert root.n_jets(sample) == N_JETS
    assert sample.jets["label_Tbqq"].sum() == N_JETS // 2
    assert sample.jets["label_QCD"].sum() == N_JETS // 2
    assert 10 < sample.jets["label_Tbqq"][: N_JETS // 4].sum() < N_JETS // 4 - 10  # shuffled


@needs_pythia
def test_a_jet_is_the_sum_of_its_constituents(sample):
    p4 = substructure.jet_p4(four_vectors(sample), sample.offsets)
    pt = np.hypot(p4[:, 1], p4[:, 2])
    np.testing.assert_allclose(sample.jets["jet_pt"], pt, rtol=1e-5)
    np.testing.assert_allclose(sample.jets["jet_energy"], p4[:, 0], rtol=1e-5)
    np.testing.assert_allclose(sample.jets["jet_eta"], np.arcsinh(p4[:, 3] / pt), atol=1e-5)
    np.testing.assert_array_equal(sample.jets["jet_nparticles"], np.diff(sample.offsets))


@needs_pythia
def test_jets_are_in_the_phase_space(sample):
    pt, eta = sample.jets["jet_pt"], sample.jets["jet_eta"]
    assert pt.min() >= 550
    assert pt.max() <= 650
    assert np.abs(eta).max() <= 2
    assert np.abs(eta.mean()) < 5 * eta.std() / N_JETS**0.5
    qcd = sample.jets["label_QCD"] == 1
    assert (pt[qcd] < 600).sum() > (pt[qcd] > 600).sum()  # a falling spectrum


@needs_pythia
def test_constituents_are_sorted_and_placed_around_the_jet(sample):
    p4 = four_vectors(sample)
    jet = np.repeat(np.arange(N_JETS), np.diff(sample.offsets))
    pt = np.hypot(p4[:, 1], p4[:, 2])
    assert (np.diff(pt)[np.diff(jet) == 0] <= 1e-4).all()
    eta, phi = np.arcsinh(p4[:, 3] / pt), np.arctan2(p4[:, 2], p4[:, 1])
    jet_eta, jet_phi = sample.jets["jet_eta"][jet], sample.jets["jet_phi"][jet]
    deta, dphi = sample.particles["part_deta"], sample.particles["part_dphi"]
    np.testing.assert_allclose(deta, (eta - jet_eta) * np.sign(jet_eta), atol=1e-4)
    np.testing.assert_allclose(np.sin(dphi), np.sin(phi - jet_phi), atol=1e-4)
    assert np.abs(dphi).max() < 1.2
    assert np.hypot(deta, dphi).max() < 1.2  # anti-kt jets of radius 0.8 are nearly round


@needs_pythia
def test_flags_charges_and_impact_parameters_agree(sample):
    part = sample.particles
    kinds = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
    flags = np.stack([part[f"part_is{kind}"] for kind in kinds])
    assert (flags.sum(axis=0) == 1).all()
    charged = flags[[0, 3, 4]].any(axis=0)
    np.testing.assert_array_equal(np.abs(part["part_charge"]), charged)
    for name in ("part_d0val", "part_dzval", "part_d0err", "part_dzerr"):
        assert (part[name][~charged] == 0).all()
    assert (part["part_d0err"][charged] > 0).all()
    assert (part["part_truth_pid"] != 0).all()
    fractions = flags.mean(axis=1)
    assert 0.4 < fractions[0] < 0.65
    assert 0.25 < fractions[2] < 0.5
    assert 0 < fractions[3] < 0.02


@needs_pythia
def test_tops_hold_their_top(sample):
    top = sample.jets["label_Tbqq"] == 1
    assert (np.abs(sample.jets["aux_genpart_pid"][top]) == 6).all()
    assert (np.abs(sample.jets["aux_genpart_pid"][~top]) != 6).all()
    delta_phi = np.abs(sample.jets["aux_genpart_phi"] - sample.jets["jet_phi"])
    delta_phi = np.minimum(delta_phi, 2 * np.pi - delta_phi)
    distance = np.hypot(sample.jets["aux_genpart_eta"] - sample.jets["jet_eta"], delta_phi)
    assert distance[top].max() < 0.8
    response = sample.jets["jet_pt"][top] / sample.jets["aux_genpart_pt"][top]
    assert np.median(response) == pytest.approx(1, abs=0.05)


@needs_pythia
def test_tops_look_like_tops(sample):
    top = sample.jets["label_Tbqq"] == 1
    assert np.median(mass(sample)[top]) == pytest.approx(173, abs=5)
    assert np.median(mass(sample)[~top]) < 110
    assert np.median(sample.jets["jet_sdmass"][top]) == pytest.approx(170, abs=7)
    tau32 = sample.jets["jet_tau3"] / np.maximum(sample.jets["jet_tau2"], 1e-6)
    assert tau32[top].mean() < tau32[~top].mean() - 0.1
    p4 = four_vectors(sample)
    tau = substructure.nsubjettiness(p4, sample.offsets)
    for k in range(4):
        np.testing.assert_allclose(sample.jets[f"jet_tau{k + 1}"], tau[:, k], atol=2e-3)


@needs_pythia
def test_tops_have_displaced_tracks(sample):
    """b and c hadrons live long enough to be seen; a jet of light quarks has few such tracks."""
    part, top = sample.particles, sample.jets["label_Tbqq"] == 1
    jet_is_top = np.repeat(top, np.diff(sample.offsets))
    track = part["part_charge"] != 0
    hard = track & (np.hypot(part["part_px"], part["part_py"]) > 2)
    displaced = hard & (np.abs(part["part_d0val"]) > 4 * np.maximum(part["part_d0err"], 1e-6))
    displaced &= np.abs(part["part_d0val"]) < 5
    assert displaced[jet_is_top].sum() > 1.5 * displaced[~jet_is_top].sum()


@needs_pythia
def test_multiplicity_and_mass_are_near_the_reference(sample, hepjax_data):
    vectors = np.load(hepjax_data / "jets" / "tl_pf_vectors.npy").astype(np.float64)
    real = np.load(hepjax_data / "jets" / "tl_pf_mask.npy")[:, 0] > 0
    label = np.load(hepjax_data / "jets" / "tl_labels.npy") == 1
    total = vectors.sum(axis=2)
    reference_mass = np.sqrt(total[:, 3] ** 2 - np.sum(total[:, :3] ** 2, axis=1))
    top = sample.jets["label_Tbqq"] == 1
    for own, other in ((top, label), (~top, ~label)):
        n, n_reference = sample.jets["jet_nparticles"][own].mean(), real[other].sum(axis=1).mean()
        assert n == pytest.approx(n_reference, rel=0.15)
        ratio = np.median(mass(sample)[own]) / np.median(reference_mass[other])
        assert ratio == pytest.approx(1, abs=0.05 if own is top else 0.3)


@needs_pythia
def test_at_most_two_jets_share_an_event(sample):
    numbers, count = np.unique(sample.jets["event_number"], return_counts=True)
    assert count.max() == 2
    assert len(numbers) > N_JETS / 2
    label = sample.jets["label_Tbqq"]
    for number in numbers[count == 2]:
        assert len(np.unique(label[sample.jets["event_number"] == number])) == 1


@needs_pythia
def test_a_sample_does_not_depend_on_who_does_the_work():
    """Two workers give what one process makes task by task; fewer jets are the first of more."""
    options = {"progress": False, "regions_per_task": 16}
    shared = generator.generate("qcd", 30, 5, workers=2, **options)
    space = generator.TOP_LANDSCAPE
    task = generator.Task("qcd", space, space.detector, 5, 0, 16)
    pieces = [root.Columns(*generator.make_jets(task._replace(index=k))) for k in range(6)]
    assert len(np.unique(shared.jets["event_number"] // generator.EVENTS_PER_TASK)) >= 3
    same(shared, root.take(root.concatenate(pieces), np.arange(30)))


@needs_pythia
def test_a_task_does_not_depend_on_the_tasks_before():
    """Pythia is kept between tasks, but remembers nothing; other seeds give other jets."""
    space = generator.TOP_LANDSCAPE
    task = generator.Task("qcd", space, space.detector, 5, 0, 24)
    first = generator.make_jets(task)
    generator.make_jets(task._replace(seed=9))
    same(first, generator.make_jets(task))
    other = generator.make_jets(task._replace(index=1))
    assert not np.isin(other.jets["jet_pt"], first.jets["jet_pt"]).any()
    assert not np.isin(other.jets["event_number"], first.jets["event_number"]).any()


@needs_pythia
@pytest.mark.parametrize("process", ["top", "qcd"])
def test_jetclass_phase_space(process):
    space = generator.JETCLASS
    task = generator.Task(process, space, space.detector, 1, 0, 24)
    jets = generator.make_jets(task)
    assert len(jets.offsets) > 5
    assert jets.jets["jet_pt"].min() >= 500
    assert jets.jets["jet_pt"].max() <= 1000


@pytest.mark.parametrize(
    ("process", "n_jets", "seed", "options", "message"),
    [
        ("higgs", 10, 1, {}, "process is 'higgs', expected one of .*'hbb', .*'qcd', .*'top'"),
        ("top", 0, 1, {}, "n_jets of top is 0"),
        ("top", 10, -1, {}, "seed is -1"),
        ("top", 10, 1, {"regions_per_task": 0}, "regions_per_task is 0"),
        ("top", 10, 1, {"workers": 0}, "n_workers is 0"),
        (
            *("qcd", 10, 1),
            {"phase_space": generator.TOP_LANDSCAPE._replace(pt_min=700.0)},
            "pt from 700.0 to 650.0",
        ),
        (
            *("qcd", 10, 1),
            {"phase_space": generator.TOP_LANDSCAPE._replace(radius=0.0)},
            "radius 0.0",
        ),
    ],
)
@needs_pythia
def test_bad_arguments_are_named(process, n_jets, seed, options, message):
    with pytest.raises(ValueError, match=message):
        generator.generate(process, n_jets, seed, **options)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pythia8mc is missing.*hepjax\[generators\]"):
        generator.generate("top", 1, 1)


def test_a_name_of_no_sample_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"one of .*'ten_classes', 'top_landscape'.*found 'jets'"):
        generator.cached(tmp_path, 10, 1, name="jets")


def test_importing_it_starts_neither_jax_nor_pythia():
    module = "hepjax.jets.simulation.generator"
    code = f"import {module}, sys; print(*(set(sys.modules) & {{'jax', 'pythia8mc'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
