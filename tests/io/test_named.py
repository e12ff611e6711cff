"""Any file of columns: one or two files, CSV or parquet, and angles in other units."""

import gzip

import numpy as np
import pytest

from hepjax.io import named, parquet
from hepjax.io.trees import BadFile

NAMES = {"event": "ev", "time": "t", "x": "px", "y": "py", "z": "pz", "charge": "q"}
TRUTH = {"zenith": "th", "azimuth": "ph", "energy": "e"}
COLUMNS = {
    "ev": np.array([8, 3, 8]),
    "t": np.array([5.0, 1.0, 4.0]),
    "px": np.array([0.0, 50, 0]),
    "py": np.zeros(3),
    "pz": np.array([1.0, 2, 3]),
    "q": np.array([1.5, 2, 0.5]),
    "th": np.array([120.0, 30, 120]),
    "ph": np.array([10.0, 350, 10]),
    "e": np.array([100.0, 10, 100]),
}


def csv(path, columns):
    rows = [",".join(columns)]
    rows += [",".join(map(str, row)) for row in zip(*columns.values())]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def path(tmp_path):
    return csv(tmp_path / "a.csv", COLUMNS)


@pytest.mark.smoke
def test_one_file_with_pulses_and_truth(path):
    table = named.read(path, NAMES, truth_names=TRUTH, degrees=True)
    assert table.events["number"].tolist() == [3, 8]
    np.testing.assert_allclose(np.degrees(table.events["zenith"]), [30, 120])
    assert table.events["energy"].tolist() == [10, 100]
    assert table.pulses["time"].tolist() == [1, 4, 5]
    assert table.pulses["charge"].tolist() == [2, 0.5, 1.5]


def test_directions_of_travel_are_turned(path):
    table = named.read(path, NAMES, truth_names=TRUTH, degrees=True, travel=True)
    np.testing.assert_allclose(np.degrees(table.events["zenith"]), [150, 60])
    np.testing.assert_allclose(np.degrees(table.events["azimuth"]), [170, 190])


def test_two_files_of_different_kinds(tmp_path):
    pytest.importorskip("pyarrow")
    parquet.write(tmp_path / "p.parquet", {k: COLUMNS[k] for k in NAMES.values()})
    truth = {"id": [8, 9, 3], "th": [2.0, 1.0, 0.5]}
    found = csv(tmp_path / "t.csv", truth)
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(found.read_bytes()))
    names = {"event": "id", "zenith": "th"}
    for file in (found, packed):
        table = named.read(tmp_path / "p.parquet", NAMES, truth=file, truth_names=names)
        assert table.events["number"].tolist() == [8, 3]
        assert table.events["zenith"].tolist() == [2, 0.5]
        assert table.dropped == {"events without pulses": 1}


def test_no_truth_at_all(path):
    assert list(named.read(path, NAMES).events) == ["number"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": np.array([5.0, np.nan, 4])}, "column time: expected finite numbers, row 1: nan"),
        ({"ev": np.array([8, 3.5, 8])}, r"column event, row 1: 3\.5"),
        ({"th": np.array([120.0, 30, 121])}, r"column th, row 2: 121\.0, expected 120\.0 as in"),
        ({"th": np.array([220.0, 30, 220])}, "column zenith, row 1"),
        ({"q": np.array(["a", "b", "c"])}, r"a\.csv: .*could not convert|a\.csv"),
        ({"pz": None}, "columns pz missing"),
    ],
)
def test_bad_files_are_named(tmp_path, change, message):
    kept = {k: v for k, v in (COLUMNS | change).items() if v is not None}
    path = csv(tmp_path / "a.csv", kept)
    with pytest.raises(BadFile, match=message):
        named.read(path, NAMES, truth_names=TRUTH, degrees=True)


def test_bad_calls_are_named(path, tmp_path):
    with pytest.raises(BadFile, match=r"ends in \.csv, \.csv\.gz or \.parquet"):
        named.read(tmp_path / "a.txt", NAMES)
    with pytest.raises(BadFile, match=r"none\.csv: no such file"):
        named.read(tmp_path / "none.csv", NAMES)
    with pytest.raises(ValueError, match="no event"):
        named.read(path, {"time": "t"})
    with pytest.raises(ValueError, match="no event"):
        named.read(path, NAMES, truth=path, truth_names=TRUTH)
