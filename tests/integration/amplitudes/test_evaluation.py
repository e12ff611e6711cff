"""Evaluation: what is left out is nothing, single helicities, and many legs in few operations."""

import itertools

import jax
import numpy as np
import pytest

from hepjax.integration.amplitudes import evaluation, standard_model, tables, tree
from hepjax.integration.amplitudes.standard_model import DEFAULT, Parameters


def every_helicity(plan):
    return np.array(list(itertools.product(*(tables.helicities(k) for k in plan.fields))))


@pytest.fixture(scope="module")
def by_helicity(two_to):
    """Function of a process -> plan, momenta [point, leg, 4], |M|^2 of each of all helicities
    [helicity, point], those helicities.
    """

    def squares(text, masses, n=2):
        with jax.enable_x64(True):
            plan = tree.build(text)
            p, table = two_to((0, 0), masses, 900.0, n=n), every_helicity(plan)
            one = jax.jit(lambda p, h: tree.squared(plan, p, helicity=h))
            return plan, p, np.asarray(one(p, table[:, None])), table

    return squares


CASES = [
    ("u u~ > d d~ g", (0, 0, 0)),
    ("u d~ > e+ ve", (0, 0)),
    ("e- e+ > t t~", (173.0, 173.0)),
    ("u d > d u", (0, 0)),
    ("u d~ > w+ h", (float(standard_model.value(DEFAULT, "mass_w")), 125.0)),
]


@pytest.mark.parametrize(("text", "masses"), CASES)
def test_what_is_left_out_vanishes(text, masses, by_helicity):
    """With none left out, each helicity by itself: the others are 0, and these make the sum."""
    plan, p, found, table = by_helicity(text, masses)
    kept = {tuple(row) for row in tree.helicity_table(plan).tolist()}
    is_kept = np.array([tuple(row) in kept for row in table.tolist()])
    assert is_kept.sum() == len(kept) < len(table)
    np.testing.assert_array_equal(found[~is_kept], 0)
    total = jax.jit(lambda p: tree.squared(plan, p))(p)
    np.testing.assert_allclose(found.sum(0), total, rtol=1e-12)


def test_a_helicity_of_each_point(two_to):
    """As a sample has them; the order of legs is that of the process."""
    plan = tree.build("g g > t t~")
    p = two_to((0, 0), (173.0, 173.0), 700.0, n=16)
    table = tree.helicity_table(plan)
    assert table.shape == (16, 4)
    of = jax.jit(lambda p, h: tree.squared(plan, p, helicity=h))
    mixed = of(p, table)
    all_of = of(p, table[:, None])
    np.testing.assert_allclose(mixed, np.diag(all_of), rtol=1e-12)
    flipped = of(p, -table[:, None])  # parity, but for the width of the top quark
    np.testing.assert_allclose(flipped, all_of, rtol=1e-3, atol=1e-3 * all_of.max())
    amplitude = jax.jit(lambda p, h: tree.amplitudes(plan, p, helicity=h))(p, table)
    assert amplitude.shape == (16, 1, 2)


def test_amplitudes_of_strands_and_flows(two_to):
    plan = tree.build("u u~ > t t~ g")
    p = two_to((0, 0), (173.0, 173.0, 0), 800.0, n=3)
    x = jax.jit(lambda p: evaluation.evaluate(plan, p, None, DEFAULT))(p)
    made = tables.tables(plan)
    assert x.shape == (made.ends.shape[1], len(made.helicities), 3)
    flows = jax.jit(lambda p: tree.amplitudes(plan, p))(p)
    expected = np.einsum("fs,shp->phf", made.ends, np.asarray(x))
    np.testing.assert_allclose(flows, expected, rtol=1e-10, atol=1e-12 * abs(expected).max())


def n_equations(text):
    """Count the operations of a process, those in loops once."""

    def count(jaxpr):
        inner = (
            sub.jaxpr if hasattr(sub, "jaxpr") else sub
            for equation in jaxpr.eqns
            for sub in equation.params.values()
            if hasattr(sub, "jaxpr") or hasattr(sub, "eqns")
        )
        return len(jaxpr.eqns) + sum(map(count, inner))

    plan = tree.build(text)
    momenta = np.zeros((8, len(plan.fields), 4))
    return count(jax.make_jaxpr(lambda p: tree.squared(plan, p))(momenta).jaxpr)


def test_operations_hardly_grow_with_diagrams():
    """Of 3, 18 and 159 diagrams; before, each step of a plan had its own."""
    two, three, four = (n_equations(f"g g > t t~{' g' * k}") for k in range(3))
    assert two < three < four < 4000
    assert four - three < 2 * (three - two)


def test_propagators_of_massive_vectors(two_to):
    """A W far below its mass is Fermi's vertex."""
    plan = tree.build("mu- ve > e- vm")
    p = two_to((0, 0), (0, 0), 1.0, n=3)
    product = p[:, 0] * p[:, 1] * np.array([1, -1, -1, -1.0])
    s = 2 * product.sum(-1)
    found = jax.jit(lambda p: tree.squared(plan, p, Parameters(width_w=0.0)))(p)
    expected = 32 * Parameters().fermi ** 2 * s**2 / 4  # of four spin states
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_masses_that_are_traced(two_to):
    plan = tree.build("u d~ > t b~")
    p = two_to((0, 0), (173.0, 4.7), 600.0, n=2)

    def of(mass, width):
        return tree.squared(plan, p, Parameters(mass_z=mass, width_w=width)).sum()

    mass, width = 91.188, 2.0476
    slopes = jax.jit(jax.grad(of, argnums=(0, 1)))(mass, width)
    value = jax.jit(of)
    for slope, step in zip(slopes, np.eye(2) * 1e-3):
        difference = value(mass + step[0], width + step[1]) - value(mass - step[0], width - step[1])
        assert float(slope) == pytest.approx(float(difference) / 2e-3, rel=1e-5, abs=1e-12)
