"""Lines through pulses, axes along them, and features that do not know how an event is turned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import sphere
from hepjax.neutrino import data, frames, media

WATER = media.uniform(200.0, 60.0, delay=600.0)


def track(direction, n=30, speed=0.3, seed=0, n_noise=0):
    """Pulses of modules about a line through (10, -20, 30) at 100 ns, some of noise behind them."""
    rng = np.random.default_rng(seed)
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    along = rng.uniform(-300, 300, n)
    away = np.cross(direction, rng.normal(size=(n, 3))) * 15
    position = np.array([10.0, -20.0, 30.0]) + along[:, None] * direction + away
    time = 100 + along / speed
    position[n - n_noise :] = rng.uniform(-300, 300, (n_noise, 3))
    time[n - n_noise :] = rng.uniform(-1000, 1000, n_noise)
    return data.Pulses(
        position[None].astype(np.float32),
        time[None].astype(np.float32),
        np.ones((1, n), np.float32),
        np.arange(n, dtype=np.int32)[None],
        np.ones((1, n), bool),
    )


def turned(pulses, matrix):
    return pulses._replace(position=(pulses.position @ matrix.T).astype(np.float32))


def rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]]


@pytest.mark.smoke
@pytest.mark.parametrize("direction", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (1, -2, 3)])
def test_a_line_is_found(direction):
    pulses = track(direction, n_noise=3)
    found = jax.jit(frames.line)(pulses.position, pulses.time, pulses.mask)
    true = np.asarray(direction) / np.linalg.norm(direction)
    assert np.degrees(sphere.angle(np.asarray(found.direction[0]), true)) < 3
    assert float(found.speed[0]) == pytest.approx(0.3, rel=0.1)


def test_without_noise_it_is_exact():
    pulses = track((1, 2, -1), n=200)
    pulses = pulses._replace(
        position=(
            np.array([10.0, -20.0, 30.0])
            + (pulses.time[..., None] - 100) * 0.3 * np.array([1, 2, -1]) / np.sqrt(6)
        ).astype(np.float32)
    )
    found = frames.line(pulses.position, pulses.time, pulses.mask)
    there = np.asarray(found.origin[0]) - (float(found.time[0]) - 100) * 0.3 * np.asarray(
        found.direction[0]
    )
    np.testing.assert_allclose(there, [10, -20, 30], atol=1e-2)
    assert float(sphere.angle(found.direction[0], jnp.array([1, 2, -1.0]) / 6**0.5)) < 1e-4


def test_padding_and_charge_weigh_as_they_should():
    pulses = track((1, 2, -1))
    some = np.arange(30) < 20
    cut = [x[:, :20] for x in (pulses.position, pulses.time, pulses.mask)]
    padded = frames.line(pulses.position, pulses.time, some[None])
    for one, other in zip(padded, frames.line(*cut)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
    by_charge = frames.line(pulses.position, pulses.time, pulses.mask, some[None].astype(float))
    np.testing.assert_allclose(by_charge.direction, padded.direction, atol=1e-5)


def test_pulses_without_a_line_point_up():
    one = track((1, 0, 0), n=1)
    found = frames.line(one.position, one.time, one.mask)
    assert found.direction.tolist() == [[0, 0, 1]]
    none = frames.line(one.position, one.time, ~one.mask)
    assert np.isfinite(np.concatenate([np.ravel(x) for x in none])).all()


def test_axes_are_orthonormal_and_jump_at_one_point_alone():
    n = sphere.fibonacci(500).astype(np.float32)
    found = np.asarray(jax.jit(frames.axes)(n))
    identity = np.einsum("eij,ekj->eik", found, found)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5)
    assert (np.linalg.det(found) > 0.99).all()
    np.testing.assert_allclose(found[:, 2], n, atol=1e-6)
    near = sphere.fibonacci(500) + 1e-3 * np.random.default_rng(0).normal(size=(500, 3))
    near = near / np.linalg.norm(near, axis=1, keepdims=True)
    moved = np.abs(np.asarray(frames.axes(near.astype(np.float32))) - found).max((1, 2))
    assert (moved[n[:, 2] < 0.9] < 0.05).all()
    poles = frames.axes(jnp.array([[0, 0, 1.0], [0, 0, -1.0]]))
    assert np.isfinite(poles).all()


def test_there_and_back():
    pulses = track((0.3, 0.5, 0.7))
    found = frames.frame(pulses)
    n = sphere.fibonacci(40).astype(np.float32)[None]
    local = frames.turn(found, n)
    np.testing.assert_allclose(frames.turn_back(found, local), n, atol=1e-6)
    assert frames.turn(found, found.line.direction[:, None])[0, 0].tolist() == pytest.approx(
        [0, 0, 1], abs=1e-5
    )


def test_local_features_do_not_know_how_an_event_is_turned():
    """Up to a turn about the line: distances, delays and times are the same."""
    pulses, matrix = track((0.3, 0.5, -0.7)), rotation(3)
    here, there = (
        frames.features(x, frames.frame(x), WATER) for x in (pulses, turned(pulses, matrix))
    )
    same = [2, 6, 7, 10, 11, 12, 13, 14]
    np.testing.assert_allclose(here.pulse[..., same], there.pulse[..., same], atol=2e-3)
    assert np.abs(here.pulse[..., 3:6] - there.pulse[..., 3:6]).max() > 0.1  # these do


def test_light_of_a_track_is_in_time():
    """Light that left a track at the Cherenkov angle is not late along the true line."""
    rng = np.random.default_rng(1)
    position = rng.uniform(-100, 100, (1, 20, 3)).astype(np.float32)
    across = np.hypot(position[..., 0], position[..., 1])
    tangent = media.tangent(WATER)
    way = across / np.sin(np.arctan(tangent))
    time = (position[..., 2] - across / tangent + WATER.group_index * way) / media.LIGHT
    mask = np.ones((1, 20), bool)
    pulses = data.Pulses(position, time, mask.astype(np.float32), mask.astype(np.int32), mask)
    up = np.array([[0.0, 0.0, 1.0]])
    line = frames.Line(up, np.zeros((1, 3)), np.zeros(1), np.full(1, 0.3))
    found = frames.features(pulses, frames.Frame(frames.axes(jnp.asarray(up)), line), WATER)
    np.testing.assert_allclose(found.pulse[..., 12:15], 0, atol=1e-3)


def test_features_have_their_sizes_and_padding_is_zero():
    pulses = track((0.3, 0.5, -0.7))
    pulses = pulses._replace(mask=np.arange(30)[None] < 12)
    found = frames.features(pulses, frames.frame(pulses), media.south_pole())
    assert found.pulse.shape == (1, 30, frames.N_PULSE)
    assert found.whole.shape == (1, frames.N_WHOLE)
    assert (np.asarray(found.pulse)[0, 12:] == 0).all()
    assert np.isfinite(found.pulse).all()
    assert np.isfinite(found.whole).all()
    empty = pulses._replace(mask=np.zeros((1, 30), bool))
    none = frames.features(empty, frames.frame(empty), WATER)
    assert np.isfinite(none.whole).all()
