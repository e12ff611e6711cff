"""The filter of hits: it drops what it was taught to, keeps its share, and has a cut of its own."""

import numpy as np
import pytest

from hepjax.io import hits
from hepjax.tracking import clouds, detectors, hit_filter
from hepjax.tracking.simulation import solenoid


@pytest.fixture(scope="module")
def sample():
    """Events of which hits in the barrel are wanted: what a network can tell at once."""
    made = []
    for event in solenoid.events(10, 5, solenoid.Beam(pile_up=1.0)):
        layer = detectors.PIXELS.layers(event)
        outside = np.unique(event.truth[layer[event.truth[:, 0]] < 7, 1])
        wanted = ~np.isin(np.arange(hits.n_particles(event)), outside)
        made.append((event, clouds.cloud(event, wanted)))
    return made


def test_wanted_hits_are_kept_and_others_dropped(sample):
    plan = clouds.Plan(n_epochs=14, n_events=2, learning_rate=1e-2)
    settings = hit_filter.Settings(16, 1, 64, keep=0.98, n_tuning=2, plan=plan)
    found = hit_filter.fit([one for _, one in sample[:8]], settings)
    kept, wanted = [], []
    for event, one in sample[6:]:
        chosen = hit_filter.choose(found, event)
        there = np.zeros(hits.n_hits(event), bool)
        there[one.hit[one.mask & (one.particle >= 0)]] = True
        kept.append(chosen)
        wanted.append(there)
        smaller = hits.select(event, chosen)
        hits.validate(smaller)
        assert hits.n_hits(smaller) == chosen.sum()
    tuned = [np.concatenate(x[:2]) for x in (kept, wanted)]
    assert tuned[0][tuned[1]].mean() == pytest.approx(0.98, abs=0.02)
    kept, wanted = (np.concatenate(x[2:]) for x in (kept, wanted))
    assert kept[wanted].mean() > 0.9
    assert kept[~wanted].mean() < 0.5
    empty = hits.select(sample[0][0], np.zeros(hits.n_hits(sample[0][0]), bool))
    assert hit_filter.choose(found, empty).shape == (0,)


def test_both_kinds_weigh_the_same(sample):
    """Hits all alike: the loss is that of even odds whatever their numbers."""
    term = hit_filter.loss(np.zeros(len(sample[0][1].mask), np.float32), sample[0][1])
    assert float(term.total / term.weight) == pytest.approx(np.log(2), rel=1e-5)
    assert float(term.weight) == pytest.approx(1, rel=1e-5)


def test_too_few_events(sample):
    with pytest.raises(ValueError, match="sample: 1 events, expected over 20"):
        hit_filter.fit([sample[0][1]], hit_filter.Settings())
