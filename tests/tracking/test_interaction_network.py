"""The network on packed graphs: padding, other events beside it and the order of edges."""

import jax
import numpy as np
import pytest

from hepjax.nn import model
from hepjax.tracking import graphs, interaction_network


def random_graph(seed, n=9, n_edges=20):
    rng = np.random.default_rng(seed)
    nodes, edges = rng.normal(size=(n, 6)), rng.normal(size=(n_edges, 4))
    ends = rng.integers(0, n, (2, n_edges))
    return graphs.build(nodes.astype(np.float32), edges.astype(np.float32), *ends)


@pytest.fixture(scope="module")
def network():
    linen = interaction_network.InteractionNetwork(width=8, n_rounds=2)
    found = model.from_linen(linen)
    packed = graphs.pack([random_graph(0)], n_nodes=32, n_edges=64)
    return jax.jit(found.apply), found.init(jax.random.key(0), packed)


@pytest.mark.smoke
def test_padding_and_neighbours_do_not_matter(network):
    apply, variables = network
    parts = [random_graph(k) for k in range(2)]
    alone = [
        apply(variables, graphs.pack([part], n_nodes=32, n_edges=64)).logits[:20] for part in parts
    ]
    both = apply(variables, graphs.pack(parts, n_nodes=32, n_edges=64)).logits
    wide = apply(variables, graphs.pack(parts, n_nodes=48, n_edges=96)).logits
    np.testing.assert_allclose(both[:40], np.concatenate(alone), atol=1e-5)
    np.testing.assert_allclose(wide[:40], both[:40], atol=1e-5)


def test_edges_in_another_order_get_the_same_logits(network):
    apply, variables = network
    one = random_graph(3)
    order = np.random.default_rng(0).permutation(20)
    again = graphs.build(one.nodes, one.edges[order], one.senders[order], one.receivers[order])
    logits = [
        np.asarray(apply(variables, graphs.pack([g], n_nodes=32, n_edges=64)).logits[:20])
        for g in (one, again)
    ]
    np.testing.assert_allclose(np.sort(logits[1]), np.sort(logits[0]), atol=1e-5)


def test_what_it_knows_of_nodes_and_edges(network):
    apply, variables = network
    out = apply(variables, graphs.pack([random_graph(0)], n_nodes=32, n_edges=64))
    assert out.nodes.shape == (32, 8)
    assert out.edges.shape == (64, 8)
    assert out.logits.dtype == np.float32
