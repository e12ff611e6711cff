"""Ten classes of jets: each holds what its name says, and looks as in the public sample."""

import importlib.util

import numpy as np
import pytest

from hepjax.io import root
from hepjax.jets import data, substructure
from hepjax.jets.simulation import generator, pythia, recipes

needs_pythia = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pythia8mc", "fastjet")),
    reason="pythia8mc and fastjet come with the extra `generators`",
)
N_JETS = 145
MASS = {"Hbb": 125, "Hcc": 125, "Hgg": 125, "H4q": 125, "Zqq": 91.2, "Wqq": 80.4, "Tbqq": 172.5}


@pytest.fixture(scope="module")
def columns():
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    return generator.ten_class_sample(N_JETS, 2, workers=1, progress=False, regions_per_task=20)


@pytest.fixture(scope="module")
def jets(columns):
    return data.from_columns(columns)


def of(columns, jets, name):
    """The jets of one class, and whether each particle belongs to one of them."""
    chosen = jets.label == data.CLASSES.index(name)
    return chosen, np.repeat(chosen, np.diff(jets.particles.offsets))


def medians(p4, offsets, label, index):
    """Median jet mass, GeV, and mean multiplicity of a class, with their errors."""
    total = substructure.jet_p4(p4.astype(np.float64), offsets)[label == index]
    mass = np.sqrt(np.maximum(total[:, 0] ** 2 - np.sum(total[:, 1:] ** 2, axis=1), 0))
    count = np.diff(offsets)[label == index]
    width = np.subtract(*np.quantile(mass, [0.84, 0.16])) / 2
    n = len(mass) ** 0.5
    return (np.median(mass), 1.25 * width / n), (count.mean(), count.std() / n)


def test_processes_are_the_classes():
    labels = [recipes.PROCESSES[name].label for name in recipes.TEN_CLASSES.values()]
    assert tuple(labels) == generator.LABELS
    assert tuple(recipes.TEN_CLASSES) == data.CLASSES
    indices = [process.index for process in recipes.PROCESSES.values()]
    assert len(set(indices)) == len(indices)
    assert generator.ORDER not in indices
    assert (recipes.PROCESSES["qcd"].index, recipes.PROCESSES["top"].index) == (0, 1)


@needs_pythia
def test_the_sample_is_balanced_and_in_the_phase_space(columns, jets):
    root.validate(columns)
    count = np.bincount(jets.label)
    np.testing.assert_array_equal(count, [15] * 5 + [14] * 5)
    assert len(np.unique(jets.label[:50])) > 6  # shuffled
    pt = columns.jets["jet_pt"]
    assert pt.min() >= 500
    assert pt.max() <= 1000
    assert np.median(pt) < 650
    assert np.abs(columns.jets["jet_eta"]).max() <= 2


@needs_pythia
def test_events_of_different_processes_have_different_numbers(jets):
    for event in np.unique(jets.event):
        assert len(np.unique(jets.label[jets.event == event])) == 1
    assert len(np.unique(jets.event)) > 0.8 * N_JETS


@needs_pythia
@pytest.mark.parametrize("name", MASS)
def test_masses_are_those_of_the_parents(columns, jets, name):
    chosen, _ = of(columns, jets, name)
    assert np.median(columns.jets["jet_sdmass"][chosen]) == pytest.approx(MASS[name], rel=0.08)


@needs_pythia
def test_gluons_make_more_particles_than_quarks_and_four_quarks_than_two(columns, jets):
    count = np.diff(jets.particles.offsets)
    mean = {name: count[of(columns, jets, name)[0]].mean() for name in data.CLASSES}
    assert mean["Hgg"] > mean["Hbb"] + 6
    assert mean["H4q"] > mean["Wqq"] + 6
    assert mean["Hqql"] < mean["H4q"] - 6
    assert mean["Tbl"] < mean["Tbqq"] - 6


@needs_pythia
def test_leptons_and_displaced_tracks_are_where_they_belong(columns, jets):
    part = columns.particles
    pt = np.hypot(part["part_px"], part["part_py"])
    hard_lepton = (pt > 20) & ((part["part_isElectron"] == 1) | (part["part_isMuon"] == 1))
    track = (pt > 2) & (part["part_charge"] != 0)
    displaced = track & (np.abs(part["part_d0val"]) > 5 * np.maximum(part["part_d0err"], 1e-6))
    displaced &= np.abs(part["part_d0val"]) < 10
    leptons, tracks = {}, {}
    for name in data.CLASSES:
        chosen, inside = of(columns, jets, name)
        leptons[name] = hard_lepton[inside].sum() / chosen.sum()
        tracks[name] = displaced[inside].sum() / chosen.sum()
    for name in ("Hqql", "Tbl"):
        assert leptons[name] > 0.7
    for name in ("QCD", "Hgg", "H4q", "Wqq"):
        assert leptons[name] < 0.3
    assert tracks["Hbb"] > 1.3 * tracks["Hcc"] > 1.3 * tracks["Hgg"]
    assert tracks["Tbqq"] > 1.5 * tracks["Wqq"]


@needs_pythia
@pytest.mark.parametrize("name", ["h4q", "tbl"])
def test_regions_hold_the_visible_products_of_their_parent(name):
    process = recipes.PROCESSES[name]
    _, hard = pythia.make_regions(process, recipes.JETCLASS, 4, 5)
    assert (np.abs(hard.pid) == process.parent).all()
    assert hard.decay.shape == (len(hard.event), sum(process.products), 2)
    delta_phi = np.abs(hard.decay[..., 1] - hard.phi[:, None])
    delta_phi = np.minimum(delta_phi, 2 * np.pi - delta_phi)
    assert np.hypot(hard.decay[..., 0] - hard.eta[:, None], delta_phi).max() < 0.8


@needs_pythia
@pytest.mark.slow
def test_masses_and_multiplicities_are_near_those_of_jetclass(hepjax_data):
    """Medians within errors and 6 %, multiplicities within errors and 12 %."""
    vectors = np.load(hepjax_data / "jets" / "jc_full_pf_vectors.npy")
    label = np.load(hepjax_data / "jets" / "jc_full_labels.npy").argmax(1)
    public = data.from_arrays(vectors[:, [3, 0, 1, 2]].swapaxes(1, 2), label=label)
    own = data.from_columns(generator.ten_class_sample(1500, 3, workers=2, progress=False))
    for index, name in enumerate(data.CLASSES):
        (mass, n), (mass0, n0) = (
            medians(jets.particles.values.p4, jets.particles.offsets, jets.label, index)
            for jets in (own, public)
        )
        for (a, error_a), (b, error_b), margin in ((mass, mass0, 0.06), (n, n0, 0.12)):
            assert abs(a - b) < margin * b + 2.5 * np.hypot(error_a, error_b), (name, a, b)


def test_a_shower_is_among_the_settings():
    space = recipes.TOP_LANDSCAPE._replace(shower=recipes.SHOWERS["soft"])
    process = recipes.PROCESSES["wqq"]
    assert "TimeShower:alphaSvalue = 0.12" in recipes.pythia_settings(process, space)
    plain = recipes.pythia_settings(process, recipes.TOP_LANDSCAPE)
    assert len(recipes.pythia_settings(process, space)) == len(plain) + 1
    assert recipes.SHOWERS["nominal"] == ()
