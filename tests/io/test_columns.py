"""Columns of CSV files, plain and gzipped, and what is wrong with bad ones."""

import gzip

import numpy as np
import pytest

from hepjax.io import columns
from hepjax.io.trees import BadFile

TEXT = "id,x,note\n9007199254740993,0.5,1\n3,-2,4\n"


@pytest.mark.parametrize("zipped", [False, True])
def test_numbers_of_64_bits_and_floats(tmp_path, zipped):
    path = tmp_path / ("a.csv.gz" if zipped else "a.csv")
    path.write_bytes(gzip.compress(TEXT.encode()) if zipped else TEXT.encode())
    assert columns.find(tmp_path / "a.csv") == path
    found = columns.read(path, ("x",), whole=("id",))
    assert list(found) == ["id", "x", "note"]
    assert found["id"].tolist() == [9007199254740993, 3]
    np.testing.assert_array_equal(found["x"], [0.5, -2])


def test_only_what_is_asked_for(tmp_path):
    """A column that holds no numbers does not matter where it is not read."""
    path = tmp_path / "a.csv"
    path.write_text("a,words,b\n1,,2\n3,,4\n")
    assert columns.read(path, ("b", "a"), only=True)["b"].tolist() == [2, 4]
    with pytest.raises(BadFile, match=r"a\.csv: "):
        columns.read(path, ("b",))


def test_no_rows_and_no_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n")
    assert columns.read(path, ("a",))["b"].shape == (0,)
    assert columns.find(tmp_path / "b.csv") is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"b\n1\n"])
def test_bad_files_are_named(tmp_path, content):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"bad\.csv: (columns a missing|cannot be read)"):
        columns.read(path, ("a",))


def test_rows_of_ids():
    known = np.array([9, 2, 9007199254740993])
    assert columns.rows("a", np.array([2, 9007199254740993, 2]), known).tolist() == [1, 2, 1]
    assert columns.rows("a", known[:0], known[:0]).shape == (0,)
    with pytest.raises(BadFile, match=r"a\.csv: row 1 names 3, which is not there \(1 such"):
        columns.rows("a.csv", np.array([2, 3]), known)
    with pytest.raises(BadFile, match="row 0 names 2"):
        columns.rows("a", np.array([2, 3]), known[:0])
