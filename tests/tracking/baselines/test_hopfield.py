"""The oldest tracker: straight lines among few wrong edges, forks, and its energy."""

import numpy as np
import pytest

from hepjax.tracking import metrics, tracks
from hepjax.tracking.baselines import hopfield

N_TRACKS, N_PLANES = 8, 6


@pytest.fixture(scope="module")
def event():
    """Straight tracks from the origin: all edges of neighbouring planes, and which are true."""
    rng = np.random.default_rng(0)
    slope = rng.normal(scale=0.3, size=(N_TRACKS, 1, 2))
    z = 10.0 * (1 + np.arange(N_PLANES))
    hit = np.arange(N_TRACKS * N_PLANES).reshape(N_TRACKS, N_PLANES)
    xy = slope * z[:, None]
    position = np.concatenate([xy, np.broadcast_to(z[:, None], (*xy.shape[:2], 1))], -1)
    flat = position.reshape(-1, 3)
    a, b = (x.ravel() for x in np.meshgrid(np.arange(N_TRACKS), np.arange(N_TRACKS)))
    ends = np.concatenate([np.stack([hit[a, k], hit[b, k + 1]], -1) for k in range(N_PLANES - 1)])
    d = flat[ends[:, 1]] - flat[ends[:, 0]]
    true = ends[:, 0] // N_PLANES == ends[:, 1] // N_PLANES
    return ends, d[:, :2] / d[:, 2:], np.linalg.norm(d, axis=-1), true, flat


def test_straight_tracks_win(event):
    ends, direction, length, true, _ = event
    s = hopfield.activations(ends, direction, length, n_hits=N_TRACKS * N_PLANES)
    assert ((s > 0.5) == true).mean() > 0.97
    assert s.min() >= 0
    assert s.max() <= 1


def test_tracks_of_what_is_left(event):
    found = hopfield.link(event[4], event[0], event[1])
    truth = np.stack([np.arange(48), np.repeat(np.arange(N_TRACKS), N_PLANES)], -1)
    assert metrics.match(found, truth, style="perfect").is_found.mean() > 0.8


def test_the_energy_falls_below_that_of_other_states(event):
    """Lower than that of the start and of random sets of as many edges."""
    ends, direction, length, *_ = event
    how = hopfield.Settings()
    pairs = tracks.triplets(*ends.T)
    weight = hopfield.weights(direction, length, pairs, how.power)

    def energy(s):
        forks = sum((np.bincount(end, s) ** 2).sum() - (s**2).sum() for end in ends.T)
        bond = (weight * s[pairs[:, 0]] * s[pairs[:, 1]]).sum()
        return -bond + how.alpha / 2 * forks - how.bias * s.sum()

    found = hopfield.activations(ends, direction, length, n_hits=N_TRACKS * N_PLANES) > 0.5
    rng = np.random.default_rng(1)
    others = [rng.permutation(found).astype(float) for _ in range(50)]
    assert energy(found.astype(float)) < min(energy(x) for x in [np.full(len(ends), 0.5), *others])


def test_weights_fall_with_the_kink_and_the_length():
    direction = np.array([[0, 0], [0.01, 0], [0.02, 0]])
    pairs = np.array([[0, 1], [0, 2]])
    near, far = hopfield.weights(direction, np.ones(3), pairs, 2e4)
    assert near == pytest.approx(np.cos(0.01) ** 2e4, rel=1e-2)
    assert far < near
    longer = hopfield.weights(direction, np.array([1, 3, 2.0]), pairs, 2e4)
    assert longer[0] == pytest.approx(near * 2 * 2 / 4)


def test_an_event_without_edges():
    none = np.zeros((0, 2), int)
    assert hopfield.activations(none, np.zeros((0, 2)), np.zeros(0), n_hits=3).shape == (0,)
