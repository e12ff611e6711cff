"""Regions of particles from Pythia: what they hold, their truth, and that no early cut bites."""

import importlib.util

import numpy as np
import pytest

from hepjax.jets.simulation import pythia

needs_pythia = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc comes with the extra `generators`",
)


@needs_pythia
def test_regions_are_visible_particles_with_their_truth():
    process = pythia.PROCESSES["top"]
    truth, hard = pythia.make_regions(process, pythia.TOP_LANDSCAPE, 3, 10)
    assert len(hard.event) in (10, 11)
    assert not np.isin(np.abs(truth.pid), (12, 14, 16)).any()
    mass2 = truth.p4[:, 0] ** 2 - np.sum(truth.p4[:, 1:] ** 2, axis=1)
    pions = np.abs(truth.pid) == 211
    np.testing.assert_allclose(mass2[pions], 0.13957**2, atol=1e-6)
    assert (np.abs(truth.charge[pions]) == 1).all()
    assert (truth.charge[truth.pid == 22] == 0).all()
    assert (truth.vertex[truth.charge == 0] == 0).all()
    flight = np.linalg.norm(truth.vertex, axis=1)
    assert 0 < (flight > 0.1).mean() < 0.3  # decays of b and c
    assert flight.max() < 300  # K_S and Lambda are left to the detector
    decay = np.hypot(hard.decay[..., 0] - hard.eta[:, None], 0)
    assert decay.max() < 0.85


@needs_pythia
def test_a_window_without_jets_ends(monkeypatch):
    monkeypatch.setattr(pythia, "PATIENCE", 200)
    space = pythia.TOP_LANDSCAPE._replace(eta_max=1e-9, pt_min=649.99, energy=13_000.0)
    monkeypatch.setattr(pythia, "ETA_MARGIN", 0.0)
    with pytest.raises(RuntimeError, match="no jet in 200 events"):
        pythia.make_regions(pythia.PROCESSES["qcd"], space, 1, 1)


@needs_pythia
@pytest.mark.parametrize("name", ["top", "qcd"])
def test_regions_depend_on_the_seed_alone(name):
    process = pythia.PROCESSES[name]
    make = lambda seed: pythia.make_regions(process, pythia.TOP_LANDSCAPE, seed, 6)  # noqa: E731
    first, other, again = make(3), make(4), make(3)
    for a, b in zip((*first[0], *first[1]), (*again[0], *again[1])):
        np.testing.assert_array_equal(a, b)
    assert first[0].p4.shape != other[0].p4.shape or (first[0].p4 != other[0].p4).any()


@needs_pythia
def test_regions_are_in_their_window():
    space = pythia.TOP_LANDSCAPE
    process = pythia.PROCESSES["qcd"]
    truth, hard = pythia.make_regions(process, space, 8, 12)
    total = np.zeros((len(hard.event), 4))
    np.add.at(total, truth.region, truth.p4)
    pt = np.hypot(total[:, 1], total[:, 2])
    low, high = process.region[0] * space.pt_min, process.region[1] * space.pt_max
    assert ((low < pt) & (pt < high)).all()
    assert (np.bincount(hard.event) <= 2).all()
    assert (np.diff(hard.event) >= 0).all()
    assert np.isnan(hard.decay).all()
    assert (np.isin(np.abs(hard.pid), (1, 2, 3, 4, 5, 21))).all()


@needs_pythia
def test_the_veto_at_the_hard_process_spares_contained_tops():
    """Without the early cuts, tops that end contained pass them with margins to spare."""
    process = pythia.PROCESSES["top"]._replace(early=(0.7, 1.4), late=(0.8, 1.4))
    truth, hard = pythia.make_regions(process, pythia.TOP_LANDSCAPE, 6, 40)
    delta_phi = np.abs(hard.decay[..., 1] - hard.phi[:, None])
    delta_phi = np.minimum(delta_phi, 2 * np.pi - delta_phi)
    distance = np.hypot(hard.decay[..., 0] - hard.eta[:, None], delta_phi).max(axis=1)
    assert distance.max() < pythia.LATE_REACH * 0.8
    assert np.median(distance) < 0.65  # well inside: the cut is not where the tops are
    assert len(truth.pid) > 40 * len(hard.event)


@needs_pythia
def test_an_unknown_setting_is_an_error():
    process = pythia.PROCESSES["qcd"]._replace(settings=("HardQCD:everything = on",))
    with pytest.raises(RuntimeError, match="does not know the setting 'HardQCD:everything"):
        pythia.make_regions(process, pythia.TOP_LANDSCAPE, 1, 1)


def test_settings_follow_the_phase_space():
    lines = pythia.pythia_settings(pythia.PROCESSES["top"], pythia.JETCLASS)
    assert "Beams:eCM = 13000.0" in lines
    assert "PartonLevel:MPI = on" in lines
    assert "Top:gg2ttbar = on" in lines
    for process in pythia.PROCESSES.values():
        assert process.label.startswith("label_")
        assert process.pthat[0] < process.early[0] < 1 < process.late[1] < process.pthat[1]
