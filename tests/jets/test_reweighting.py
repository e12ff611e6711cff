"""Weights from Lund planes: toys that close, uncertainties that cover, bad input that is named."""

import numpy as np
import pytest
from lund_toys import BINS, hardness, shower

from hepjax.counting import Value
from hepjax.jets import lund, reweighting


@pytest.fixture(scope="module")
def samples():
    """Control jets of data, with more hard emissions, and of simulation; jets of three prongs."""
    rng = np.random.default_rng(5)
    control = shower(6000, rng, excess=0.15), shower(6000, rng)
    return *control, shower(5000, rng, n_prongs=3), shower(5000, rng, excess=0.15, n_prongs=3)


def weigh(data, simulation, signal, n_replicas=30, bins=BINS):
    found = lund.ratio(data, simulation, bins, n_replicas=n_replicas)
    return reweighting.Weights(*reweighting.weights(found, signal), {})


def test_weighted_simulation_has_the_plane_of_data(samples):
    data, simulation, *_ = samples
    weights = weigh(data, simulation, simulation)
    assert weights.nominal.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights.replicas.mean(1), 1)
    a, b, before = (
        lund.density(plane, BINS, w, n_replicas=30)
        for plane, w in ((data, None), (simulation, weights.nominal), (simulation, None))
    )
    pull = (b.value - a.value) / np.hypot(a.error, b.error)
    assert np.abs(pull).max() < 4
    assert ((before.value - a.value) / a.error)[:, 3, :2].max() < -5


def test_a_tagger_is_corrected_within_the_stated_uncertainty(samples):
    """Measured on jets of two prongs, applied to jets of three."""
    data, simulation, signal, true = samples
    weights = weigh(data, simulation, signal)
    cut = np.quantile(hardness(signal), 0.6)
    truth = float((hardness(true) > cut).mean())
    error = np.sqrt(truth * (1 - truth) / 5000)
    found = reweighting.efficiency(weights, hardness(signal) > cut)
    assert found.plain - truth < -10 * error
    assert abs(found.corrected - truth) < 3 * np.hypot(found.total, error)
    assert found.total < 0.03
    assert found.total == pytest.approx(found.statistical)
    other = np.stack([np.ones(5000), weights.nominal])  # no correction at all, and the same
    widened = weights._replace(varied={"none": other, "same": other[1:]})
    stated = reweighting.efficiency(widened, hardness(signal) > cut)
    assert stated.shifts["none"] == pytest.approx(found.corrected - found.plain)
    assert stated.shifts["same"] == pytest.approx(0, abs=1e-12)
    assert stated.total == pytest.approx(np.hypot(found.total, stated.shifts["none"]))


def test_an_efficiency_of_some_jets(samples):
    data, simulation, signal, _ = samples
    weights = weigh(data, simulation, signal, n_replicas=3)
    passed = hardness(signal) > np.median(hardness(signal))
    rows = np.arange(len(passed)) < 2000
    one = reweighting.efficiency(weights, passed, rows)
    assert one.plain == pytest.approx(passed[:2000].mean())
    w = weights.nominal[:2000]
    assert one.corrected == pytest.approx((w * passed[:2000]).sum() / w.sum())
    with pytest.raises(ValueError, match="rows: no jet"):
        reweighting.efficiency(weights, passed, np.zeros(len(passed), bool))
    with pytest.raises(ValueError, match="passed: found shape"):
        reweighting.efficiency(weights, passed[:5])


def test_the_uncertainty_covers_independent_samples():
    """Pulls over toys have mean 0 and width 1: statistics is all that is uncertain there."""
    rng, found, true = np.random.default_rng(6), [], []
    for _ in range(30):
        control = shower(800, rng, excess=0.15), shower(800, rng)
        signal, data = (shower(700, rng, excess=e, n_prongs=3) for e in (0.0, 0.15))
        cut = 330.0
        weights = weigh(*control, signal, n_replicas=25)
        found.append(reweighting.efficiency(weights, hardness(signal) > cut))
        share = float((hardness(data) > cut).mean())
        true.append(Value(share, np.sqrt(share * (1 - share) / 700)))
    pulls = reweighting.pulls(found, true)
    assert abs(pulls.mean()) < 3.5 / np.sqrt(30)
    assert 0.65 < pulls.std(ddof=1) < 1.4
    plain = np.array([f.plain - t.value for f, t in zip(found, true)])
    assert plain.mean() < -8 * plain.std(ddof=1) / np.sqrt(30)


def test_pulls_by_hand():
    one = reweighting.Correction(0.4, 0.53, 0.03, {}, 0.03)
    assert reweighting.pulls([one], [Value(0.48, 0.04)]) == pytest.approx([1.0])
    with pytest.raises(ValueError, match="true: found 2 efficiencies, expected 1"):
        reweighting.pulls([one], [Value(0.5, 0.1)] * 2)


def test_the_largest_weight_is_bounded(samples):
    data, simulation, signal, _ = samples
    found = lund.ratio(data, simulation, BINS, n_replicas=2)
    steep = found._replace(value=found.value**3)
    free, bound = (reweighting.weights(steep, signal, most=most)[0] for most in (1e9, 2.0))
    assert bound.max() < free.max()
    assert bound.mean() == pytest.approx(1)
    order = np.argsort(free, kind="stable")
    assert (np.diff(bound[order]) >= -1e-12).all()


def test_sources_draw_the_planes_that_they_ask_for():
    pytest.importorskip("fastjet")
    rng = np.random.default_rng(7)
    p4 = np.abs(rng.normal(size=(60, 4)))
    p4[:, 0] = np.linalg.norm(p4[:, 1:], axis=1)
    offsets = np.array([0, 30, 60])
    signal = reweighting.draw(p4, offsets, 3)
    assert set(signal) == {(0, "kt"), (1, "kt"), (-1, "kt"), (0, "cambridge")}
    assert [signal[k, "kt"].prong.sum() for k in (-1, 0, 1)] == [4, 6, 8]
    control = reweighting.draw(p4, offsets, 2, control=True)
    assert set(control) == {(0, "kt"), (0, "cambridge")}
    found = reweighting.weigh(control, control, reweighting.take(signal, np.array([1])))
    assert set(found.varied) == set(reweighting.SOURCES)
    np.testing.assert_allclose(found.nominal, 1)  # equal samples have nothing to correct
