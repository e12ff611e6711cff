"""What the tests of trackers share: small simulated events, and what finds tracks in them."""

import pytest

from hepjax.tracking import data, detectors, edge_filter, finder, training
from hepjax.tracking.simulation import solenoid


@pytest.fixture(scope="session")
def pixel_sample():
    """Eight events of few collisions in the solenoid, with their true edges above 0.5 GeV."""
    events = solenoid.events(8, 21, solenoid.Beam(pile_up=3.0))
    return [data.labelled(e, detectors.PIXELS.layers(e), min_pt=0.5) for e in events]


@pytest.fixture(scope="session")
def velo_filter(velo_config, velo_run):
    """The filter of that run, which has seen ten of the events for a short while."""
    return edge_filter.load(velo_config.out / "filter.msgpack")


@pytest.fixture(scope="session")
def velo_finder(velo_config, velo_run):
    """The finder of that run, whose network has seen ten of the events."""
    return finder.load(velo_config.out)


@pytest.fixture(scope="session")
def velo_graphs(velo_events, velo_filter):
    """Labelled graphs of all events."""
    made = []
    for event in velo_events:
        graph, selection = finder.graph(velo_filter, event)
        assert not selection.n_lost
        made.append(training.labelled(graph, data.Labelled(event, data.true_edges(event))))
    return made
