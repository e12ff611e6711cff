"""Pictures and pages of events hold their hits, tracks and ghosts."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepjax.io import hits
from hepjax.tracking import display


@pytest.fixture
def event():
    table = {k: np.array([3.0, 1, 2, 9, 9, 9]) for k in "xyz"} | {"module": np.arange(6)}
    return hits.Event(table, {"pid": np.array([211])}, np.array([[0, 0], [1, 0], [2, 0]]))


FOUND = np.array([[0, 0], [1, 0], [2, 0], [3, 1], [4, 1], [5, 1]])


def test_tracks_as_lists_go_along(event):
    assert display.lists(FOUND, event.hits["z"]) == [[1, 2, 0], [3, 4, 5]]
    assert display.lists(FOUND[:0], event.hits["z"]) == []


def test_ghosts(event):
    assert display.ghosts(event, FOUND).tolist() == [False, True]
    bare = event._replace(truth=event.truth[:0])
    assert display.ghosts(bare, FOUND).tolist() == [False, False]


def test_a_picture(event):
    axes = display.picture(Figure().subplots(1, 2), event, FOUND)
    for ax in axes:
        styles = [line.get_linestyle() for line in ax.lines]
        assert styles.count("--") == 1
        assert len(ax.lines) == 1 + 1 + 2
    assert axes[0].get_ylabel() == "y [mm]"


def test_a_page(event, tmp_path):
    display.page(tmp_path / "event.html", event, FOUND, about="a </script> b")
    text = (tmp_path / "event.html").read_text()
    assert text.count("</script>") == 1
    held = json.loads(re.search(r"const event = (.*);\n", text)[1])
    assert held["about"] == "a </script> b"
    assert held["found"] == [[1, 2, 0], [3, 4, 5]]
    assert held["true"] == [[1, 2, 0]]
    assert held["ghost"] == [False, True]
    assert len(held["hits"]) == 6


def test_an_empty_event(tmp_path):
    table = {k: np.zeros(0) for k in "xyz"} | {"module": np.zeros(0, int)}
    empty = hits.Event(table, {}, np.zeros((0, 2), int))
    display.picture(Figure().subplots(1, 2), empty, np.zeros((0, 2), int))
    display.page(tmp_path / "event.html", empty, np.zeros((0, 2), int))
