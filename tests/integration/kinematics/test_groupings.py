"""Channels of a process: each group comes of one particle."""

import pytest

from hepjax.integration.amplitudes import tree
from hepjax.integration.kinematics import groupings
from hepjax.integration.kinematics.layouts import Layout, Split, leaves

TOP = 173.0


def test_top_pair_and_gluon():
    found = groupings.suggested(tree.build("g g > t t~ g"))
    assert set(found) == {
        Layout((2, 0, 1)),
        Layout((2, Split(0, 1))),
        Layout((0, Split(1, 2, mass=TOP))),
        Layout((Split(0, 2, mass=TOP), 1)),
    }


def test_the_heaviest_takes_the_recoil():
    for layout in groupings.suggested(tree.build("g g > t t~ g g")):
        assert 0 in leaves(layout.groups[-1]) or 1 in leaves(layout.groups[-1])


@pytest.mark.parametrize(
    ("process", "n"), [("g g > t t~", 1), ("u u~ > t t~ g", 4), ("u g > t t~ u", 2)]
)
def test_counts(process, n):
    assert len(groupings.suggested(tree.build(process))) == n


def test_a_lepton_pair_has_a_peak_and_a_photon():
    found = groupings.suggested(tree.build("u u~ > e- e+ g"))
    pairs = [node for layout in found for node in layout.groups if isinstance(node, Split)]
    assert {(node.mass, node.width) for node in pairs} == {(0.0, 0.0), (91.188, 2.441404)}
    assert {leaves(node) for node in pairs} == {(0, 1)}


def test_larger_groups():
    plan = tree.build("g g > t t~ g g")
    two, three = (groupings.suggested(plan, most=most) for most in (2, 3))
    assert set(two) < set(three)
    sizes = {len(leaves(node)) for layout in three for node in layout.groups}
    assert sizes == {1, 2, 3}
    assert all(
        sorted(k for g in layout.groups for k in leaves(g)) == [0, 1, 2, 3] for layout in three
    )


def test_each_once():
    found = groupings.suggested(tree.build("g g > t t~ g g"))
    assert len(set(found)) == len(found)
