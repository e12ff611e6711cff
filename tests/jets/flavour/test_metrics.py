"""The discriminant, its scan, and vertices found."""

import numpy as np
import pytest

from hepjax.jets.flavour import metrics

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def scored():
    label = RNG.integers(0, 4, 80_000)
    logits = RNG.normal(size=(80_000, 4))
    logits[np.arange(80_000), label] += 2
    return logits, label


def test_the_discriminant_of_probabilities(scored):
    logits, _ = scored
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = metrics.discriminant(logits, 0.2, 0.05)
    expected = np.log(p[:, 2] / (0.2 * p[:, 1] + 0.05 * p[:, 3] + 0.75 * p[:, 0]))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(metrics.discriminant(logits, 0, 0), np.log(p[:, 2] / p[:, 0]))


def test_a_larger_share_of_charm_rejects_more_of_it(scored):
    scan = metrics.fraction_scan(*scored, (0.05, 0.2, 0.5, 0.9))
    charm, light = ([r.value for r in scan[name]] for name in ("c", "u"))
    assert np.all(np.diff(charm) > 0)
    assert np.all(np.diff(light) < 0)
    assert "b" not in scan


def test_rejections_are_those_of_each_background_alone(scored):
    logits, label = scored
    score = metrics.discriminant(logits)
    found = metrics.rejections(score, label, 0.7)
    cut = np.quantile(score[label == 2], 0.3)
    for k, name in ((0, "u"), (1, "c"), (3, "tau")):
        assert found[name].value == pytest.approx(1 / (score[label == k] > cut).mean(), rel=0.01)


@pytest.mark.parametrize("shares", [(-0.1, 0), (0.9, 0.2)])
def test_shares_that_are_none(shares):
    with pytest.raises(ValueError, match="f_c, f_tau"):
        metrics.discriminant(np.zeros((1, 4)), *shares)
    with pytest.raises(ValueError, match="logits"):
        metrics.discriminant(np.zeros((1, 3)))


def test_vertices_found_split_merged_and_invented():
    jet = np.repeat(np.arange(5), 4)
    true = np.array([1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0])
    found = np.array([7, 7, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 1, 1, 0, 0, 1, 0, 0, 0])
    label = np.array([2, 2, 2, 0, 1])
    result = metrics.vertex_performance(found, true, jet, label)
    assert float(result.efficiency["b"].value) == pytest.approx(1 / 4)  # of 1, 1 and 2 vertices
    assert set(result.efficiency) == {"b"}  # a vertex of one track does not count
    assert float(result.fake_rate["b"].value) == pytest.approx(3 / 4)
    assert float(result.fake_rate["u"].value) == 1
    perfect = metrics.vertex_performance(true, true, jet, label)
    assert float(perfect.efficiency["b"].value) == 1
    assert float(perfect.fake_rate["b"].value) == 0
