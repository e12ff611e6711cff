"""Phase space of hadron collisions: shells, sums, the inverse, the Jacobian, the volume."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration.kinematics import layouts, phasespace
from hepjax.integration.kinematics.layouts import Layout, Space, Split

TOPS = Space((173.0, 173.0, 0.0), energy=2000.0, min_pt=20.0)
JETS = Space((173.0, 173.0, 0.0, 0.0), energy=13_000.0, min_pt=20.0)
LEPTONS = Space((0.0, 0.0, 0.0), energy=2000.0, min_pt=20.0)
CASES = {
    "pair": (Space((173.0, 80.0), 2000.0, 20.0), Layout((0, 1))),
    "pair and jet": (TOPS, Layout((2, Split(0, 1)))),
    "three alone": (TOPS, Layout((2, 0, 1))),
    "top and jet": (TOPS, Layout((0, Split(1, 2, mass=173.0)))),
    "resonance": (LEPTONS, Layout((2, Split(0, 1, mass=91.188, width=2.44)))),
    "two pairs": (JETS, Layout((Split(2, 3), Split(0, 1)))),
    "nested": (JETS, Layout((3, Split(0, Split(1, 2, mass=173.0))))),
    "four alone": (JETS, Layout((2, 3, 0, 1))),
}
N = 400


def numbers(space, seed=0, n=N):
    size = 3 * len(space.masses) - 2
    return np.random.default_rng(seed).uniform(0.05, 0.95, (n, size))


@pytest.fixture(scope="module")
def made():
    """Points, numbers and the way back of each case, computed once."""
    found = {}

    def of(name):
        if name not in found:
            space, layout = CASES[name]
            u = numbers(space)
            at = jax.jit(lambda u: layouts.forward(space, layout, u))(u)
            back = jax.jit(lambda at: layouts.inverse(space, layout, at))(at)
            found[name] = u, at, back
        return found[name]

    return of


@pytest.mark.parametrize("name", CASES)
def test_momenta_add_up_on_their_shells(name, made):
    space, _ = CASES[name]
    _, at, _ = made(name)
    there = np.isfinite(at.log_jacobian)
    assert there.mean() > 0.2
    p = np.asarray(at.momenta)[there]
    np.testing.assert_allclose(p[:, :2].sum(1), p[:, 2:].sum(1), atol=1e-7)
    square = p[:, 2:, 0] ** 2 - (p[:, 2:, 1:] ** 2).sum(-1)
    expected = np.broadcast_to(np.square(space.masses), square.shape)
    np.testing.assert_allclose(square, expected, atol=1e-5)
    energy = np.sqrt(np.asarray(at.first * at.second)[there]) * space.energy
    np.testing.assert_allclose(p[:, 0, 0] + p[:, 1, 0], energy, rtol=1e-12)
    assert (np.asarray(at.first)[there] < 1).all()
    assert (np.asarray(at.second)[there] < 1).all()


@pytest.mark.parametrize("name", CASES)
def test_the_inverse(name, made):
    u, at, (back, log_inverse) = made(name)
    there = np.isfinite(at.log_jacobian)
    np.testing.assert_allclose(np.asarray(back)[there], u[there], atol=1e-7)
    np.testing.assert_allclose(
        np.asarray(log_inverse)[there], -np.asarray(at.log_jacobian)[there], atol=1e-6
    )


def test_the_jacobian_is_that_of_the_coordinates():
    """Of two particles the measure is dpt^2 dphi dy1 dy2 / (4 E^2) and two factors more."""
    space, layout = CASES["pair"]
    u = numbers(space, n=8)

    def coordinates(u):
        at = layouts.forward(space, layout, u[None])
        p = at.momenta[0, 2:]
        boost = jnp.log(at.first[0] / at.second[0]) / 2
        y = jnp.arctanh(p[:, 3] / p[:, 0]) + boost
        return jnp.array([p[0, 1] ** 2 + p[0, 2] ** 2, jnp.arctan2(p[0, 2], p[0, 1]), *y])

    slope = jnp.linalg.det(jax.vmap(jax.jacfwd(coordinates))(u))
    at = layouts.forward(space, layout, u)
    expected = np.log(np.abs(slope) / 2 / 2 / 2 * 2 / space.energy**2)
    there = np.isfinite(at.log_jacobian)
    np.testing.assert_allclose(np.asarray(at.log_jacobian)[there], expected[there], rtol=1e-9)


@pytest.mark.parametrize("name", ["pair and jet", "three alone", "top and jet"])
def test_the_volume_is_that_of_rambo(name):
    """A function of s and of a momentum adds up to the same by even momenta in the rest frame."""
    space, layout = CASES[name]
    rng = np.random.default_rng(1)
    n = 200_000

    def weight(total, p):
        pt = jnp.hypot(p[..., 1], p[..., 2])
        return jnp.exp(-total / 300) * jnp.where(pt > 20, (20 / pt) ** 3, 0)

    @jax.jit
    def ours(u):
        at = layouts.forward(space, layout, u)
        total = jnp.sqrt(at.first * at.second) * space.energy
        return jnp.exp(at.log_jacobian) * weight(total, at.momenta[:, 4])

    @jax.jit
    def even(u):
        least = np.log(346.0**2 / space.energy**2)
        tau = jnp.exp(least * u[:, 0])
        total = jnp.sqrt(tau) * space.energy
        p, log = phasespace.rambo(u[:, 1:], total, space.masses)
        return tau * least * jnp.log(tau) * jnp.exp(log) * weight(total, p[:, 2])

    one, other = (np.asarray(f(rng.uniform(size=(n, size)))) for f, size in ((ours, 7), (even, 6)))
    error = np.hypot(one.std(), other.std()) / n**0.5
    assert error < 0.025 * one.mean()
    assert abs(one.mean() - other.mean()) < 4 * error


def test_a_hard_particle_has_its_least_momentum():
    space, layout = CASES["four alone"]
    at = layouts.forward(space, layout, numbers(space, seed=2))
    pt = np.hypot(at.momenta[:, 4, 1], at.momenta[:, 4, 2])
    assert (pt > 20).all()


def test_points_a_layout_does_not_come_to(made):
    _, at, _ = made("pair and jet")
    space, layout = CASES["pair and jet"]
    soft = space._replace(min_pt=1000.0)
    _, log = layouts.inverse(soft, layout, at)
    assert (
        np.asarray(log)[np.hypot(at.momenta[:, 4, 1], at.momenta[:, 4, 2]) < 1000] == -np.inf
    ).all()


def test_layouts_that_are_none():
    u = numbers(TOPS)
    with pytest.raises(ValueError, match=r"layout: particles \[0, 1\], expected 0 to 2"):
        layouts.forward(TOPS, Layout((0, 1)), u)
    with pytest.raises(ValueError, match="in two groups or more"):
        layouts.forward(TOPS, Layout((Split(0, Split(1, 2)),)), u)
    with pytest.raises(ValueError, match="numbers: 6, expected 7 for 3 particles"):
        layouts.forward(TOPS, Layout((2, 0, 1)), u[:, :6])


def test_differentiable_in_the_masses():
    """The slope of momenta by a mass, against a difference."""

    def energy(mass):
        space = Space((mass, mass, 0.0), 2000.0, 20.0)
        return layouts.forward(space, Layout((2, 0, 1)), numbers(TOPS, n=3)).momenta[:, 2, 0].sum()

    step = 1e-3
    slope = (energy(173 + step) - energy(173 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(energy)(173.0), slope, rtol=1e-6)
