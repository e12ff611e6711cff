"""Matrix elements against sums of diagrams by brute force, process by process."""

import diagrams
import jax
import numpy as np
import pytest

from hepjax.integration.amplitudes import recursion, standard_model, tree
from hepjax.integration.amplitudes.standard_model import Parameters

FAST = """
u u > u u g; w+ z > w+ z; z z > h h; h h > h h; ta+ ta- > z h; ta- vt~ > w- z
"""
QCD = """
u u > u u; u u~ > u u~; u d > u d; u u~ > g g; g g > g g; u g > u g; u~ g > u~ g; u t~ > u t~
b b~ > b b~; t t~ > t t~; u d > u d g; u u~ > d d~ g; u u~ > u u~ g; u d~ > u d~ g
u~ d~ > u~ d~ g; u~ u~ > u~ u~ g; b b > b b g; t b > t b g; g g > u u~ g; g g > b b~ g
u u~ > t t~ g; g u > u u~ u; g u > d d~ u; g u > u g g; g b > b g g; u u~ > g g g; g g > g g g
g u > t t~ u; u g > t t~ u; g u~ > t t~ u~; u u~ > t t~ g g; g g > t t~ g g; g u > t t~ u g
g u~ > t t~ u~ g; u u > t t~ u u; u d > t t~ u d; u c > t t~ u c; u u~ > t t~ u u~
u u~ > t t~ d d~; u c~ > t t~ u c~; u~ u~ > t t~ u~ u~; u~ d~ > t t~ u~ d~; g g > t t~ u u~
g g > t t~ t t~; g g > t t~ b b~; u u~ > g g g g; u u > u u g g
"""
ELECTROWEAK = """
e+ e- > mu+ mu-; e+ e- > e+ e-; e- e- > e- e-; e+ e- > w+ w-; e+ e- > z z; e+ e- > z h
e+ e- > a a; e+ e- > z a; e+ e- > ve ve~; e- ve~ > e- ve~; e- ve > e- ve; e- vm > e- vm
ve ve > ve ve; ve ve~ > ve ve~; ve ve~ > w+ w-; ve ve~ > z h; mu- vm~ > w- z; e- ve~ > mu- vm~
ta+ ta- > h h; ta- w+ > vt z; ta- vt~ > w- h; ta- vt~ > w- a; ta- vt~ > e- ve~; a a > ta+ ta-
e+ e- > mu+ mu- a; e+ e- > e+ e- a; e+ e- > w+ w- a; e+ e- > w+ w- z; e+ e- > z z z
e+ e- > z h h; e+ e- > w+ w- h; e+ e- > t t~ h; e+ e- > t t~ z; e+ e- > t t~ a
a a > w+ w-; a a > t t~; a w+ > a w+; a w+ > z w+; w+ w- > w+ w-; w+ w+ > w+ w+; w+ w- > z z
w+ w- > a a; w+ w- > z a; w+ w- > z h; w+ w- > h h; w+ w- > t t~; w+ w- > b b~; w- z > w- z
z w- > w- h; z z > z z; z z > h h; h h > z z; h h > h h; z h > z h; z h > t t~; b b~ > h h
b b~ > z h; b b~ > z z; b b~ > w+ w-; t t~ > h h; t t~ > w+ w-; t t~ > z h; u u~ > w+ w-
u d~ > w+ z; u d~ > w+ a; u d~ > w+ h; u~ d > w- z; u d~ > t b~; b u > t d; b d~ > t u~
b~ d > t~ u; u d~ > c s~; u d~ > e+ ve; h h > h h h; b b~ > h h h; w+ w- > h h h; z z > h h h
a a > w+ w- a a; w+ w- > w+ w- h h; w+ w- > w+ w- z z; z z > z z h h; e+ e- > w+ w- w+ w-
e+ e- > t t~ w+ w-; e+ e- > e+ e- e+ e-; e+ e- > mu+ mu- e+ e-; e+ e- > mu- vm~ u d~
u u~ > e+ e- mu+ mu-
"""
BOTH = """
u d~ > w+ g; d~ u > w+ g g; u g > w+ d g; d g > w- u; c s~ > w+ g; u u~ > z g g; u u~ > a g g
u u~ > e+ e- g g; u d~ > e+ ve g g; d u~ > e- ve~ g; g d > t t~ e- e+ d; g u > t t~ e- e+ u
g g > e+ e- b b~; g g > t t~ h; g g > t t~ z; g g > t t~ a; u d~ > t t~ w+; d u~ > t t~ w-
u d~ > t t~ w+ g; g u > t t~ w+ d; u u~ > t t~ z; u u~ > t t~ h; b b~ > t t~; b g > b h
b~ g > t~ w+; g g > b b~ h; u b > d t g; g b > t u~ d; g u > t b~ d; e+ e- > u u~ g g
u u~ > e+ e- g g g; u d~ > e+ ve g g g; u d~ > e+ ve u u~; g g > t t~ h h; u u > d d w+ w+
u u~ > w+ w- g g; u d > u d h; e+ e- > u u~ d d~; u d~ > t b~ g
"""
ORDERS = """
u u~ > u u~ 2; u u > u u 2; u d > u d 2; u u~ > d d~ 2; u u~ > d d~ g 2; u u~ > u u~ g 2
u u > u u g 2; g u > t t~ u 2; u u~ > b b~ g 2; u u~ > t t~ 2; t b~ > t b~ 2; b b~ > t t~ 2
b b > b b 2; g b > t t~ b 2; u u~ > t t~ d d~ 2; u d > u d h 3; e+ e- > u u~ d d~ 4
"""
SEVEN = """
g g > t t~ g g g; u u~ > t t~ g g g; g u > t t~ u g g; u d > t t~ u d g; u u > t t~ u u g
u u~ > t t~ u u~ g; u u > u u u u~ g; g g > t t~ u u~ g; u u~ > w+ w- g g g
e+ e- > w+ w- w+ w- h
"""


def listed(text):
    return [one.strip() for row in text.split("\n") for one in row.split(";") if one.strip()]


def massless(two_to, n_outgoing, n, seed=3):
    """Momenta without masses, whatever the particles, beams along z, as in dumps."""
    p = two_to((0, 0), (0,) * n_outgoing, 1500.0, n=n, seed=seed)
    p[:, :2] = [[750, 0, 0, 750], [750, 0, 0, -750]]
    return p


def on_shell(two_to, process, n):
    masses = [
        float(standard_model.value(Parameters(), standard_model.PARTICLES[abs(pid)].mass))
        for pid in (*process.incoming, *process.outgoing)
    ]
    return two_to(masses[:2], masses[2:], 1500.0, n=n, seed=4)


def compare(text, p, qed=None):
    """Compare both for one process at points [point, leg, 4]."""
    process = standard_model.parse(text)
    of = diagrams.Tree(*process, qed)
    plan = tree.build(text, qed)
    assert plan.qed == of.qed
    found = jax.jit(lambda p: tree.squared(plan, p))(p)
    np.testing.assert_allclose(found, [of.squared(x) for x in p], rtol=2e-10)


def test_the_diagrams_are_those_of_another_generator(dumps):
    """The reference itself, at the first points of each dump."""
    for name, process in {
        "epem_mupmum": "e+ e- > mu+ mu-",
        "uux_ddx": "u u~ > d d~",
        "gg_ttx": "g g > t t~",
        "gg_ttxg": "g g > t t~ g",
        "gd_ttxemepd": "g d > t t~ e- e+ d",
    }.items():
        p, expected = dumps(name)
        of = diagrams.Tree(*standard_model.parse(process))
        assert of.squared(p[0]) == pytest.approx(expected[0], rel=1e-11)


def test_structure_constants():
    f = diagrams.F
    assert f[0, 1, 2] == pytest.approx(1)
    assert f[3, 4, 7] == pytest.approx(np.sqrt(3) / 2)
    assert f[0, 3, 6] == pytest.approx(0.5)
    commutator = np.einsum("aij,bjk->abik", diagrams.T, diagrams.T)
    commutator = commutator - commutator.transpose(1, 0, 2, 3)
    np.testing.assert_allclose(
        commutator, 1j * np.einsum("abc,cij->abij", f, diagrams.T), atol=1e-15
    )


@pytest.mark.parametrize("text", listed(FAST))
def test_some_processes(text, two_to):
    process = standard_model.parse(text)
    one = massless(two_to, len(process.outgoing), n=1)
    compare(text, np.concatenate([one, on_shell(two_to, process, n=1)]))


def test_each_helicity_and_each_frame(two_to):
    """A sum over helicities is the same in each frame, its terms are not. With a width it is so
    about, as a gluon's polarisation needs the invariance under gauges.
    """
    process = standard_model.parse("b g > t w-")
    (p,) = on_shell(two_to, process, n=1)
    fast = np.eye(4)
    fast[0, 0] = fast[3, 3] = np.cosh(0.7)
    fast[0, 3] = fast[3, 0] = np.sinh(0.7)
    two = np.stack([p, p @ fast])[:, None]
    plan, of = tree.build(process), diagrams.Tree(*process)
    table = tree.helicity_table(plan)
    assert len(table) == 2 * 2 * 2 * 3

    @jax.jit
    def of_helicity(width):
        return tree.squared(plan, two, Parameters(width_top=width), table)

    both = np.asarray(of_helicity(0.0))
    one, other = both.sum(1)
    assert one == pytest.approx(other, rel=1e-9)
    assert np.abs(both[1] / both[0] - 1).max() > 0.1
    both = np.asarray(of_helicity(Parameters().width_top))
    for k in (0, 5, 13, 22):
        assert both[0, k] == pytest.approx(of.squared(p, table[k]), rel=1e-9)
    assert both[0].sum() == pytest.approx(both[1].sum(), rel=1e-4)


def of_flows(plan, values):
    """The sum of flows as a tensor [colour of each leg]: each is a product of the matrices of
    gluons, whose indices are joined to each other and to those of quarks.
    """
    left, own = "abcdefg", "tuvwxyz"  # indices of a matrix, the first, and of its leg
    total = 0.0
    for flow, value in zip(plan.flows, values):
        joined = {upper - 1: left[lower - 1] for upper, lower in flow}
        operands, terms, out = [], [], ""
        for k, field in enumerate(plan.fields):
            if field == 21:
                operands.append(diagrams.T)
                terms.append(own[k] + left[k] + joined[k])
            elif abs(field) < 7:
                operands.append(np.eye(3))
                terms.append(own[k] + (left[k] if field > 0 else joined[k]))
            out += own[k] if field == 21 or abs(field) < 7 else ""
        total = total + value * np.einsum(",".join(terms) + "->" + out, *operands)
    return total


@pytest.mark.parametrize("text", ["u u > u u g", "g g > t t~", "g g > g g", "u d~ > t b~"])
def test_flows_are_matrices_of_colour(text, two_to):
    """At one helicity that does not vanish, up to the phases of wavefunctions."""
    process = standard_model.parse(text)
    (p,) = massless(two_to, len(process.outgoing), n=1)
    plan, of = tree.build(text), diagrams.Tree(*process)
    values = np.asarray(jax.jit(lambda p: tree.amplitudes(plan, p))(p))
    k = np.argmax(abs(values).sum(-1))
    expected = of.amplitude(p, tree.helicity_table(plan)[k], {}).squeeze()
    found = of_flows(plan, values[k])
    top = np.argmax(abs(expected))
    phase = found.ravel()[top] / expected.ravel()[top]
    assert abs(phase) == pytest.approx(1, rel=1e-9)
    np.testing.assert_allclose(found, phase * expected, atol=1e-9 * abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("text", [*listed(QCD), *listed(ELECTROWEAK), *listed(BOTH)])
def test_many_processes(text, two_to):
    process = standard_model.parse(text)
    one = massless(two_to, len(process.outgoing), n=1)
    compare(text, np.concatenate([one, on_shell(two_to, process, n=1)]))


@pytest.mark.slow
@pytest.mark.parametrize("text", listed(ORDERS))
def test_orders_that_are_not_the_least(text, two_to):
    text, qed = text.rsplit(maxsplit=1)
    compare(text, massless(two_to, len(standard_model.parse(text).outgoing), n=2), int(qed))


@pytest.mark.slow
@pytest.mark.parametrize("text", listed(SEVEN))
def test_seven_legs(text, two_to):
    """At some helicities, as a sum over all takes the diagrams minutes."""
    process = standard_model.parse(text)
    p = massless(two_to, 5, n=1)
    plan, of = tree.build(text), diagrams.Tree(*process)
    table = tree.helicity_table(plan)
    of_table = jax.jit(lambda h: tree.squared(plan, p[0], helicity=h))(table)
    whole = jax.jit(lambda p: tree.squared(plan, p))(p)[0]
    assert float(of_table.sum()) == pytest.approx(float(whole), rel=1e-10)
    large = np.argsort(np.asarray(of_table))[::-1]
    for k in large[[0, len(large) // 8, len(large) // 3]]:
        assert of.squared(p[0], table[k]) == pytest.approx(float(of_table[k]), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["u u~ > u u~ g", "g u > t t~ u", "e- ve~ > ta- vt~ a", "b b~ > z h", "u d~ > w+ g g"],
)
def test_every_leg_as_the_last(text, two_to):
    """With signs, couplings and colours of the closing vertex at each of them."""
    process = standard_model.parse(text)
    p = massless(two_to, len(process.outgoing), n=1)
    expected = diagrams.Tree(*process).squared(p[0])
    for last in range(p.shape[1]):
        plan = recursion.plan(process, None, last)
        found = jax.jit(lambda p, plan=plan: tree.squared(plan, p))(p)
        np.testing.assert_allclose(found, expected, rtol=2e-10)
