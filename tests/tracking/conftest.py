"""What the tests of trackers share: small simulated events, a filter and a network for them."""

import jax
import pytest

from hepjax import runs
from hepjax.nn import model
from hepjax.tracking import (
    data,
    detectors,
    edge_filter,
    finder,
    interaction_network,
    scorers,
    training,
    triplets,
)
from hepjax.tracking.simulation import solenoid, velo


@pytest.fixture(scope="session")
def velo_events():
    """Fourteen events of one or two collisions."""
    beam = velo.Beam(n_collisions=1.5, n_prompt=40.0, noise=0.1)
    return [velo.event(jax.random.key(100 + k), beam) for k in range(14)]


@pytest.fixture(scope="session")
def pixel_sample():
    """Eight events of few collisions in the solenoid, with their true edges above 0.5 GeV."""
    events = solenoid.events(8, 21, solenoid.Beam(pile_up=3.0))
    return [data.labelled(e, detectors.PIXELS.layers(e), min_pt=0.5) for e in events]


@pytest.fixture(scope="session")
def velo_filter(velo_events):
    """A filter that was trained on ten of them for a short while."""
    settings = edge_filter.Settings(scorers.Settings(24, n_steps=150), n_edges=1500)
    sample = [data.Labelled(event, data.true_edges(event)) for event in velo_events[:10]]
    return edge_filter.fit(sample, settings)


@pytest.fixture(scope="session")
def velo_graphs(velo_events, velo_filter):
    """Labelled graphs of all events."""
    made = []
    for event in velo_events:
        graph, selection = finder.graph(velo_filter, event)
        assert not selection.n_lost
        made.append(training.labelled(graph, data.Labelled(event, data.true_edges(event))))
    return made


@pytest.fixture(scope="session")
def velo_finder(velo_events, velo_filter, velo_graphs, tmp_path_factory):
    """A finder whose network has seen the graphs of ten events, twelve times."""
    network = model.from_linen(interaction_network.InteractionNetwork(width=16, n_rounds=3))
    run = runs.create(tmp_path_factory.mktemp("finder") / "run", {})
    plan = training.Plan(n_epochs=12, learning_rate=1e-2)
    variables = training.fit(run, network, velo_graphs[:10], velo_graphs[10:12], plan, seed=0)
    known = []
    for event, graph in zip(velo_events[:10], velo_graphs):
        one = graph._replace(edges=graph.edges["features"])
        edges = finder.edges_of(network, variables, event, one, detectors.VELO)
        known.append((data.Labelled(event, data.true_edges(event)), edges))
    how = triplets.Settings(network=scorers.Settings(16, 2048, 1e-2, 200))
    settings = finder.Settings(judge=how)
    return finder.Finder(velo_filter, network, variables, triplets.fit(known, how), 0.0, settings)
