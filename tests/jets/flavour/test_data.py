"""Tracks of jets: which are kept, how they are signed and scaled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import batch
from hepjax.io import root
from hepjax.jets import batches
from hepjax.jets import data as jets_data
from hepjax.jets.flavour import data


def test_tracks_are_the_charged_most_displaced_first(make_columns, tracks):
    columns = make_columns()
    values, count = tracks.particles.values, batch.lengths(tracks.particles)
    assert (values.charge != 0).all()
    assert len(count) == len(columns.offsets) - 1
    jet = np.repeat(np.arange(len(count)), count)
    significance = np.abs(values.d0 / values.d0_error)
    assert (np.diff(significance)[np.diff(jet) == 0] <= 1e-4).all()
    charged = columns.particles["part_charge"] != 0
    assert 0 < len(values.pt) <= charged.sum()
    assert values.pt.min() > data.LEAST_PT


def test_tracks_far_from_the_vertex_are_left_out(make_columns):
    columns = make_columns()
    columns.particles["part_d0val"][:] = 4.0
    empty = data.from_columns(columns)
    assert int(empty.particles.offsets[-1]) == 0
    assert len(empty.label) == 80
    padded = batches.padded(empty, np.arange(8), 8)
    found = data.inputs(padded)
    assert not found.mask.any()
    assert np.all(np.asarray(found.tracks) == 0)
    assert np.all(np.isfinite(found.jet))


def test_what_the_file_lacks_is_named(make_columns):
    columns = make_columns()
    del columns.particles["part_hits_pixel"]
    with pytest.raises(ValueError, match="part_hits_pixel"):
        data.from_columns(columns)


@pytest.mark.parametrize(("eta", "phi"), [(0.5, 0.2), (-1.5, 3.0), (0.0, -2.0)])
def test_a_decay_in_flight_is_positive_in_both_coordinates(eta, phi):
    """Tracks from a point on the jet's axis, with the formulas of the detector."""
    from hepjax.jets.simulation import detector

    rng = np.random.default_rng(0)
    axis = np.array([np.cos(phi), np.sin(phi), np.sinh(eta)])
    deta, dphi = rng.normal(0, 0.1, (2, 200))
    pt = rng.exponential(5, 200) + 1
    vectors = np.stack([np.cos(phi + dphi), np.sin(phi + dphi), np.sinh(eta + deta)], -1)
    p4 = np.column_stack([pt * np.cosh(eta + deta), pt[:, None] * vectors])
    for flight, sign in ((4.0, 1), (-4.0, -1)):
        d0, dz = detector.impact_parameters(p4, np.tile(flight * axis, (200, 1)))
        forward = -1.0 if eta < 0 else 1.0
        one = jnp.ones(200)
        transverse = data.signed_significance(d0, one, jnp.sin(dphi))
        longitudinal = data.signed_significance(dz, one, -deta)
        tracks = data.Tracks(**{name: np.ones((1, 200)) for name in data.Tracks._fields})._replace(
            deta=(forward * deta)[None], dphi=dphi[None], d0=d0[None], dz=dz[None]
        )
        both = data.significances(tracks, jnp.array([forward]))
        assert (np.sign(transverse) == sign).all()
        np.testing.assert_allclose(both[0][0], transverse, rtol=1e-5)
        np.testing.assert_allclose(both[1][0], longitudinal, rtol=1e-5)
        assert (np.sign(longitudinal) == sign).mean() > 0.85  # in three dimensions nearly


def test_inputs_are_finite_moderate_and_blind_to_padding(tracks):
    make = jax.jit(data.inputs)
    short, long = (make(batches.padded(tracks, np.arange(24), n)) for n in (24, 40))
    assert short.tracks.shape[-1] == len(data.FEATURES)
    assert np.all(np.isfinite(short.tracks))
    assert np.abs(short.tracks).max() < 12
    np.testing.assert_array_equal(short.tracks, long.tracks[:, :24])
    np.testing.assert_array_equal(short.jet, long.jet)
    padding = make(batches.padded(tracks, np.array([0, -1] * 4), 24))
    assert np.all(np.asarray(padding.jet)[1] == 0)
    assert np.all(np.isfinite(padding.tracks))


def test_jets_are_split_and_written_like_others(make_columns, tracks, tmp_path):
    parts = jets_data.split(tracks, (0.5, 0.25, 0.25), 0)
    assert sum(len(p.label) for p in parts) == 80
    assert not set(parts[0].event) & set(parts[2].event)
    columns = make_columns()
    root.write_jetclass(tmp_path / "f.root", columns)
    again = data.from_columns(root.read_jetclass(tmp_path / "f.root"))
    for a, b in zip(jax.tree.leaves(again.particles), jax.tree.leaves(tracks.particles)):
        np.testing.assert_array_equal(a, b)


def test_features_by_hand(tracks):
    """Each feature of one track from its columns, in the order of FEATURES."""
    jets = batches.padded(tracks, np.arange(40), 24)
    made = np.asarray(jax.jit(data.inputs)(jets).tracks)
    found = dict(zip(data.FEATURES, np.moveaxis(made, -1, 0)))
    pt = np.hypot(jets.p4[:, 1], jets.p4[:, 2])
    forward = np.sign(jets.p4[:, 3])
    for j, k in ((0, 0), (3, 1), (17, 0), (30, 2)):
        assert jets.mask[j, k]
        t = {name: x[j, k] for name, x in jets.particles._asdict().items()}
        sign = np.sign(np.sin(t["dphi"]))
        along = np.sign(-t["deta"] * forward[j])
        expected = {
            "d0_significance": np.arcsinh(sign * t["d0"] / t["d0_error"]) / 2,
            "dz_significance": np.arcsinh(along * t["dz"] / t["dz_error"]) / 2,
            "d0": np.arcsinh(t["d0"] / 0.05) / 2,
            "z0_sin_theta": np.arcsinh(t["dz"] * t["sin_theta"] / 0.05) / 2,
            "deta": t["deta"] / 0.15,
            "dphi": t["dphi"] / 0.15,
            "log_pt": (np.log(t["pt"]) - 1) * 0.8,
            "log_pt_fraction": (np.log(t["pt"] / pt[j]) + 2.8) * 0.8,
            "delta_r": np.hypot(t["deta"], t["dphi"]) / 0.15 - 1,
            "charge": t["charge"],
            "log_d0_error": (np.log(t["d0_error"]) + 3.2) * 1.5,
            "log_dz_error": (np.log(t["dz_error"]) + 2.5) * 1.5,
            "log_pt_error": (np.log(t["pt_error"]) + 4) * 2,
            "hits_first": t["hits"][0],
            "hits_pixel": t["hits"][1] - 3,
            "hits_strip": t["hits"][2] / 2 - 4,
            "electron": t["lepton"][0],
            "muon": t["lepton"][1],
        }
        assert list(expected) == list(data.FEATURES)
        for name, value in expected.items():
            assert found[name][j, k] == pytest.approx(value, rel=1e-4, abs=2e-4), name


def test_the_jet_stands_beside_its_tracks(tracks):
    jets = batches.padded(tracks, np.arange(12), 8)
    pt = np.hypot(jets.p4[:, 1], jets.p4[:, 2])
    eta = np.arcsinh(jets.p4[:, 3] / pt)
    found = data.inputs(jets).jet
    np.testing.assert_allclose(found[:, 0], (np.log(pt) - 4) * 0.8, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], np.abs(eta) - 1, rtol=1e-4, atol=1e-5)


def test_a_mirrored_jet_has_the_same_significances(tracks):
    """z -> -z and y -> -y: what points forward still does, all else equal."""
    jets = batches.padded(tracks, np.arange(20), 24)
    flipped = jets._replace(
        p4=jets.p4 * np.array([1, 1, -1, -1], np.float32),
        particles=jets.particles._replace(
            dphi=-jets.particles.dphi, d0=-jets.particles.d0, dz=-jets.particles.dz
        ),
    )
    same = [data.FEATURES.index(k) for k in ("d0_significance", "dz_significance", "delta_r")]
    make = jax.jit(data.inputs)
    a, b = (np.asarray(make(x).tracks)[..., same] for x in (jets, flipped))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
