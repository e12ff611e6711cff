"""Columns of parquet files, flat and nested, and files that are damaged."""

import numpy as np
import pytest

from hepjax.io import parquet
from hepjax.io.trees import BadFile

pyarrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

COLUMNS = {"a": np.arange(4), "b": np.array([0.5, np.nan, 1, 2]), "c": np.arange(4) > 1}


@pytest.fixture
def path(tmp_path):
    parquet.write(tmp_path / "a.parquet", COLUMNS)
    return tmp_path / "a.parquet"


def test_there_and_back(path):
    assert parquet.names(path) == ["a", "b", "c"]
    found = parquet.read(path)
    for name, values in COLUMNS.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
    assert [p.name for p in path.parent.iterdir()] == ["a.parquet"]


def test_some_columns_and_rows(path):
    found = parquet.read(path, ("b",), rows=COLUMNS["c"])
    assert list(found) == ["b"]
    assert found["b"].tolist() == [1, 2]


def test_missing_numbers_are_nan_and_text_is_left_out(tmp_path):
    table = pyarrow.table({"n": [1, None, 3], "text": ["a", "b", "c"]})
    pq.write_table(table, tmp_path / "b.parquet")
    found = parquet.read(tmp_path / "b.parquet")
    assert list(found) == ["n"]
    np.testing.assert_array_equal(found["n"], [1, np.nan, 3])
    with pytest.raises(BadFile, match=r"b\.parquet: column text: string, expected numbers"):
        parquet.read(tmp_path / "b.parquet", ("text",))


def struct(tmp_path, rows):
    path = tmp_path / "c.parquet"
    pq.write_table(pyarrow.table({"hits": rows}), path, row_group_size=2)
    return path


def test_lists_of_a_struct_are_flat_with_offsets(tmp_path):
    rows = [{"t": [1.0, 2.0], "n": [1, 2]}, {"t": [], "n": []}, {"t": [3.0], "n": [3]}]
    found, offsets = parquet.nested(struct(tmp_path, rows), "hits", ("t", "n"))
    assert found["t"].tolist() == [1, 2, 3]
    assert found["n"].dtype == np.int64
    assert offsets is not None
    assert offsets.tolist() == [0, 2, 2, 3]


def test_numbers_of_a_struct_have_no_offsets(tmp_path):
    rows = [{"energy": 1.0, "pid": 14}, {"energy": 2.0, "pid": 12}]
    found, offsets = parquet.nested(struct(tmp_path, rows), "hits", ("pid",))
    assert found["pid"].tolist() == [14, 12]
    assert offsets is None


@pytest.mark.parametrize("size", [0, 3, 100, -5])
def test_a_file_cut_off_is_named(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BadFile, match=r"a\.parquet: cannot be read"):
        parquet.read(path)


def test_bad_calls_are_named(path, tmp_path):
    with pytest.raises(BadFile, match="no such file"):
        parquet.read(tmp_path / "none.parquet")
    with pytest.raises(BadFile, match=r"columns \['d'\] missing, found \['a', 'b', 'c'\]"):
        parquet.read(path, ("a", "d"))
    with pytest.raises(BadFile, match="column hits missing"):
        parquet.nested(path, "hits", ("t",))
    rows = [{"t": [1.0, 2.0], "n": [1], "s": ["x"]}]
    for fields, message in (
        (("t", "n"), "other lengths"),
        (("u",), r"fields \['u'\] of hits missing"),
        (("s",), "hits.s: string, expected numbers"),
    ):
        with pytest.raises(BadFile, match=message):
            parquet.nested(struct(tmp_path, rows), "hits", fields)
