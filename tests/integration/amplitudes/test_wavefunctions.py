"""Wavefunctions: the equations they solve and the sums they make, along the axes too."""

import jax
import numpy as np
import pytest
from dirac import GAMMA, METRIC, PAULI, slash

from hepjax.integration.amplitudes import currents, wavefunctions

WAYS = {
    "any": [0.3, -1.2, 0.7],
    "forward": [0, 0, 2.0],
    "backward": [0, 0, -2.0],
    "across": [0, 1.5, 0],
    "near backward": [1e-9, 0, -3.0],
}


def momentum(way, mass):
    way = np.asarray(way, float)
    return np.array([np.sqrt(mass**2 + way @ way), *way])


@pytest.mark.parametrize("mass", [0.0, 1.7])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_spinors_solve_diracs_equation_and_sum_up(way, mass):
    p = momentum(way, mass)
    for make, sign in ((wavefunctions.u, 1), (wavefunctions.v, -1)):
        total = np.zeros((4, 4), complex)
        for helicity in (-1, 1):
            spinor = np.asarray(make(p, mass, helicity))
            np.testing.assert_allclose((slash(p) - sign * mass * np.eye(4)) @ spinor, 0, atol=1e-9)
            row = np.asarray(wavefunctions.bar(spinor))
            np.testing.assert_allclose(row, spinor.conj() @ GAMMA[0], atol=1e-14)
            total += np.outer(spinor, row)
        np.testing.assert_allclose(total, slash(p) + sign * mass * np.eye(4), atol=1e-9)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_helicity_is_the_spin_along_the_way(way):
    """An antiparticle's spinor has the opposite spin of its helicity."""
    p = momentum(way, 0.9)
    along = np.einsum("k,kij->ij", p[1:] / np.linalg.norm(p[1:]), PAULI[1:])
    spin = np.kron(np.eye(2), along)
    for helicity in (-1, 1):
        u, v = (np.asarray(f(p, 0.9, helicity)) for f in (wavefunctions.u, wavefunctions.v))
        np.testing.assert_allclose(spin @ u, helicity * u, atol=1e-8)
        np.testing.assert_allclose(spin @ v, -helicity * v, atol=1e-8)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_polarisations_are_orthogonal_and_complete(way):
    mass = 80.4
    p = momentum(way, mass)
    vectors = [np.asarray(wavefunctions.polarisation(p, mass, h)) for h in (-1, 0, 1)]
    for i, a in enumerate(vectors):
        assert abs(a @ METRIC @ p) < 1e-12 * mass
        for j, b in enumerate(vectors):
            assert a @ METRIC @ b.conj() == pytest.approx(-float(i == j), abs=1e-12)
    total = sum(np.outer(a, a.conj()) for a in vectors)
    np.testing.assert_allclose(total, np.outer(p, p) / mass**2 - METRIC, atol=1e-9)


def test_a_massive_boson_at_rest():
    p = np.array([91.0, 0, 0, 0])
    vectors = [np.asarray(wavefunctions.polarisation(p, 91.0, h)) for h in (-1, 0, 1)]
    total = sum(np.outer(a, a.conj()) for a in vectors)
    np.testing.assert_allclose(total, np.diag([0, 1, 1, 1]), atol=1e-12)


def test_helicity_one_turns_as_spin_one():
    """Along z, helicity +1 is -(x + i y) / sqrt 2 up to a phase: right-circular."""
    found = np.asarray(wavefunctions.polarisation(np.array([5.0, 0, 0, 5.0]), 0.0, 1))
    ratio = found[2] / found[1]
    assert ratio == pytest.approx(1j)


def test_gradients_are_finite_on_the_axis():
    def size(p, helicity):
        spinor = wavefunctions.u(p, 0.0, helicity)
        vector = wavefunctions.polarisation(p, 0.0, helicity)
        return (abs(spinor) ** 2).sum() + currents.dot(vector, vector.conj()).real

    for z in (1.0, -1.0):
        slope = jax.grad(size)(np.array([3.0, 0, 0, 3 * z]), 1)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_equations_hold_beside_the_axis_to_first_order(way):
    """The derivative of an equation along any change of a massless momentum on its shell."""
    p = momentum(way, 0.0)
    turn = np.array([0.3, -0.8, 0.4])
    change = np.array([p[1:] @ turn / p[0], *turn])

    def slope(f):
        return np.asarray(jax.jvp(f, (p,), (change,))[1])

    size = np.linalg.norm(turn)
    matrices = np.array([g * s for g, s in zip(GAMMA, np.diag(METRIC))])
    for helicity in (-1, 1):
        for make in (wavefunctions.u, wavefunctions.v):

            def dirac(q, make=make, helicity=helicity):
                return jax.numpy.einsum("k,kij,j", q, matrices, make(q, 0.0, helicity))

            of = slope(dirac)
            np.testing.assert_allclose(of, 0, atol=1e-6 * size)

        def products(q, helicity=helicity):
            e = wavefunctions.polarisation(q, 0.0, helicity)
            return jax.numpy.stack([currents.dot(e, q), currents.dot(e, e)])

        np.testing.assert_allclose(slope(products), 0, atol=1e-9 * size)
