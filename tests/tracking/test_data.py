"""Which pairs of hits are true edges."""

import numpy as np
import pytest

from hepjax.io import hits, velo
from hepjax.tracking import data


def event(module, truth):
    table = {k: np.arange(len(module), dtype=float) for k in "xyz"}
    truth = np.array(truth, np.int64).reshape(-1, 2)
    n = int(truth[:, 1].max(initial=-1)) + 1
    return hits.Event(
        {**table, "module": np.array(module, np.int64)}, {"pid": np.full(n, 211)}, truth
    )


def test_a_skipped_module_and_hits_in_any_order():
    one = event([6, 0, 2], [(0, 0), (1, 0), (2, 0)])
    assert data.true_edges(one).tolist() == [[1, 2], [2, 0]]


def test_two_hits_in_a_module_are_joined_to_the_next_and_not_to_each_other():
    one = event([0, 2, 2, 4], [(h, 0) for h in range(4)])
    assert data.true_edges(one).tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]


def test_two_modules_are_too_few_for_a_track():
    one = event([0, 2, 2, 0, 2, 4], [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 1)])
    assert data.n_modules(one).tolist() == [2, 3]
    assert data.reconstructible(one).tolist() == [False, True]
    assert data.true_edges(one).tolist() == [[3, 4], [4, 5]]


def test_an_edge_of_two_particles_stands_once():
    one = event([0, 2, 4, 4], [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (3, 1)])
    assert data.true_edges(one).tolist() == [[0, 1], [1, 2], [1, 3]]


def test_other_orders_and_groups():
    """Outwards by radius, hits of one layer in one group."""
    one = event([5, 9, 7], [(0, 0), (1, 0), (2, 0)])
    edges = data.true_edges(one, along=np.array([3.0, 1.0, 2.0]))
    assert edges.tolist() == [[1, 2], [2, 0]]
    edges = data.true_edges(one, along=np.array([3.0, 1.0, 1.1]), group=np.array([1, 0, 0]))
    assert edges.tolist() == [[1, 0], [2, 0]]


@pytest.mark.parametrize(("module", "truth"), [([], []), ([3, 3], []), ([0], [(0, 0)])])
def test_nothing_to_join(module, truth):
    assert data.true_edges(event(module, truth)).shape == (0, 2)


def test_labels():
    true = np.array([[0, 5], [2, 3]])
    edges = np.array([[2, 3], [3, 2], [0, 5], [0, 4]])
    assert data.labels(edges, true).tolist() == [True, False, True, False]
    assert data.labels(np.zeros((0, 2), int), true).shape == (0,)


def test_simulated_event(hepjax_data):
    """All edges go forward, and each joins two hits of one particle."""
    one = velo.read_event(hepjax_data / "velo" / "velo_event_1.json.gz")
    edges, module = data.true_edges(one), one.hits["module"]
    step = module[edges[:, 1]] - module[edges[:, 0]]
    assert step.min() >= 1
    assert 0.95 < (step == 2).mean() < 0.99
    particles = [set(one.truth[one.truth[:, 0] == h, 1]) for h in range(hits.n_hits(one))]
    assert all(particles[a] & particles[b] for a, b in edges)


def test_edges_of_soft_particles_are_ignored(pixel_sample):
    """True, ignored and neither are apart, and a lower cut moves edges from one to the other."""
    event = pixel_sample[0].event
    layer = 100 * event.hits["volume"] + event.hits["layer"]
    low, high = (data.labelled(event, layer, min_pt=x) for x in (0.5, 1.0))
    assert len(low.true) > len(high.true) > 0
    assert not data.labels(high.ignored, high.true).any()
    assert data.labels(high.true, low.true).all()
    both = [len(np.unique(np.concatenate([x.true, x.ignored]), axis=0)) for x in (low, high)]
    assert both[0] == both[1]
    pt = dict(zip(range(10**6), event.particles["pt"]))
    owner = dict(event.truth.tolist())
    assert all(pt[owner[a]] > 1 for a, _ in high.true.tolist())
    far = (data.position(event) ** 2).sum(-1)
    assert (far[high.true[:, 1]] > far[high.true[:, 0]]).all()


def test_targets_need_three_layers_and_momentum():
    one = event(
        [0, 1, 2, 0, 1, 0, 1, 2],
        [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), *[(k, 2) for k in (5, 6, 7)]],
    )
    one.particles["pt"] = np.array([2.0, 2.0, 0.4])
    assert data.targets(one, one.hits["module"], min_pt=1.0).tolist() == [True, False, False]


def test_half_a_turn_is_that_of_the_event(pixel_sample):
    event = pixel_sample[0].event
    turned = event._replace(hits={**event.hits, "x": -event.hits["x"], "y": -event.hits["y"]})
    expected = data.features(turned)
    np.testing.assert_allclose(data.half_turn(data.features(event)), expected, rtol=1e-6)
