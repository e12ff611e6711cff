"""The prior: draws have the density, and lie where it is not zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hepjax.neutrino import light, prior

PRIOR = prior.Prior((10.0, -20.0, 30.0), 300.0, 200.0, (2.0, 4.0), 2.5, 400.0)
N = 20_000


@pytest.fixture(scope="module", params=light.KINDS)
def drawn(request):
    draw = jax.jit(lambda key: prior.draw(key, PRIOR, request.param, N))
    return request.param, jax.tree.map(np.asarray, draw(jax.random.key(0)))


@pytest.mark.smoke
def test_draws_lie_where_the_density_is(drawn):
    kind, truth = drawn
    value = jax.jit(jax.vmap(lambda one: prior.log_density(PRIOR, kind, one)))(truth)
    assert np.isfinite(value).all()
    np.testing.assert_allclose(np.linalg.norm(truth.direction, axis=1), 1, atol=1e-6)
    place = truth.position - np.array(PRIOR.centre)
    if kind == "track":
        np.testing.assert_allclose((place * truth.direction).sum(1), 0, atol=1e-3)


def test_draws_are_even_where_they_should_be(drawn):
    kind, truth = drawn
    place = truth.position - np.array(PRIOR.centre)
    radius = np.linalg.norm(place if kind == "track" else place[:, :2], axis=1)
    low, high = (10 ** (-1.5 * x) for x in PRIOR.log_energy)
    even = [
        (truth.direction[:, 2] + 1) / 2,
        np.arctan2(truth.direction[:, 1], truth.direction[:, 0]) / 2 / np.pi + 0.5,
        (radius / PRIOR.radius) ** 2,
        truth.time / 800 + 0.5,
        (low - 10 ** (-1.5 * truth.log_energy)) / (low - high),
        stats.norm.cdf(np.log(truth.scattering) / 0.3),
        stats.norm.cdf(np.log(truth.absorption) / 0.3),
        stats.norm.cdf(np.log(truth.efficiency) / 0.1),
    ]
    if kind != "track":
        even.append(place[:, 2] / 400 + 0.5)
    for x in even:
        assert stats.kstest(x, "uniform").pvalue > 1e-4


def test_the_density_is_normalised():
    """The mean of one over the density is the size of what it is over, where it is bounded."""
    known = PRIOR._replace(scattering=(1.0, 0.0), absorption=(1.0, 0.0), efficiency=(1.0, 0.0))
    size = 4 * np.pi * 800 * 2 * np.pi * 300**2
    for kind, more in (("track", 1), ("cascade", 400)):
        truth = prior.draw(jax.random.key(3), known, kind, N)
        assert (truth.scattering == 1).all()
        value = jax.vmap(lambda one, k=kind: prior.log_density(known, k, one))(truth)
        mean = float(jnp.exp(-value.astype(float)).mean())
        assert mean == pytest.approx(size * more, rel=0.05)


def test_a_flat_spectrum():
    flat = PRIOR._replace(index=1.0)
    truth = prior.draw(jax.random.key(4), flat, "track", N)
    assert stats.kstest(np.asarray(truth.log_energy) / 2 - 1, "uniform").pvalue > 1e-4
    value = jax.vmap(lambda one: prior.log_density(flat, "track", one))(truth)
    near = PRIOR._replace(index=1.0 + 1e-4)
    other = jax.vmap(lambda one: prior.log_density(near, "track", one))(truth)
    np.testing.assert_allclose(value, other, atol=1e-2)


def test_nothing_is_outside():
    truth = jax.tree.map(lambda x: x[0], prior.draw(jax.random.key(5), PRIOR, "cascade", 1))
    far = truth._replace(position=truth.position + jnp.array([0.0, 0.0, 500.0]))
    late, strong = truth._replace(time=401.0), truth._replace(log_energy=4.1)
    for one in (far, late, strong):
        assert prior.log_density(PRIOR, "cascade", one) == -jnp.inf
        assert not prior.inside(PRIOR, "cascade", one)
    assert prior.inside(PRIOR, "cascade", truth)


def test_frames_are_orthonormal():
    n = prior.draw(jax.random.key(6), PRIOR, "track", 500).direction
    poles = jnp.array([[0, 0, 1.0], [0, 0, -1.0], [1e-5, 0, -1.0]])
    n = jnp.concatenate([n, poles / jnp.linalg.norm(poles, axis=1, keepdims=True)])
    both = jnp.stack([*jax.jit(prior.frame)(n), n], -2)
    product = jnp.einsum("nij,nkj->nik", both, both)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=2e-6)


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="kind: 'tau', expected one of track"):
        prior.draw(jax.random.key(0), PRIOR, "tau", 3)
