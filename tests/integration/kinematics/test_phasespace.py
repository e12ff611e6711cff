"""Phase space: momenta that add up, volumes, an inverse, the Jacobian, and evenness."""

import jax
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.integration.kinematics import phasespace

CASES = {
    "two": (0.0, 0.0),
    "two massive": (173.0, 80.0),
    "three": (0.0, 0.0, 0.0),
    "top pair and gluon": (173.0, 173.0, 0.0),
    "five": (0.0, 4.7, 0.0, 80.4, 1.7),
}
ENERGY = 700.0


def numbers(masses, n=300, seed=0):
    return np.random.default_rng(seed).uniform(0.01, 0.99, (n, 3 * len(masses) - 4))


@pytest.fixture(scope="module")
def rambo():
    """Compiled once for each case."""
    made = {}

    def of(masses):
        if masses not in made:
            made[masses] = jax.jit(lambda x: phasespace.rambo(x, ENERGY, masses))
        return made[masses]

    return of


@pytest.mark.parametrize("masses", CASES.values(), ids=CASES)
def test_momenta_add_up_on_their_shells(masses, rambo):
    p, _ = rambo(masses)(numbers(masses))
    p = np.asarray(p)
    total = np.broadcast_to([ENERGY, 0, 0, 0], (300, 4))
    np.testing.assert_allclose(p.sum(1), total, atol=1e-9)
    square = p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(-1)
    np.testing.assert_allclose(square, np.broadcast_to(np.square(masses), square.shape), atol=1e-7)


@pytest.mark.parametrize("masses", CASES.values(), ids=CASES)
def test_the_inverse(masses, rambo):
    x = numbers(masses)
    p, log_weight = rambo(masses)(x)
    back, log_inverse = jax.jit(lambda p: phasespace.rambo_inverse(p, masses))(p)
    np.testing.assert_allclose(back, x, atol=1e-7)
    np.testing.assert_allclose(log_inverse, -np.asarray(log_weight), atol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_the_volume_of_massless_particles(n):
    """All weights are the volume, known in closed form to all digits."""
    _, log_weight = jax.jit(lambda x: phasespace.rambo(x, ENERGY, (0.0,) * n))(numbers((0.0,) * n))
    np.testing.assert_allclose(np.exp(log_weight), phasespace.volume(n, ENERGY), rtol=1e-10)
    known = {2: np.pi / 2, 3: np.pi**2 / 8 * ENERGY**2, 4: (np.pi / 2) ** 3 / 12 * ENERGY**4}
    if n in known:
        assert phasespace.volume(n, ENERGY) == pytest.approx(known[n])


def test_the_volume_of_two_massive_particles(rambo):
    """pi p / (2 E) of the Kallen function, at each point."""
    a, b = 173.0, 80.0
    _, log_weight = rambo((a, b))(numbers((a, b)))
    p = np.sqrt((ENERGY**2 - (a + b) ** 2) * (ENERGY**2 - (a - b) ** 2)) / (2 * ENERGY)
    np.testing.assert_allclose(np.exp(log_weight), np.pi * p / ENERGY, rtol=1e-10)


def test_the_volume_of_three_massive_particles(rambo):
    """Against an integral over the mass of two of them, within four standard errors."""
    masses = CASES["top pair and gluon"]
    x = np.random.default_rng(3).uniform(size=(20_000, 5))
    weight = np.exp(rambo(masses)(x)[1])

    def two_body(mass, a, b):
        square = (mass**2 - (a + b) ** 2) * (mass**2 - (a - b) ** 2)
        return np.pi / 2 * np.sqrt(np.maximum(square, 0)) / mass**2

    edges = np.linspace(346.0, ENERGY, 200_001)
    middle = (edges[1:] + edges[:-1]) / 2
    parts = two_body(ENERGY, middle, 0.0) * two_body(middle, 173.0, 173.0) * 2 * middle
    expected = (parts * np.diff(edges)).sum()
    error = weight.std() / np.sqrt(len(weight))
    assert abs(weight.mean() - expected) < 4 * error
    assert error < 0.01 * expected
    assert np.isfinite(weight).all()


def test_the_weight_is_the_jacobian(rambo):
    """By independent coordinates of three particles: two masses squared and three angles of Euler
    give d Phi = pi^2 / (4 s) ds1 ds2 for the masses, whatever the angles.
    """
    masses = CASES["top pair and gluon"]
    x = numbers(masses, 1, seed=4)[0]

    def two_masses(x):
        p, _ = phasespace.rambo(x, ENERGY, masses)
        first, second = p[0] + p[1], p[1] + p[2]
        return jax.numpy.stack([lorentz.mass_squared(first), lorentz.mass_squared(second)])

    def angles(x):
        p, _ = phasespace.rambo(x, ENERGY, masses)
        a, b = p[0, 1:], p[1, 1:]
        normal = jax.numpy.cross(a, b)
        z = a / jax.numpy.linalg.norm(a)
        turned = normal / jax.numpy.linalg.norm(normal)
        # cos of the first particle, its azimuth, and the turn of the plane about it
        around = jax.numpy.cross(jax.numpy.array([0.0, 0, 1]), z)
        around = around / jax.numpy.linalg.norm(around)
        return jax.numpy.stack(
            [
                z[2],
                jax.numpy.arctan2(z[1], z[0]),
                jax.numpy.arctan2(turned @ jax.numpy.cross(z, around), turned @ around),
            ]
        )

    slope = jax.jacfwd(lambda x: jax.numpy.concatenate([two_masses(x), angles(x)]))(x)
    _, log_weight = phasespace.rambo(x, ENERGY, masses)
    expected = abs(np.linalg.det(slope)) / (8 * 4 * ENERGY**2)
    assert np.exp(log_weight) == pytest.approx(expected, rel=1e-6)


def test_directions_and_energies_are_even(rambo):
    """Of massless particles each has the same distribution, without a direction."""
    masses = CASES["three"]
    p = np.asarray(rambo(masses)(np.random.default_rng(5).uniform(size=(20_000, 5)))[0])
    error = p[..., 1:].std(0) / np.sqrt(len(p))
    assert np.abs(p[..., 1:].mean(0) / error).max() < 4
    energy = p[..., 0]
    np.testing.assert_allclose(energy.mean(0), ENERGY / 3, rtol=0.01)
    np.testing.assert_allclose(energy.std(0), energy.std(), rtol=0.02)


def test_gradients_in_energy_and_masses():
    x = numbers((0.0,) * 4, 1, seed=6)[0]

    def of(energy, mass):
        p, log_weight = phasespace.rambo(x, energy, (mass, 0.0, mass, 10.0))
        return p[1, 0] + 5 * log_weight

    value = jax.jit(of)
    slopes = jax.jit(jax.grad(of, argnums=(0, 1)))(700.0, 50.0)
    for k, step in ((0, 1e-2), (1, 1e-3)):
        up, down = [700.0, 50.0], [700.0, 50.0]
        up[k], down[k] = up[k] + step, down[k] - step
        expected = float(value(*up) - value(*down)) / step / 2
        assert float(slopes[k]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("masses", "dim", "message"),
    [((0.0,), 0, "1 particles, expected at least 2"), ((0.0, 0.0), 3, "3, expected 2 for 2")],
)
def test_bad_input(masses, dim, message):
    with pytest.raises(ValueError, match=message):
        phasespace.rambo(np.zeros(dim), ENERGY, masses)


def test_float64_is_needed():
    with jax.enable_x64(False), pytest.raises(ValueError, match="expected float64"):
        phasespace.rambo(np.zeros(2), ENERGY, (0.0, 0.0))
