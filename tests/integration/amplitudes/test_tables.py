"""Tables: what is multiplied with what, that all is there once, and what may be left out."""

import numpy as np
import pytest

from hepjax.integration.amplitudes import recursion, standard_model, tables, tree

TEXTS = ["u u~ > d d~", "g g > t t~ g", "e- e+ > w- w+ h", "z h > z h h", "g g > g g g"]


def plan(text, last=None):
    """With a leg that is last, or the one of the least work."""
    if last is None:
        return tree.build(text)
    return recursion.plan(standard_model.parse(text), last=last)


@pytest.mark.parametrize(
    ("text", "closing"),
    [("g g > t t~", 2), ("g g > t t~ g", 6), ("g g > t t~ g g", 24), ("u u~ > d d~", 1)],
)
def test_strands_that_close(text, closing):
    of = plan(text)
    found, ends, used = tables.strands(of)
    assert len(used) == closing
    assert ends.shape == (len(of.flows), closing)
    assert all(found[k].current == of.close for k in used)


def test_a_strand_is_a_current_up_to_a_factor():
    """Two gluons have one for both orders; three have three, as a current read backwards is the
    same up to a sign.
    """
    found, _, _ = tables.strands(plan("g g > t t~ g g"))
    gluons = {}
    for strand in found:
        if strand.current.field == recursion.GLUON and strand.terms:
            gluons.setdefault(strand.current.legs, []).append(strand)
    sizes = {legs.bit_count(): len(some) for legs, some in gluons.items()}
    assert sizes == {2: 1, 3: 3, 4: 12}
    for strand in found:
        if strand.terms:
            assert strand.terms[0][1] == 1
            assert len({term for term, _ in strand.terms}) == len(strand.terms)
    assert len(set(found)) == len(found)


def test_flows_of_a_gluon_without_a_trace():
    """u u~ > d d~: of the octet in the middle, 1/2 of a flow that crosses, -1/6 of one that does
    not.
    """
    of = plan("u u~ > d d~")
    _, ends, _ = tables.strands(of)
    assert sorted(abs(ends[:, 0] / ends[0, 0]).tolist()) in ([1 / 3, 1.0], [1.0, 3.0])
    assert ends[0, 0] * ends[1, 0] < 0


@pytest.mark.parametrize("text", TEXTS)
def test_every_slot_is_made_once_of_earlier_ones(text):
    of = plan(text)
    found = tables.tables(of)
    standing = {kind: len(states) for kind, states in found.states.items()}
    for level in found.levels:
        rows = {kind: np.zeros(size, bool) for kind, size in level.sizes.items()}
        for group in level.groups:
            one, two, made = group.kinds
            assert group.first.shape == group.second.shape == group.factor.shape
            assert group.first.shape[1] == len(group.rows)
            assert (group.first >= 0).all()
            assert (group.first < standing[one]).all()
            assert (group.second < standing[two]).all()
            rows[made][group.rows] = True
            legs = [np.array(found.momenta)[x] for x in group.momenta]
            assert (legs[0] & legs[1] == 0).all()
        assert all(some.all() for some in rows.values())
        for kind, size in level.sizes.items():
            standing[kind] = standing.get(kind, 0) + size
    (size,) = found.levels[-1].sizes.values()
    assert set(found.close.ravel().tolist()) - {-1} == set(range(size))
    assert not found.levels[-1].poles


def test_factors():
    found = tables.tables(plan("g g > t t~ g"))
    assert found.factors[0][1] == 0
    known = standard_model.factors(standard_model.DEFAULT)
    for name, weight in found.factors[1:]:
        assert weight
        assert np.isfinite(standard_model.factor(name, known))
    used = {k for level in found.levels for group in level.groups for k in group.factor.ravel()}
    assert used - {0} == set(range(1, len(found.factors)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("g g > t t~", 16),
        ("u u~ > d d~", 4),
        ("u u~ > t t~ g", 16),
        ("u d~ > e+ ve", 1),
        ("u d~ > w+ g", 6),
        ("g d > t t~ e- e+ d", 32),
        ("t b~ > w+ h", 12),
    ],
)
def test_massless_fermions_keep_their_handedness(text, expected):
    assert len(tables.tables(plan(text)).helicities) == expected


def test_helicities_of_the_sum_are_different_and_legal():
    of = plan("u d~ > w+ z g")
    found = tables.tables(of).helicities
    assert len({tuple(row) for row in found.tolist()}) == len(found)
    for row in found:
        for digit, field in zip(row, of.fields):
            assert 0 <= digit < len(tables.helicities(field))
    # W+ couples to left hands: an incoming u is left, an incoming d~ right
    u, d = (np.array(tables.helicities(2))[found[:, k]] for k in range(2))
    assert (u == -1).all()
    assert (d == 1).all()


def test_one_helicity_a_leg():
    of = plan("g g > t t~ g")
    found = tables.tables(of, False)
    assert found.helicities.tolist() == [[0] * 5]
    assert found.close.shape == (6, 1)
    summed = tables.tables(of)
    for one, all_of in zip(found.levels, summed.levels, strict=True):
        assert [group.how for group in one.groups] == [group.how for group in all_of.groups]


def test_kinds_and_helicities():
    kinds = [tables.kind(k) for k in (21, 24, -24, 25, 6, -6, recursion.GLUON_TENSOR)]
    assert kinds == ["vector", "vector", "vector", "scalar", "ket", "bra", "tensor"]
    assert tables.kind(recursion.TWO_HIGGS) == "auxiliary"
    assert [tables.helicities(k) for k in (25, 23, 22, -6)] == [(0,), (-1, 0, 1), (-1, 1), (-1, 1)]
    assert set(map(tables.kind, (21, 25, 6, -6))) == set(tables.PROPAGATING)


def test_the_least_work_is_at_a_quark():
    """A quark that meets all gluons needs no gluon that is made of quarks."""
    work = [tables.work(plan("g g > t t~ g g", last=leg)) for leg in range(6)]
    assert work[0] == work[1] == work[4] == work[5] > 1.5 * work[2]
    assert work[2] == work[3]
    for text in ("g g > t t~ g g", "u u~ > t t~ g"):
        built = tree.build(text)
        assert recursion.is_fermion(built.fields[built.last])
        every = [tables.work(plan(text, last=leg)) for leg in range(len(built.fields))]
        assert tables.work(built) == min(every)
