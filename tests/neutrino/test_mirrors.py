"""Mirror images: as far from strings as before, as bright, and on the other side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import data, likelihood, mirrors

RNG = np.random.default_rng(0)
HIGH = np.arange(10) * 17.0
STRINGS = np.array([[30.0, -20.0], [110.0, 60.0], [-80.0, 90.0]])
NUMBERS = (10, 8, 3)


def pulses_of(numbers):
    """Pulses on modules of three strings, in any order, and padding at the end."""
    places = [np.c_[np.tile(at, (n, 1)), HIGH[:n]] for at, n in zip(STRINGS, numbers)]
    place = RNG.permutation(np.concatenate(places))
    position = np.concatenate([place, np.zeros((30, 3))])
    mask = np.arange(len(position)) < len(place)
    zero = np.zeros(len(position))
    given = position.astype(np.float32), zero, zero + 1, zero.astype(int), mask
    return data.Pulses(*(jnp.asarray(x) for x in given))


def tracks(n, level=False):
    direction = RNG.normal(size=(n, 3)) * [1, 1, 0 if level else 1]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    place = RNG.normal(size=(n, 3)) * 60 + [30, 20, 80]
    one = np.ones(n)
    given = place, direction, 0 * one, 2 * one, one, one, one
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), data.Truth(*given))


def distances(event, place):
    """Signed, of a track from the string at place [2], in the level plane, left positive."""
    n = np.asarray(event.direction, float)
    ahead = n[..., :2] / np.linalg.norm(n[..., :2], axis=-1, keepdims=True)
    away = place - np.asarray(event.position, float)[..., :2]
    return ahead[..., 0] * away[..., 1] - ahead[..., 1] * away[..., 0]


@pytest.mark.smoke
def test_tracks_pass_the_two_strings_of_most_pulses_on_other_sides():
    pulses, events = pulses_of(NUMBERS), tracks(200)
    found = jax.jit(jax.vmap(mirrors.sides, (None, 0)))(pulses, events)
    signs = np.array([[-1, -1], [1, -1], [-1, 1]])
    wanted = np.stack([distances(events, at) for at in STRINGS[:2]], -1)[:, None] * signs
    there = np.stack([distances(found, at) for at in STRINGS[:2]], -1)
    far = np.linalg.norm(STRINGS[1] - STRINGS[0])
    possible = np.abs(wanted[..., 0] - wanted[..., 1]) < 0.99 * far
    assert possible.mean() > 0.7
    np.testing.assert_allclose(there[possible], wanted[possible], atol=0.02)
    up = np.repeat(events.direction[:, None, 2], 3, 1)
    np.testing.assert_allclose(found.direction[..., 2], up)
    np.testing.assert_allclose(np.linalg.norm(found.direction, axis=-1), 1, atol=1e-5)
    assert np.isfinite(found.position).all()


def test_light_of_a_reflected_track_is_the_same_at_both_strings(small):
    """Mean, time and shape of what modules there expect; of the third string not."""
    pulses, events = pulses_of(NUMBERS), tracks(50)
    found = jax.vmap(lambda e: jax.tree.map(lambda x: x[0], mirrors.sides(pulses, e)))(events)
    look = jax.jit(jax.vmap(lambda e: likelihood.at_pulses(small, pulses, e)))
    one, other = look(events), look(found)
    third = (np.abs(np.asarray(pulses.position)[:, :2] - STRINGS[2]) < 1).all(1)
    both = np.asarray(pulses.mask) & ~third
    for name in ("mean", "time", "shape"):
        a, b = (np.asarray(getattr(x, name))[..., both] for x in (one, other))
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-3 * np.abs(a).max())
    a, b = (np.asarray(x.mean)[..., third] for x in (one, other))
    assert np.median(np.abs(np.log(a / b))) > 0.1


def test_one_string_and_upright_tracks_are_no_trouble():
    event = jax.tree.map(lambda x: x[0], tracks(1))
    upright = event._replace(direction=jnp.array([0.0, 0.0, -1.0]))
    nothing = pulses_of(NUMBERS)
    nothing = nothing._replace(mask=jnp.zeros_like(nothing.mask))
    for pulses in (pulses_of((10, 0, 0)), pulses_of((1, 1, 1)), nothing):
        for one in (event, upright):
            found = mirrors.sides(pulses, one)
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
            np.testing.assert_allclose(np.linalg.norm(found.direction, axis=-1), 1, atol=1e-5)
    turned = mirrors.sides(pulses_of((10, 0, 0)), event)
    near = np.abs(distances(event, STRINGS[0]))
    np.testing.assert_allclose(np.abs(distances(turned, STRINGS[0])), near, atol=1e-3)
    angle = turned.direction[:, :2] @ event.direction[:2] / (event.direction[:2] ** 2).sum()
    np.testing.assert_allclose(angle, [1, 0, 0], atol=1e-5)


def test_a_direction_is_reflected_at_the_plane_of_the_pulses():
    flat = RNG.normal(size=(51, 3)) * [200.0, 0.1, 100.0]
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1.0]])
    n = jnp.asarray(turn @ [0.48, 0.6, 0.64], jnp.float32)
    pulses = data.Pulses(jnp.float32(flat @ turn.T), None, None, None, jnp.ones(51, bool))
    found = mirrors.planes(pulses, n)
    np.testing.assert_allclose(found, np.tile(turn @ [0.48, -0.6, 0.64], (2, 1)), atol=1e-2)
