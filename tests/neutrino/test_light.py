"""Light: geometry of the Cherenkov cone, limits near and far, symmetries, energy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import data, light, media, prior

ICE = media.south_pole()
WATER = media.mediterranean()


def truth(direction=(0.0, 0.0, 1.0), position=(0.0, 0.0, 0.0), log_energy=3.0, **factors):
    n = jnp.array(direction) / np.linalg.norm(direction)
    nominal = {"scattering": 1.0, "absorption": 1.0, "efficiency": 1.0} | factors
    return data.Truth(jnp.array(position), n, 0.0, jnp.float32(log_energy), **nominal)


def modules(n=50, size=200.0, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-size, size, (n, 3)), jnp.float32)


@pytest.mark.smoke
def test_light_of_a_track_comes_first_from_the_cherenkov_angle():
    """No other point of the track sends light that arrives earlier than Cherenkov's."""
    water = WATER._replace(group_index=WATER.phase_index)
    place = modules(20)
    found = light.expected("track", water, truth(), place).time[0]
    along = jnp.linspace(-1500, 1500, 60_001)
    distance = jnp.linalg.norm(place[:, None] - along[:, None] * jnp.array([0, 0, 1.0]), axis=-1)
    arrival = (along + water.group_index * distance) / media.LIGHT
    np.testing.assert_allclose(found, arrival.min(1), atol=0.5)


@pytest.mark.parametrize("kind", light.KINDS)
def test_turned_events_in_water_are_the_same(kind):
    place = modules()
    rng = np.random.default_rng(3)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn = jnp.asarray(turn * np.sign(np.linalg.det(turn)), jnp.float32)
    one = truth((0.3, -0.2, 0.5), (10.0, -5.0, 3.0))
    two = one._replace(position=turn @ one.position, direction=turn @ one.direction)
    for a, b in zip(
        light.expected(kind, WATER, one, place), light.expected(kind, WATER, two, place @ turn.T)
    ):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-3)


def test_near_by_light_falls_as_its_cone_and_sphere_say():
    clear = media.uniform(1e5, 1e5, delay=500.0)
    place = jnp.array([[10.0, 0, 0], [20.0, 0, 0], [40.0, 0, 0]])
    track = light.expected("track", clear, truth(), place, area=1.0).mean[0]
    sine = media.tangent(clear) / np.sqrt(1 + media.tangent(clear) ** 2)
    expected = light.yield_per_metre(jnp.float32(1e3)) / (2 * np.pi * place[:, 0] * sine)
    np.testing.assert_allclose(track, expected, rtol=0.02)
    cascade = light.expected("cascade", clear, truth(), place, area=1.0).mean[0]
    np.testing.assert_allclose(cascade[0] / cascade[1], 4, rtol=0.02)
    np.testing.assert_allclose(cascade[1] / cascade[2], 4, rtol=0.02)


def test_a_cascade_sends_all_its_light():
    clear = media.uniform(1e6, 1e6, delay=500.0)
    n = np.random.default_rng(0).normal(size=(40_000, 3))
    place = jnp.asarray(50 * n / np.linalg.norm(n, axis=1, keepdims=True), jnp.float32)
    seen = light.expected("cascade", clear, truth(), place, area=1.0).mean[0]
    total = float(seen.mean()) * 4 * np.pi * 50**2
    assert total == pytest.approx(light.PHOTONS * light.SHOWER * 1e3, rel=0.02)


def test_far_away_light_is_absorbed_and_diffuses():
    ice = media.uniform(25.0, 100.0, delay=557.0)
    place = jnp.array([[300.0, 0, 0], [310.0, 0, 0]])
    for kind, power in (("track", 0.5), ("cascade", 1.0)):
        a, b = light.expected(kind, ice, truth(), place).mean[0]
        fall = float(jnp.log(a / b)) - power * np.log(310 / 300)
        diffuse = np.sqrt(3 / 25 / 100 + 1e-4)
        assert fall / 10 == pytest.approx(diffuse, rel=0.05)


def test_a_cascade_is_brightest_at_its_angle():
    angle = np.radians(np.arange(0, 180, 1.0))
    place = 15 * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1)
    seen = light.expected("cascade", WATER, truth(), jnp.asarray(place, jnp.float32)).mean[0]
    assert np.degrees(angle[np.argmax(seen)]) == pytest.approx(42, abs=2)


def test_a_muon_loses_energy_and_stops():
    length = jnp.linspace(-200, 800, 11)
    after = light.energy_after(jnp.float32(100.0), length)
    assert (jnp.diff(after) <= 0).all()
    assert after[-1] == 0
    slope = float(light.energy_after(jnp.float32(100.0), jnp.float32(1.0))) - 100
    assert slope == pytest.approx(-(light.IONISATION + light.STOCHASTIC * 100), rel=1e-2)
    place = jnp.array([[10.0, 0.0, 900.0], [10.0, 0.0, 100.0]])
    seen = light.expected("track", WATER, truth(log_energy=2.0), place).mean[0]
    assert seen[0] == 0
    assert seen[1] > 0


def test_a_starting_track_has_no_light_before_its_vertex():
    place = jnp.array([[10.0, 0.0, -100.0], [10.0, 0.0, 100.0]])
    muon, cascade = light.expected("starting", WATER, truth(log_energy=4.0), place).mean
    assert muon[0] < 1e-6 * muon[1]
    assert cascade[0] > 0
    alone = light.expected("cascade", WATER, truth(log_energy=4 + np.log10(light.SHARE)), place)
    np.testing.assert_allclose(cascade, alone.mean[0], rtol=1e-5)


def test_factors_act_on_the_lengths():
    ice, double = media.uniform(20.0, 90.0, delay=557.0), media.uniform(30.0, 45.0, delay=557.0)
    place = modules(10)
    for kind in light.KINDS:
        a = light.expected(kind, ice, truth(scattering=1.5, absorption=0.5), place)
        b = light.expected(kind, double, truth(), place)
        for x, y in zip(a, b):
            np.testing.assert_allclose(x, y, rtol=1e-5)
    near = jnp.array([[20.0, 0.0, 0.0]])
    dusty = light.expected(
        "track", ICE, truth(position=(0, 0, -95.0)), near - jnp.array([0, 0, 95])
    )
    clean = light.expected(
        "track", ICE, truth(position=(0, 0, -300.0)), near - jnp.array([0, 0, 300])
    )
    assert clean.mean[0, 0] > 1.5 * dusty.mean[0, 0]
    assert clean.shape[0, 0] < dusty.shape[0, 0] / 2


@pytest.mark.parametrize("kind", light.KINDS)
def test_gradients_are_finite_on_the_track_too(kind):
    place = jnp.concatenate(
        [modules(30), jnp.zeros((1, 3)), jnp.array([[0.0, 0, 40], [0, 0, -40]])]
    )

    def summed(one):
        return sum(x.sum() for x in light.expected(kind, ICE, one, place))

    slopes = jax.jit(jax.grad(summed))(truth(log_energy=3.0))
    assert all(np.isfinite(x).all() for x in slopes)


def test_all_light_is_finite_and_positive_for_what_the_prior_has():
    for kind in light.KINDS:
        many = prior.draw(jax.random.key(1), prior.Prior(), kind, 50)
        seen = jax.jit(jax.vmap(lambda t, k=kind: light.expected(k, ICE, t, modules())))(many)
        assert all(np.isfinite(x).all() for x in seen)
        assert (seen.mean >= 0).all()
        assert (seen.shape > 0).all()
        assert (seen.rate > 1 / ICE.delay).all()


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="kind: 'bundle', expected one of track, cascade, start"):
        light.expected("bundle", ICE, truth(), modules())
