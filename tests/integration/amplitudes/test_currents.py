"""Vertices and propagators against the matrices of Dirac, and the identities of gauge theories."""

import numpy as np
import pytest
from dirac import GAMMA, METRIC, slash

from hepjax.integration.amplitudes import currents

RNG = np.random.default_rng(0)
KET, BRA, V, W, X = (RNG.normal(size=4) + 1j * RNG.normal(size=4) for _ in range(5))
P, Q = RNG.normal(size=(2, 4))
LEFT, RIGHT = np.diag([1.0, 1, 0, 0]), np.diag([0.0, 0, 1, 1])
CHIRAL = 0.7 * LEFT - 1.3j * RIGHT


def test_slash_and_chirality():
    np.testing.assert_allclose(
        currents.slash_ket(V, KET, 0.7, -1.3j), slash(V) @ CHIRAL @ KET, rtol=1e-12
    )
    np.testing.assert_allclose(
        currents.bra_slash(BRA, V, 0.7, -1.3j), BRA @ slash(V) @ CHIRAL, rtol=1e-12
    )


def test_a_current_is_bra_gamma_ket():
    expected = [BRA @ g @ CHIRAL @ KET for g in GAMMA]
    np.testing.assert_allclose(currents.bra_ket_vector(BRA, KET, 0.7, -1.3j), expected, rtol=1e-12)
    np.testing.assert_allclose(currents.bra_ket_scalar(BRA, KET), [BRA @ KET], rtol=1e-12)


def test_a_current_contracted_is_a_vertex():
    """bra v-slash ket, in three ways."""
    whole = BRA @ slash(V) @ KET
    current = currents.bra_ket_vector(BRA, KET)
    assert complex(currents.dot(V, current)) == pytest.approx(whole)
    assert complex((currents.bra_slash(BRA, V) * KET).sum()) == pytest.approx(whole)
    assert complex((BRA * currents.slash_ket(V, KET)).sum()) == pytest.approx(whole)


def test_propagators_are_inverse_to_diracs_operator():
    mass = 1.1
    ket = currents.propagate_ket(KET, P, mass)
    np.testing.assert_allclose(
        slash(P) @ ket - mass * ket, (P @ METRIC @ P - mass**2) * KET, rtol=1e-10
    )
    bra = currents.propagate_bra(BRA, P, mass)
    np.testing.assert_allclose(
        bra @ slash(-P) - mass * bra, (P @ METRIC @ P - mass**2) * BRA, rtol=1e-10
    )


def test_a_vector_on_its_shell_is_transverse():
    p = np.array([np.sqrt(80.0**2 + 30**2), 0, 30.0, 0])
    found = np.asarray(currents.propagate_vector(V, p, 80.0))
    assert abs(found @ METRIC @ p) < 1e-9
    np.testing.assert_array_equal(currents.propagate_vector(V, p, 0.0), -V)


def three(a, b, c, p, q):
    """The vertex of three vectors as in a textbook, all momenta incoming."""
    r = -p - q
    g = METRIC
    return (
        (a @ g @ b) * ((p - q) @ g @ c)
        + (b @ g @ c) * ((q - r) @ g @ a)
        + (c @ g @ a) * ((r - p) @ g @ b)
    )


def test_three_vectors():
    found = currents.three_vectors(V, W, P, Q)
    assert complex(currents.dot(found, X)) == pytest.approx(three(V, W, X, P, Q))
    np.testing.assert_allclose(currents.three_vectors(W, V, Q, P), -np.asarray(found), rtol=1e-12)


def test_the_vertex_of_three_vectors_conserves_their_current():
    """With transverse vectors on their shells, contracted with the momentum that comes out: 0."""
    p, q = (np.array([np.linalg.norm(x), *x]) for x in RNG.normal(size=(2, 3)))
    a, b = (x - (x @ METRIC @ k) / (k @ METRIC @ t) * t for x, k, t in ((V, p, Q), (W, q, P)))
    found = currents.three_vectors(a, b, p, q)
    assert abs(currents.dot(found, p + q)) < 1e-10


def test_a_tensor_is_antisymmetric_and_meets_a_vector():
    tensor = np.asarray(currents.two_vectors_tensor(V, W))
    np.testing.assert_allclose(currents.two_vectors_tensor(W, V), -tensor)
    expected = (np.outer(V, W) - np.outer(W, V)) @ METRIC @ X
    np.testing.assert_allclose(currents.tensor_vector(tensor, X), expected, rtol=1e-12)
    assert complex(currents.vectors_scalar(V, W)[0]) == pytest.approx(V @ METRIC @ W)


def test_currents_of_many_points_and_helicities():
    kets, bras = RNG.normal(size=(4, 2, 1, 5)), RNG.normal(size=(4, 1, 3, 5))
    found = np.asarray(currents.bra_ket_vector(bras, kets))
    assert found.shape == (4, 2, 3, 5)
    one = currents.bra_ket_vector(bras[:, 0, 2, 4], kets[:, 1, 0, 4])
    np.testing.assert_allclose(found[:, 1, 2, 4], one)
