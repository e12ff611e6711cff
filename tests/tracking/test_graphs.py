"""Graphs of hits: sorted, packed into one shape, with padding that touches nothing."""

import jax
import jraph
import numpy as np
import pytest

from hepjax.tracking import graphs


def random_graph(seed, n=7, n_edges=12):
    rng = np.random.default_rng(seed)
    senders, receivers = rng.integers(0, n, (2, n_edges))
    x = {"x": rng.normal(size=(n, 3)).astype(np.float32)}
    return graphs.build(x, np.stack([senders, receivers], -1), senders, receivers)


def test_edges_are_sorted_and_keep_their_features():
    graph = random_graph(0)
    assert (np.diff(graph.receivers) >= 0).all()
    np.testing.assert_array_equal(graph.edges, np.stack([graph.senders, graph.receivers], -1))
    assert isinstance(graph, jraph.GraphsTuple)


@pytest.mark.smoke
def test_packed_and_taken_apart_again():
    parts = [random_graph(k, n=5 + k, n_edges=9 + k) for k in range(3)]
    packed = graphs.pack(parts, n_nodes=32, n_edges=64, n_graphs=6)
    assert packed.n_node.sum() == 32
    assert packed.n_edge.sum() == len(packed.senders) == 64
    assert (np.diff(packed.receivers) >= 0).all()
    for part, again in zip(parts, jraph.unbatch(packed)):
        for name in ("nodes", "edges", "senders", "receivers"):
            jax.tree.map(np.testing.assert_array_equal, getattr(again, name), getattr(part, name))


def test_padding_is_masked_and_spread():
    packed = graphs.pack([random_graph(0)], n_nodes=16, n_edges=40)
    nodes, edges = graphs.node_mask(packed), graphs.edge_mask(packed)
    assert nodes.sum() == 7
    assert edges.sum() == 12
    for ends in (packed.senders, packed.receivers):
        assert (ends[12:] >= 7).all()
        count = np.bincount(ends[12:])[7:]
        assert count.max() - count.min() <= 1
        assert len(count) == 9


def test_an_event_without_edges_or_hits():
    empty = graphs.build(np.zeros((0, 2)), np.zeros((0, 1)), *np.zeros((2, 0), int))
    lonely = graphs.build(np.zeros((1, 2)), np.zeros((0, 1)), *np.zeros((2, 0), int))
    packed = graphs.pack([empty, lonely], n_nodes=4, n_edges=5)
    assert packed.n_node.tolist() == [0, 1, 3]
    assert packed.n_edge.tolist() == [0, 0, 5]
    assert packed.senders.min() == 1


@pytest.mark.parametrize("size", [{"n_nodes": 7}, {"n_edges": 11}, {"n_graphs": 1}])
def test_what_does_not_fit_is_an_error(size):
    with pytest.raises(ValueError, match="graphs: 1 of 7 nodes and 12 edges"):
        graphs.pack([random_graph(0)], **{"n_nodes": 8, "n_edges": 12, **size})


def test_an_edge_to_nowhere():
    with pytest.raises(ValueError, match="receivers: 1 to 3, expected nodes 0 to 2"):
        graphs.build(np.zeros((3, 1)), np.zeros((2, 1)), np.array([0, 1]), np.array([1, 3]))


def test_links_of_a_packed_graph():
    packed = graphs.pack([random_graph(0)], n_nodes=16, n_edges=40)
    links = graphs.links(packed)
    np.testing.assert_array_equal(links.receivers, packed.receivers)
    np.testing.assert_array_equal(links.senders, packed.senders)


@pytest.fixture(scope="module")
def sample():
    return [random_graph(k, n=5 + k % 7, n_edges=8 + k % 5) for k in range(23)]


def test_each_graph_is_served_once_an_epoch(sample):
    budget = graphs.Budget(40, 48, 5)
    served = graphs.serve(sample, budget, n_shards=4, seed=1)
    for epoch in (0, 1):
        n = len(served.shapes(epoch))
        rows = np.concatenate([served.rows(epoch, i) for i in range(n)])
        assert sorted(rows[rows >= 0]) == list(range(23))
    assert [r.tolist() for r in graphs.shares(sample, budget, epoch=0)] != [
        r.tolist() for r in graphs.shares(sample, budget, epoch=1)
    ]


def test_served_batches_have_one_shape_and_hold_what_the_rows_say(sample):
    served = graphs.serve(sample, graphs.Budget(40, 48, 5), n_shards=4)
    shapes = set()
    for i in range(len(served.shapes(0))):
        got, rows = served.get(0, i), served.rows(0, i).reshape(4, 5)
        shapes.add(str(jax.tree.map(np.shape, got)))
        for shard, places in enumerate(rows):
            one = jax.tree.map(lambda x, s=shard: x[s], got)
            for k, part in zip(places[places >= 0], jraph.unbatch(one)):
                np.testing.assert_array_equal(part.edges, sample[k].edges)
            assert one.n_node.sum() == 40
            assert one.n_edge.sum() == 48
    assert len(shapes) == 1
    assert set(served.shapes(0)) == {graphs.Budget(40, 48, 5)}


def test_a_budget_holds_the_largest(sample):
    budget = graphs.budget_of(sample, step=4)
    assert (budget.n_nodes, budget.n_edges) == (12, 12)
    graphs.shares(sample, budget)
    with pytest.raises(ValueError, match="number 6 has 11 nodes and 9 edges"):
        graphs.shares(sample, graphs.Budget(11, 12), shuffle=False)
