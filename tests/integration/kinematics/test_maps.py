"""Maps of invariants: there and back, slopes by differentiation, from limit to limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration.kinematics import maps

LOW, HIGH = 60.0**2, 400.0**2
MAPS = {
    "even": (maps.even, maps.even_inverse, ()),
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
