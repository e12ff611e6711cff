"""Weights that make classes alike: shapes, totals, caps and their price."""

import numpy as np
import pytest

from hepjax import balance

RNG = np.random.default_rng(0)
EDGES = [np.linspace(20, 250, 11), np.linspace(0, 2.5, 6)]


@pytest.fixture(scope="module")
def events():
    label = RNG.integers(0, 3, 30_000)
    pt = 20 + RNG.exponential(np.array([30, 50, 80])[label])
    return np.stack([pt, RNG.uniform(0, 2.6, 30_000)], -1), label


def shape(x, label, weight, k):
    found = np.histogramdd(x[label == k], EDGES, weights=weight[label == k])[0]
    return found / found.sum()


def test_reference_gives_all_classes_one_shape(events):
    x, label = events
    found = balance.fill(x, label, EDGES, method="reference", percentile=0, reference=1)
    weight = balance.weights(found, x, label)
    for k in (0, 2):
        full = (found.weight[k] > 0) & (found.weight[1] > 0)
        a, b = shape(x, label, weight, k), shape(x, label, weight, 1)
        np.testing.assert_allclose(a[full] / a[full].sum(), b[full] / b[full].sum(), rtol=1e-6)


def test_flat_is_flat_but_for_the_rarest_bins(events):
    x, label = events
    found = balance.fill(x, label, EDGES, percentile=30)
    weight = balance.weights(found, x, label)
    for k in range(3):
        counts = np.histogramdd(x[label == k], EDGES)[0]
        flat = shape(x, label, weight, k)[counts > np.percentile(counts[counts > 0], 35)]
        assert flat.min() == pytest.approx(flat.max(), rel=1e-6)


@pytest.mark.parametrize("method", ["flat", "reference"])
def test_totals_are_those_asked_for_and_the_mean_is_one(events, method):
    x, label = events
    found = balance.fill(x, label, EDGES, method=method, class_weights=(1, 2, 0.5))
    weight = balance.weights(found, x, label)
    total = np.bincount(label, weight)
    np.testing.assert_allclose(total / total[0], [1, 2, 0.5], rtol=1e-6)
    inside = found.n.sum()
    assert weight.sum() == pytest.approx(inside)
    assert (found.n + found.outside).tolist() == np.bincount(label).tolist()
    assert (weight[(x[:, 0] > 250) | (x[:, 1] > 2.5)] == 0).all()


def test_a_cap_costs_less_statistics(events):
    x, label = events
    effective = [
        balance.fill(x, label, EDGES, method="flat", percentile=p).effective.sum()
        for p in (1, 20, 60)
    ]
    assert effective == sorted(effective)
    one = balance.fill(x, label, EDGES, method="flat", percentile=1)
    assert (one.effective <= one.n).all()
    w = balance.weights(one, x, label)
    assert one.effective[2] == pytest.approx(w[label == 2].sum() ** 2 / (w[label == 2] ** 2).sum())


def test_clipping_counts_what_is_outside(events):
    x, label = events
    found = balance.fill(x, label, EDGES, clip=True)
    assert found.outside.sum() == 0
    weight = balance.weights(found, x, label, clip=True)
    assert weight[x[:, 1] > 2.5].min() > 0
    beyond = balance.weights(found, np.array([[1e9, -5.0]]), np.array([0]), clip=True)
    assert beyond[0] == found.weight[0, -1, 0]


def test_weights_that_events_have_enter(events):
    x, label = events
    own = RNG.uniform(0.5, 1.5, len(x))
    found = balance.fill(x, label, EDGES, weight=own, percentile=0, method="reference")
    total = np.bincount(label, own * balance.weights(found, x, label))
    np.testing.assert_allclose(total, total[0], rtol=1e-6)


def test_events_of_no_class_have_weight_zero():
    x, label = np.array([[30.0, 1], [40, 1], [50, 1]]), np.array([0, -1, 1])
    found = balance.fill(x, label, EDGES)
    assert balance.weights(found, x, label).tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "none"}, "method"),
        ({"percentile": 101.0}, "percentile"),
        ({"class_weights": (1.0,)}, "class_weights"),
        ({"edges": [EDGES[0]]}, r"\[event, 1\]"),
        ({"edges": [EDGES[0], np.array([1.0, 1.0])]}, "edges of variable 1"),
        ({"edges": [np.array([500.0, 600.0]), EDGES[1]]}, "class 0 has no events"),
    ],
)
def test_bad_input_is_named(events, change, message):
    x, label = events
    arguments = {"edges": EDGES, **change}
    with pytest.raises(ValueError, match=message):
        balance.fill(x, label, arguments.pop("edges"), **arguments)
