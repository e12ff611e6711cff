"""Flavours of a process with jets: all are there once, with the matrix element that is named."""

import collections

import jax
import numpy as np
import pytest

from hepjax.integration.amplitudes import standard_model, tree
from hepjax.integration.hadrons import flavours


def cases(found):
    return [case for ways in found.values() for way in ways for case in way.flavours]


@pytest.mark.parametrize(("n_jets", "n"), [(0, 11), (1, 31), (2, 176)])
def test_each_case_once(n_jets, n):
    found = flavours.with_pair(n_jets)
    counts = collections.Counter((*case[:4], *sorted(case[4:])) for case in cases(found))
    assert len(counts) == n
    assert set(counts.values()) == {1}


def test_two_jets_by_counting():
    """Of 11 x 11 pairs of partons, by what they are."""
    counts = collections.Counter()
    for case in cases(flavours.with_pair(2)):
        counts["".join("g" if pid == 21 else "q" for pid in (*case[:2], *case[4:]))] += 1
    # 10 quarks with a gluon, from either side; 10 x 10 pairs, of which 10 annihilate to 5 pairs
    assert counts["gggg"] == 1
    assert counts["ggqq"] == 5
    assert counts["gqgq"] + counts["qggq"] == 20
    assert counts["qqgg"] == 10
    assert counts["qqqq"] == 90 + 10 * 5
    assert sum(counts.values()) == 176


@pytest.mark.parametrize("n_jets", [1, 2])
def test_flavours_are_conserved(n_jets):
    for case in cases(flavours.with_pair(n_jets)):
        for quark in flavours.QUARKS:
            net = [x.count(quark) - x.count(-quark) for x in (case[:2], case[4:])]
            assert net[0] == net[1]


def test_few_matrix_elements_stand_for_all():
    assert list(flavours.with_pair(2)) == [
        "g g > t t~ g g",
        "g g > t t~ u u~",
        "g u > t t~ g u",
        "u u > t t~ u u",
        "u d > t t~ u d",
        "u u~ > t t~ g g",
        "u u~ > t t~ u u~",
        "u u~ > t t~ d d~",
        "u d~ > t t~ u d~",
    ]


def squared(name, momenta):
    plan = tree.build(name)
    return np.asarray(jax.jit(lambda p: tree.squared(plan, p))(momenta))


@pytest.mark.parametrize("case", [(-3, 21, 6, -6, -3), (21, -4, 6, -6, -4), (-1, 1, 6, -6, 21)])
def test_the_matrix_element_is_that_of_the_flavours(case, two_to):
    momenta = two_to((0, 0), (173.0, 173.0, 0.0), 900.0)
    for name, ways in flavours.with_pair(1).items():
        for way in ways:
            if case in way.flavours:
                names = [standard_model.name(pid) for pid in case]
                own = f"{' '.join(names[:2])} > {' '.join(names[2:])}"
                stand_in = squared(name, momenta[:, np.array(way.order)])
                np.testing.assert_allclose(squared(own, momenta), stand_in, rtol=1e-10)
                return
    raise AssertionError(f"{case} is nowhere")


def test_four_quarks_with_their_charges(two_to):
    """Antiquarks of two flavours, out of an order of legs that no case of quarks has."""
    momenta = two_to((0, 0), (173.0, 173.0, 0.0, 0.0), 900.0, n=3)
    case = (-2, -1, 6, -6, -2, -1)
    of = {
        case: (name, way)
        for name, ways in flavours.with_pair(2).items()
        for way in ways
        for case in way.flavours
    }
    case = next(x for x in (case, (*case[:4], -1, -2)) if x in of)
    name, way = of[case]
    assert name == "u d > t t~ u d"
    own = " ".join(standard_model.name(pid) for pid in case)
    own = f"{own[: own.index(' t ')]} > t{own[own.index(' t ') + 2 :]}"
    stand_in = squared(name, momenta[:, np.array(way.order)])
    np.testing.assert_allclose(squared(own, momenta), stand_in, rtol=1e-10)


def test_more_jets_are_not_there():
    with pytest.raises(ValueError, match="n_jets: 3, expected 0, 1 or 2"):
        flavours.with_pair(3)
