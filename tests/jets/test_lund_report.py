"""Trials of the Lund correction on toys: what is found, said, kept and drawn."""

import numpy as np
import pytest
from lund_toys import hardness, shower

from hepjax.counting import Value
from hepjax.io import scale_factors
from hepjax.jets import lund, lund_report, reweighting
from hepjax.jets.lund_report import Point
from hepjax.jets.reweighting import Correction
from hepjax.plot import style

PT_EDGES = np.array([550.0, 600, 650])
KEYS = [(0, "kt"), (1, "kt"), (-1, "kt"), (0, "cambridge")]


def sample(rng, n, **options):
    plane = shower(n, rng, **options)
    score = np.log(hardness(plane) + 1.0)
    return lund_report.Sample(dict.fromkeys(KEYS, plane), score, rng.uniform(550, 650, n))


@pytest.fixture(scope="module")
def trials():
    rng, found = np.random.default_rng(0), []
    for k in range(2):
        control = sample(rng, 1500, excess=0.2), sample(rng, 1500)
        signal = sample(rng, 1500, excess=0.2, n_prongs=3), sample(rng, 1500, n_prongs=3)
        cuts = {"30": 6.0, "60": 5.8}
        found.append(lund_report.trial("soft", control, signal, cuts, PT_EDGES, seed=k))
    return found


def test_a_trial_corrects_all_jets_and_bins_of_pt(trials):
    for trial in trials:
        assert trial.points.keys() == trial.in_pt.keys() == {"30", "60"}
        for cut, point in trial.points.items():
            assert point.found.plain < point.true.value
            assert abs(lund_report.pull(point)) < 3.5
            assert set(point.found.shifts) == set(reweighting.SOURCES)
            assert abs(lund_report.pull(trial.control[cut])) < 4
            low, high = trial.in_pt[cut]
            assert min(low.true.value, high.true.value) <= point.true.value
            assert point.true.value <= max(low.true.value, high.true.value)
            assert low.true.error > point.true.error
    data, simulation, weight = trials[0].scores
    assert len(data) == len(simulation) == len(weight) == 1500


def test_a_summary_says_bias_uncertainty_and_pulls(trials):
    found = lund_report.summary(trials)
    points = [t.points["30"] for t in trials]
    bias = np.array([p.found.corrected - p.true.value for p in points])
    assert found["soft_30_corrected_bias"] == pytest.approx(bias.mean())
    assert found["soft_30_corrected_bias_error"] == pytest.approx(bias.std(ddof=1) / np.sqrt(2))
    assert found["soft_30_plain_bias"] < -0.05
    assert found["soft_30_uncertainty"] > found["soft_30_uncertainty_statistical"] > 0
    assert abs(found["soft_30_control_corrected_bias"]) < abs(found["soft_30_control_plain_bias"])
    pulls = [lund_report.pull(p) for p in points]
    assert found["pull_30_mean"] == pytest.approx(np.mean(pulls))
    assert found["pull_30_width"] == pytest.approx(np.std(pulls, ddof=1))
    assert 0 <= found["within_one"] <= found["within_two"] <= 1
    assert found["n_trials"] == 2
    alone = lund_report.summary(trials[:1])
    assert alone["pull_30_width"] is None
    assert alone["soft_30_plain_bias_error"] is None


def test_parts_share_out_a_sample_in_its_order():
    whole = sample(np.random.default_rng(1), 10)
    parts = [lund_report.part(whole, k, 3) for k in range(3)]
    np.testing.assert_array_equal(np.concatenate([p.score for p in parts]), whole.score[:9])
    assert all(len(p.planes[0, "kt"].offsets) == 4 for p in parts)
    empty = lund_report.part(whole._replace(planes={}), 1, 2)
    assert empty.planes == {}
    assert len(empty.pt) == 5


def test_a_table_holds_corrected_over_plain(trials, tmp_path):
    table = lund_report.table(trials[0], PT_EDGES, 2.0)
    point = trials[0].in_pt["60"][1].found
    assert table.central[1, 0, 1, 0] == pytest.approx(point.corrected / point.plain)
    shift = table.up[1, 0, 1, 0] - table.central[1, 0, 1, 0]
    assert shift == pytest.approx(point.total / point.plain)
    scale_factors.write(tmp_path / "sf.json", table)
    again = scale_factors.read(tmp_path / "sf.json", "lund_soft")
    factor = scale_factors.look_up(again, "60", np.array([6]), np.array([620.0]), np.array([1.0]))
    assert factor == pytest.approx(point.corrected / point.plain)
    none = Point(Correction(0.0, 0.1, 0.1, {}, 0.1), Value(0.1, 0.1))
    with pytest.raises(ValueError, match="no simulated jet"):
        lund_report.table(trials[0]._replace(in_pt={"99": [none, none]}), PT_EDGES, 2.0)


def test_all_is_drawn(trials, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "FORMATS", ("png",))
    lund_report.draw(tmp_path, trials, PT_EDGES, "toys")
    names = {"ratio_soft", "score_soft", "closure_soft", "closure_pt_soft", "pulls"}
    assert names == {p.stem for p in tmp_path.iterdir()}
    assert all(p.stat().st_size > 5000 for p in tmp_path.glob("*.png"))


def test_a_ratio_of_a_trial_is_that_of_its_control_jets(trials):
    known = trials[0].ratio.known
    hard = trials[0].ratio.value[2:8, 7:9, :2][known[2:8, 7:9, :2]]  # ln kt from 2 to 3
    assert hard.mean() == pytest.approx(1.2, abs=0.05)
    assert trials[0].ratio.bins is lund.BINS
