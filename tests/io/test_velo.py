"""Velo events: the units, the way back, and every way in which a file can lie."""

import gzip
import json

import numpy as np
import pytest

from hepjax.io import hits, velo
from hepjax.io.trees import BadFile

NAMES = ["key", "pid", "p", "pt", "eta", "phi", "isLong", "charge", "hits"]


def content(**changed):
    particles = [
        [7, -211, 4000.0, 500.0, 2.5, 1.0, 1, 0.0, [0, 2]],
        [9, 11, 90.0, 9.0, -3, 0, 0, 0, []],
    ]
    montecarlo = {"description": NAMES, "particles": particles}
    table = {k: [0.0, 1.0, 2.0] for k in "xyz"}
    return {**table, "module_prefix_sum": [0, 1, 1, 3], "montecarlo": montecarlo, **changed}


def test_units_modules_and_truth():
    event = velo.from_json(content())
    assert event.hits["module"].tolist() == [0, 2, 2]
    assert event.particles["p"].tolist() == [4.0, 0.09]
    assert event.particles["is_long"].tolist() == [True, False]
    assert event.particles["charge"].tolist() == [-1, -1]
    assert event.truth.tolist() == [[0, 0], [2, 0]]


def test_there_and_back(tmp_path):
    event = velo.from_json(content())
    for name in ("a_1.json", "a_2.json.gz"):
        opened = gzip.open if name.endswith("gz") else open
        with opened(tmp_path / name, "wt") as file:
            json.dump(velo.to_json(event), file)
    events, skipped = velo.read(tmp_path)
    assert not skipped
    assert len(events) == 2
    for again in events:
        for table, other in ((event.hits, again.hits), (event.particles, again.particles)):
            assert set(table) == set(other)
            for name, values in table.items():
                np.testing.assert_allclose(other[name], values)
        np.testing.assert_array_equal(again.truth, event.truth)


def test_an_event_without_hits_or_truth():
    empty = {k: [] for k in "xyz"}
    event = velo.from_json({**empty, "module_prefix_sum": [0] * 53, "montecarlo": None})
    assert hits.n_hits(event) == hits.n_particles(event) == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"module_prefix_sum": [0, 2, 1, 3]}, "rise from 0 to 3"),
        ({"module_prefix_sum": [0, 1, 2]}, "rise from 0 to 3"),
        ({"x": [0.0, float("nan"), 1.0]}, "x of hit 1: nan"),
        ({"x": [0.0, "east", 1.0]}, "x: could not convert"),
        ({"y": [0.0, 1.0]}, r"y: \[2\] values"),
        ({"montecarlo": {"description": NAMES, "particles": [[1, 2, [0]]]}}, "expected rows"),
        (
            {"montecarlo": {"description": ["pid", "hits"], "particles": [[11, [0, 3]]]}},
            "names hit 3, expected 0 to 2",
        ),
    ],
)
def test_a_file_that_lies_is_named(changed, message, tmp_path):
    path = tmp_path / "e_0.json"
    path.write_text(json.dumps(content(**changed)))
    with pytest.raises(BadFile, match=f"{path}: .*{message}"):
        velo.read_event(path)


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    (tmp_path / "e_0.json").write_text('{"x": [1')
    (tmp_path / "e_1.json").write_text(json.dumps(content()))
    with pytest.raises(BadFile, match=r"e_0\.json: cannot be read"):
        velo.read(tmp_path)
    with pytest.warns(RuntimeWarning, match="1 of 2 files skipped"):
        events, skipped = velo.read(tmp_path, skip_bad=True)
    assert len(events) == 1
    assert skipped[0].path.endswith("e_0.json")


def test_missing_file_and_fields(tmp_path):
    with pytest.raises(BadFile, match="no such file"):
        velo.read_event(tmp_path / "none.json")
    with pytest.raises(BadFile, match="x, module_prefix_sum missing"):
        velo.from_json({"y": [], "z": []})


def test_unsorted_modules_cannot_be_written():
    event = velo.from_json(content())
    event.hits["module"] = np.array([2, 0, 1])
    with pytest.raises(ValueError, match="not sorted by module"):
        velo.to_json(event)


def test_simulated_events(hepjax_data):
    """The figures that are known of the public events: modules, noise, shared hits."""
    event = velo.read_event(hepjax_data / "velo" / "velo_event_0.json.gz")
    assert hits.n_hits(event) == 2090
    assert event.hits["module"].max() < 52
    assert np.all(
        np.sign(event.particles["pid"][np.abs(event.particles["pid"]) == 211])
        == event.particles["charge"][np.abs(event.particles["pid"]) == 211]
    )
    count = np.bincount(event.truth[:, 0], minlength=2090)
    assert 0.05 < (count == 0).mean() < 0.2
    assert 0 < (count > 1).mean() < 0.03
