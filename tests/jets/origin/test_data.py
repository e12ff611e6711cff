"""Constituents of jets: identity, conjugation, and features along the jet's own axis."""

import jax
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.io import root
from hepjax.jets import batches
from hepjax.jets.origin import data, metrics
from hepjax.jets.simulation import detector as detectors

AT = {name: k for k, name in enumerate(data.FEATURES)}
inputs, in_frame = jax.jit(data.inputs), jax.jit(data.in_frame)


@pytest.fixture(scope="module")
def padded(jets):
    return batches.padded(jets, np.arange(48), 24)


@pytest.fixture(scope="module")
def found(padded):
    return jax.tree.map(np.asarray, inputs(padded))


def test_identity_is_an_assumption(make_columns):
    columns = make_columns(60)
    pid = columns.particles["part_truth_pid"]
    perfect, none = (
        data.from_columns(columns, identity).particles.values for identity in ("perfect", "none")
    )
    np.testing.assert_array_equal(perfect.species, np.stack([pid == 321, pid == 2212], -1))
    assert 0 < perfect.species.sum() < len(pid)
    assert (none.species == 0).all()
    np.testing.assert_array_equal(perfect.p4, none.p4)
    fooled = columns.particles | {"part_isChargedHadron": np.zeros_like(pid, np.float32)}
    as_leptons = data.from_columns(columns._replace(particles=fooled)).particles.values
    assert (as_leptons.species == 0).all()  # what looks like a lepton is no kaon


def test_bad_columns_are_named(make_columns):
    columns = make_columns(22)
    with pytest.raises(ValueError, match="identity is 'some'"):
        data.from_columns(columns, "some")
    part = {k: x for k, x in columns.particles.items() if k != "part_truth_pid"}
    bare = root.Columns(part, columns.offsets, columns.jets)
    with pytest.raises(ValueError, match="part_truth_pid is missing"):
        data.from_columns(bare)
    assert data.from_columns(bare, "none").particles.values.species.sum() == 0


def test_conjugation_swaps_quarks_and_charges_only(jets):
    other = data.conjugate(jets)
    assert {(data.CLASSES[a], data.CLASSES[b]) for a, b in zip(jets.label, other.label)} >= {
        ("b", "bbar"),
        ("ubar", "u"),
        ("g", "g"),
    }
    for name, one, two in zip(
        data.Constituents._fields, jets.particles.values, other.particles.values
    ):
        np.testing.assert_array_equal(two, -one if name == "charge" else one, err_msg=name)
    back = data.conjugate(other)
    np.testing.assert_array_equal(back.label, jets.label)
    np.testing.assert_array_equal(back.particles.values.charge, jets.particles.values.charge)
    charge = metrics.jet_charge(jets, 0.4)
    np.testing.assert_allclose(metrics.jet_charge(other, 0.4), -charge)


def test_features_of_a_conjugate_jet(jets, found):
    """Charge, and the charges of kaons and protons, change their sign; nothing else changes."""
    other = inputs(batches.padded(data.conjugate(jets), np.arange(48), 24))
    odd = [AT[name] for name in ("charge", "charge_of_kaon", "charge_of_proton")]
    expected = found.features.copy()
    expected[..., odd] *= -1
    np.testing.assert_array_equal(other.features, expected)
    np.testing.assert_array_equal(other.p4, found.p4)


def test_twice_the_sample(jets):
    both = data.with_conjugates(jets)
    n = len(jets.label)
    assert np.bincount(both.label).tolist() == [2 * n // 11] * 11
    np.testing.assert_array_equal(both.event[:n], both.event[n:])
    part = both.particles
    assert part.offsets[-1] == len(part.values.charge) == 2 * jets.particles.offsets[-1]
    one = batches.padded(both, np.array([n + 5]), 24).particles
    np.testing.assert_array_equal(
        one.charge, -batches.padded(jets, np.array([5]), 24).particles.charge
    )
    assert set(both.observers) == set(jets.observers)


def test_the_frame_of_a_jet_keeps_masses_and_angles(padded):
    turned = np.asarray(in_frame(padded.particles.p4, padded.p4))
    np.testing.assert_allclose(
        lorentz.momentum(turned), lorentz.momentum(padded.particles.p4), rtol=1e-5, atol=1e-5
    )
    own = np.asarray(in_frame(padded.p4[:, None], padded.p4))[:, 0]
    np.testing.assert_allclose(own[:, 1], lorentz.momentum(padded.p4), rtol=1e-5)
    np.testing.assert_allclose(own[:, 2:], 0, atol=1e-4)
    axis = lorentz.direction(np.where(padded.mask[..., None], padded.particles.p4, 1))
    cos = np.sum(axis * lorentz.direction(padded.p4)[:, None], -1)
    found = turned[..., 1] / np.maximum(lorentz.momentum(turned), 1e-9)
    np.testing.assert_allclose(found[padded.mask], cos[padded.mask], atol=1e-5)


def test_across_is_phi_and_up_is_away_from_the_beam():
    jet = np.array([[10.0, 6.0, 0.0, 8.0]])
    more_phi = np.array([1.0, 0.6 * np.cos(0.1), 0.6 * np.sin(0.1), 0.8])
    less_theta = np.array([1.0, 0.5, 0.0, np.sqrt(0.75)])
    turned = np.asarray(in_frame(np.stack([more_phi, less_theta])[None], jet))[0]
    assert turned[0, 2] == pytest.approx(0.6 * np.sin(0.1), abs=1e-6)
    assert turned[1, 2] == pytest.approx(0, abs=1e-6)
    angle = np.arcsin(0.6) - np.arcsin(0.5)
    assert turned[1, 3] == pytest.approx(np.sin(angle), abs=1e-6)
    along_beam = np.asarray(in_frame(np.array([[[1.0, 0, 0, 1]]]), np.array([[2.0, 0, 0, 2]])))
    assert along_beam[0, 0].tolist() == [1, 1, 0, 0]


def test_features_do_not_know_the_azimuth(jets, found):
    """An event turned around the beam gives the same features."""
    c, s = np.cos(1.3), np.sin(1.3)
    turn = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]])
    part = jets.particles.values
    values = part._replace(p4=(part.p4 @ turn.T).astype(np.float32))
    turned = jets._replace(
        particles=jets.particles._replace(values=values), p4=(jets.p4 @ turn.T).astype(np.float32)
    )
    other = inputs(batches.padded(turned, np.arange(48), 24))
    far = np.abs(found.features[..., AT["across"]]) > 1e-3  # where the sign of d0 is sure
    far &= np.abs(found.features[..., AT["up"]]) > 1e-3
    np.testing.assert_allclose(other.features[far], found.features[far], atol=2e-3)
    np.testing.assert_allclose(other.points, found.points, atol=1e-3)


def test_padding_is_nothing(jets, found):
    rows = np.concatenate([np.arange(48), np.full(8, -1)])
    wide = jax.tree.map(np.asarray, inputs(batches.padded(jets, rows, 32)))
    np.testing.assert_allclose(wide.features[:48, :24], found.features, rtol=1e-5, atol=1e-6)
    assert all((x[48:] == 0).all() for x in jax.tree.leaves(wide))
    assert (wide.features[~wide.mask] == 0).all()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(wide))


def test_a_decay_in_front_of_the_collision_has_positive_significances():
    """Tracks from points on the axis: both impact parameters have the sign of the flight."""
    rng = np.random.default_rng(1)
    n = 300
    jet = np.tile([20.0, *(19 * np.array([0.48, -0.36, 0.8]))], (1, 1))
    axis = jet[0, 1:] / np.linalg.norm(jet[0, 1:])
    momentum = 3 * axis + rng.normal(0, 0.5, (n, 3))
    p4 = np.column_stack([np.linalg.norm(momentum, axis=1), momentum])[None]
    zero = np.zeros((1, n))
    for flight in (2.0, -2.0):
        d0, dz = detectors.impact_parameters(p4[0], np.tile(flight * axis, (n, 1)))
        error = np.full((1, n), 0.01)
        part = data.Constituents(p4, zero, zero, zero, d0[None], error, dz[None], error)
        for value in data.signed_significances(part, jet):
            assert (np.sign(value) == np.sign(flight)).mean() > 0.99


def test_without_an_error_there_is_no_significance(padded, found):
    neutral = padded.mask & (padded.particles.charge == 0)
    assert neutral.any()
    for name in ("d0_significance", "dz_significance", "d0", "log_d0_error", "charge_of_kaon"):
        assert (found.features[..., AT[name]][neutral] == 0).all(), name
