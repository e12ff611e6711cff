"""The objective is a mean over all real edges, however they are packed; training goes down."""

import functools

import jax
import numpy as np
import optax
import pytest

from hepjax import runs, train
from hepjax.nn import model
from hepjax.tracking import data, graphs, interaction_network, training


@pytest.fixture(scope="module")
def network():
    return model.from_linen(interaction_network.InteractionNetwork(width=8, n_rounds=2))


def sums_of(loss, state, packed):
    return loss.sums(state.params, packed, state.key)


def test_the_loss_does_not_depend_on_the_packing(velo_graphs, network):
    sample, budget = velo_graphs[:4], graphs.budget_of(velo_graphs[:4])
    loss, found = training.objective(network), []
    for n_shards, b in ((1, budget), (2, budget), (1, graphs.Budget(4096, 16_384))):
        served = graphs.serve(sample, b, n_shards=n_shards)
        first = jax.tree.map(lambda x: x[0], served.get(0, 0))
        params = network.init(jax.random.key(0), first._replace(edges=first.edges["features"]))[
            "params"
        ]
        state = train.init(params, optax.sgd(0.1), jax.random.key(0))
        found.append(train.evaluate(functools.partial(sums_of, loss), state, served, loss.finish))
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def test_training_learns_and_goes_on(velo_graphs, network, tmp_path):
    """Validation falls, and a training that is done is read back as it was."""
    plan = training.Plan(n_epochs=6, learning_rate=1e-2)
    parts = velo_graphs[:8], velo_graphs[8:10]
    run = runs.create(tmp_path / "whole", {})
    whole = training.fit(run, network, *parts, plan, seed=1)
    losses = [line["loss"] for line in runs.read(run) if line["split"] == "validation"]
    assert losses[-1] < 0.7 * losses[0]
    again = training.fit(run, network, *parts, plan, seed=1, resume=True)
    jax.tree.map(np.testing.assert_array_equal, whole, again)


def test_labels_stand_beside_features(velo_graphs):
    edges = velo_graphs[0].edges
    assert set(edges) == {"features", "label", "weight"}
    assert len(edges["label"]) == len(edges["features"]) == len(velo_graphs[0].senders)
    assert 0.05 < edges["label"].mean() < 0.95
    assert (edges["weight"] == 1).all()


def test_edges_that_do_not_count_have_no_part_in_the_loss(velo_events, velo_graphs, network):
    """The first true edge is ignored: its label may be what it will."""
    graph = velo_graphs[0]._replace(edges=velo_graphs[0].edges["features"])
    true = data.true_edges(velo_events[0])
    ends = np.stack([graph.senders, graph.receivers], -1)
    there = true[np.isin(true @ [9999, 1], ends @ [9999, 1])]
    one = training.labelled(graph, data.Labelled(velo_events[0], there[1:], there[:1]))
    k = np.flatnonzero(one.edges["weight"] == 0)
    assert ends[k].tolist() == there[:1].tolist()
    other = one._replace(edges={**one.edges, "label": one.edges["label"].copy()})
    other.edges["label"][k] = 1
    variables = network.init(jax.random.key(0), graphs.pack([graph], n_nodes=4096, n_edges=8192))
    found = []
    for each in (one, other):
        packed = graphs.pack([each], n_nodes=4096, n_edges=8192)
        packed = jax.tree.map(lambda x: x[None], packed)
        found.append(training._means(network, variables, packed)["cross_entropy"])
    np.testing.assert_array_equal(found[0], found[1])


def test_graphs_that_are_too_large_are_left_out_and_said(velo_graphs, network, tmp_path):
    """One graph above the limit; then none below it."""
    n_edges = sorted(len(graph.senders) for graph in velo_graphs[:4])
    run = runs.create(tmp_path / "run", {})
    plan = training.Plan(n_epochs=1, max_edges=n_edges[-2])
    small = min(velo_graphs, key=lambda graph: len(graph.senders))
    text = "sample: 1 of 4 graphs have more than"
    with pytest.warns(RuntimeWarning, match=text):
        training.fit(run, network, velo_graphs[:4], [small], plan, seed=0)
    none = plan._replace(max_edges=10)
    with pytest.raises(ValueError, match="sample: none of 4 graphs has at most 10 edges"):
        training.fit(run, network, velo_graphs[:4], [small], none, seed=0)
