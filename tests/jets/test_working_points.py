"""Working points keep what they promise, and scale factors recover what was put in."""

import itertools

import numpy as np
import pytest

from hepjax.io import scale_factors
from hepjax.jets import working_points

RNG = np.random.default_rng(0)
EDGES = np.array([20.0, 40, 80, 250])


@pytest.fixture(scope="module")
def jets():
    label = RNG.integers(0, 2, 40_000)
    pt = RNG.uniform(20, 250, 40_000)
    return RNG.normal(size=40_000) + label * (1 + pt / 100), label, pt


@pytest.mark.parametrize("efficiency", [0.6, 0.7, 0.95])
def test_a_fixed_cut_keeps_its_share(jets, efficiency):
    score, label, _ = jets
    point = working_points.fixed(score, label, efficiency)
    kept = working_points.passes(point, score)[label == 1].mean()
    assert kept == pytest.approx(efficiency, abs=1e-4)
    assert kept >= efficiency


def test_a_flat_cut_keeps_its_share_in_each_bin(jets):
    score, label, pt = jets
    flat = working_points.flat(score, label, pt, EDGES, 0.7)
    one = working_points.fixed(score, label, 0.7)
    spread = []
    for point in (flat, one):
        kept = working_points.passes(point, score, pt)
        spread.append(
            np.ptp(
                [
                    kept[(label == 1) & (pt >= low) & (pt < high)].mean()
                    for low, high in itertools.pairwise(EDGES)
                ]
            )
        )
    assert spread[0] < 1e-3 < 0.2 < spread[1]
    assert np.all(np.diff(flat.threshold) > 0)
    assert working_points.passes(flat, np.array([9.0, -9.0]), np.array([1e4, -3.0])).tolist() == [
        True,
        False,
    ]


def test_weights_enter_the_share(jets):
    score, label, _ = jets
    weight = RNG.uniform(0, 2, len(score))
    point = working_points.fixed(score, label, 0.7, weight)
    kept = working_points.passes(point, score) & (label == 1)
    assert weight[kept].sum() / weight[label == 1].sum() == pytest.approx(0.7, abs=1e-3)


def sample(n, efficiency, rng):
    passed = {"M": rng.random(n) < efficiency, "T": rng.random(n) < 0.8 * efficiency}
    eta = rng.uniform(-2.5, 2.5, n)
    return working_points.Jets(passed, rng.uniform(20, 250, n), eta, np.ones(n))


def test_scale_factors_are_found_within_their_errors(tmp_path):
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(30):
        data = {5: sample(4000, 0.63, rng), 0: sample(40_000, 0.05, rng)}
        simulation = {5: sample(8000, 0.7, rng), 0: sample(80_000, 0.04, rng)}
        table = working_points.measure("t", data, simulation, EDGES, [0, 1.2, 2.5])
        error = table.up - table.central
        pulls.append((table.central - np.array([0.9, 1.25])[None, :, None, None]) / error)
    assert np.std(pulls) == pytest.approx(1, abs=0.15)
    assert table.working_points == ("M", "T")
    assert table.flavours == (5, 0)
    scale_factors.write(tmp_path / "sf.json", table)
    again = scale_factors.read(tmp_path / "sf.json", "t")
    np.testing.assert_allclose(again.central, table.central)


def test_weighting_by_the_factors_closes():
    """Simulation, weighted, has the efficiency of the data from which the factors come."""
    rng = np.random.default_rng(2)
    data, simulation = {5: sample(60_000, 0.6, rng)}, {5: sample(60_000, 0.7, rng)}
    table = working_points.measure("t", data, simulation, EDGES, [0, 2.5])
    jets = simulation[5]
    factor = scale_factors.look_up(table, "M", np.full(60_000, 5), jets.pt, jets.eta)
    weight = scale_factors.weight(factor, np.full(60_000, 0.7), jets.passed["M"])
    found = (weight * jets.passed["M"]).sum() / weight.sum()
    assert found == pytest.approx(data[5].passed["M"].mean(), abs=0.005)


def test_bad_input_is_named(jets):
    score, label, pt = jets
    with pytest.raises(ValueError, match="efficiency"):
        working_points.fixed(score, label, 1.0)
    with pytest.raises(ValueError, match="label"):
        working_points.fixed(score, np.zeros(len(score)), 0.5)
    with pytest.raises(ValueError, match=r"no signal from 250.0 to 300.0"):
        working_points.flat(score, label, pt, [20, 250, 300], 0.5)
    flat = working_points.flat(score, label, pt, EDGES, 0.5)
    with pytest.raises(ValueError, match="x: expected the variable"):
        working_points.passes(flat, score)
    rng = np.random.default_rng(3)
    a = {5: sample(100, 0.5, rng)}
    with pytest.raises(ValueError, match="flavours"):
        working_points.measure("t", a, {4: a[5]}, EDGES, [0, 2.5])
    with pytest.raises(ValueError, match="a bin without jets"):
        working_points.measure("t", a, a, [250, 300], [0, 2.5])
    none = working_points.Jets({"M": np.zeros(100, bool)}, *a[5][1:])
    with pytest.raises(ValueError, match="none passes M"):
        working_points.measure("t", {5: none}, {5: none}, EDGES, [0, 2.5])
