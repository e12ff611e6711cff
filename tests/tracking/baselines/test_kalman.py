"""The Kalman filter: its steps against the simulation, its errors against what they describe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.io import hits
from hepjax.tracking import data, metrics, module_map
from hepjax.tracking.baselines import kalman
from hepjax.tracking.detectors import PIXELS
from hepjax.tracking.fits import TESLA_MM
from hepjax.tracking.simulation import solenoid


@pytest.fixture(scope="module")
def links(pixel_sample):
    learned = ((PIXELS.cells(one.event), one.true) for one in pixel_sample)
    return module_map.learn(learned, n_sectors=PIXELS.n_sectors)


def circle(kappa, phi0=0.3, slope=0.7, n=3):
    """Points of a helix from the origin, at arcs of 40, 80, ... mm, turning left for kappa > 0."""
    arc = 40.0 * np.arange(1, n + 1)
    half = kappa * arc / 2
    chord = arc * np.sinc(half / np.pi)
    return np.stack([chord * np.cos(phi0 + half), chord * np.sin(phi0 + half), slope * arc], -1)


@pytest.mark.parametrize("kappa", [1e-3, -4e-4, 1e-6])
def test_circles_through_three_points(kappa):
    points = circle(kappa)[None]
    assert kalman._curvature(points)[0] == pytest.approx(kappa, rel=1e-4)
    assert kalman._impact(points)[0] == pytest.approx(0, abs=1e-3)
    shifted = points + np.array([-2 * np.sin(0.3), 2 * np.cos(0.3), 0])
    assert kalman._impact(shifted)[0] == pytest.approx(2, rel=1e-3)


def test_a_state_is_taken_where_the_simulation_takes_it():
    """Without scattering, to a cylinder and to a disk."""
    p = np.array([[0.8, 0.3, 0.4], [0.5, -0.4, 2.2]])
    tracks = solenoid.Tracks(np.zeros((2, 3)), p, np.full(2, 0.14), np.array([1.0, -1.0]))
    position, met = solenoid.crossings(
        jax.tree.map(jnp.asarray, tracks), jnp.zeros((2, solenoid.N_SURFACES, 2))
    )
    for k in range(2):
        pt = np.hypot(*p[k, :2])
        kappa = -TESLA_MM * solenoid.FIELD * tracks.charge[k] / pt
        state = jnp.array([0, 0, 0, np.arctan2(p[k, 1], p[k, 0]), p[k, 2] / pt, kappa])
        for layer in np.flatnonzero(met[k]):
            there, meets = kalman.propagate(state, jnp.array(layer))
            assert meets
            np.testing.assert_allclose(there[:3], position[k, layer], atol=2e-2)
    there, meets = kalman.propagate(state, jnp.array(0))  # a disk behind it
    assert not meets
    np.testing.assert_array_equal(there, state)


def test_updates_have_the_stated_errors():
    """Of many measurements of one state: pulls of unit width, and smaller errors behind."""
    rng = np.random.default_rng(0)
    layer = jnp.array(9)
    state = jnp.array([116.0, 0, 30.0, 0.1, 0.4, 5e-4])
    axes = np.asarray(kalman._axes(state, layer))
    covariance = jnp.diag(jnp.array([0.04, 0.04, 0.04, 2e-3, 4e-3, 1e-4]) ** 2)
    noise = rng.normal(size=(2000, 2)) * solenoid.RESOLUTION
    before = rng.normal(size=(2000, 6)) * np.sqrt(np.diag(covariance))
    states = (np.asarray(state) + before).astype(np.float32)
    hit = (np.asarray(state)[:3] + noise @ axes).astype(np.float32)
    chi2 = jax.vmap(lambda s, x: kalman._chi2(s, covariance, x[None], layer)[0])(states, hit)
    assert np.mean(chi2) == pytest.approx(2, abs=0.15)
    after, smaller = jax.vmap(lambda s, x: kalman._update(s, covariance, x, layer))(states, hit)
    for k in (1, 2):  # across and along, at azimuth 0
        error = float(jnp.sqrt(smaller[0, k, k]))
        assert error < min(0.04, solenoid.RESOLUTION[k - 1])
        assert np.std(np.asarray(after)[:, k] - state[k]) == pytest.approx(error, rel=0.06)


def test_tracks_of_an_event_in_the_box(pixel_sample, links):
    event = max((one.event for one in pixel_sample), key=hits.n_hits)
    found = kalman.find(event, links, kalman.Settings(n_branches=2, n_steps=6))
    matched = metrics.match(
        found, event.truth, style="double_majority", n_particles=hits.n_particles(event)
    )
    wanted = data.targets(event, PIXELS.layers(event), min_pt=1.0)
    wanted &= np.abs(event.particles["eta"]) < 3
    assert wanted.sum() > 30
    assert matched.is_found[wanted].mean() > 0.9
    assert (matched.particle_of < 0).mean() < 0.2
    assert (matched.n_tracks[wanted] > 1).mean() < 0.1


def test_no_hits_and_no_seeds(pixel_sample, links):
    event = pixel_sample[0].event
    none = hits.select(event, np.zeros(hits.n_hits(event), bool))
    two = hits.select(event, np.arange(hits.n_hits(event)) < 2)
    for one in (none, two):
        assert kalman.find(one, links).shape == (0, 2)


def test_predictions_have_the_stated_errors():
    """Scattered by the simulation in the first cylinder, seen in the second: pulls of unit width
    about where the filter expects the hit, with the errors that it adds for the layer.
    """
    n, p = 1500, np.array([0.6, 0.35, 0.5])
    tracks = solenoid.Tracks(
        *(jnp.asarray(x, jnp.float32) for x in (np.zeros((n, 3)), np.tile(p, (n, 1)))),
        jnp.full(n, 0.13957),
        jnp.ones(n),
    )
    noise = np.random.default_rng(3).normal(size=(n, solenoid.N_SURFACES, 2)).astype(np.float32)
    position, met = (np.asarray(x) for x in jax.jit(solenoid.crossings)(tracks, noise))
    assert met[:, 7:9].all()
    pt = np.hypot(*p[:2])
    kappa = -TESLA_MM * solenoid.FIELD / pt
    start = jnp.array([0, 0, 0, np.arctan2(p[1], p[0]), p[2] / pt, kappa], jnp.float32)
    state, covariance, _ = kalman._transport(start, jnp.zeros((6, 6)), jnp.array(7))
    np.testing.assert_allclose(state[:3], position[:, 7].mean(0), atol=1e-2)
    state, covariance, meets = kalman._transport(state, covariance, jnp.array(8))
    assert meets
    axes = np.asarray(kalman._axes(state, jnp.array(8)))
    away = (position[:, 8] - np.asarray(state)[:3]) @ axes.T
    error = np.sqrt(np.diag(axes @ np.asarray(covariance)[:3, :3] @ axes.T))
    np.testing.assert_allclose(away.mean(0) / error, 0, atol=4 / np.sqrt(n))
    np.testing.assert_allclose(away.std(0) / error, 1, atol=0.08)


def test_a_disk_measures_in_its_plane_and_a_cylinder_along_the_beam():
    state = jnp.array([30.0, 40.0, 600.0, 0.2, 3.0, 1e-4])
    cylinder, disk = (np.asarray(kalman._axes(state, jnp.array(k))) for k in (8, 11))
    for axes in (cylinder, disk):
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-6)
        np.testing.assert_allclose(axes[0], [-0.8, 0.6, 0], atol=1e-6)
    np.testing.assert_allclose(cylinder[1], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(disk[1], [0.6, 0.8, 0], atol=1e-6)


def test_seeds_are_hard_point_to_the_beam_and_lie_outwards(pixel_sample, links):
    event = pixel_sample[0].event
    position, layer = data.position(event), PIXELS.layers(event)
    loose = kalman.seeds(event, links)
    tight = kalman.seeds(event, links, kalman.Settings(min_pt=1.0, max_d0=0.5))
    assert 0 < len(tight) < len(loose)
    assert np.isin(layer[loose[:, 0]], kalman.DEFAULT.first).all()
    radius = np.hypot(position[loose, 0], position[loose, 1])
    assert (np.diff(radius, axis=1) > 0).all()
    bend = np.abs(kalman._curvature(position[tight]))
    assert (TESLA_MM * solenoid.FIELD / bend > 1.0 - 1e-6).all()
    assert (kalman._impact(position[tight]) < 0.5).all()


def test_hits_go_to_the_longest_track_and_of_equals_to_that_of_least_chi2():
    listed = np.array(
        [
            [4, 1, 2, 7, -1],
            [1, 2, 4, 7, -1],  # the same hits from another seed
            [1, 2, 4, -1, -1],  # a part of them
            [8, 9, 10, -1, -1],
            [8, 13, 14, -1, -1],  # shares one, and has three
            [11, 12, -1, -1, -1],
            [7, 20, 21, 22, -1],  # shares one of four
            [7, 20, 23, 24, -1],  # two of them are taken
        ]
    )
    score = np.array([3.0, 2, 1, 5, 9, 0, 4, 8])
    found = kalman._chosen(listed, score, 3)
    tracks = [found[found[:, 1] == k, 0].tolist() for k in range(found[:, 1].max() + 1)]
    assert tracks == [[1, 2, 4, 7], [7, 20, 21, 22], [8, 9, 10]]
    assert kalman._chosen(listed, np.where(score == 9, 0.0, score), 3)[-3:, 0].tolist() == [
        8,
        13,
        14,
    ]
    assert kalman._chosen(listed[:0], score[:0], 3).shape == (0, 2)
