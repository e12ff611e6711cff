"""Pixels in a solenoid: helices against fits and a finer way, scattering, gradients, events."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.io import hits
from hepjax.tracking import data, detectors, fits
from hepjax.tracking.simulation import solenoid

N = solenoid.N_SURFACES


def particles(pt, eta, phi, charge, origin=(0.0, 0.0, 0.0)):
    pt, eta, phi, charge = map(np.atleast_1d, (pt, eta, phi, charge))
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)
    n = len(p)
    start = np.broadcast_to(np.asarray(origin, np.float32), (n, 3))
    return solenoid.Tracks(*map(jnp.float32, (start, p, np.full(n, 0.13957), charge)))


@pytest.fixture(scope="module")
def some():
    """Two hundred particles of pt 0.3 to 20 GeV, and where they cross without scattering."""
    rng = np.random.default_rng(0)
    n = 200
    pt, eta = np.exp(rng.uniform(np.log(0.3), np.log(20), n)), rng.uniform(-3, 3, n)
    phi, charge = rng.uniform(-np.pi, np.pi, n), rng.choice([-1.0, 1.0], n)
    tracks = particles(pt, eta, phi, charge, (0.3, -0.2, 20.0))
    position, met = jax.jit(solenoid.crossings)(tracks, jnp.zeros((n, N, 2)))
    return tracks, np.asarray(position), np.asarray(met)


def test_crossings_are_on_their_surfaces(some):
    _, position, met = some
    radius = np.hypot(position[..., 0], position[..., 1])
    for k in range(N):
        at = position[met[:, k], k, 2] if solenoid.IS_DISK[k] else radius[met[:, k], k]
        np.testing.assert_allclose(at, solenoid.SURFACE[k], atol=2e-3)
    assert 3 < met.sum(1).mean() < 9
    barrel = met[:, 7:11]
    assert np.abs(position[:, 7:11, 2][barrel]).max() < solenoid.HALF_LENGTH


def test_a_fit_of_a_helix_finds_the_momentum(some):
    """A piece of code that shares nothing with the simulation but the unit of curvature."""
    tracks, position, met = some
    chosen = met.sum(1) >= 4
    far = np.where(met, (position**2).sum(-1), np.inf)
    order = np.argsort(far, axis=1)
    x = np.take_along_axis(position, order[..., None], 1)[chosen]
    mask = np.take_along_axis(met, order, 1)[chosen]
    found = jax.jit(lambda x, m: fits.helix(x, m, solenoid.RESOLUTION))(x, mask).parameters
    p = np.asarray(tracks.momentum)[chosen]
    pt = np.hypot(p[:, 0], p[:, 1])
    expected = -fits.TESLA_MM * solenoid.FIELD * np.asarray(tracks.charge)[chosen] / pt
    np.testing.assert_allclose(found[:, 2], expected, atol=2e-6)
    np.testing.assert_allclose(found[:, 4], p[:, 2] / pt, atol=2e-3)


def test_a_helix_in_small_steps_meets_the_same_places(some):
    """The equation of motion, integrated in steps of 50 um, up to the second cylinder."""
    tracks, position, met = some
    k = int(np.flatnonzero(met[:, 8] & (np.abs(position[:, 8, 2]) < 100))[0])
    x, p = (np.asarray(a, float)[k] for a in (tracks.origin, tracks.momentum))
    x, bend = x.copy(), fits.TESLA_MM * solenoid.FIELD * float(tracks.charge[k])
    while np.hypot(x[0], x[1]) < solenoid.RADII[1]:
        for _ in range(2):  # midpoint
            v = p / np.linalg.norm(p)
        half = p + 0.025 * bend * np.array([v[1], -v[0], 0])
        v = half / np.linalg.norm(half)
        x, p = x + 0.05 * v, p + 0.05 * bend * np.array([v[1], -v[0], 0])
    np.testing.assert_allclose(x, position[k, 8], atol=0.1)


def test_scattering_spreads_as_highland_says():
    """Behind the first layer, by angle times distance; that layer is met in the same place."""
    n = 3000
    tracks = particles(np.full(n, 1.0), np.zeros(n), np.zeros(n), np.ones(n))
    noise = np.random.default_rng(2).normal(size=(n, N, 2)).astype(np.float32)
    position, _ = jax.jit(solenoid.crossings)(tracks, jnp.asarray(noise))
    np.testing.assert_allclose(np.asarray(position[:, 7]).std(0), 0, atol=1e-3)
    beta = 1 / np.sqrt(1 + 0.13957**2)
    depth = solenoid.RADIATION_LENGTHS
    angle = 0.0136 / beta * np.sqrt(depth) * (1 + 0.038 * np.log(depth / beta**2))
    spread = np.asarray(position[:, 8]).std(0)[1:]
    np.testing.assert_allclose(spread, angle * 40, rtol=0.06)


def test_gradients_are_those_of_differences():
    tracks = particles(1.3, 0.7, 0.4, 1.0)
    noise = jnp.zeros((1, N, 2))

    @jax.jit
    def turn(scale):
        moved = tracks._replace(momentum=tracks.momentum * scale)
        position, _ = solenoid.crossings(moved, noise)
        return position[0, 9, 1]

    slope = jax.grad(turn)(1.0)
    step = 0.02
    assert float(slope) == pytest.approx(
        float(turn(1 + step) - turn(1 - step)) / step / 2, rel=0.02
    )
    assert abs(float(slope)) > 0.1


@pytest.fixture(scope="module")
def one():
    return solenoid.event(jax.random.key(5), solenoid.Beam(pile_up=4.0))


def test_an_event_is_what_the_readers_give(one):
    hits.validate(one)
    assert set(one.particles) >= {"key", "pid", "p", "pt", "eta", "phi", "charge", "vx", "vy", "vz"}
    assert (np.diff(one.hits["module"]) >= 0).all()
    layers = detectors.PIXELS.layers(one)
    assert len(np.unique(layers)) == N
    count = np.unique(np.stack([one.truth[:, 1], layers[one.truth[:, 0]]], -1), axis=0)
    assert len(count) == len(one.truth)  # one hit a layer
    share = 1 - len(one.truth) / hits.n_hits(one)
    assert share == pytest.approx(0.1 / 1.1, abs=0.03)
    kept = detectors.pixels(one)
    np.testing.assert_array_equal(kept.truth, one.truth)


def test_hits_are_on_modules_that_are_small(one):
    phi = np.arctan2(one.hits["y"], one.hits["x"])
    for module in np.unique(one.hits["module"])[::40]:
        on = one.hits["module"] == module
        assert np.ptp(phi[on]) < 2 * np.pi / solenoid.N_PHI + 1e-6
        assert len(np.unique(one.hits["layer"][on])) == 1


def test_the_same_key_gives_the_same_event_and_pile_up_more(one):
    again = solenoid.event(jax.random.key(5), solenoid.Beam(pile_up=4.0))
    np.testing.assert_array_equal(again.hits["x"], one.hits["x"])
    more = solenoid.events(2, 3, solenoid.Beam(pile_up=12.0))
    less = solenoid.events(2, 3, solenoid.Beam(pile_up=1.0))
    assert sum(map(hits.n_hits, more)) > 2 * sum(map(hits.n_hits, less))
    assert np.mean([data.targets(e, e.hits["layer"], min_pt=1.0).sum() for e in less]) > 20


@pytest.fixture(scope="module")
def drawn():
    """The particles of forty collisions without a hard one."""
    beam = solenoid.Beam(pile_up=40.0, n_jets=0.0)
    return beam, *solenoid._particles(np.random.default_rng(7), beam)


def test_particles_are_as_many_and_as_spread_as_the_beam_says(drawn):
    beam, tracks, kind, is_primary = drawn
    pt = np.hypot(*tracks.momentum[:, :2].T)
    eta = np.arcsinh(tracks.momentum[:, 2] / pt)
    central = is_primary & (np.abs(eta) < 2)
    n_vertices = len(np.unique(tracks.origin[is_primary, 2]))
    assert 20 < n_vertices < 70
    density = central.sum() / 4 / n_vertices  # above 50 MeV, which few are below
    assert density == pytest.approx(beam.density, rel=0.3)
    z = np.unique(tracks.origin[is_primary, 2])
    assert z.std() == pytest.approx(beam.spread_z, rel=0.4)
    assert np.hypot(*tracks.origin[is_primary, :2].T).max() < 6 * beam.spread_xy
    assert (kind[is_primary] == "kaon").mean() == pytest.approx(0.12, abs=0.03)
    assert abs(tracks.charge.mean()) < 0.1


def test_decays_and_conversions_come_in_pairs_away_from_the_beam(drawn):
    beam, tracks, kind, is_primary = drawn
    start = np.hypot(*tracks.origin[:, :2].T)
    electrons, daughters = kind == "electron", ~is_primary & (kind == "pion")
    near = np.min(np.abs(start[electrons, None] - solenoid.RADII[:3]), axis=1)
    assert near.max() < 1  # on the beam pipe's side of a layer, up to the spread of the beam
    for chosen, share in ((electrons, beam.conversions), (daughters, beam.decays)):
        n = chosen.sum() / 2
        expected = share * is_primary.sum()
        assert n == pytest.approx(expected, abs=4 * np.sqrt(expected))
        _, count = np.unique(tracks.origin[chosen].round(4), axis=0, return_counts=True)
        assert (count == 2).mean() > 0.6  # of the others one is too soft to reach a layer
        assert (count <= 2).mean() > 0.95


def test_noise_has_no_owner_and_lies_on_the_layers():
    rng = np.random.default_rng(1)
    layer = rng.integers(0, N, 500)
    disk = solenoid.IS_DISK[layer]
    r = np.where(disk, rng.uniform(40, 170, 500), solenoid.SURFACE[layer])
    z = np.where(disk, solenoid.SURFACE[layer], rng.uniform(-400, 400, 500))
    position = np.stack([r, np.zeros(500), z], -1)
    stray, on = solenoid._noise(rng, position, layer, 300)
    radius = np.hypot(*stray[:, :2].T)
    flat = solenoid.IS_DISK[on]
    np.testing.assert_allclose(stray[flat, 2], solenoid.SURFACE[on[flat]])
    np.testing.assert_allclose(radius[~flat], solenoid.SURFACE[on[~flat]])
    assert (radius[flat] > solenoid.INNER).all()
    assert (radius[flat] < solenoid.OUTER).all()
    assert (np.abs(stray[~flat, 2]) < solenoid.HALF_LENGTH).all()
    empty, on = solenoid._noise(rng, position[:0], layer[:0], 5)
    assert len(empty) == len(on) == 0


def test_smearing_has_the_resolution_and_keeps_hits_on_their_layer():
    rng = np.random.default_rng(2)
    n = 20_000
    for layer, position in ((8, [72.0, 0, 30]), (12, [0, 100.0, 700])):
        exact = np.tile(position, (n, 1))
        found = solenoid._smeared(rng, exact, np.full(n, layer))
        away = found - exact
        radial = np.hypot(*found[:, :2].T) - np.hypot(*exact[:, :2].T)
        across = away[:, 1] if layer == 8 else -away[:, 0]
        along, fixed = (away[:, 2], radial) if layer == 8 else (radial, away[:, 2])
        for values, scale in zip((across, along), solenoid.RESOLUTION):
            assert values.std() == pytest.approx(scale, rel=0.03)
        np.testing.assert_allclose(fixed, 0, atol=1e-9)
