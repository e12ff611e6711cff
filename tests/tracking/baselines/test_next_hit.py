"""The LSTM that follows tracks: what it reads, and that it follows straight tracks."""

import numpy as np
import pytest
from scipy import stats

from hepjax.tracking import data, detectors, metrics
from hepjax.tracking.baselines import next_hit

SMALL = next_hit.Settings(width=16, n_steps=250, batch_size=512, learning_rate=1e-2)


@pytest.fixture(scope="module")
def sample(velo_events):
    known = []
    for event in velo_events:
        one, position = data.Labelled(event, data.true_edges(event)), data.position(event)
        ends = tuple(one.true.T)
        known.append((one, position, np.asarray(detectors.VELO.direction(position, ends))))
    return known


@pytest.fixture(scope="module")
def predictor(sample):
    return next_hit.fit(sample[:10], SMALL)


def test_prefixes_of_a_chain():
    known = np.arange(5)[:, None] * np.ones((1, 5), np.float32)
    steps, mask, later = next_hit._sequences(known, np.array([-1, 0, 1, -1, 3]))
    assert later.tolist() == [1, 2, 4]
    assert [x[m][:, 0].tolist() for x, m in zip(steps, mask)] == [[0], [0, 1], [3]]


def test_the_straighter_edge_is_before():
    true = np.array([[0, 2], [1, 2], [2, 3]])
    direction = np.array([[0.1, 0], [0.5, 0], [0.4, 0]])
    assert next_hit._chain(true, direction).tolist() == [-1, -1, 1]


def test_the_best_of_each_group():
    found = next_hit._first(np.array([0, 1, 0, 0, 1]), np.array([3.0, 1, 2, 1, 5]), 2)
    assert sorted(found.tolist()) == [1, 2, 3, 4]


def test_it_is_less_surprised_than_one_width_for_all(sample, predictor):
    """On events that were not learned from."""
    parts = []
    for one, position, direction in sample[10:]:
        known = next_hit.describe(position, one.true, direction)
        steps, mask, later = next_hit._sequences(known, next_hit._chain(one.true, direction))
        parts.append((steps, mask, (known[later, 3:] - steps[:, -1, 3:]) / predictor.scale))
    steps, mask, change = (np.concatenate(x) for x in zip(*parts))
    out = next_hit._predict(predictor, steps, mask)
    ours = float(next_hit._surprise(out, change).mean())
    widths = np.geomspace(0.2, 20, 40)
    flat = [
        float(next_hit._surprise(next_hit.Gaussian(0, np.full((1, 2), w)), change).mean())
        for w in widths
    ]
    assert ours < min(flat) - 0.05


def test_tracks_of_true_and_wrong_edges(sample, predictor):
    """True edges and three times as many at random: most particles are followed."""
    matched, wanted = [], []
    for one, position, _ in sample[10:]:
        module = one.event.hits["module"]
        ends = np.random.default_rng(0).integers(0, len(module), (4 * len(one.true), 2))
        ends = ends[(module[ends[:, 1]] - module[ends[:, 0]] > 0)][: 3 * len(one.true)]
        ends = np.unique(np.concatenate([one.true, ends]), axis=0)
        direction = np.asarray(detectors.VELO.direction(position, tuple(ends.T)))
        found = next_hit.link(predictor, position, ends, direction)
        style = "double_majority"
        n = len(one.event.particles["pid"])
        matched.append(metrics.match(found, one.event.truth, style=style, n_particles=n))
        wanted.append(data.reconstructible(one.event))
    assert metrics.efficiency(matched, wanted).value > 0.7
    assert metrics.fake_rate(matched).value < 0.3


def test_no_edges_and_nothing_to_learn(sample, predictor):
    none = next_hit.link(predictor, np.zeros((4, 3)), data.NO_EDGES, np.zeros((0, 2)))
    assert none.shape == (0, 2)
    one, position, _ = sample[0]
    bare = one._replace(true=data.NO_EDGES)
    with pytest.raises(ValueError, match="no true edge follows another in 1 events"):
        next_hit.fit([(bare, position, np.zeros((0, 2)))], SMALL)


def test_edges_are_described_by_their_end_length_and_direction():
    position = np.array([[0.0, 0, 0], [30, 40, 250], [30, 40, 350]])
    found = next_hit.describe(position, np.array([[0, 1], [1, 2]]), np.array([[0.1, 2], [0, 3]]))
    length = np.sqrt(50**2 + 250**2)
    np.testing.assert_allclose(found[0], [0.5, 0.5, length / 100, 0.1, 2], rtol=1e-6)
    np.testing.assert_allclose(found[1], [0.5, 0.7, 1, 0, 3], rtol=1e-6)


def test_the_last_steps_of_a_candidate_are_read_and_no_more():
    known = np.arange(20.0)[:, None] * np.ones((1, 5))
    short, mask = next_hit._read(known, np.array([[3, 7]]))
    assert mask[0].tolist() == [False] * (next_hit.LENGTH - 2) + [True, True]
    assert short[0, mask[0], 0].tolist() == [3, 7]
    longer, mask = next_hit._read(known, np.arange(10)[None])
    assert mask.all()
    assert longer[0, :, 0].tolist() == list(range(10 - next_hit.LENGTH, 10))


def test_edges_behind_each_edge():
    start, count = next_hit._grouped(np.array([[2, 0], [0, 1], [2, 3]]), 4)
    assert count.tolist() == [1, 0, 2, 0]
    assert start.tolist() == [0, 1, 1, 3]


def test_a_hit_is_given_to_the_longest_and_of_equals_to_the_likeliest():
    """Three candidates on hits 0 to 5: the second shares two hits with the first, which is longer;
    the fourth is as long as the third and less likely.
    """
    ends = np.array([[0, 1], [1, 2], [2, 3], [1, 4], [5, 6], [6, 7], [6, 8]])
    done = [
        (np.array([0, 1, 2]), 9.0),  # 0 1 2 3
        (np.array([0, 3]), 0.1),  # 0 1 4
        (np.array([4, 6]), 3.0),  # 5 6 8
        (np.array([4, 5]), 1.0),  # 5 6 7
    ]
    found = next_hit._tracks(done, ends, np.zeros(len(ends), bool))
    assert [found[found[:, 1] == k, 0].tolist() for k in range(2)] == [[0, 1, 2, 3], [5, 6, 7]]
    reached = np.zeros(len(ends), bool)
    reached[0] = True  # another edge leads to it well: no track begins there
    found = next_hit._tracks(done, ends, reached)
    assert found[:, 0].tolist() == [5, 6, 7]


def test_surprise_is_that_of_students_t():
    """Against scipy, up to its constant; its gradient is bounded where a Gaussian's is not."""
    change = np.array([[0.5, -2.0], [30.0, 0.1]])
    out = next_hit.Gaussian(np.array([[0.1, -1.0], [0.0, 0.0]]), np.array([[0.5, 2.0], [1.0, 0.3]]))
    pull = (change - out.mean) / out.width
    expected = -(stats.t.logpdf(pull, 4) - np.log(out.width)).sum(-1)
    constant = -2 * stats.t.logpdf(0, 4)
    found = np.asarray(next_hit._surprise(out, change))
    np.testing.assert_allclose(found, expected - constant, rtol=1e-5)
