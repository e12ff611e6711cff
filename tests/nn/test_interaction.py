"""Message passing: the split kernel is the whole one, padding and order do not matter."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.nn import interaction

N, E, WIDTH = 9, 20, 8


@pytest.fixture(scope="module")
def case():
    """Nodes, edges and links of a random graph, sorted by receiver, and variables for it."""
    rng = np.random.default_rng(0)
    senders, receivers = rng.integers(0, N, E), np.sort(rng.integers(0, N, E))
    nodes = jnp.asarray(rng.normal(size=(N, WIDTH)), jnp.float32)
    edges = jnp.asarray(rng.normal(size=(E, WIDTH)), jnp.float32)
    links = interaction.Links(jnp.asarray(senders), jnp.asarray(receivers))
    network = interaction.Interactions(n_rounds=3)
    variables = jax.jit(network.init)(jax.random.key(0), nodes, edges, links)
    return network, variables, nodes, edges, links


@pytest.mark.smoke
def test_one_round_is_that_of_the_concatenated_kernel(case):
    *_, nodes, edges, links = case
    layer = interaction.Interaction()
    variables = layer.init(jax.random.key(1), nodes, edges, links)
    params = variables["params"]
    kernel = jnp.concatenate([params[k]["kernel"] for k in ("edge", "sender", "receiver")])
    joined = jnp.concatenate([edges, nodes[links.senders], nodes[links.receivers]], -1)

    def rest(x, name):
        dense, norm = params[f"{name}_0"], params[f"{name}_norm"]
        x = jnp.maximum(x, 0) @ dense["kernel"] + dense["bias"]
        return linen.LayerNorm().apply({"params": norm}, x)

    new_edges = edges + rest(joined @ kernel + params["edge"]["bias"], "edge_rest")
    into, out_of = np.zeros((2, N, WIDTH))
    np.add.at(into, np.asarray(links.receivers), np.asarray(new_edges))
    np.add.at(out_of, np.asarray(links.senders), np.asarray(new_edges))
    kernel = jnp.concatenate([params[k]["kernel"] for k in ("node", "into", "out_of")])
    joined = jnp.concatenate([nodes, into, out_of], -1) @ kernel + params["node"]["bias"]
    found = layer.apply(variables, nodes, edges, links)
    np.testing.assert_allclose(found[1], new_edges, atol=1e-5)
    np.testing.assert_allclose(found[0], nodes + rest(joined, "node_rest"), atol=1e-5)


def test_nodes_in_another_order(case):
    network, variables, nodes, edges, links = case
    order = np.random.default_rng(1).permutation(N)
    place = np.argsort(order)
    moved = interaction.Links(
        jnp.asarray(place)[links.senders], jnp.asarray(place)[links.receivers]
    )
    once = network.apply(variables, nodes, edges, links)
    again = network.apply(variables, nodes[order], edges, moved)
    np.testing.assert_allclose(again[0], once[0][order], atol=1e-5)
    np.testing.assert_allclose(again[1], once[1], atol=1e-5)


@pytest.mark.smoke
def test_padding_changes_nothing(case):
    network, variables, nodes, edges, links = case
    wide = jnp.pad(nodes, ((0, 3), (0, 0)), constant_values=5.0)
    more = jnp.pad(edges, ((0, 4), (0, 0)), constant_values=7.0)
    ends = jnp.array([N, N + 1, N + 2, N])
    padded = interaction.Links(*(jnp.concatenate([x, ends]) for x in links[:2]))
    once = network.apply(variables, nodes, edges, links)
    again = network.apply(variables, wide, more, padded)
    np.testing.assert_allclose(again[0][:N], once[0], atol=1e-5)
    np.testing.assert_allclose(again[1][:E], once[1], atol=1e-5)


def test_known_orders_and_no_remat_give_the_same(case):
    network, variables, nodes, edges, links = case
    known = links._replace(by_sender=jnp.argsort(links.senders))
    sorted_ = interaction.Interactions(n_rounds=3, is_sorted=True)
    plain = interaction.Interactions(n_rounds=3, remat=False)

    def value(net, links):
        return lambda v: sum((x**2).sum() for x in net.apply(v, nodes, edges, links))

    first, slope = jax.value_and_grad(value(network, links))(variables)
    for net, given in ((sorted_, known), (plain, links)):
        other, other_slope = jax.value_and_grad(value(net, given))(variables)
        assert other == pytest.approx(float(first), rel=1e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), slope, other_slope
        )


def test_rounds_have_parameters_of_their_own(case):
    kernel = case[1]["params"]["rounds"]["edge"]["kernel"]
    assert kernel.shape == (3, WIDTH, WIDTH)
    assert np.abs(kernel[0] - kernel[1]).max() > 0.01


def test_a_gradient_against_differences(case):
    network, variables, nodes, edges, links = case

    def value(x):
        return (network.apply(variables, x, edges, links)[1] ** 2).sum()

    slope = jax.grad(value)(nodes)
    direction = jax.random.normal(jax.random.key(3), nodes.shape)
    step = 1e-3
    difference = (value(nodes + step * direction) - value(nodes - step * direction)) / (2 * step)
    assert float((slope * direction).sum()) == pytest.approx(float(difference), rel=2e-2)


def test_no_edge_at_all(case):
    network, variables, nodes, edges, links = case
    none = interaction.Links(*(x[:0] for x in links[:2]))
    nodes, edges = network.apply(variables, nodes, edges[:0], none)
    assert np.isfinite(nodes).all()
    assert edges.shape == (0, WIDTH)


def test_sums_of_bfloat16_are_in_float32():
    edges = jnp.full((4096, 1), 1, jnp.bfloat16)
    assert float(interaction.total(edges, jnp.zeros(4096, int), 1)[0, 0]) == 4096
