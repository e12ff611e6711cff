"""Maps of invariants: there and back, slopes by differentiation, from limit to limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration.kinematics import maps

LOW, HIGH = 60.0**2, 400.0**2
MAPS = {
    "logarithm": (maps.power, maps.power_inverse, (1.0,)),
    "power": (maps.power, maps.power_inverse, (0.7,)),
    "steep": (maps.power, maps.power_inverse, (2.0,)),
    "peak": (maps.breit_wigner, maps.breit_wigner_inverse, (91.2, 2.5)),
    "narrow": (maps.breit_wigner, maps.breit_wigner_inverse, (300.0, 0.01)),
}


@pytest.mark.parametrize("name", MAPS)
def test_there_and_back(name):
    forward, inverse, options = MAPS[name]
    u = np.linspace(0, 1, 101)
    x, log_slope = forward(u, LOW, HIGH, *options)
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(x[jnp.array([0, -1])], [LOW, HIGH], rtol=1e-9)
    again, back = inverse(x, LOW, HIGH, *options)
    np.testing.assert_allclose(again, u, atol=1e-9)
    np.testing.assert_allclose(back, -log_slope, atol=1e-6)
    slope = jax.vmap(jax.grad(lambda u: forward(u, LOW, HIGH, *options)[0]))(u)
    np.testing.assert_allclose(np.exp(log_slope), slope, rtol=1e-7)


def test_a_peak_is_flat_in_its_own_map():
    s, log_slope = maps.breit_wigner(np.linspace(0, 1, 50), LOW, HIGH, 91.2, 2.5)
    value = 1 / ((s - 91.2**2) ** 2 + (91.2 * 2.5) ** 2) * np.exp(log_slope)
    np.testing.assert_allclose(value, value[0], rtol=1e-9)


def test_shares_of_two_hadrons():
    u, s = np.linspace(0.01, 0.99, 20), np.full(20, 91.2**2)
    first, second, log_jacobian = maps.partons(u, s, 13_000.0)
    np.testing.assert_allclose(first * second * 13_000.0**2, s, rtol=1e-12)
    assert (first <= 1).all()
    assert (second <= 1).all()

    def shares(us):
        return jnp.stack(maps.partons(us[0], us[1], 13_000.0)[:2])

    jacobian = jax.vmap(jax.jacfwd(shares))(np.stack([u, s], -1))
    np.testing.assert_allclose(np.exp(log_jacobian), np.abs(np.linalg.det(jacobian)), rtol=1e-9)


SQUARES = {
    "massless": (0.0, 0.0, 0.0, 0.0),
    "top pair": (0.0, 0.0, 173.0**2, 173.0**2),
    "off its shell": (-(50.0**2), 0.0, 80.4**2, 30.0**2),
}


@pytest.mark.parametrize("squares", SQUARES.values(), ids=SQUARES)
def test_limits_of_a_momentum_transfer(squares):
    """By momenta along one axis, forward and backward."""
    s = 600.0**2
    low, high = (float(x) for x in maps.transfer_limits(s, squares))
    a, b, one, two = squares
    energies = [(s + x - y) / (2 * s**0.5) for x, y in ((a, b), (one, two))]
    size = [(e**2 - x) ** 0.5 for e, x in zip(energies, (a, one))]
    for limit, sign in ((low, -1), (high, 1)):
        t = (energies[0] - energies[1]) ** 2 - (size[0] - sign * size[1]) ** 2
        assert limit == pytest.approx(t, rel=1e-9, abs=1e-6)
    # s + t + u is the sum of the squares, whichever way
    u = sum(squares) - s - low
    assert u == pytest.approx(float(maps.transfer_limits(s, (a, b, two, one))[1]), abs=1e-6)


@pytest.mark.parametrize("squares", SQUARES.values(), ids=SQUARES)
@pytest.mark.parametrize(("mass", "exponent"), [(0.0, 0.7), (173.0, 1.0), (80.4, 2.0)])
def test_a_momentum_transfer(squares, mass, exponent):
    u, s = np.linspace(0.01, 0.99, 25), np.full(25, 600.0**2)
    t, log_slope = maps.transfer(u, s, squares, mass, exponent)
    low, high = maps.transfer_limits(s, squares)
    assert ((t > low) & (t < high)).all()
    assert (np.diff(t) > 0).all()
    back, log_back = maps.transfer_inverse(t, s, squares, mass, exponent)
    np.testing.assert_allclose(back, u, atol=1e-9)
    np.testing.assert_allclose(log_back, -np.asarray(log_slope), rtol=1e-9)
    slope = jax.vmap(jax.grad(lambda u: maps.transfer(u, s[0], squares, mass, exponent)[0]))(u)
    np.testing.assert_allclose(np.exp(log_slope), slope, rtol=1e-8)


def test_a_propagator_is_even_behind_its_map():
    """Of 1 / (M^2 - t) nothing is left but the logarithm of the limits."""
    u, s, mass = np.linspace(0, 1, 9), 600.0**2, 80.4
    t, log_slope = maps.transfer(u, s, SQUARES["massless"], mass, 1.0)
    weight = np.exp(log_slope) / (mass**2 - np.asarray(t))
    np.testing.assert_allclose(weight, np.log((mass**2 + s) / mass**2), rtol=1e-12)
