"""Temperature, working points and scale factors: fitted on some jets, said of others."""

import numpy as np
import pytest
from scipy import special

from hepjax.io import scale_factors
from hepjax.jets import calibration_report as report
from hepjax.jets import working_points as points
from hepjax.plot import style

PT_EDGES, ETA_EDGES = np.array([20.0, 60, 100]), np.array([0.0, 1.0, 2.0])
FLAVOURS = {0: 0, 1: 5}


def scored(seed, n=8000, factor=1.0, shift=0.0):
    """Two classes whose probabilities are right but for a factor of the logits; the signal of data
    is lower by `shift`, and more so at high pt.
    """
    rng = np.random.default_rng(seed)
    pt, eta = rng.uniform(20, 100, n), rng.uniform(-2, 2, n)
    gap = rng.normal(0, 2, n) + 0.01 * pt
    label = (rng.random(n) < special.expit(gap)).astype(int)
    gap = gap - shift * (pt / 60) * label
    logits = factor * np.stack([-gap / 2, gap / 2], -1)
    return report.Scored(logits, label, gap, pt, eta)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(style, "FORMATS", ("png",))


def test_the_temperature_mends_what_was_too_sure(tmp_path):
    found = report.temperature(
        tmp_path / "reliability", scored(0, factor=2.0)[:2], scored(1, factor=2.0)[:2], "toys"
    )
    assert abs(found["temperature"] - 2) < 4 * found["temperature_error"]
    before, after = (found[f"calibration_error_{k}"] for k in ("before", "after"))
    assert before > after + 5 * found["calibration_error_before_error"]
    assert after < 2 * found["calibration_error_after_noise"]
    assert found["n_calibration"] == found["n_held_out"] == 8000
    assert (tmp_path / "reliability.png").exists()


def test_flat_cuts_are_flat_and_fixed_ones_keep_what_was_asked(tmp_path):
    edges = np.linspace(20, 100, 5)
    found, numbers = report.working_points(
        tmp_path, scored(0, 20_000), scored(1, 20_000), 1, [0.7], edges, "toys"
    )
    assert set(found) == {"fixed_70", "flat_70"}
    for name in found:
        gap = numbers[f"{name}_efficiency"] - 0.7
        assert abs(gap) < 4.5 * numbers[f"{name}_efficiency_error"]  # the cut has an error too
    assert numbers["n_pt_bins"] == 4
    assert numbers["flat_70_chi2"] < 20 < numbers["fixed_70_chi2"]
    assert (tmp_path / "working_points.png").exists()


def tables(shift, seed=0):
    """Scale factors from some jets, and others to apply them to."""
    a, b, c, d = (scored(seed + k, shift=shift * (k % 2)) for k in range(4))
    point = {"cut": points.WorkingPoint(0.7, None, np.array([1.0]))}
    simulation, data, other, true = (report.by_flavour(x, point, FLAVOURS) for x in (a, b, c, d))
    kept = report.measurable(simulation, PT_EDGES, ETA_EDGES)
    assert kept == [0, 5]
    edges = PT_EDGES.tolist(), ETA_EDGES.tolist()
    measured = points.measure("sf", data, simulation, *edges)
    return measured, points.efficiencies("own", simulation, *edges), true, other


def test_scale_factors_close_on_jets_that_had_no_part_in_them(tmp_path):
    *both, data, simulation = tables(0.5)
    scale_factors.write(tmp_path / "sf.json", *both)
    read = [scale_factors.read(tmp_path / "sf.json", name) for name in ("sf", "own")]
    found, pulls = report.closure(*read, data, simulation)
    assert found["sf_n"] == 8
    assert found["sf_chi2_before_p"] < 1e-6
    assert found["sf_chi2_after_p"] > 0.001
    assert pulls.shape == (2, 8)
    assert found["sf_chi2_after"] == pytest.approx(np.sum(pulls[1] ** 2))


def test_pulls_of_a_closure_have_width_one():
    pulls = np.concatenate(
        [report.closure(*tables(0.3, seed))[1][1] for seed in range(100, 160, 4)]
    )
    assert abs(pulls.mean()) < 4 / np.sqrt(len(pulls))
    assert pulls.std() == pytest.approx(1, abs=0.25)


def test_sparse_flavours_are_left_out():
    jets = scored(5, 600)
    point = {"tight": points.WorkingPoint(0.1, None, np.array([2.5]))}
    found = report.by_flavour(jets, point, FLAVOURS)
    assert report.measurable(found, PT_EDGES, ETA_EDGES) == [5]
    none = {"none": points.WorkingPoint(0.1, None, np.array([99.0]))}
    every = {"all": points.WorkingPoint(0.9, None, np.array([-99.0]))}
    for point in (none, every):
        with pytest.raises(ValueError, match="fewer than 10 pass"):
            report.measurable(report.by_flavour(jets, point, FLAVOURS), PT_EDGES, ETA_EDGES)


def test_efficiencies_are_counted_in_bins():
    found = report.by_flavour(
        scored(7), {"cut": points.WorkingPoint(0.5, None, np.array([0.5]))}, FLAVOURS
    )
    table = points.efficiencies("own", found, PT_EDGES.tolist(), ETA_EDGES.tolist())
    own = found[5]
    here = (own.pt < 60) & (np.abs(own.eta) < 1)
    share = own.passed["cut"][here].mean()
    assert table.central[0, 1, 0, 0] == pytest.approx(share)
    error = np.sqrt(share * (1 - share) / here.sum())
    assert table.up[0, 1, 0, 0] - share == pytest.approx(error)
