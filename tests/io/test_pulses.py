"""A table of pulses: sorted and joined as it must be, and every way in which columns can lie."""

import logging

import numpy as np
import pytest

from hepjax.io import pulses
from hepjax.io.pulses import Modules
from hepjax.io.trees import BadFile

MODULES = Modules(
    np.array([30, 10, 20]), np.array([[0.0, 0, 0], [50, 0, 0], [0, 50, 0]]), np.array([1, 2, 2])
)


def given(**changed):
    """Five pulses of the events 4, 2, 2, 4, 4; event 3 has none."""
    hits = {
        "time": [7e7 + 5, 2.0, 1.0, 7e7, 7e7 + 9],
        "x": [50.0, 0, 0, 50, 0],
        "y": [0.0, 50, 0, 0, 0],
        "z": [0.0, 0, 0, 0, 0],
        "charge": [1.0, 2, 3, 4, 5],
    }
    hits = {k: np.array(v) for k, v in hits.items()} | changed
    event = hits.pop("event", np.array([4, 2, 2, 4, 4]))
    number = hits.pop("number", np.array([4, 3, 2]))
    truth = {"zenith": np.array([0.4, 0.3, 0.2]), "weight": np.array([4.0, 3, 2])}
    truth = {k: hits.pop(k, v) for k, v in truth.items()}
    options = {k: hits.pop(k) for k in ("modules", "drop_bad") if k in hits}
    return pulses.assemble(
        "a.db", {k: v for k, v in hits.items() if v is not None}, event, truth, number, **options
    )


@pytest.mark.smoke
def test_pulses_are_sorted_by_event_and_time():
    table = given(modules=MODULES)
    assert table.events["number"].tolist() == [4, 2]
    assert table.events["weight"].tolist() == [4, 2]
    assert table.offsets.tolist() == [0, 3, 5]
    assert table.pulses["charge"].tolist() == [4, 1, 5, 3, 2]
    assert np.diff(table.pulses["time"][:3]).tolist() == [5, 4]  # float64: 7e7 + 5 is not rounded
    assert table.pulses["module"].tolist() == [1, 1, 0, 0, 2]
    assert table.dropped == {"events without pulses": 1}


def test_modules_by_number_give_the_places():
    table = given(x=None, y=None, z=None, module=np.array([10, 20, 30, 10, 30]), modules=MODULES)
    for k, name in enumerate(pulses.POSITION):
        expected = MODULES.position[table.pulses["module"], k]
        np.testing.assert_array_equal(table.pulses[name], expected)
    assert table.pulses["module"].tolist() == given(modules=MODULES).pulses["module"].tolist()


def test_without_modules_they_are_the_places_of_pulses():
    table = given(charge=None)
    assert len(table.modules.number) == 3
    for k, name in enumerate(pulses.POSITION):
        found = table.modules.position[table.pulses["module"], k]
        np.testing.assert_array_equal(found, table.pulses[name])
    assert (table.pulses["charge"] == 1).all()


@pytest.mark.parametrize(
    ("changed", "reason", "message"),
    [
        (
            {"time": np.array([1.0, 2, np.nan, 4, 5])},
            "pulses not finite",
            r"a\.db: column time: expected finite numbers, row 2: nan \(1 rows\)",
        ),
        ({"y": np.array([0.0, 50, np.inf, 0, 0])}, "pulses not finite", "column y.*row 2: inf"),
        ({"charge": np.array([1.0, 2, np.nan, 4, 5])}, "pulses not finite", "column charge.*row 2"),
        (
            {"event": np.array([4, 2, 9, 4, 4])},
            "pulses without event",
            "column event: no such event, row 2: 9",
        ),
        (
            {"x": np.array([50.0, 0, 25, 50, 0]), "modules": MODULES},
            "pulses of unknown modules",
            r"column module: no such module, row 2: \[25\. +0\. +0\.\]",
        ),
        (
            {"module": np.array([10, 20, 31, 10, 30]), "modules": MODULES},
            "pulses of unknown modules",
            "column module: no such module, row 2: 31",
        ),
    ],
)
def test_bad_pulses_are_named_or_counted(changed, reason, message, caplog):
    with pytest.raises(BadFile, match=message):
        given(**changed)
    with caplog.at_level(logging.WARNING):
        table = given(**changed, drop_bad=True)
    assert table.dropped == {reason: 1, "events without pulses": 1}
    assert len(table.pulses["time"]) == 4
    assert f"a.db: left out 1 {reason}" in caplog.text


def test_an_event_whose_pulses_are_all_bad_goes_too():
    table = given(time=np.array([1.0, np.nan, np.nan, 4, 5]), drop_bad=True)
    assert table.events["number"].tolist() == [4]
    assert table.dropped == {"pulses not finite": 2, "events without pulses": 2}


def test_no_pulses_at_all():
    empty = {k: np.zeros(0) for k in ("time", "x", "y", "z")}
    table = pulses.assemble("a.db", empty, np.zeros(0, int), {"energy": [1.0]}, [7])
    assert pulses.n_events(table) == 0
    assert table.dropped == {"events without pulses": 1}
    assert table.modules.position.shape == (0, 3)


def test_take_and_concatenate():
    table = given(modules=MODULES)
    turned = pulses.take(table, [1, 0])
    assert turned.events["number"].tolist() == [2, 4]
    assert turned.pulses["charge"].tolist() == [3, 2, 4, 1, 5]
    again = pulses.take(turned, np.array([False, True]))
    assert again.offsets.tolist() == [0, 3]
    joined = pulses.concatenate([table, turned])
    assert joined.offsets.tolist() == [0, 3, 5, 7, 10]
    assert joined.dropped == {"events without pulses": 2}
    np.testing.assert_array_equal(pulses.take(joined, [2, 3]).pulses["x"], turned.pulses["x"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"time": None}, r"columns \['time'\] missing, found"),
        ({"z": None}, r"columns \['z'\] missing"),
        ({"time": np.zeros(3)}, "column time: 3 rows, expected 5"),
        ({"time": np.array(list("abcde"))}, "column time: <U1"),
        ({"number": np.array([4, 4, 2])}, "event 4 twice"),
        ({"event": np.array([4, 2, 2.5, 4, 4])}, "column event, row 2: 2.5, expected whole"),
        (
            {"zenith": np.array([0.4, np.nan, 0.1])},
            "column zenith, row 1: nan, expected 0 to 3.142",
        ),
        ({"zenith": np.array([0.4, 0.1, 57.0])}, "column zenith, row 2: 57"),
        ({"weight": np.array([1.0])}, "column weight: 1 rows, expected 3"),
    ],
)
def test_bad_columns_are_named(changed, message):
    with pytest.raises(BadFile, match=message):
        given(**changed)


def test_bad_calls_are_named():
    table = given(modules=MODULES)
    with pytest.raises(ValueError, match="rows: 0 to 2 of 2 events"):
        pulses.take(table, [0, 2])
    with pytest.raises(ValueError, match="empty list"):
        pulses.concatenate([])
    with pytest.raises(ValueError, match="table 1: other modules"):
        pulses.concatenate([table, given()])
    with pytest.raises(ValueError, match=r"table 1: events \['number'\]"):
        pulses.concatenate([table, table._replace(events={"number": np.array([4, 2])})])
