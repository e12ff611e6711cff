"""Cells, layers, windows and directions of the detectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.io import hits, trackml
from hepjax.tracking import data, detectors, neighbours

VELO, PIXELS = detectors.VELO, detectors.PIXELS


@pytest.mark.parametrize("detector", [VELO, PIXELS])
def test_shapes_grow_and_are_multiples_of_chunks(detector):
    for small, large in zip(detector.shapes, detector.shapes[1:]):
        assert all(a <= b for a, b in zip(small, large))
    assert all(n % detectors.CHUNK == 0 for shape in detector.shapes for n in shape[2:])
    hash(detector)


def test_cells_are_small_and_belong_to_one_layer(pixel_sample):
    event = pixel_sample[0].event
    cell, layer = PIXELS.cells(event), PIXELS.layers(event)
    assert cell.max() < PIXELS.n_cells
    np.testing.assert_array_equal(cell // detectors.N_SECTORS, layer)
    phi = np.arctan2(event.hits["y"], event.hits["x"])
    for k in np.unique(cell)[::50]:
        assert np.ptp(phi[cell == k]) < 2 * np.pi / detectors.N_SECTORS + 1e-9


def test_the_window_holds_true_edges(pixel_sample):
    """And few pairs of hits that have nothing to do with each other."""
    kept, wrong = [], []
    rng = np.random.default_rng(0)
    for one in pixel_sample:
        known = PIXELS.coordinates(data.position(one.event))
        a, b = one.true.T
        other = rng.permutation(b)
        kept.append(PIXELS.accept(*(jax.tree.map(lambda x, k=k: x[k], known) for k in (a, b))))
        wrong.append(PIXELS.accept(*(jax.tree.map(lambda x, k=k: x[k], known) for k in (a, other))))
    assert np.concatenate(kept).mean() > 0.97
    assert np.concatenate(wrong).mean() < 0.05


def test_the_turn_across_the_seam_is_small():
    """Two hits on either side of phi = pi."""
    first, second = (32.0, np.pi - 0.001, 0.0), (72.0, -np.pi + 0.001, 0.0)
    accept = neighbours.window_in_field(1e-4, 0.0, 10.0)
    assert bool(accept(*(tuple(map(jnp.asarray, x)) for x in (first, second))))
    assert not bool(accept(*(tuple(map(jnp.asarray, x)) for x in (second, first))))


def test_directions_stay_along_true_tracks(pixel_sample):
    """Of prompt particles above 2 GeV, whose helices are wide and begin at the beam line."""
    event = pixel_sample[0].event
    prompt = np.hypot(event.particles["vx"], event.particles["vy"]) < 0.1
    hard = data.targets(event, PIXELS.layers(event), min_pt=2.0) & prompt
    far = (data.position(event) ** 2).sum(-1)
    edges = data.true_edges(event, far, PIXELS.layers(event), hard)
    direction = np.asarray(PIXELS.direction(data.position(event), tuple(edges.T)))
    owner = dict(event.truth.tolist())
    particle = np.array([owner[hit] for hit in edges[:, 0]])
    spread = [np.ptp(direction[particle == k], axis=0) for k in np.unique(particle)]
    assert np.median(spread, axis=0).max() < 0.02


def test_pixels_of_a_trackml_event(hepjax_data):
    whole = trackml.read_event(hepjax_data / "trackml" / "event000000001")
    event = detectors.pixels(whole)
    hits.validate(event)
    layer = PIXELS.layers(event)
    assert set(layer.tolist()) == set(range(18))
    z = [event.hits["z"][layer == k].mean() for k in range(18)]
    assert (np.diff([*z[:7], *z[11:]]) > 0).all()
    with pytest.raises(ValueError, match=r"volume: .*expected pixels only"):
        PIXELS.layers(whole)
