"""Dumps of matrix elements: what is read, and what is refused."""

import numpy as np
import pytest

from hepjax.io import amplitude_dump

POINT = "Event 0 Batch 0\n 0 5 0 0 5\n 1 5 0 0 -5\n 2 5 3 0 4\n 3 5 -3 0 -4\n ME {}\nSelHel 3\n\n"


def written(tmp_path, text):
    path = tmp_path / "dump.txt"
    path.write_text(text)
    return path


def test_points_and_values(tmp_path):
    found = amplitude_dump.read(written(tmp_path, POINT.format(0.5) + POINT.format("2e-3")))
    assert found.momenta.shape == (2, 4, 4)
    np.testing.assert_array_equal(found.value, [0.5, 2e-3])
    np.testing.assert_array_equal(found.momenta[1, 3], [5, -3, 0, -4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 points of"),
        (POINT.format(1) + " 0 5 0 0 5\n 1 5 0 0 -5\n ME 2\n", r"2 points of \[2, 4\] legs"),
        (POINT.format(1) + " 0 5 0 0 5\n", "1 points of"),
        (POINT.format("x"), "line 6: 'ME x' is no momentum"),
        (POINT.format("nan"), "expected finite numbers"),
        (POINT.format(1).replace(" 2 5", " 4 5"), "line 4: leg 4, expected 2"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        amplitude_dump.read(written(tmp_path, text))
