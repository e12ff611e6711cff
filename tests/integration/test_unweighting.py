"""Unweighting: limits by their definition, kept events, and the cross-section that stays."""

import numpy as np
import pytest

from hepjax.integration import unweighting


@pytest.fixture(scope="module")
def weight():
    rng = np.random.default_rng(0)
    return rng.lognormal(0, 1.2, 20_000) * rng.choice([1, 1, 1, -1], 20_000)


@pytest.mark.parametrize("overweight", [0.0, 1e-3, 0.05, 0.5])
def test_the_limit_is_what_it_is_said_to_be(weight, overweight):
    found = unweighting.efficiency(weight, overweight)
    size = np.abs(weight)
    assert found.overweight_fraction == pytest.approx(overweight, abs=1e-12)
    assert found.efficiency == pytest.approx(np.minimum(size / found.limit, 1).mean())
    assert found.n == len(weight)
    if not overweight:
        assert found.limit == size.max()
        assert found.efficiency == pytest.approx(size.mean() / size.max())


def test_overweights_carry_what_is_above_and_restore_the_sum(weight):
    """Over many draws: the sum of the weights of kept events is that of all, in units of the
    limit, which a clipped one would miss by 5 %.
    """
    most = unweighting.limit(weight, 0.05)
    rng = np.random.default_rng(1)
    sums, counts = [], []
    for _ in range(200):
        index, carried = unweighting.unweight(weight, most, rng)
        assert (np.abs(carried) >= 1).all()
        assert (np.sign(carried) == np.sign(weight[index])).all()
        sums.append(carried.sum())
        counts.append(len(index))
    expected = weight.sum() / most
    assert np.mean(sums) == pytest.approx(expected, abs=4 * np.std(sums) / np.sqrt(200))
    assert np.std(sums) / np.sqrt(200) < 0.01 * expected
    found = unweighting.efficiency(weight, 0.05).efficiency
    assert np.mean(counts) / len(weight) == pytest.approx(found, rel=0.01)


@pytest.mark.parametrize("overweight", [0.0, 1e-3, 0.05, 0.5])
def test_what_is_carried_restores_the_cross_section_exactly(weight, overweight):
    """Probability to be kept, by a uniform number of each point, times what is carried: the weight
    itself, point by point.
    """
    most = unweighting.limit(weight, overweight)

    class Even:
        def __init__(self, u):
            self.u = u

        def uniform(self, size):
            return np.full(size, self.u)

    grid = (np.arange(1000) + 0.5) / 1000
    total = np.zeros(len(weight[:200]))
    for u in grid:
        index, carried = unweighting.unweight(weight[:200], most, Even(u))
        total[index] += carried / len(grid)
    np.testing.assert_allclose(total, weight[:200] / most, atol=0.51 / len(grid))


def test_equal_weights_are_all_kept():
    index, carried = unweighting.unweight(np.full(50, 3.0), 3.0, np.random.default_rng(0))
    assert len(index) == 50
    assert (carried == 1).all()


def test_bad_weights_are_named():
    with pytest.raises(ValueError, match=r"overweight: 1\.0, expected 0 to 1"):
        unweighting.limit(np.ones(3), 1.0)
    for bad in (np.zeros(0), np.zeros(3), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="points, expected finite numbers"):
            unweighting.limit(bad)
