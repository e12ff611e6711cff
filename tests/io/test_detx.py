"""KM3NeT's detectors as text, in old and new versions."""

import numpy as np
import pytest

from hepjax.io import detx
from hepjax.io.trees import BadFile

TUBES = " 1 0.0 0.0 10.2 0 0 1 5.0\n 2 0.0 0.0 9.8 0 0 -1 7.0\n"
OLD = f"1 2\n101 1 1 2\n{TUBES}102 1 2 1\n 3 0.0 1.0 20.0 0 0 1 9.0\n"
PLACE = "0.0 1e9\nUTM WGS84 32N 256500.0 4743000.0 -2425.0\n"
NEW = f"""# a comment
23 v5
{PLACE}2
101 1 1 0.0 0.0 10.0 1.0 0.0 0.0 0.0 3.0 0 2
{TUBES.replace("5.0", "5.0 0").replace("7.0", "7.0 0")}102 1 2 0.0 1.0 20.0 1 0 0 0 3.0 0 1
 3 0.0 1.0 20.0 0 0 1 9.0 0
"""


@pytest.mark.smoke
@pytest.mark.parametrize("text", [OLD, NEW, OLD.replace("1 2\n101", f"1 v2\n{PLACE}2\n101")])
def test_modules_and_delays(text):
    found = detx.parse(text)
    assert found.modules.number.tolist() == [101, 102]
    np.testing.assert_allclose(found.modules.position, [[0, 0, 10], [0, 1, 20]])
    assert found.modules.string.tolist() == [1, 1]
    np.testing.assert_array_equal(found.delay, [[5, 7], [9, np.nan]])


def test_delays_of_hits():
    module, channel = np.array([102, 101, 101, 102, 103, 101]), np.array([0, 1, 0, 1, 0, -1])
    found = detx.delays(detx.parse(OLD), module, channel)
    np.testing.assert_array_equal(found, [9, 7, 5, np.nan, 0, np.nan])


def test_modules_without_photomultipliers_are_none():
    assert detx.parse("1 2\n7 0 0 0\n8 1 1 1\n 3 0 1 20 0 0 1 9\n").modules.number.tolist() == [8]


@pytest.mark.parametrize("line", range(1, 7))
def test_a_file_cut_off_is_named(tmp_path, line):
    path = tmp_path / "a.detx"
    path.write_text("\n".join(OLD.splitlines()[: line - 1]))
    with pytest.raises(BadFile, match=r"a\.detx: .*expected a detx file"):
        detx.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OLD.replace("9.8", "x"), "could not convert string to float: 'x', at '101 1 1 2'"),
        (OLD.replace("102", "101"), "each module once"),
        (OLD.replace("20.0", "nan"), "at a finite place"),
        ("", "expected a detx file"),
    ],
)
def test_bad_text_is_named(text, message):
    with pytest.raises(BadFile, match=message):
        detx.parse(text)


def test_no_file_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"none\.detx: no such file"):
        detx.read(tmp_path / "none.detx")
    (tmp_path / "b.detx").write_bytes(b"\xff\xfe\x00\x80" * 10)
    with pytest.raises(BadFile, match=r"b\.detx"):
        detx.read(tmp_path / "b.detx")
