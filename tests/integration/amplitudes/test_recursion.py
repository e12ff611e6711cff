"""The plan: how many diagrams it sums, which processes there are, and signs."""

import itertools

import pytest

from hepjax.integration.amplitudes import recursion, standard_model


def plan(text, qed=None):
    return recursion.plan(standard_model.parse(text), qed)


def n_diagrams(steps):
    """Count the ways to build the last current: those of its parts multiplied, over all steps. A
    quartic vertex counts once for each pair that goes first.
    """
    count = {}
    for step in steps.steps:
        ways = count.get(step.first, 1) * count.get(step.second, 1)
        count[step.made] = count.get(step.made, 0) + ways
    return count[steps.close]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e+ e- > mu+ mu-", 2),
        ("u u~ > d d~", 1),
        ("u u~ > u u~", 2),
        ("u u > u u", 2),
        ("g g > t t~", 3),
        ("g g > t t~ g", 16 + 2),  # 15 and one with four gluons, of which there are three ways
        ("u g > u g g", 16 + 2),
        ("g g > g g", 3 + 3),
        ("e+ e- > w+ w-", 3),
        ("e+ e- > mu+ mu- a", 8),
        ("e+ e- > e+ e-", 4),
        ("e+ e- > z h", 1),
        ("u d~ > w+ g", 2),
        ("z z > z z", 3),
        ("g d > t t~ e- e+ d", 48),
    ],
)
def test_diagrams(text, expected):
    assert n_diagrams(plan(text)) == expected


@pytest.mark.parametrize(
    ("text", "n_flows"),
    [
        ("u u~ > d d~", 2),
        ("g g > t t~", 2),
        ("g g > t t~ g", 6),
        ("g g > g g", 6),
        ("g g > g g g", 24),
        ("u u~ > e- e+", 1),
        ("u u~ > t t~ g", 4),
    ],
)
def test_flows(text, n_flows):
    assert len(plan(text).flows) == n_flows


@pytest.mark.parametrize(
    "text",
    ["u u > d d", "e- e- > g g", "e+ e- > h a", "u d~ > z g", "e- mu+ > e+ mu-", "g g > a a"],
)
def test_what_cannot_happen_at_tree_level(text):
    with pytest.raises(ValueError, match="no tree diagram, orders there are"):
        plan(text)


def test_orders():
    assert plan("u u~ > d d~").qed == 0
    assert plan("u u~ > d d~", 2).qed == 2
    assert n_diagrams(plan("u u~ > d d~", 2)) == 3  # photon, Z, and W between
    with pytest.raises(
        ValueError, match=r"with 1 electroweak couplings, orders there are \[0, 2\]"
    ):
        plan("u u~ > d d~", 1)
    assert plan("w+ w- > w+ w-").qed == 2
    assert plan("g g > h t t~").qed == 1


def test_only_steps_that_lead_to_the_end():
    steps = plan("g g > t t~ g")
    made = {step.made for step in steps.steps}
    used = {current for step in steps.steps for current in (step.first, step.second)}
    assert made - used == {steps.close}
    sizes = [step.made.legs.bit_count() for step in steps.steps]
    assert sizes == sorted(sizes)
    groups = [current for current, _ in itertools.groupby(step.made for step in steps.steps)]
    assert len(groups) == len(made)  # the steps to one current follow each other
    for step in steps.steps:
        assert step.first.legs & step.second.legs == 0
        assert step.first.legs | step.second.legs == step.made.legs


def test_vertices_conserve_charge_and_stand_in_one_order():
    fields = [
        *range(1, 7),
        *range(11, 17),
        *range(-6, 0),
        *range(-16, -10),
        21,
        22,
        23,
        24,
        -24,
        25,
    ]

    def charge(field):
        return standard_model.PARTICLES[abs(field)].charge * (1 if field > 0 else -1)

    for first in fields:
        for second in fields:
            if not recursion.ordered(first, second):
                continue
            for vertex in recursion.vertices(first, second):
                if abs(vertex.field) < 1000:
                    assert charge(first) + charge(second) == pytest.approx(charge(vertex.field))
    for field in fields:
        assert recursion.conjugate(recursion.conjugate(field)) == field


def test_signs_of_permutations():
    fields = (11, -11, 21, 13, -13)
    assert recursion._sign(0b00001, 0b00010, fields) == 1
    assert recursion._sign(0b00010, 0b00001, fields) == -1
    assert recursion._sign(0b01000, 0b00111, fields) == 1  # past two fermions and a gluon
    assert recursion._sign(0b00100, 0b00011, fields) == 1
    assert recursion._sign(0b10000, 0b01001, fields) == 1
    assert recursion._sign(0b01000, 0b00001, fields) == -1
