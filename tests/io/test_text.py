"""Text, packed or not, and what is none."""

import gzip

import pytest

from hepjax.io import text
from hepjax.io.trees import BadFile

WORDS = "eins\nzwei é\n" * 50


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_there_and_back(tmp_path, name):
    raw = WORDS.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    assert text.read(tmp_path / name) == WORDS


def test_what_cannot_be_read_is_named(tmp_path):
    packed = gzip.compress(WORDS.encode())
    spoiled = packed[:15] + bytes([255]) * 9 + packed[24:]
    for name, raw in {
        "cut.gz": packed[:-9],
        "spoiled.gz": spoiled,
        "plain.gz": WORDS.encode(),
        "latin.txt": WORDS.encode("latin-1"),
    }.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(BadFile, match=rf"{name}: cannot be read \("):
            text.read(tmp_path / name)
    with pytest.raises(BadFile, match=r"none\.txt: no such file"):
        text.read(tmp_path / "none.txt")
