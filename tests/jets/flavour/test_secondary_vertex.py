"""The variables of a secondary vertex: of exact tracks, behind the primary vertex, and of none."""

import numpy as np
import pytest

from hepjax import batch, lorentz
from hepjax.jets import data as jets_data
from hepjax.jets import secondary_vertex as finder
from hepjax.jets.flavour import data, secondary_vertex
from hepjax.jets.simulation import detector

ETA, PHI = -0.7, 2.9
AXIS = np.array([np.cos(PHI), np.sin(PHI), np.sinh(ETA)]) / np.cosh(ETA)


def jet(flight, n_displaced=4, n_prompt=5, seed=0, smear=0.0):
    """One jet with tracks from a point on its axis, flight mm away, and from the origin."""
    rng = np.random.default_rng(seed)
    n = n_displaced + n_prompt
    eta, phi = ETA + rng.normal(0, 0.1, n), PHI + rng.normal(0, 0.1, n)
    pt = rng.uniform(2, 10, n)
    p4 = lorentz.from_pt_eta_phi_mass(pt, eta, phi, np.full(n, finder.PION))
    vertex = np.where(np.arange(n)[:, None] < n_displaced, flight * AXIS, 0)
    d0, dz = detector.impact_parameters(p4, vertex)
    error = np.full(n, 0.02)
    zero = np.zeros(n)
    tracks = data.Tracks(
        pt=pt,
        deta=-(eta - ETA),
        dphi=phi - PHI,
        sin_theta=1 / np.cosh(eta),
        charge=zero + 1,
        lepton=np.zeros((n, 2)),
        d0=d0 + smear * error * rng.normal(size=n),
        d0_error=error,
        dz=dz + smear * 2 * error * rng.normal(size=n),
        dz_error=2 * error,
        pt_error=error,
        hits=np.zeros((n, 3)),
        origin=np.zeros(n, int),
        vertex=np.zeros(n, int),
    )
    axis = lorentz.from_pt_eta_phi_mass(*np.array([60.0, ETA, PHI, 8.0]))
    total = np.asarray(axis)[None].astype(np.float32)
    one = np.ones(1)
    ragged = batch.Ragged(tracks, np.array([0, n]))
    sample = jets_data.RaggedJets(ragged, total, one.astype(int), one, one, {}, data.CLASSES)
    return sample, p4[:n_displaced].sum(0), p4[:, 0]


def found(sample):
    return dict(zip(secondary_vertex.VARIABLES, secondary_vertex.find(sample)[0].tolist()))


def test_exact_tracks_meet_where_they_come_from():
    sample, total, energy = jet(5.0)
    v = found(sample)
    assert v["sv_n_tracks"] == 4
    assert v["sv_flight"] == pytest.approx(5 / np.cosh(ETA), rel=1e-3)
    assert v["sv_mass"] == pytest.approx(float(lorentz.mass(total)), rel=1e-3)
    assert v["sv_energy_fraction"] == pytest.approx(total[0] / energy.sum(), rel=1e-3)
    assert v["sv_delta_r"] < 0.01
    assert v["sv_chi2"] < 1e-3
    assert v["sv_significance"] > 10


def test_a_vertex_behind_has_a_negative_flight():
    v = found(jet(-5.0)[0])
    assert v["sv_flight"] < 0
    assert v["sv_significance"] < -10


def test_prompt_tracks_make_no_vertex():
    v = found(jet(0.0)[0])
    assert all(x == 0 for x in v.values())


def test_smeared_tracks_pull_the_flight_by_its_error():
    pulls = []
    for seed in range(60):
        v = found(jet(8.0, seed=seed, smear=1.0)[0])
        if v["sv_n_tracks"] == 4:
            error = 8.0 / v["sv_significance"]
            pulls.append((v["sv_flight"] * np.cosh(ETA) - 8.0) / error)
    assert len(pulls) > 40
    assert np.std(pulls) == pytest.approx(1, abs=0.35)
    assert abs(np.mean(pulls)) < 0.6


def test_all_jets_of_a_sample_in_its_order():
    """Chunks are filled up; a jet has the same vertex in any company."""
    samples = [jet(flight, seed=k)[0] for k, flight in enumerate((5.0, 0.0, -5.0))]
    tracks = batch.concatenate([one.particles for one in samples])
    whole = samples[0]._replace(
        particles=tracks,
        p4=np.concatenate([one.p4 for one in samples]),
        label=np.zeros(3, int),
    )
    together = secondary_vertex.find(whole)
    assert together.shape == (3, len(secondary_vertex.VARIABLES))
    for row, one in zip(together, samples):
        np.testing.assert_allclose(row, secondary_vertex.find(one)[0], rtol=1e-3, atol=1e-4)
