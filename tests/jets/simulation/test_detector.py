"""The parametrised detector: widths, efficiencies and energies come out as they were put in."""

import numpy as np
import pytest

from hepjax.jets.simulation import detector, silicon

PI, ELECTRON, MUON, PHOTON, NEUTRON, K_SHORT, NEUTRINO = 211, 11, 13, 22, 2112, 310, 12
BOTH = pytest.mark.parametrize(
    "card", [detector.CMS_LIKE, detector.ATLAS_LIKE], ids=["cms", "atlas"]
)


def particles(pid, pt, eta=0.0, n=1, seed=0, vertex=(0.0, 0.0, 0.0), region=None):
    """`n` particles of one kind, phi at random, each in a region of its own unless told."""
    rng = np.random.default_rng(seed)
    pt, eta = np.broadcast_to(np.float64(pt), n), np.broadcast_to(np.float64(eta), n)
    phi = rng.uniform(-np.pi, np.pi, n)
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    pid = np.broadcast_to(pid, n)
    charged = np.isin(np.abs(pid), (PI, ELECTRON, MUON))
    return detector.Truth(
        p4=np.column_stack([np.linalg.norm(momentum, axis=1), momentum]),
        pid=pid,
        charge=np.where(charged, np.sign(pid), 0),
        vertex=np.broadcast_to(np.float64(vertex), (n, 3)),
        region=np.arange(n) if region is None else np.broadcast_to(region, n),
    )


def join(*parts):
    columns = [np.concatenate(column) for column in zip(*parts)]
    order = np.argsort(columns[-1], kind="stable")
    return detector.Truth(*(column[order] for column in columns))


def ideal(**changes):
    """A detector without losses, thresholds or smearing, except for `changes`."""
    tracking = detector.Tracking((9.0,), (0.0,), ((1.0,),), (1e-9,), (0.0,))
    exact = {"stochastic": 0.0, "constant": 1e-9, "noise": 0.0, "threshold": 0.0}
    card = detector.CMS_LIKE._replace(
        tracking=tracking,
        ecal=detector.CMS_LIKE.ecal._replace(**exact, significance=0.0),
        hcal=detector.CMS_LIKE.hcal._replace(**exact, significance=0.0),
        eta_max=9.0,
        curl_pt=0.0,
        tail_fraction=0.0,
        lepton_efficiency=1.0,
        lepton_fake=0.0,
    )
    return card._replace(**changes)


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def pt(objects):
    return np.hypot(objects.p4[:, 1], objects.p4[:, 2])


@BOTH
@pytest.mark.parametrize(("momentum", "eta"), [(0.8, 0.2), (5.0, 1.0), (5.0, -2.0), (50.0, 2.6)])
def test_track_efficiency_is_binomial(card, momentum, eta):
    n = 20_000
    truth = particles(PI, momentum, eta, n)
    found = len(detector.find_tracks(truth, card, rng()).source)
    expected, _ = detector.track_performance(np.array([momentum]), np.array([eta]), card.tracking)
    error = np.sqrt(n * expected[0] * (1 - expected[0]))
    assert abs(found - n * expected[0]) <= 4 * error


@pytest.mark.parametrize(("momentum", "eta"), [(2.0, 0.3), (100.0, 0.3), (300.0, -2.2)])
def test_track_momentum_is_unbiased_with_the_stated_width(momentum, eta):
    n, card = 40_000, detector.CMS_LIKE
    tracks = detector.find_tracks(particles(-PI, momentum, eta, n), card, rng())
    _, (width,) = detector.track_performance(np.array([momentum]), np.array([eta]), card.tracking)
    pull = (pt(tracks) / momentum - 1) / width
    n_tracks = len(pull)
    assert abs(pull.mean()) < 4 / np.sqrt(n_tracks)
    assert pull.std() == pytest.approx(1, abs=0.02)
    assert (tracks.charge == -1).all()


def test_impact_parameter_pulls_have_a_unit_core_and_the_stated_tails():
    n, card = 60_000, detector.CMS_LIKE._replace(tail_fraction=0.05)
    tracks = detector.find_tracks(particles(PI, 5.0, 0.7, n), card, rng())
    for value, error in ((tracks.d0, tracks.d0_error), (tracks.dz, tracks.dz_error)):
        pull = value / error
        core = np.percentile(np.abs(pull), 68.27 * 0.95 + 0.05 * 15.85)
        assert core == pytest.approx(1, abs=0.03)
        # 5 % of the tracks have five times the width: P(|x| > 4) = 0.05 P(|x| > 0.8) + ...
        expected = 0.05 * 0.42371 + 0.95 * 6.33e-5
        n_tail = (np.abs(pull) > 4).sum()
        assert abs(n_tail - expected * len(pull)) < 4 * np.sqrt(expected * len(pull))
    assert tracks.d0_error[0] == pytest.approx(np.hypot(0.015, 0.08 / 5 * np.sqrt(np.cosh(0.7))))


def test_impact_parameters_of_a_straight_line():
    p4 = np.array([[np.sqrt(2), 1.0, 0.0, 1.0], [np.sqrt(2), 1.0, 0.0, 1.0]])
    vertex = np.array([[3.0, 0.2, 5.0], [0.0, -0.5, 0.0]])
    d0, dz = detector.impact_parameters(p4, vertex)
    np.testing.assert_allclose(d0, [-0.2, 0.5])  # positive where the track passes below the axis
    np.testing.assert_allclose(dz, [2.0, 0.0])
    along = vertex + 7 * p4[:, 1:]  # another point on the same line
    np.testing.assert_allclose(detector.impact_parameters(p4, along), (d0, dz), atol=1e-12)


def test_displaced_tracks_keep_their_impact_parameter():
    card = ideal(d0_constant=1e-9, d0_slope=0.0, dz_constant=1e-9, dz_slope=0.0)
    truth = particles(PI, 10.0, 0.4, 50, vertex=(0.3, -0.4, 1.0))
    tracks = detector.find_tracks(truth, card, rng())
    d0, dz = detector.impact_parameters(truth.p4, truth.vertex)
    np.testing.assert_allclose(tracks.d0, d0[tracks.source], atol=1e-7)
    np.testing.assert_allclose(tracks.dz, dz[tracks.source], atol=1e-7)


def test_towers_conserve_energy_and_stay_in_their_region():
    generator = np.random.default_rng(3)
    truth = join(
        particles(
            PHOTON, generator.exponential(5, 400), generator.normal(0, 1, 400), 400, region=1
        ),
        particles(
            NEUTRON, generator.exponential(5, 300), generator.normal(0, 1, 300), 300, region=4
        ),
    )
    deposit, tracked = truth.p4[:, 0] * 0.7, truth.p4[:, 0] * 0.1
    towers = detector.sum_towers(truth, deposit, tracked, detector.CMS_LIKE.hcal)
    assert len(towers.energy) < 700
    for region in (1, 4):
        inside = towers.region == region
        total = deposit[truth.region == region].sum()
        assert towers.energy[inside].sum() == pytest.approx(total, rel=1e-12)
        assert towers.tracked[inside].sum() == pytest.approx(total / 7, rel=1e-12)
        assert (truth.region[towers.source[inside]] == region).all()


def test_particles_of_one_cell_become_one_tower_at_the_right_place():
    card = ideal()
    two = particles(PHOTON, [10.0, 20.0], [0.5002, 0.5003], 2, region=0)
    momentum = np.array([20.0 * np.cos(0.3), 20.0 * np.sin(0.3), 20.0 * np.sinh(0.5003)])
    p4 = np.stack(
        [np.r_[10.0 * np.cosh(0.5003), momentum / 2], np.r_[20 * np.cosh(0.5003), momentum]]
    )
    objects = detector.measure(two._replace(p4=p4), card, rng())
    assert objects.category.tolist() == [detector.PHOTON]
    assert objects.p4[0, 0] == pytest.approx(30 * np.cosh(0.5003), rel=1e-6)
    assert objects.source.tolist() == [1]  # the larger deposit
    phi, eta = (
        np.arctan2(objects.p4[0, 2], objects.p4[0, 1]),
        np.arcsinh(objects.p4[0, 3] / pt(objects)[0]),
    )
    assert abs(phi - 0.3) < card.ecal.cell
    assert abs(eta - 0.5003) < card.ecal.cell


@pytest.mark.parametrize("phi", [np.pi - 1e-9, -np.pi + 1e-9, np.pi, 0.0])
def test_cells_close_around_the_cylinder(phi):
    truth = particles(PHOTON, 10.0)._replace(
        p4=np.array([[10.0, 10 * np.cos(phi), 10 * np.sin(phi), 0.0]])
    )
    objects = detector.measure(truth, ideal(), rng())
    distance = abs(np.arctan2(objects.p4[0, 2], objects.p4[0, 1]) - phi)
    assert min(distance, 2 * np.pi - distance) < detector.CMS_LIKE.ecal.cell * 1.01


@pytest.mark.parametrize(("pid", "energy"), [(PHOTON, 40.0), (NEUTRON, 80.0)])
def test_calorimeter_energy_is_unbiased_with_the_stated_width(pid, energy):
    n, card = 20_000, detector.ATLAS_LIKE
    calorimeter = card.ecal if pid == PHOTON else card.hcal
    objects = detector.measure(particles(pid, energy, 0.0, n), card, rng())
    assert len(objects.p4) == n
    relative = objects.p4[:, 0] / energy
    terms = (calorimeter.constant, calorimeter.stochastic / energy**0.5, calorimeter.noise / energy)
    width = np.linalg.norm(terms)
    assert abs(relative.mean() - 1) < 4 * width / np.sqrt(n)
    assert relative.std() == pytest.approx(width, rel=0.03)


def test_tracked_energy_is_not_counted_twice():
    objects = detector.measure(particles(PI, 20.0, 0.3, 300), ideal(), rng())
    tracks = objects.category == detector.CHARGED_HADRON
    assert tracks.sum() == 300
    assert objects.p4[~tracks, 0].sum() < 1e-4 * objects.p4[tracks, 0].sum()
    lost = detector.Tracking((9.0,), (0.0,), ((0.0,),), (0.0,), (0.0,))
    objects = detector.measure(particles(PI, 20.0, 0.3, 300), ideal(tracking=lost), rng())
    assert (objects.category == detector.NEUTRAL_HADRON).all()  # untracked: seen by calorimeters
    np.testing.assert_allclose(objects.p4[:, 0], 20 * np.cosh(0.3), rtol=1e-6)


@pytest.mark.parametrize(
    ("pid", "expected"),
    [
        (PHOTON, {detector.PHOTON: 1.0}),
        (NEUTRON, {detector.NEUTRAL_HADRON: 1.0}),
        (K_SHORT, {detector.PHOTON: 0.3, detector.NEUTRAL_HADRON: 0.7}),
        (PI, {detector.CHARGED_HADRON: 1.0}),
        (ELECTRON, {detector.ELECTRON: 1.0}),
        (-MUON, {detector.MUON: 1.0}),
        (NEUTRINO, {}),
    ],
)
def test_what_an_ideal_detector_sees(pid, expected):
    truth = particles(pid, 30.0, 1.0, 200)
    objects = detector.measure(truth, ideal(), rng())
    total = truth.p4[:, 0].sum()
    shares = np.bincount(objects.category, objects.p4[:, 0], 5) / total
    for category in range(5):
        assert shares[category] == pytest.approx(expected.get(category, 0.0), abs=1e-4)


def test_lepton_flags_have_an_efficiency_and_fakes():
    n = 50_000
    card = ideal(lepton_efficiency=0.9, lepton_fake=0.01)
    for pid, found in ((ELECTRON, detector.ELECTRON), (MUON, detector.MUON)):
        flags = detector.find_tracks(particles(pid, 30.0, 0.0, n), card, rng()).category
        assert (flags == found).mean() == pytest.approx(0.9, abs=0.006)
        assert ((flags == found) | (flags == detector.CHARGED_HADRON)).all()
    flags = detector.find_tracks(particles(PI, 30.0, 0.0, n), card, rng()).category
    for fake in (detector.ELECTRON, detector.MUON):
        assert (flags == fake).mean() == pytest.approx(0.01, abs=0.002)


def test_soft_charged_particles_curl_up():
    card = ideal(curl_pt=0.7, tracking=detector.Tracking((9.0,), (0.5,), ((0.0,),), (0.0,), (0.0,)))
    assert len(detector.measure(particles(PI, 0.69, 0.0, 50), card, rng()).p4) == 0
    assert len(detector.measure(particles(PI, 0.71, 0.0, 50), card, rng()).p4) == 50
    assert len(detector.measure(particles(PHOTON, 0.69, 0.0, 50), card, rng()).p4) == 50


def test_no_object_below_the_thresholds():
    card = detector.ATLAS_LIKE
    generator = np.random.default_rng(5)
    n = 5000
    truth = particles(NEUTRON, generator.exponential(3, n), generator.normal(0, 1, n), n)
    objects = detector.measure(truth, card, rng())
    assert objects.p4[:, 0].min() > card.hcal.threshold
    assert objects.p4[:, 0].min() > card.hcal.significance * card.hcal.noise
    assert 0 < len(objects.p4) < n


def test_objects_are_sorted_and_complete():
    generator = np.random.default_rng(6)
    parts = [
        particles(pid, generator.exponential(10, 60), generator.normal(0, 1, 60), 60, region=region)
        for region in (0, 2)
        for pid in (PI, -PI, PHOTON, NEUTRON, ELECTRON, MUON)
    ]
    truth = join(*parts)
    objects = detector.measure(truth, detector.CMS_LIKE, rng())
    assert (np.diff(objects.region) >= 0).all()
    for region in (0, 2):
        assert (np.diff(pt(objects)[objects.region == region]) <= 0).all()
    np.testing.assert_array_equal(truth.region[objects.source], objects.region)
    charged = np.isin(objects.category, (detector.CHARGED_HADRON, detector.ELECTRON, detector.MUON))
    np.testing.assert_array_equal(objects.charge != 0, charged)
    for column in (objects.d0, objects.d0_error, objects.dz, objects.dz_error):
        assert (column[~charged] == 0).all()
    assert (objects.d0_error[charged] > 0).all()
    mass2 = objects.p4[:, 0] ** 2 - np.sum(objects.p4[:, 1:] ** 2, axis=1)
    np.testing.assert_allclose(
        mass2,
        np.array([0.13957, 0, 0, 0.000511, 0.10566])[objects.category] ** 2,
        atol=1e-9 * objects.p4[:, 0].max() ** 2,
    )


def test_equal_seeds_give_equal_objects():
    truth = particles(PI, 10.0, 0.0, 100)
    first, second, other = (detector.measure(truth, detector.CMS_LIKE, rng(k)) for k in (1, 1, 2))
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)
    assert len(first.p4) != len(other.p4) or (first.p4 != other.p4).any()


def test_nothing_in_nothing_out():
    objects = detector.measure(particles(PI, 1.0, 0.0, 0), detector.CMS_LIKE, rng())
    assert all(len(column) == 0 for column in objects)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"charge": np.zeros(3)}, "truth.charge has 3 entries"),
        ({"p4": np.zeros((2, 3))}, r"shape \(2, 3\)"),
        ({"p4": np.full((2, 4), np.nan)}, "not finite at particle 0"),
    ],
)
def test_bad_input_is_named(changes, message):
    truth = particles(PI, 1.0, 0.0, 2)._replace(**changes)
    with pytest.raises(ValueError, match=message):
        detector.measure(truth, detector.CMS_LIKE, rng())


SILICON = silicon.ATLAS_LIKE._replace(efficiency=1.0)


@pytest.mark.parametrize(
    ("rho", "n_hits", "lever"),
    [(0.0, (1, 4, 8), 1.0), (40.0, (0, 3, 8), 50.5 / 33.3), (130.0, (0, 0, 8), 299 / 33.3)],
)
def test_tracks_have_the_hits_of_the_layers_they_cross(rho, n_hits, lever):
    truth = particles(PI, 20.0, n=50, vertex=(0.0, rho, 0.0))
    with_layers = detector.find_tracks(truth, ideal(silicon=SILICON), rng())
    without = detector.find_tracks(truth, ideal(), rng())
    assert len(with_layers.hits) == len(without.hits) == 50
    np.testing.assert_array_equal(with_layers.hits, np.tile(n_hits, (50, 1)))
    assert (without.hits == 0).all()
    np.testing.assert_allclose(with_layers.d0_error, lever * without.d0_error)
    np.testing.assert_allclose(with_layers.dz_error, lever * without.dz_error)


def test_tracks_that_begin_late_are_lost():
    for rho, found in ((200.0, 30), (320.0, 0), (600.0, 0)):
        truth = particles(PI, 20.0, n=30, vertex=(rho, 0.0, 0.0))
        assert len(detector.find_tracks(truth, ideal(silicon=SILICON), rng()).source) == found
        assert len(detector.find_tracks(truth, ideal(), rng()).source) == 30


def test_towers_have_no_hits_and_tracks_their_resolution():
    truth = join(particles(PI, 30.0, n=40), particles(PHOTON, 30.0, n=40, seed=1))
    card = detector.FLAVOUR_LIKE
    found = detector.measure(truth, card, rng())
    tower = found.charge == 0
    assert tower.any()
    assert (found.hits[tower] == 0).all()
    assert (found.pt_error[tower] == 0).all()
    assert (found.hits[~tower, 1:].sum(1) >= card.silicon.least_hits).all()
    _, expected = detector.track_performance(np.full(1, 30.0), np.zeros(1), card.tracking)
    np.testing.assert_allclose(found.pt_error[~tower], expected[0])


def test_a_missed_first_layer_costs_precision():
    """Impact parameters scatter by the errors that are given, with and without the first hit."""
    truth = particles(PI, 5.0, n=20_000)
    card = ideal(silicon=silicon.ATLAS_LIKE._replace(efficiency=0.7))
    found = detector.find_tracks(truth, card, rng())
    for first in (0, 1):
        some = found.hits[:, 0] == first
        pull = found.d0[some] / found.d0_error[some]
        assert np.std(pull) == pytest.approx(1, abs=0.04)
    widths = [np.std(found.d0[found.hits[:, 0] == first]) for first in (0, 1)]
    assert widths[0] > 1.4 * widths[1]
