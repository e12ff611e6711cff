"""All ways to find tracks behind one face: each gives pairs, and none of a name that is not one."""

import numpy as np
import pytest

from hepjax import runs
from hepjax.io import hits
from hepjax.tracking import clouds, data, methods, metrics
from hepjax.tracking.baselines import next_hit

OF_GRAPH = ("triplets", "walkthrough", "hopfield", "lstm")


@pytest.fixture(scope="module")
def sample(velo_events):
    return [data.Labelled(event, data.true_edges(event)) for event in velo_events]


@pytest.mark.parametrize("name", OF_GRAPH)
def test_methods_of_a_graph_find_tracks(name, velo_finder, sample):
    lstm = next_hit.Settings(width=16, n_steps=200, batch_size=512, learning_rate=1e-2)
    find = methods.of_graph(name, velo_finder, sample[:10], lstm=lstm)
    event = sample[12].event
    pairs = find(event)
    n = hits.n_particles(event)
    matched = metrics.match(pairs, event.truth, style="double_majority", n_particles=n)
    assert matched.is_found[data.reconstructible(event)].mean() > 0.4
    assert len(np.unique(pairs, axis=0)) == len(pairs)


@pytest.mark.parametrize(
    "name",
    ["condensation", *(pytest.param(x, marks=pytest.mark.slow) for x in ("masks", "contrastive"))],
)
def test_methods_without_a_graph_run_and_are_kept(name, sample, tmp_path):
    made = [
        clouds.cloud(one.event, data.reconstructible(one.event), room=2048) for one in sample[:2]
    ]
    plan, run = clouds.Plan(n_epochs=1, n_events=2), runs.create(tmp_path / "run", {})
    pairs = methods.of_clouds(name, made, plan, width=8, run=run)(sample[12].event)
    assert pairs.shape[1] == 2
    assert pairs[:, 0].max(initial=0) < hits.n_hits(sample[12].event)
    log = runs.read(run.path / "trainings" / name)
    assert log[-1]["step"] == 1
    assert np.isfinite(log[-1]["loss"])
    again = methods.of_clouds(name, [], plan, width=8, run=run)(sample[12].event)
    np.testing.assert_array_equal(again, pairs)


def test_unknown_names():
    with pytest.raises(ValueError, match="methods: hope, expected some of triplets, kalman"):
        methods.check(["triplets", "hope"])
