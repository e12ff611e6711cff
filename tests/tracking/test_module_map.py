"""Links that true edges join, and what they hold of others."""

import numpy as np

from hepjax.tracking import data, detectors, module_map


def test_links_are_those_of_true_edges():
    sample = [
        (np.array([5, 1, 2]), np.array([[1, 2], [2, 0]])),
        (np.array([1, 2]), np.array([[0, 1]])),
    ]
    assert module_map.learn(sample).tolist() == [[1, 2], [2, 5]]
    assert module_map.learn(sample, min_count=2).tolist() == [[1, 2]]
    assert module_map.learn([]).shape == (0, 2)


def test_links_hold_at_all_azimuths():
    """Cells of three sectors a layer: from the last of one layer to the first of the next."""
    sample = [(np.array([2, 3]), np.array([[0, 1]]))]
    assert module_map.learn(sample, n_sectors=3).tolist() == [[0, 4], [1, 5], [2, 3]]
    assert module_map.learn(sample * 2, n_sectors=3, min_count=3).shape == (0, 2)


def test_coverage_counts_edges():
    cell, links = np.array([0, 1, 2]), np.array([[0, 1]])
    edges = np.array([[0, 1], [0, 1], [1, 2], [1, 0]])
    assert module_map.coverage(links, cell, edges) == 0.5
    assert np.isnan(module_map.coverage(links, cell, data.NO_EDGES))


def test_a_map_of_some_events_holds_most_of_others(pixel_sample):
    """A few events see most of what happens; the map is a small part of all pairs of cells."""
    cells = [detectors.PIXELS.cells(one.event) for one in pixel_sample]
    seen = [(c, one.true) for c, one in zip(cells[:-1], pixel_sample)]
    turned = module_map.learn(seen, n_sectors=detectors.N_SECTORS)
    assert module_map.coverage(turned, cells[-1], pixel_sample[-1].true) > 0.98
    links = module_map.learn(seen)
    assert module_map.coverage(links, cells[0], pixel_sample[0].true) == 1
    assert len(links) < 0.01 * detectors.PIXELS.n_cells**2
