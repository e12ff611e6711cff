"""Components on device are those of scipy, whatever the graph, its order and its thresholds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import csgraph

from hepjax.tracking import components

compiled = jax.jit(components.components, static_argnums=2)


def smallest(senders, receivers, n):
    """Scipy's components, each named by its smallest node."""
    graph = sparse.coo_matrix((np.ones(len(senders)), (senders, receivers)), (n, n))
    label = csgraph.connected_components(graph, directed=False)[1]
    first = np.full(label.max() + 1, n)
    np.minimum.at(first, label, np.arange(n))
    return first[label]


def chains(rng, n=400, length=10, wrong=0.02):
    """Tracks: chains of nodes in random order, and a few edges between them."""
    order = rng.permutation(n)
    real = np.flatnonzero(np.arange(n - 1) % length != length - 1)
    more = rng.integers(0, n, (2, int(wrong * n)))
    return np.r_[order[real], more[0]], np.r_[order[real + 1], more[1]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_edges", [50, 200, 2000])
def test_random_graphs(seed, n_edges):
    senders, receivers = np.random.default_rng(seed).integers(0, 400, (2, n_edges))
    found = compiled(jnp.asarray(senders), jnp.asarray(receivers), 400)
    np.testing.assert_array_equal(found, smallest(senders, receivers, 400))


@pytest.mark.smoke
@pytest.mark.parametrize("seed", range(3))
def test_chains(seed):
    senders, receivers = chains(np.random.default_rng(seed))
    found = compiled(jnp.asarray(senders), jnp.asarray(receivers), 400)
    np.testing.assert_array_equal(found, smallest(senders, receivers, 400))


@pytest.mark.parametrize("order", [1, -1])
def test_one_long_chain_is_one_component(order):
    nodes = np.arange(400)[::order]
    found = compiled(jnp.asarray(nodes[:-1].copy()), jnp.asarray(nodes[1:].copy()), 400)
    assert not np.asarray(found).any()


def test_a_scan_of_thresholds_in_one_call():
    rng = np.random.default_rng(5)
    senders, receivers = chains(rng, wrong=0.5)
    score, cuts = rng.random(len(senders)), np.array([0.0, 0.5, 0.9, 2.0])
    ends = jnp.asarray(senders), jnp.asarray(receivers)
    scan = jax.vmap(lambda cut: components.components(*ends, 400, jnp.asarray(score) > cut))
    for cut, label in zip(cuts, scan(jnp.asarray(cuts))):
        kept = score > cut
        np.testing.assert_array_equal(label, smallest(senders[kept], receivers[kept], 400))


def test_no_edge():
    none = jnp.zeros(0, jnp.int32)
    assert components.components(none, none, 3).tolist() == [0, 1, 2]
