"""The Velo in the box: geometry, straight lines, Highland's angle, gradients, and whole events."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.io import hits
from hepjax.io import velo as velo_files
from hepjax.tracking import data
from hepjax.tracking.simulation import velo

N_LAYERS = len(velo.LAYER_Z)


def tracks(slope, *, momentum=5.0, forward=True, z=0.0):
    slope = jnp.asarray(slope, jnp.float32).reshape(-1, 2)
    n = len(slope)
    origin = jnp.tile(jnp.array([0.0, 0.0, z]), (n, 1))
    values = jnp.full(n, momentum), jnp.full(n, velo.MASS["pion"])
    return velo.Tracks(origin, slope, jnp.full(n, forward), *values)


def test_straight_without_scattering():
    slope = np.random.default_rng(0).normal(scale=0.1, size=(20, 2))
    position, there = velo.crossings(tracks(slope), jnp.zeros((20, N_LAYERS, 2)))
    expected = slope[:, None] * velo.LAYER_Z[:, None]
    np.testing.assert_allclose(position, expected, atol=2e-4)
    assert there.any()
    assert not np.asarray(there)[:, velo.LAYER_Z < 0].any()


@pytest.mark.parametrize("forward", [True, False])
def test_only_layers_ahead_are_crossed(forward):
    one = tracks([[0.1, 0.05]], forward=forward, z=30.0)
    _, there = velo.crossings(one, jnp.zeros((1, N_LAYERS, 2)))
    met = velo.LAYER_Z[np.asarray(there)[0]]
    assert len(met) > 2
    assert ((met > 30) == forward).all()


def test_a_module_is_an_l_and_two_make_a_window():
    """Around the beam each point is on one side or on the other, but for the hole."""
    rng = np.random.default_rng(1)
    xy = rng.uniform(-25, 25, (20_000, 2))
    faces = [[velo.inside(*xy.T, np.full(len(xy), 2 * m + f)) for f in (0, 1)] for m in (20, 21)]
    on = [np.any(pair, 0) for pair in faces]
    assert 0.001 < np.mean([np.all(pair, 0).mean() for pair in faces]) < 0.05
    hole = np.abs(xy @ np.array([[1, 1], [1, -1]]) / np.sqrt(2)).max(-1) < velo.INNER
    assert not (on[0] | on[1])[hole].any()
    assert (on[0] | on[1])[~hole].mean() > 0.99
    assert not (on[0] & on[1]).any()
    assert xy[on[0], 0].mean() < 0 < xy[on[1], 0].mean()


def test_scattering_is_that_of_highland_and_grows_along_the_track():
    """The spread of positions after one layer is angle times distance, of the same width twice."""
    n = 4000
    one = tracks(np.tile([0.12, -0.1], (n, 1)), momentum=1.0)
    noise = jax.random.normal(jax.random.key(0), (n, N_LAYERS, 2))
    position, there = velo.crossings(one, noise)
    still, _ = velo.crossings(one, jnp.zeros_like(noise))
    met = np.flatnonzero(np.asarray(there).mean(0) > 0.9)
    first, second = met[:2]
    apart = np.asarray(position - still)
    np.testing.assert_allclose(apart[:, first], 0, atol=1e-5)
    steep = np.sqrt(1 + 0.12**2 + 0.1**2)
    depth = velo.RADIATION_LENGTHS * steep
    beta = 1 / np.sqrt(1 + velo.MASS["pion"] ** 2)
    angle = 0.0136 / beta * np.sqrt(depth) * (1 + 0.038 * np.log(depth / beta**2))
    expected = angle * steep**2 * (velo.LAYER_Z[second] - velo.LAYER_Z[first])
    assert apart[:, second].std() == pytest.approx(expected, rel=0.05)
    assert apart[:, met[4]].std() > 2 * expected


def test_gradients_are_those_of_a_straight_line():
    slope = jnp.array([[0.1, 0.05]])

    def at(slope):
        return velo.crossings(tracks(slope), jnp.zeros((1, N_LAYERS, 2)))[0][0, 80, 0]

    gradient = jax.grad(at)(slope)
    np.testing.assert_allclose(gradient, [[velo.LAYER_Z[80], 0]], rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def events():
    return [velo.event(jax.random.key(k)) for k in range(4)]


def test_events_are_valid_and_can_be_written(events):
    for one in events:
        hits.validate(one)
        again = velo_files.from_json(velo_files.to_json(one))
        np.testing.assert_array_equal(again.truth, one.truth)
        for name, values in one.particles.items():
            np.testing.assert_allclose(again.particles[name], values, rtol=1e-12)


def test_events_look_like_those_of_the_experiment(events):
    """Figures of 900 public events: 2381 hits, 333 particles, 11 % noise, 96 % of edges to the
    next module of the same side.
    """
    n_hits = np.mean([hits.n_hits(one) for one in events])
    n_particles = np.mean([hits.n_particles(one) for one in events])
    assert 1200 < n_hits < 4000
    assert 150 < n_particles < 500
    free = np.mean(
        [(np.bincount(e.truth[:, 0], minlength=hits.n_hits(e)) == 0).mean() for e in events]
    )
    assert 0.05 < free < 0.2
    edges = [e.hits["module"][data.true_edges(e)] for e in events]
    steps = np.concatenate([m[:, 1] - m[:, 0] for m in edges])
    assert 0.93 < (steps == 2).mean() < 0.99
    assert all(data.reconstructible(one).all() for one in events)


def test_one_key_one_event(events):
    again = velo.event(jax.random.key(0))
    np.testing.assert_array_equal(again.hits["x"], events[0].hits["x"])
    assert hits.n_hits(events[1]) != hits.n_hits(events[0])


def test_cached_events_are_made_once(tmp_path):
    folder = velo.cached(tmp_path, 2, seed=3)
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(times) == 2
    assert velo.cached(tmp_path, 2, seed=3) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    events, _ = velo_files.read(folder)
    expected = velo.event(jax.random.fold_in(jax.random.key(3), 1))
    np.testing.assert_array_equal(events[1].hits["x"], expected.hits["x"])


@pytest.fixture(scope="module")
def drawn():
    return velo._particles(np.random.default_rng(4), velo.Beam(n_collisions=60.0))


def test_particles_are_as_many_as_the_beam_says(drawn):
    one, kind, is_decay = drawn
    beam, n = velo.BEAM, 60
    expected = {"pion": 2 * beam.n_decays, "electron": 2 * beam.n_conversions}
    assert is_decay.sum() / n == pytest.approx(expected["pion"], rel=0.5)
    assert (kind == "electron").sum() / n == pytest.approx(expected["electron"], rel=0.5)
    prompt = ~is_decay & (kind != "electron")
    assert prompt.sum() / n == pytest.approx(beam.n_prompt, rel=0.4)
    assert one.forward.mean() == pytest.approx(0.53, abs=0.05)  # -4.5 to 5 in pseudorapidity
    assert all(x.dtype in (np.float32, bool) for x in one)


def test_kaons_fly_by_their_lifetime_and_photons_convert_in_silicon(drawn):
    one, kind, is_decay = drawn
    decays = np.linalg.norm(one.origin[is_decay] - 0, axis=-1)
    assert np.median(decays) > 10
    assert np.hypot(*one.origin[~is_decay & (kind != "electron"), :2].T).max() < 0.3
    z = one.origin[kind == "electron", 2]
    collision = np.min(np.abs(z[:, None] - velo.LAYER_Z), axis=1)
    mirrored = np.min(np.abs(z[:, None] + velo.LAYER_Z), axis=1)  # those that go the other way
    assert (np.minimum(collision, mirrored) < 1e-2).mean() > 0.3


def test_noise_is_on_silicon_and_denser_near_the_beam():
    xy, layer = velo._noise(np.random.default_rng(5), 4000)
    assert len(xy) == 4000
    assert np.asarray(velo.inside(xy[:, 0], xy[:, 1], layer)).all()
    r = np.hypot(*xy.T)
    near, far = ((r > a) & (r < a + 4) for a in (8, 25))
    assert near.sum() > 1.5 * far.sum()


def test_slow_particles_scatter_more():
    noise = jax.random.normal(jax.random.key(1), (500, N_LAYERS, 2))
    spread = []
    for momentum in (0.5, 2.0, 8.0):
        one = tracks(np.tile([0.12, -0.1], (500, 1)), momentum=momentum)
        moved, there = velo.crossings(one, noise)
        still, _ = velo.crossings(one, jnp.zeros_like(noise))
        last = np.flatnonzero(np.asarray(there).mean(0) > 0.5)[4]
        spread.append(float(np.asarray(moved - still)[:, last].std()))
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.1)
    assert spread[1] / spread[2] == pytest.approx(4, rel=0.1)
