"""Secondary vertices: exact lines meet in a point, several of them are found, one track is none."""

import jax
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.jets import secondary_vertex
from hepjax.jets.simulation import detector

ETA, PHI = -0.7, 2.9
AXIS = np.array([np.cos(PHI), np.sin(PHI), np.sinh(ETA)]) / np.cosh(ETA)
find = jax.jit(secondary_vertex.find, static_argnums=3)


def jet(points, n_tracks=4, n_prompt=5, seed=0, smear=0.0, error=0.02):
    """One jet [1, track] with n_tracks from each point [3], mm, and more from the origin."""
    rng = np.random.default_rng(seed)
    vertex = np.repeat(np.reshape([*points, np.zeros(3)], (-1, 3)), n_tracks, 0)
    vertex = vertex[: len(points) * n_tracks + n_prompt]
    vertex = np.pad(vertex, ((0, len(points) * n_tracks + n_prompt - len(vertex)), (0, 0)))
    n = len(vertex)
    eta, phi = ETA + rng.normal(0, 0.1, n), PHI + rng.normal(0, 0.1, n)
    pt = rng.uniform(2, 10, n)
    p4 = lorentz.from_pt_eta_phi_mass(pt, eta, phi, np.full(n, secondary_vertex.PION))
    d0, dz = detector.impact_parameters(p4, vertex)
    errors = np.full(n, error), np.full(n, 2 * error)
    d0, dz = (x + smear * e * rng.normal(size=n) for x, e in zip((d0, dz), errors))
    columns = (pt, eta, phi, d0, errors[0], dz, errors[1])
    tracks = secondary_vertex.Tracks(*(x[None].astype(np.float32) for x in columns))
    axis = lorentz.from_pt_eta_phi_mass(*np.array([60.0, ETA, PHI, 8.0]))
    return tracks, np.ones((1, n), bool), np.asarray(axis)[None], p4


def test_two_vertices_are_found_one_after_the_other():
    """Each of its own tracks; the third place stays empty."""
    tracks, mask, axis, p4 = jet([5 * AXIS, 20 * AXIS])
    found = jax.device_get(find(tracks, mask, axis, 3))
    assert found.mask[0].tolist() == [True, True, False]
    assert found.n_tracks[0].tolist() == [4, 4, 0]
    order = np.argsort(found.flight[0, :2])
    expected = np.array([5, 20]) / np.cosh(ETA)
    np.testing.assert_allclose(found.flight[0, order], expected, rtol=1e-3)
    sums = np.stack([p4[:4].sum(0), p4[4:8].sum(0)])
    np.testing.assert_allclose(found.p4[0, order], sums, rtol=1e-4)
    shares = sums[:, 0] / p4[:, 0].sum()
    np.testing.assert_allclose(found.energy_fraction[0, order], shares, rtol=1e-4)
    assert np.all(found.delta_r[0, :2] < 0.01)
    assert np.all(found.chi2[0] < 1e-3)
    assert all(np.all(np.asarray(x)[0, 2] == 0) for x in found)


@pytest.mark.parametrize("case", ["prompt", "one track", "empty"])
def test_nothing_to_find(case):
    tracks, mask, axis, _ = jet([8 * AXIS], n_tracks=4)
    if case == "prompt":
        mask[:, :4] = False
    if case == "one track":
        mask[:, :3] = False
    if case == "empty":
        mask[:] = False
        tracks = tracks._replace(d0_error=0 * tracks.d0_error, eta=tracks.eta + np.nan)
    found = jax.device_get(find(tracks, mask, axis, 3))
    assert not found.mask.any()
    assert all(np.all(np.asarray(x) == 0) for x in found)


def test_pulls_of_smeared_vertices():
    """The flight over its error is 1 wide around the truth, but for an odd vertex of prompt tracks:
    all seeds in one call.
    """
    made = [jet([8 * AXIS], seed=k, smear=1.0) for k in range(200)]
    tracks = secondary_vertex.Tracks(*(np.concatenate(x) for x in zip(*(m[0] for m in made))))
    mask, axis = (np.concatenate([m[k] for m in made]) for k in (1, 2))
    found = jax.device_get(find(tracks, mask, axis, 1))
    whole = found.n_tracks[:, 0] == 4
    assert whole.mean() > 0.6
    flight = found.flight[whole, 0] * np.cosh(ETA)
    error = flight / found.significance[whole, 0]
    pulls = (flight - 8) / error
    low, middle, high = np.quantile(pulls, [0.16, 0.5, 0.84])
    assert (high - low) / 2 == pytest.approx(1, abs=0.2)
    assert abs(middle) < 0.3
    assert np.mean(np.abs(pulls) > 4) < 0.02


def test_fit_has_the_covariance_of_least_squares():
    rng = np.random.default_rng(0)
    rows, values = rng.normal(size=(1, 5, 2, 3)), rng.normal(size=(1, 5, 2))
    used = np.array([[True, True, True, False, True]])
    lines = secondary_vertex.Lines(rows, values, np.ones((1, 5), bool))
    point, covariance = secondary_vertex.fit(lines, used)
    a, b = rows[used].reshape(-1, 3), values[used].ravel()
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    np.testing.assert_allclose(point[0], expected, rtol=1e-4)
    np.testing.assert_allclose(covariance[0], np.linalg.inv(a.T @ a), rtol=1e-4)


def test_no_gradient_flows():
    tracks, mask, axis, _ = jet([5 * AXIS])

    def flight(d0):
        return find(tracks._replace(d0=d0), mask, axis, 1).flight.sum()

    assert np.all(np.asarray(jax.grad(flight)(tracks.d0)) == 0)
