"""Unweighting: limits by their definition, kept events, and the cross-section that stays."""

import numpy as np
import pytest

from hepjax.integration.events import unweighting


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


def test_points_that_count_more_than_once(weight):
    """As if they stood there as often."""
    few = np.abs(weight[:300])
    times = np.random.default_rng(4).integers(0, 5, 300)
    many = np.repeat(few, times)
    for overweight in (0.0, 0.02, 0.3):
        one, other = (
            unweighting.efficiency(few, overweight, times),
            unweighting.efficiency(many, overweight),
        )
        assert one.limit == pytest.approx(other.limit, rel=1e-12)
        assert one.efficiency == pytest.approx(other.efficiency, rel=1e-12)
        assert one.overweight_fraction == pytest.approx(overweight, abs=1e-12)


def test_worth_of_weighted_events():
    assert unweighting.effective(np.full(7, 2.5)) == pytest.approx(1)
    assert unweighting.effective([1.0, -1.0, 1.0, 1.0]) == pytest.approx(1)
    assert unweighting.effective([1.0, 0.0]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="weight: 0 events, expected some that are not 0"):
        unweighting.effective([])


@pytest.fixture(scope="module")
def channels():
    """Three channels, of different numbers of points, sizes and tails; weight [point], channel."""
    rng = np.random.default_rng(2)
    counts, sizes, tails = (2000, 8000, 4000), (1.0, 20.0, 0.1), (0.3, 0.8, 1.3)
    parts = [size * rng.lognormal(0, t, n) for n, size, t in zip(counts, sizes, tails)]
    weight = np.concatenate(parts) * rng.choice([1, 1, 1, -1], sum(counts))
    return weight, np.repeat(np.arange(3), counts)


@pytest.mark.parametrize("overweight", [0.0, 1e-3, 0.05])
def test_limits_of_channels(channels, overweight):
    weight, channel = channels
    found = unweighting.by_channel(weight, channel, 3, overweight)
    parts = [np.abs(weight[channel == k]) for k in range(3)]
    total = sum(part.mean() for part in parts)
    above = sum(np.maximum(p - x, 0).mean() for p, x in zip(parts, found.limits))
    assert above / total == pytest.approx(overweight, abs=1e-9)
    assert found.overweight_fraction == pytest.approx(overweight, abs=1e-9)
    assert found.efficiency == pytest.approx((1 - overweight) * total / found.limits.sum())
    np.testing.assert_allclose(found.share, found.limits / found.limits.sum())
    assert found.n == len(weight)
    if not overweight:
        np.testing.assert_array_equal(found.limits, [part.max() for part in parts])
        return
    own = np.array([unweighting.limit(part, overweight) for part in parts])
    assert found.limits.sum() < own.sum()  # better than the same share of each


def test_channels_restore_the_integral(channels):
    """Over many draws, that of each channel too, though points are not shared as limits are; all
    events have the weight of one, or more above the limit.
    """
    weight, channel = channels
    limits = unweighting.by_channel(weight, channel, 3, 0.05).limits
    unit = (limits / np.bincount(channel)).max()
    rng, sums, counts = np.random.default_rng(3), [], []
    for _ in range(200):
        index, carried = unweighting.unweight_channels(weight, channel, limits, rng)
        assert (np.abs(carried) >= 1).all()
        sums.append(np.bincount(channel[index], carried, minlength=3))
        counts.append(np.bincount(channel[index], minlength=3))
    expected = np.array([weight[channel == k].mean() for k in range(3)])
    error = np.std(sums, 0) / 200**0.5
    assert (np.abs(np.mean(sums, 0) - expected / unit) < 4 * error).all()
    assert error[1] * unit < 0.01 * expected[1]
    index, carried = unweighting.unweight_channels(weight, channel, limits, rng)
    above = np.abs(weight[index]) > limits[channel[index]]
    np.testing.assert_array_equal(np.abs(carried) > 1, above)
    np.testing.assert_array_equal(np.sign(carried), np.sign(weight[index]))


def test_points_shared_as_limits_are_lose_none_to_others():
    """Then each is kept with probability |w| / limit, and the efficiency is as promised."""
    rng = np.random.default_rng(5)
    limits = np.array([1.0, 3.0])
    channel = np.repeat([0, 1], [5000, 15_000])
    weight = rng.uniform(0, 1, 20_000) ** 2 * limits[channel]
    weight[[0, 5000]] = limits
    found = unweighting.by_channel(weight, channel, 2)
    np.testing.assert_allclose(found.share, [0.25, 0.75])
    kept = len(unweighting.unweight_channels(weight, channel, found.limits, rng)[0]) / 20_000
    assert kept == pytest.approx(found.efficiency, abs=4 * (found.efficiency / 20_000) ** 0.5)
    assert found.efficiency == pytest.approx(1 / 3, abs=0.01)


def test_a_channel_that_is_zero_gives_no_events():
    weight, channel = np.array([0.0, 0.0, 1.0, 2.0]), np.array([0, 0, 1, 1])
    found = unweighting.by_channel(weight, channel, 2)
    assert found.limits.tolist() == [0, 2]
    rng = np.random.default_rng(0)
    for _ in range(20):
        index, _ = unweighting.unweight_channels(weight, channel, found.limits, rng)
        assert set(index.tolist()) <= {2, 3}
    with pytest.raises(ValueError, match="channel 2: no points, expected some; n: 4"):
        unweighting.by_channel(weight, channel, 3)
    with pytest.raises(ValueError, match=r"overweight: -0\.1, expected 0 to 1"):
        unweighting.by_channel(weight, channel, 2, -0.1)
