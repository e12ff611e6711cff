"""Anti-kt jets of regions, and their columns."""

import itertools

import numpy as np
import pytest

from hepjax.jets import clustering, substructure
from hepjax.jets.simulation import detector

pytest.importorskip("fastjet")


def objects(pt, eta, phi, region):
    """Massless neutral hadrons, sorted as `detector.measure` sorts."""
    pt, eta, phi, region = (np.asarray(x, float) for x in (pt, eta, phi, region))
    order = np.lexsort((-pt, region))
    pt, eta, phi, region = (x[order] for x in (pt, eta, phi, region))
    p4 = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)
    zero = np.zeros(len(pt))
    return detector.Objects(
        p4,
        np.full(len(pt), detector.NEUTRAL_HADRON),
        *(zero,) * 6,
        hits=np.zeros((len(pt), 3)),
        source=np.arange(len(pt)),
        region=region.astype(int),
    )


def test_jets_stay_in_their_region_and_above_the_threshold():
    found = objects(
        [50, 30, 8, 60, 20, 5],
        [0.0, 0.1, 2.0, 0.0, 0.05, 1.0],
        [0.0, 0.1, 1.0, 0.0, 3.0, 3.1],
        [0, 0, 0, 2, 2, 5],
    )
    members, offsets = clustering.antikt(found, 0.4, 15.0)
    assert offsets.tolist() == [0, 2, 3, 4]
    region = found.region[members[offsets[:-1]]]
    assert region.tolist() == [0, 2, 2]
    assert sorted(np.diff(offsets).tolist()) == [1, 1, 2]
    pt = np.hypot(*found.p4[members][:2, 1:3].T)
    assert pt.tolist() == pytest.approx([50, 30])


def test_every_distance_to_the_axis_is_within_the_radius_for_round_jets():
    rng = np.random.default_rng(0)
    n = 400
    found = objects(
        rng.exponential(3, n),
        rng.uniform(-2, 2, n),
        rng.uniform(-np.pi, np.pi, n),
        rng.integers(0, 4, n),
    )
    members, offsets = clustering.antikt(found, 0.4, 5.0)
    assert len(np.unique(members)) == len(members)
    particles, jets = clustering.columns(found, members, offsets)
    jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    assert (found.region[members] == found.region[members[offsets[:-1]]][jet]).all()
    assert jets["jet_pt"].min() > 5
    assert np.abs(particles["part_dphi"]).max() < 0.8
    total = substructure.jet_p4(found.p4[members], offsets)
    np.testing.assert_allclose(jets["jet_energy"], total[:, 0])


def test_take_keeps_the_members_together():
    members, offsets = np.arange(10), np.array([0, 3, 4, 10])
    taken, of = clustering.take(members, offsets, np.array([2, 0]))
    assert taken.tolist() == [4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert of.tolist() == [0, 6, 9]


def test_angles_are_wrapped():
    assert clustering.wrap(np.array([np.pi, -np.pi, 4.0])) == pytest.approx(
        [np.pi, np.pi, 4 - 2 * np.pi]
    )


def brute_force(p4, radius):
    """Anti-kt by its definition, one pair at a time: lists of indices."""
    jets, done = [([k], p4[k].copy()) for k in range(len(p4))], []
    while jets:
        best = (np.inf, 0, None)
        for a, (_, p) in enumerate(jets):
            weight = 1 / np.hypot(p[1], p[2]) ** 2
            if weight < best[0]:
                best = (weight, a, None)
            for b in range(a):
                q = jets[b][1]
                y = [0.5 * np.log((v[0] + v[3]) / (v[0] - v[3])) for v in (p, q)]
                phi = clustering.wrap(np.arctan2(p[2], p[1]) - np.arctan2(q[2], q[1]))
                distance = ((y[0] - y[1]) ** 2 + phi**2) / radius**2
                pair = min(weight, 1 / np.hypot(q[1], q[2]) ** 2) * distance
                if pair < best[0]:
                    best = (pair, a, b)
        _, a, b = best
        members, p = jets.pop(a)
        if b is None:
            done.append((members, p))
        else:
            jets[b] = (jets[b][0] + members, jets[b][1] + p)
    return done


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_jets_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    n = 30
    found = objects(
        rng.exponential(5, n) + 0.1, rng.normal(0, 0.6, n), rng.normal(0, 0.6, n), np.zeros(n)
    )
    members, offsets = clustering.antikt(found, 0.4, 5.0)
    ours = {tuple(sorted(members[a:b].tolist())) for a, b in itertools.pairwise(offsets)}
    theirs = {tuple(sorted(m)) for m, p in brute_force(found.p4, 0.4) if np.hypot(p[1], p[2]) > 5.0}
    assert ours == theirs
    assert len(ours) > 2


def merged_by_hand(p4, n_jets):
    """Durham's algorithm by its definition: the sets of objects in the jets that are left."""
    groups = {i: (p, {i}) for i, p in enumerate(p4)}
    while len(groups) > n_jets:

        def distance(pair):
            (a, _), (b, _) = (groups[k] for k in pair)
            cos = a[1:] @ b[1:] / np.linalg.norm(a[1:]) / np.linalg.norm(b[1:])
            return 2 * min(a[0], b[0]) ** 2 * (1 - cos)

        i, j = min(itertools.combinations(groups, 2), key=distance)
        (a, of_a), (b, of_b) = groups.pop(i), groups.pop(j)
        groups[max(i, j)] = a + b, of_a | of_b
    return {frozenset(members) for _, members in groups.values()}


@pytest.mark.parametrize("n_jets", [2, 3])
def test_durham_jets_by_hand(n_jets):
    rng = np.random.default_rng(n_jets)
    n = 36
    found = objects(
        rng.exponential(3, n),
        rng.normal(0, 1, n),
        rng.uniform(-np.pi, np.pi, n),
        np.repeat([0, 1, 3], 12),
    )
    members, offsets = clustering.durham(found, n_jets)
    assert len(offsets) == 3 * n_jets + 1
    assert np.sort(members).tolist() == list(range(n))
    for k, first in enumerate((0, 12, 24)):
        jets = [members[slice(*offsets[i : i + 2])] for i in range(k * n_jets, (k + 1) * n_jets)]
        expected = merged_by_hand(found.p4[first : first + 12], n_jets)
        assert {frozenset((jet - first).tolist()) for jet in jets} == expected
        assert all((np.diff(jet) > 0).all() for jet in jets)  # the hardest first


def test_durham_needs_as_many_objects_as_jets():
    found = objects([50, 30, 8], [0.0, 0.1, 2.0], [0.0, 0.1, 1.0], [0, 1, 1])
    members, offsets = clustering.durham(found, 2)
    assert offsets.tolist() == [0, 1, 2]
    assert sorted(members.tolist()) == [1, 2]
    members, offsets = clustering.durham(found, 3)
    assert (len(members), offsets.tolist()) == (0, [0])
    with pytest.raises(ValueError, match="n_jets is 0"):
        clustering.durham(found, 0)
