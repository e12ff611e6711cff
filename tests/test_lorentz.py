import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import lorentz

UNARY = [
    lorentz.energy,
    lorentz.pt,
    lorentz.momentum,
    lorentz.phi,
    lorentz.eta,
    lorentz.rapidity,
    lorentz.mass_squared,
    lorentz.mass,
    lorentz.transverse_mass,
    lorentz.direction,
]
BINARY = [lorentz.delta_phi, lorentz.delta_r, lorentz.dot, lorentz.pair_mass_squared]


def particles(n: int, seed: int = 0, mass: float = 0.1396) -> np.ndarray:
    """Draw light particles of a jet, float64 [n, 4]."""
    rng = np.random.default_rng(seed)
    pt, eta, phi = rng.exponential(20, n) + 0.5, rng.normal(1, 0.2, n), rng.normal(3.1, 0.2, n)
    return lorentz.from_pt_eta_phi_mass(pt, eta, phi, mass)


def rotate(p4: np.ndarray, angle: float) -> np.ndarray:
    """Turn around the beam."""
    c, s = np.cos(angle), np.sin(angle)
    px, py = p4[..., 1], p4[..., 2]
    return np.stack([p4[..., 0], c * px - s * py, s * px + c * py, p4[..., 3]], -1)


def test_components_of_a_known_vector():
    p4 = np.array([13.0, 3.0, 4.0, 12.0])
    assert [lorentz.pt(p4), lorentz.momentum(p4), lorentz.mass(p4)] == [5, 13, 0]
    assert lorentz.phi(p4) == pytest.approx(np.arctan2(4, 3))
    assert lorentz.eta(p4) == pytest.approx(0.5 * np.log(25 / 1), rel=1e-14)
    assert lorentz.rapidity(p4) == pytest.approx(0.5 * np.log(25 / 1), rel=1e-14)
    assert lorentz.transverse_mass(np.array([13.0, 0, 3, 12])) == pytest.approx(5)
    assert lorentz.mass(np.array([3.0, 0, 0, 5])) == -4


def test_jitted_float32_agrees_with_float64():
    p4 = particles(500).astype(np.float32)
    found = jax.jit(lambda x: [f(x) for f in UNARY])(p4)
    for function, value in zip(UNARY, found, strict=True):
        expected = function(p4.astype(np.float64))
        for x in (value, function(p4)):
            assert x.dtype == np.float32, function
            np.testing.assert_allclose(x, expected, rtol=2e-6, atol=2e-6, err_msg=str(function))


def test_pairs_jitted_float32_agree_with_float64():
    p4 = particles(100).astype(np.float32)
    found = jax.jit(lambda x: [f(x[:, None], x[None]) for f in BINARY])(p4)
    exact = p4.astype(np.float64)
    for function, value in zip(BINARY, found, strict=True):
        expected = function(exact[:, None], exact[None])
        np.testing.assert_allclose(value, expected, rtol=2e-4, atol=1e-6, err_msg=str(function))


def test_mass_squared_is_exact_for_the_components_given():
    p4 = particles(2000, mass=0.0).astype(np.float32)
    exact = p4.astype(np.float64)
    truth = exact[:, 0] ** 2 - (exact[:, 1:] ** 2).sum(-1)
    for found in (lorentz.mass_squared(p4), jax.jit(lorentz.mass_squared)(p4)):
        assert np.max(np.abs(found - truth) / exact[:, 0] ** 2) < 2e-10


def test_pair_mass_of_collinear_light_particles_holds_in_float32():
    rng = np.random.default_rng(1)
    distance = 10 ** rng.uniform(-3, -1, 1000)
    a = lorentz.from_pt_eta_phi_mass(rng.uniform(1, 300, 1000), 1.5, 0.3, 0.1396)
    b = lorentz.from_pt_eta_phi_mass(rng.uniform(1, 300, 1000), 1.5 + distance, 0.3, 0.0005)
    a, b = a.astype(np.float32), b.astype(np.float32)
    wide = a.astype(np.float64) + b.astype(np.float64)
    truth = wide[:, 0] ** 2 - (wide[:, 1:] ** 2).sum(-1)
    clear = truth > 1e-4
    stable = jax.jit(lorentz.pair_mass_squared)(a, b)[clear]
    plain = np.asarray((a + b)[:, 0] ** 2 - ((a + b)[:, 1:] ** 2).sum(-1))[clear]
    assert np.max(np.abs(stable / truth[clear] - 1)) < 2e-3
    assert np.max(np.abs(plain / truth[clear] - 1)) > 1


def test_pair_mass_is_the_mass_of_the_sum():
    a, b = particles(50, 1, 4.0), particles(50, 2, 0.5)
    np.testing.assert_allclose(
        lorentz.pair_mass_squared(a, b), lorentz.mass(a + b) ** 2, rtol=1e-12
    )
    np.testing.assert_allclose(lorentz.pair_mass_squared(a, a), 4 * 16, rtol=1e-9)


def test_mass_of_a_set_holds_in_float32():
    p4 = particles(20 * 40, mass=0.05).reshape(20, 40, 4).astype(np.float32)
    mask = np.arange(40) < np.arange(1, 21)[:, None]
    wide = p4.astype(np.float64)
    truth = lorentz.mass((wide * mask[..., None]).sum(1))
    garbage = np.where(mask[..., None], p4, np.float32(np.nan))
    np.testing.assert_allclose(jax.jit(lorentz.invariant_mass)(garbage, mask), truth, rtol=5e-6)
    assert lorentz.invariant_mass(p4, np.zeros_like(mask)).max() == 0


def test_masses_and_distances_do_not_change_under_rotation_and_boost():
    a, b = particles(100, 1, 2.0), particles(100, 2, 0.5)
    velocity = np.array([0.3, -0.5, 0.6])
    mass = lorentz.pair_mass_squared(a, b)
    moved = [lorentz.boost(x, velocity) for x in (a, b)]
    np.testing.assert_allclose(lorentz.mass(moved[0]), 2.0, rtol=1e-9)
    np.testing.assert_allclose(lorentz.pair_mass_squared(*moved), mass, rtol=1e-9)
    np.testing.assert_allclose(lorentz.boost(moved[0], -velocity), a, rtol=1e-10, atol=1e-10)
    turned = [rotate(x, 2.5) for x in (a, b)]
    np.testing.assert_allclose(lorentz.delta_r(*turned), lorentz.delta_r(a, b), rtol=1e-8)
    along = [lorentz.boost(x, np.array([0, 0, 0.9])) for x in (a, b)]
    height = [lorentz.delta_r(x, y, use_rapidity=True) for x, y in (along, (a, b))]
    np.testing.assert_allclose(*height, rtol=1e-8)


def test_rest_frame():
    p4 = particles(50, 3, 1.5).astype(np.float32)
    at_rest = jax.jit(lorentz.boost_to_rest)(p4, p4)
    np.testing.assert_allclose(at_rest[:, 0], lorentz.mass(p4), rtol=1e-5)
    np.testing.assert_allclose(at_rest[:, 1:], 0, atol=2e-4)
    b = particles(50, 4, 0.5)
    frame = particles(50, 3, 1.5)
    moved = lorentz.boost_to_rest(b, frame)
    np.testing.assert_allclose(moved, lorentz.boost(b, -frame[:, 1:] / frame[:, :1]), rtol=1e-7)


def test_delta_phi_is_wrapped_and_exact_nearby():
    angle = np.linspace(-9, 9, 1001)
    wrapped = lorentz.wrap_phi(angle)
    assert -np.pi < wrapped.min() < wrapped.max() <= np.pi
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angle), atol=1e-12)
    assert lorentz.wrap_phi(np.array([-np.pi, np.pi])).tolist() == [np.pi, np.pi]
    small = jnp.float32(1e-6)
    assert lorentz.wrap_phi(small) == small
    a = lorentz.from_pt_eta_phi_mass(1.0, 0.0, np.array(3.1), 0.0)
    b = lorentz.from_pt_eta_phi_mass(1.0, 0.0, np.array(-3.1), 0.0)
    assert lorentz.delta_phi(a, b) == pytest.approx(6.2 - 2 * np.pi)
    assert lorentz.phi(np.array([1.0, -1.0, -0.0, 0.0])) == pytest.approx(np.pi)


def test_building_inverts_taking_apart():
    p4 = particles(200, 5, 1.0)
    again = lorentz.from_pt_eta_phi_mass(lorentz.pt(p4), lorentz.eta(p4), lorentz.phi(p4), 1.0)
    np.testing.assert_allclose(again, p4, rtol=1e-12, atol=1e-12)
    ours = jax.jit(lorentz.from_pt_eta_phi_mass)(*(jnp.ones(3) * x for x in (2.0, 1.0, 0.5, 0.1)))
    assert (ours.shape, ours.dtype) == ((3, 4), jnp.float32)


def test_zero_vectors_give_zero_with_zero_gradient():
    gradients = jax.jit(lambda x: [jax.grad(lambda y, f=f: f(y).sum())(x) for f in UNARY])
    zero = np.zeros((2, 4), np.float32)
    for function, gradient in zip(UNARY, gradients(zero), strict=True):
        assert np.all(function(zero) == 0), function
        assert np.all(gradient[..., 1:] == 0), function
        assert np.all(np.isfinite(gradient)), function


def test_pairs_with_zero_and_equal_vectors_have_finite_gradients():
    real = particles(1).astype(np.float32)
    zero = np.zeros_like(real)
    a, b = np.concatenate([zero, real, zero]), np.concatenate([real, real, zero])
    gradients = jax.jit(
        lambda *x: [jax.grad(lambda *y, f=f: f(*y).sum(), argnums=(0, 1))(*x) for f in BINARY]
    )
    for function, gradient in zip(BINARY, gradients(a, b), strict=True):
        assert np.all(np.isfinite(gradient)), function


def test_gradient_of_the_exact_mass_is_that_of_the_formula():
    p4 = jnp.asarray(particles(20).astype(np.float32))
    gradient = jax.jit(jax.grad(lambda x: lorentz.mass_squared(x).sum()))(p4)
    np.testing.assert_allclose(gradient, 2 * p4 * np.array([1, -1, -1, -1]), rtol=1e-6)


def test_along_the_beam_rapidity_is_infinite():
    p4 = np.array([[5.0, 0, 0, 5], [5.0, 0, 0, -5]])
    assert lorentz.eta(p4).tolist() == lorentz.rapidity(p4).tolist() == [np.inf, -np.inf]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"p4: expected shape \[\.\.\., 4\].*found \[2, 3\]"):
        lorentz.pt(np.ones((2, 3)))
    with pytest.raises(ValueError, match="p4: expected floating point, found int"):
        lorentz.mass(np.ones(4, int))
    with pytest.raises(ValueError, match="p4: expected an array of numpy or jax, found list"):
        lorentz.eta([1.0, 0, 0, 0])
    with pytest.raises(ValueError, match="velocity"):
        lorentz.boost(np.ones(4), np.ones(4))
    with pytest.raises(ValueError, match="mask"):
        lorentz.invariant_mass(np.ones((3, 4)), np.ones(4, bool))
    with pytest.raises(ValueError, match="mass: expected an array of numpy or jax, or a number"):
        lorentz.from_px_py_pz_mass(np.ones(1), 0.0, 0.0, "light")
    with pytest.raises(ValueError, match="among them"):
        lorentz.from_pt_eta_phi_mass(1.0, 0.0, 0.0, 0.0)
