"""Closed forms against matrix elements that are built from Feynman rules."""

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration.amplitudes import closed_forms, standard_model, tree

MODEL = standard_model.DEFAULT._replace(width_z=0.0)
ALPHA_S = 0.118


def built(process, two_to, masses, energy, parameters=MODEL):
    """d sigma / d cos by a built matrix element, and s and cos."""
    plan = tree.build(process)
    p = two_to((0.0, 0.0), masses, energy, n=20, seed=3)
    squared = np.asarray(tree.squared(plan, p, parameters))
    size = [np.linalg.norm(p[:, k, 1:], axis=-1) for k in (0, 2)]
    cos = (p[:, 0, 1:] * p[:, 2, 1:]).sum(-1) / size[0] / size[1]
    s = energy**2
    return squared * size[1] / size[0] / (32 * np.pi * s), s, cos


@pytest.mark.parametrize(
    ("process", "incoming", "outgoing"),
    [("e- e+ > mu- mu+", 11, 13), ("u u~ > mu- mu+", 2, 13), ("d d~ > e- e+", 1, 11)],
)
def test_fermion_pairs(two_to, process, incoming, outgoing):
    """By photon and Z, its width left out."""
    known = standard_model.couplings(MODEL)
    z = closed_forms.z_boson(MODEL.mass_z, 0.0, known.sin**2)
    expected, s, cos = built(process, two_to, (0.0, 0.0), 150.0)
    found = closed_forms.fermion_pair(
        s, cos, incoming, outgoing, [closed_forms.PHOTON, z], MODEL.alpha_em
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("energy", [350.0, 900.0])
def test_top_pairs(two_to, energy):
    mass = MODEL.mass_top
    model = MODEL._replace(alpha_s=ALPHA_S, width_top=0.0)
    for process, form in (
        ("u u~ > t t~", closed_forms.top_pair_of_quarks),
        ("g g > t t~", closed_forms.top_pair_of_gluons),
    ):
        expected, s, cos = built(process, two_to, (mass, mass), energy, model)
        np.testing.assert_allclose(form(s, cos, mass, ALPHA_S), expected, rtol=1e-9)


def test_gluon_pairs(two_to):
    model = MODEL._replace(alpha_s=ALPHA_S)
    expected, s, cos = built("g g > g g", two_to, (0.0, 0.0), 100.0, model)
    np.testing.assert_allclose(closed_forms.gluon_pair(s, cos, ALPHA_S), expected, rtol=1e-9)


def test_the_whole_of_electrons_to_muons():
    """Pythia: 868.545 pb at 10 GeV, photon alone."""
    cos, weight = np.polynomial.legendre.leggauss(4)
    alpha = 1 / 137.03599
    each = closed_forms.fermion_pair(100.0, cos, 11, 13, [closed_forms.PHOTON], alpha)
    total = (each * weight).sum()
    assert total == pytest.approx(closed_forms.point_cross_section(10.0, alpha), rel=1e-12)
    assert total * closed_forms.PICOBARN == pytest.approx(868.545, rel=1e-5)


def test_a_width_that_grows_with_s():
    z = closed_forms.z_boson(91.1876, 2.5, 0.2312)
    at_peak = closed_forms.fermion_pair(91.1876**2, 0.0, 1, 13, [z], 1 / 128)
    beside = closed_forms.fermion_pair((91.1876 + 1.25) ** 2, 0.0, 1, 13, [z], 1 / 128)
    assert jnp.asarray(beside / at_peak) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("process", "form"),
    [
        ("u u~ > z g", closed_forms.vector_and_gluon),
        ("u g > z u", closed_forms.vector_and_quark),
        ("u d~ > w+ g", closed_forms.vector_and_gluon),
        ("u g > w+ d", closed_forms.vector_and_quark),
    ],
)
def test_vector_and_parton_as_by_wavefunctions(process, form, two_to):
    known = standard_model.couplings(MODEL)
    if "w+" in process:
        mass, hands = float(known.mass_w), (known.g / 2**0.5, 0.0)
    else:
        right = -2 / 3 * known.sin**2
        mass, hands = MODEL.mass_z, tuple(known.g / known.cos * x for x in (0.5 + right, right))
    expected, s, cos = built(process, two_to, (mass, 0.0), 400.0)
    np.testing.assert_allclose(form(s, cos, mass, hands, ALPHA_S), expected, rtol=1e-10)
