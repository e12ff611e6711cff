"""Collisions with two jets: energies, partons, and what each source is."""

import importlib.util

import numpy as np
import pytest

from hepjax.jets.origin import collisions
from hepjax.jets.simulation import detector as detectors

needs_pythia = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc comes with the extra `generators`",
)


def mass(p4):
    return np.sqrt(p4[..., 0] ** 2 - np.sum(p4[..., 1:] ** 2, -1))


def total(truth, n, chosen=slice(None)):
    """Sum of the four-vectors of each event."""
    region = truth.region[chosen]
    return np.stack([np.bincount(region, truth.p4[chosen, k], n) for k in range(4)], -1)


@needs_pythia
def test_two_partons_make_a_higgs_boson_and_all_that_is_seen():
    """All that is visible, but for photons of the beams, is the Higgs boson."""
    truth, partons = collisions.make_collisions(collisions.SOURCES["higgs"], "u", 5, 60)
    pair = partons.p4.sum(1)
    assert mass(pair) == pytest.approx(125, abs=0.5)
    assert (partons.pid == [2, -2]).all()
    beam_photon = (truth.pid == 22) & (np.abs(truth.p4[:, 3]) > 0.999 * truth.p4[:, 0])
    seen = total(truth, 60, ~beam_photon)
    assert np.median(np.abs(seen - pair).max(1)) < 0.5
    recoil = 240**2 + mass(pair) ** 2 - 2 * 240 * pair[:, 0]
    assert np.median(np.sqrt(np.maximum(recoil, 0))) == pytest.approx(91.2, abs=3)


@needs_pythia
def test_particles_of_decays_begin_where_hadrons_end():
    truth, _ = collisions.make_collisions(collisions.SOURCES["higgs"], "b", 5, 60)
    flight = np.linalg.norm(truth.vertex, axis=1)
    charged = truth.charge != 0
    assert (flight[~charged] == 0).all()  # not looked at
    displaced = np.bincount(truth.region[charged & (flight > 0.3)], minlength=60)
    assert np.median(displaced) > 5
    assert np.hypot(*truth.vertex[:, :2].T).max() < 300
    near = charged & (flight > 0.3) & (flight < 30)
    d0, _ = detectors.impact_parameters(truth.p4[near], truth.vertex[near])
    assert np.median(np.abs(d0)) > 0.05


@needs_pythia
def test_a_z_makes_quarks_beside_neutrinos():
    truth, partons = collisions.make_collisions(collisions.SOURCES["z"], "s", 5, 40)
    assert (partons.pid == [3, -3]).all()
    assert np.median(mass(partons.p4.sum(1))) == pytest.approx(91.2, abs=1.5)
    assert len(np.unique(truth.region)) == 40


@needs_pythia
def test_equal_seeds_give_equal_events():
    source = collisions.SOURCES["higgs"]
    one, other = (collisions.make_collisions(source, "g", 7, 3) for _ in range(2))
    np.testing.assert_array_equal(one[0].p4, other[0].p4)
    np.testing.assert_array_equal(one[1].pid, [[21, 21]] * 3)
    assert not np.array_equal(
        collisions.make_collisions(source, "g", 8, 3)[0].p4[:20], one[0].p4[:20]
    )


def test_settings_name_the_decay_and_nothing_else():
    gluons = collisions.settings(collisions.SOURCES["higgs"], "g")
    assert "25:onIfMatch = 21 21" in gluons
    assert "Beams:eCM = 240.0" in gluons
    assert "PDF:lepton = on" in gluons
    strange = collisions.settings(collisions.SOURCES["z"], "s")
    assert strange[-1] == "23:onIfAny = 12 14 16 3"
    assert not any(line.startswith("25:") for line in strange)


def test_a_flavour_that_the_source_does_not_make():
    with pytest.raises(ValueError, match=r"flavour is 'g', expected one of \('b', 'c'"):
        collisions.make_collisions(collisions.SOURCES["z"], "g", 1, 1)
