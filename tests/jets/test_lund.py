"""The Lund planes: emissions by hand and by FastJet, densities and ratios with errors of toys."""

import numpy as np
import pytest
from lund_toys import BINS, shower

from hepjax import batch, lorentz
from hepjax.jets import lund

MASSLESS = np.zeros(3)


def three_particles():
    pt, eta, phi = (np.array(x) for x in ([100.0, 20, 5], [0.0, 0.3, 0.05], [0.0, 0.0, 0.02]))
    return lorentz.from_pt_eta_phi_mass(pt, eta, phi, MASSLESS)


def random_jets(rng, count):
    """Jets of so many particles, in no order."""
    total = int(np.sum(count))
    eta, phi = rng.normal(0, 0.3, (2, total))
    p4 = lorentz.from_pt_eta_phi_mass(rng.exponential(20, total), eta, phi, np.full(total, 0.14))
    return p4, np.concatenate([[0], np.cumsum(count)])


def test_emissions_of_three_particles_by_hand():
    p4 = three_particles()
    plane = lund.plane(np.concatenate([p4, p4[:1]]), np.array([0, 3, 4]))
    assert plane.offsets.tolist() == [0, 3, 4]
    assert plane.prong.tolist() == [True, False, False, True]
    assert batch.lengths(plane.emissions).tolist() == [2, 0, 0, 0]
    near = np.hypot(0.05, 0.02)  # the closest two come together first
    core = p4[0] + p4[2]
    wide = float(lorentz.delta_r(core, p4[1], use_rapidity=True))
    found = plane.emissions.values
    np.testing.assert_allclose(found.ln_angle, [-np.log(wide), -np.log(near)], rtol=1e-6)
    np.testing.assert_allclose(found.ln_kt, [np.log(20 * wide), np.log(5 * near)], rtol=1e-6)
    np.testing.assert_allclose(plane.pt[1:], [20, 5, 100], rtol=1e-9)


def test_a_leaf_has_a_plane_of_its_own():
    """The two that are close make the softer branch: their splitting is off the leaf."""
    pt, eta = np.array([100.0, 20, 5]), np.array([0.0, 0.4, 0.45])
    p4 = lorentz.from_pt_eta_phi_mass(pt, eta, MASSLESS, MASSLESS)
    plane = lund.plane(p4, np.array([0, 3]))
    assert batch.lengths(plane.emissions).tolist() == [1, 1, 0]
    assert plane.prong.tolist() == [True, False, False]
    np.testing.assert_allclose(plane.emissions.values.ln_angle[1], -np.log(0.05), rtol=1e-6)
    np.testing.assert_allclose(plane.pt[1], 25, rtol=1e-6)
    place = lund.counts(plane, lund.BINS._replace(leaf_pt=np.array([0.0, 10, 30])))[1]
    assert place.tolist() == [1, 5, 4]  # a prong of 125 GeV, leaves of 25 and 5


def test_emissions_off_the_jet_are_those_of_fastjet():
    ak, fastjet = pytest.importorskip("awkward"), pytest.importorskip("fastjet")
    p4, offsets = random_jets(np.random.default_rng(0), [30, 2, 17, 1, 44])
    plane = lund.plane(p4, offsets)
    particles = ak.zip(dict(zip(("E", "px", "py", "pz"), p4.T)), with_name="Momentum4D")
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    sequence = fastjet.ClusterSequence(ak.unflatten(particles, np.diff(offsets)), definition)
    expected = ak.flatten(sequence.exclusive_jets_lund_declusterings(1), axis=2)
    primary = lund.primary(plane).emissions
    assert lund.primary(plane).offsets.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(batch.lengths(primary), ak.num(expected))
    angle, kt = (ak.to_numpy(ak.flatten(expected[name])) for name in ("Delta", "kt"))
    np.testing.assert_allclose(np.exp(-primary.values.ln_angle), angle, rtol=1e-6)
    np.testing.assert_allclose(np.exp(primary.values.ln_kt), kt, rtol=1e-6)
    assert plane.emissions.offsets[-1] == (np.diff(offsets) - 1).sum()


@pytest.mark.parametrize("algorithm", ["kt", "cambridge"])
def test_prongs_are_the_clusters_that_were_put_in(algorithm):
    pytest.importorskip("fastjet")
    rng = np.random.default_rng(1)
    eta = np.repeat([0.0, 0.5, -0.5], 6) + rng.normal(0, 0.03, 18)
    phi = np.repeat([0.0, 0.3, 0.3], 6) + rng.normal(0, 0.03, 18)
    p4 = lorentz.from_pt_eta_phi_mass(np.full(18, 30.0), eta, phi, np.zeros(18))
    order = rng.permutation(18)
    two = np.concatenate([p4[order], p4[:2]])  # and a jet of two particles
    members, starts, per_jet = lund.prongs(two, np.array([0, 18, 20]), 3, algorithm)
    assert per_jet.tolist() == [0, 3, 5]
    found = {frozenset(order[m] // 6) for m in np.split(members[:18], starts[1:3])}
    assert found == {frozenset([0]), frozenset([1]), frozenset([2])}
    assert sorted(members.tolist()) == list(range(20))


def test_bad_jets_are_named():
    pytest.importorskip("fastjet")
    with pytest.raises(ValueError, match="n: found 0"):
        lund.prongs(three_particles(), np.array([0, 3]), 0)
    with pytest.raises(ValueError, match="jet 1 has no particles"):
        lund.plane(three_particles(), np.array([0, 3, 3]))


def test_taken_jets_are_those_of_their_own_planes():
    p4, offsets = random_jets(np.random.default_rng(2), [12, 3, 20])
    rows = np.array([2, 0, 2])
    taken = lund.take(lund.plane(p4, offsets, 2), rows)
    parts = [p4[offsets[k] : offsets[k + 1]] for k in rows]
    ends = np.concatenate([[0], np.cumsum([len(x) for x in parts])])
    again = lund.plane(np.concatenate(parts), ends, 2)
    for a, b in zip((*taken.emissions.values, *taken[1:]), (*again.emissions.values, *again[1:])):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert lund.jets_of(taken).tolist() == np.repeat([0, 1, 2], np.diff(ends)).tolist()


def test_a_density_counts_every_emission_inside_once():
    plane = shower(500, np.random.default_rng(0))
    found = lund.density(plane, BINS, n_replicas=2)
    area = np.outer(np.diff(BINS.ln_angle), np.diff(BINS.ln_kt))[..., None]
    emitters = np.bincount(lund.counts(plane, BINS)[1], minlength=lund.shape(BINS)[2])
    total = (found.value * area * emitters).sum()
    assert total == pytest.approx(plane.emissions.offsets[-1], rel=1e-9)
    values = plane.emissions.values
    higher = batch.Ragged(values._replace(ln_kt=values.ln_kt + 10), plane.emissions.offsets)
    assert lund.density(plane._replace(emissions=higher), BINS, n_replicas=2).value.sum() == 0


def test_errors_of_a_density_are_those_of_toys():
    rng = np.random.default_rng(1)
    found = [lund.density(shower(200, rng), BINS, n_replicas=30) for _ in range(40)]
    values, errors = (np.array([getattr(f, k) for f in found]) for k in ("value", "error"))
    np.testing.assert_allclose(values[..., 0].mean(), 1.0, rtol=0.02)
    some = values.mean(0) > 0.02
    pull = values.std(0, ddof=1)[some] / errors.mean(0)[some]
    assert np.median(pull) == pytest.approx(1, abs=0.1)


def test_weights_of_jets_enter_a_density():
    plane = shower(400, np.random.default_rng(2))
    weight = np.random.default_rng(3).integers(0, 3, 400)
    rows = np.repeat(np.arange(400), weight)
    a = lund.density(plane, BINS, weight, n_replicas=2)
    b = lund.density(lund.take(plane, rows), BINS, n_replicas=2)
    np.testing.assert_allclose(a.value, b.value, rtol=1e-9)
    with pytest.raises(ValueError, match="weight"):
        lund.density(plane, BINS, np.zeros(400))
    with pytest.raises(ValueError, match="n_replicas: found 1"):
        lund.density(plane, BINS, n_replicas=1)


def test_equal_showers_have_ratio_one_within_errors():
    rng = np.random.default_rng(4)
    found = lund.ratio(shower(2000, rng), shower(2000, rng), BINS, n_replicas=40)
    pull = ((found.value - 1) / found.error)[found.known]
    assert len(pull) > 40
    assert np.std(pull) == pytest.approx(1, abs=0.25)
    sparse = lund.ratio(shower(2000, rng), shower(20, rng), BINS, least=100, n_replicas=2)
    assert not sparse.known.any()
    assert (sparse.value == 1).all()
    assert (sparse.scale == 1).all()


def test_the_ratio_of_showers_with_a_known_one():
    rng = np.random.default_rng(6)
    found = lund.ratio(shower(4000, rng, excess=0.5), shower(4000, rng), BINS, n_replicas=30)
    hard = found.value[:, -1, :2].mean()
    soft = found.value[:, :-1, :2].mean()
    assert hard == pytest.approx(1.5, abs=0.03)
    assert soft == pytest.approx(1.0, abs=0.02)
    # independent emissions: the mean product of ratios is exp(emissions more)
    more = 0.5 * 4  # of a prong, in the last of four rows of area 4
    np.testing.assert_allclose(found.scale[:2], np.exp(more), rtol=0.2)
