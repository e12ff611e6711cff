"""Coordinates: there and back, volumes that stay, modules that are near, the posterior in them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import coordinates, light, likelihood, prior

PRIOR = prior.Prior((30.0, -10.0, 5.0), 300.0, 200.0)


def some(kind, n=40, seed=0):
    """Events, and charts of others that are near."""
    truth = prior.draw(jax.random.key(seed), PRIOR, kind, n)
    other = prior.draw(jax.random.key(seed + 1), PRIOR, kind, n)
    turned = truth.direction + 0.5 * other.direction
    turned = turned / jnp.linalg.norm(turned, axis=-1, keepdims=True)
    anchor = truth.position + 0.1 * other.position
    return truth, jax.vmap(coordinates.chart)(anchor, other.time, turned)


@pytest.mark.smoke
@pytest.mark.parametrize("kind", light.KINDS)
def test_there_and_back(kind):
    truth, charts = some(kind)
    x = jax.vmap(lambda c, t: coordinates.from_truth(kind, PRIOR, c, t))(charts, truth)
    assert x.shape == (40, coordinates.dim(kind))
    again = jax.jit(jax.vmap(lambda c, x: coordinates.truth(kind, PRIOR, c, x)))(charts, x)
    for name, a, b in zip(truth._fields, again, truth):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("kind", ["track", "cascade"])
def test_place_and_time_keep_their_volume(kind):
    """The determinant for place across the direction, and time, is one, at any direction."""
    _, charts = some(kind, 5)
    free = 3 if kind == "track" else 4

    def moved(x, chart):
        event = coordinates.truth(kind, PRIOR, chart, x)
        axes = jnp.stack(prior.frame(event.direction))
        axes = axes if kind == "track" else jnp.eye(3)
        return jnp.concatenate([axes @ event.position / 10, event.time[None] / 30])

    x = jnp.zeros(coordinates.dim(kind)).at[:2].set(jnp.array([7.0, -4.0]))
    jacobian = jax.vmap(lambda c: jax.jacfwd(moved)(x, c))(charts)[:, :, 2 : 2 + free]
    np.testing.assert_allclose(np.abs(np.linalg.det(jacobian)), 1, atol=1e-4)


def test_the_area_of_directions():
    _, charts = some("track", 1)
    one = jax.tree.map(lambda a: a[0], charts)
    for x in ([0.0, 0.0], [20.0, -5.0], [50.0, 60.0]):
        x = jnp.array(x)
        slopes = jax.jacfwd(lambda x: coordinates.direction(one, x))(x)
        area = np.linalg.norm(np.cross(slopes[:, 0], slopes[:, 1])) / coordinates.ANGLE**2
        rho2 = float(((x * coordinates.ANGLE / 2) ** 2).sum())
        assert area == pytest.approx((1 + rho2) ** -2, rel=1e-4)
        np.testing.assert_allclose(
            coordinates.tangents(one, coordinates.direction(one, x)), x, rtol=1e-4, atol=1e-4
        )


def test_the_posterior_is_likelihood_times_prior(small, small_events):
    pulses, truth = jax.tree.map(lambda a: a[0], small_events)
    chart = coordinates.chart(truth.position + 3.0, truth.time, truth.direction)
    x = coordinates.from_truth("track", small.prior, chart, truth)
    found = coordinates.log_posterior(small, pulses, chart, x)
    expected = likelihood.all_photons(small, pulses, truth)
    expected += prior.log_density(small.prior, "track", truth)

    def energy(y):
        return coordinates.truth("track", small.prior, chart, x.at[-4].set(y)).log_energy

    expected += jnp.log(jax.grad(energy)(x[-4]))
    assert float(found) == pytest.approx(float(expected), abs=0.02)
    outside = x.at[2].set(500.0)
    assert coordinates.log_posterior(small, pulses, chart, outside) == -jnp.inf


def test_degrees():
    assert coordinates.degrees(1.0) == pytest.approx(np.degrees(coordinates.ANGLE))
    assert coordinates.n_event("cascade") == 7
