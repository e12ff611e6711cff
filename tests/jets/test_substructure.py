"""Substructure against slow and obvious code, FastJet, and cases with an analytic answer."""

import itertools

import numpy as np
import pytest

from hepjax.jets import substructure


def make_jets(sizes, seed=0, axis=(0.3, 3.0)):
    """Jets of random constituents around `axis` (eta, phi), near the edge of phi by default."""
    rng = np.random.default_rng(seed)
    n = int(np.sum(sizes))
    pt, eta = rng.exponential(10, n) + 0.1, rng.normal(axis[0], 0.3, n)
    return massless(pt, eta, rng.normal(axis[1], 0.3, n)), np.r_[0, np.cumsum(sizes)]


def massless(pt, eta, phi):
    pt, eta, phi = (np.asarray(x, np.float64) for x in (pt, eta, phi))
    return np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)


def distance2(a, b):
    d_phi = abs(a[2] - b[2])
    return (a[1] - b[1]) ** 2 + min(d_phi, 2 * np.pi - d_phi) ** 2


def components(p4):
    y = 0.5 * np.log((p4[0] + p4[3]) / (p4[0] - p4[3]))
    return [np.hypot(p4[1], p4[2]), y, np.arctan2(p4[2], p4[1])]


def slow_nsubjettiness(p4, n, radius=0.8):
    """One jet, loops only: exclusive kt, winner takes all."""
    parts = [components(p) for p in p4]
    if len(parts) <= n:
        return 0.0
    axes = [list(p) for p in parts]
    while len(axes) > n:
        pairs = [(i, j) for i in range(len(axes)) for j in range(i)]
        i, j = min(
            pairs,
            key=lambda p: (
                min(axes[p[0]][0], axes[p[1]][0]) ** 2 * distance2(axes[p[0]], axes[p[1]])
            ),
        )
        a, b = axes[i], axes[j]
        hard = a if a[0] > b[0] else b
        axes = [x for x in axes if x is not a and x is not b] + [[a[0] + b[0], hard[1], hard[2]]]
    total = sum(p[0] for p in parts)
    return sum(p[0] * min(distance2(p, a) for a in axes) ** 0.5 for p in parts) / (radius * total)


def slow_soft_drop(p4, z_cut=0.1, beta=0.0, radius=0.8):
    """One jet, loops only: Cambridge-Aachen tree of nested tuples, then undone."""
    nodes = [(p, None) for p in p4]
    while len(nodes) > 1:
        pairs = [(i, j) for i in range(len(nodes)) for j in range(i)]
        place = [components(node[0]) for node in nodes]
        i, j = min(pairs, key=lambda p: distance2(place[p[0]], place[p[1]]))
        a, b = nodes[i], nodes[j]
        nodes = [x for k, x in enumerate(nodes) if k not in (i, j)] + [(a[0] + b[0], (a, b))]
    node = nodes[0]
    while node[1]:
        a, b = sorted(node[1], key=lambda x: -np.hypot(*x[0][1:3]))
        pt_a, pt_b = np.hypot(*a[0][1:3]), np.hypot(*b[0][1:3])
        separation2 = distance2(components(a[0]), components(b[0]))
        if pt_b / (pt_a + pt_b) > z_cut * (separation2 / radius**2) ** (beta / 2):
            break
        node = a
    return np.sqrt(max(node[0][0] ** 2 - np.sum(node[0][1:] ** 2), 0.0))


SIZES = [1, 2, 3, 4, 5, 7, 12, 20, 20]


def test_nsubjettiness_equals_slow_code():
    p4, offsets = make_jets(SIZES)
    tau = substructure.nsubjettiness(p4, offsets)
    for jet in range(len(SIZES)):
        own = p4[offsets[jet] : offsets[jet + 1]]
        expected = [slow_nsubjettiness(own, n) for n in (1, 2, 3, 4)]
        np.testing.assert_allclose(tau[jet], expected, atol=1e-12)


@pytest.mark.parametrize(("z_cut", "beta"), [(0.1, 0.0), (0.2, 1.0), (0.05, -1.0)])
def test_soft_drop_equals_slow_code(z_cut, beta):
    p4, offsets = make_jets(SIZES, seed=1)
    mass = substructure.soft_drop_mass(p4, offsets, z_cut, beta)
    for jet in range(len(SIZES)):
        expected = slow_soft_drop(p4[offsets[jet] : offsets[jet + 1]], z_cut, beta)
        assert mass[jet] == pytest.approx(expected, abs=1e-5)


def fastjet_sequence(p4, offsets):
    fastjet, ak = pytest.importorskip("fastjet"), pytest.importorskip("awkward")
    vectors = ak.zip(dict(zip(("E", "px", "py", "pz"), p4.T)), with_name="Momentum4D")
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 999.0)
    return fastjet.ClusterSequence(ak.unflatten(vectors, np.diff(offsets)), definition)


def test_both_equal_fastjet_on_reference_jets(hepjax_data):
    vectors = np.load(hepjax_data / "jets" / "tl_pf_vectors.npy")[::5].transpose(0, 2, 1)
    mask = np.load(hepjax_data / "jets" / "tl_pf_mask.npy")[::5, 0] > 0
    p4 = vectors[mask][:, [3, 0, 1, 2]].astype(np.float64)
    offsets = np.r_[0, np.cumsum(mask.sum(axis=1))]
    sequence = fastjet_sequence(p4, offsets)
    expected = np.asarray(
        sequence.njettiness(
            measure_definition="NormalizedMeasure",
            axes_definition="WTA_KT_Axes",
            njets=[1, 2, 3, 4],
            beta=1.0,
            R0=0.8,
        )
    )
    np.testing.assert_allclose(substructure.nsubjettiness(p4, offsets), expected, atol=1e-9)
    groomed = sequence.exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=0.1)
    expected = np.asarray(groomed.msoftdrop)
    mass = substructure.soft_drop_mass(p4, offsets)
    massive = expected > 1  # FastJet gives the negative root where rounding makes m^2 negative
    assert massive.mean() > 0.95
    np.testing.assert_allclose(mass[massive], expected[massive], rtol=1e-6)


def test_n_prongs_have_no_tau_n():
    """Three hard directions with a soft particle at each: tau_3 is tiny, tau_2 is not."""
    prongs = massless([200.0, 150.0, 100.0], [0.0, 0.4, -0.3], [0.0, 0.2, 0.3])
    soft = massless([1.0, 1.0, 1.0], [0.01, 0.41, -0.29], [0.0, 0.2, 0.3])
    tau = substructure.nsubjettiness(np.concatenate([prongs, soft]), np.array([0, 6]), n=3)[0]
    assert tau[2] == pytest.approx(3 * 0.01 / (0.8 * 453), rel=1e-6)
    assert tau[1] > 0.05
    assert tau[0] > tau[1]


def test_soft_drop_of_two_prongs_and_soft_radiation():
    hard = massless([300.0, 200.0], [0.0, 0.3], [0.0, 0.0])
    wide = massless([5.0], [-0.6], [0.2])
    p4 = np.concatenate([hard, wide])
    total = hard.sum(axis=0)
    expected = np.sqrt(total[0] ** 2 - np.sum(total[1:] ** 2))
    mass = substructure.soft_drop_mass(np.concatenate([p4, hard]), np.array([0, 3, 5]))
    np.testing.assert_allclose(mass, expected, rtol=1e-9)
    p4[1] *= 0.1  # too soft: the jet is groomed to one massless particle
    assert substructure.soft_drop_mass(p4, np.array([0, 3]))[0] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("function", [substructure.nsubjettiness, substructure.soft_drop_mass])
def test_order_of_constituents_and_company_do_not_matter(function):
    p4, offsets = make_jets([9, 30, 17], seed=2)
    expected = function(p4, offsets)
    rng = np.random.default_rng(0)
    blocks = [rng.permutation(p4[a:b]) for a, b in itertools.pairwise(offsets)]
    np.testing.assert_allclose(function(np.concatenate(blocks), offsets), expected, rtol=1e-9)
    for jet, block in enumerate(blocks):
        alone = function(block, np.array([0, len(block)]))
        np.testing.assert_allclose(alone[0], expected[jet], rtol=1e-9)


@pytest.mark.parametrize("function", [substructure.nsubjettiness, substructure.soft_drop_mass])
def test_rotations_and_boosts_along_the_beam_change_nothing(function):
    p4, offsets = make_jets([25] * 4, seed=3)
    expected = function(p4, offsets)
    angle, rapidity = 1.1, 0.7
    turned = p4.copy()
    turned[:, 1] = np.cos(angle) * p4[:, 1] - np.sin(angle) * p4[:, 2]
    turned[:, 2] = np.sin(angle) * p4[:, 1] + np.cos(angle) * p4[:, 2]
    turned[:, 0] = np.cosh(rapidity) * p4[:, 0] + np.sinh(rapidity) * p4[:, 3]
    turned[:, 3] = np.sinh(rapidity) * p4[:, 0] + np.cosh(rapidity) * p4[:, 3]
    np.testing.assert_allclose(function(turned, offsets), expected, rtol=1e-7, atol=1e-6)


def test_tau_falls_with_n_and_scales_with_the_radius():
    p4, offsets = make_jets([40] * 10, seed=4)
    tau = substructure.nsubjettiness(p4, offsets)
    assert (np.diff(tau, axis=1) < 0).all()
    np.testing.assert_allclose(substructure.nsubjettiness(p4, offsets, radius=0.4), 2 * tau)
    np.testing.assert_allclose(substructure.nsubjettiness(p4, offsets, n=2), tau[:, :2])


def test_many_jets_in_several_chunks_and_float32():
    sizes = np.random.default_rng(5).integers(1, 30, 500)
    p4, offsets = make_jets(sizes, seed=5)
    tau = substructure.nsubjettiness(p4, offsets)
    some = [0, 123, 499]
    for jet in some:
        own = p4[offsets[jet] : offsets[jet + 1]]
        np.testing.assert_allclose(tau[jet, 0], slow_nsubjettiness(own, 1), atol=1e-12)
    single = substructure.nsubjettiness(p4.astype(np.float32), offsets)
    assert np.median(np.abs(single - tau)) < 1e-6


def test_jet_p4_is_the_sum_and_empty_jets_are_zero():
    p4, offsets = make_jets([3, 0, 5, 0])
    total = substructure.jet_p4(p4, offsets)
    np.testing.assert_allclose(total[0], p4[:3].sum(axis=0))
    np.testing.assert_allclose(total[2], p4[3:].sum(axis=0))
    assert (total[[1, 3]] == 0).all()
    assert (substructure.nsubjettiness(p4, offsets)[[1, 3]] == 0).all()
    assert (substructure.soft_drop_mass(p4, offsets)[[1, 3]] == 0).all()


@pytest.mark.parametrize(
    ("p4", "offsets", "message"),
    [
        (np.zeros((3, 3)), [0, 3], r"p4 has shape \(3, 3\)"),
        (np.ones((3, 4)), [0, 2], "offsets must be .* from 0 to 3"),
        (np.ones((3, 4)), [1, 3], "offsets must be"),
        (np.ones((3, 4)), [0, 2, 1, 3], "offsets fall at jet 1"),
        (np.array([[1, 1, 0, 0], [np.nan] * 4]), [0, 2], "not finite at particle 1"),
    ],
)
def test_bad_input_is_named(p4, offsets, message):
    for function in (substructure.nsubjettiness, substructure.soft_drop_mass, substructure.jet_p4):
        with pytest.raises(ValueError, match=message):
            function(p4, np.array(offsets))


def test_n_below_one_is_refused():
    with pytest.raises(ValueError, match="n is 0"):
        substructure.nsubjettiness(np.ones((1, 4)), np.array([0, 1]), n=0)


def test_splittings_of_four_particles_by_hand():
    """Two pairs: the wide splitting first, then one off the jet and one off its leaf."""
    pt, phi = np.array([100.0, 10, 40, 20]), np.array([0.0, 0.02, 0.5, 0.53])
    p4 = np.stack([pt, pt * np.cos(phi), pt * np.sin(phi), 0 * pt], -1)
    found = substructure.splittings(np.concatenate([p4, p4[:1]]), np.array([0, 4, 4, 5]))
    assert found.jet.tolist() == [0, 0, 0]
    assert found.emitter.tolist()[0] == 0
    assert sorted(found.emitter.tolist()[1:]) == [0, 1]
    order = np.argsort(found.emitter[1:]) + 1
    np.testing.assert_allclose(found.angle[order], [0.02, 0.03], rtol=1e-6)
    np.testing.assert_allclose(found.pt[order], [10, 20], rtol=1e-6)
    leaf = p4[2:].sum(0)
    np.testing.assert_allclose(found.pt[0], np.hypot(leaf[1], leaf[2]), rtol=1e-9)
    none = substructure.splittings(p4[:1], np.array([0, 1]))
    assert [len(column) for column in none] == [0, 0, 0, 0]
