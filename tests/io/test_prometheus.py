"""Prometheus' nested files: photons and truth, the sign of directions, and bad files."""

import numpy as np
import pytest

from hepjax.io import prometheus, pulses
from hepjax.io.trees import BadFile

pyarrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def photons(n, **changed):
    table = {f"sensor_pos_{k}": [float(i) for i in range(n)] for k in "xyz"}
    table |= {"t": [float(n - i) for i in range(n)], "string_id": [1] * n, "sensor_id": [2] * n}
    return table | changed


def truth(**changed):
    row = dict.fromkeys(prometheus.TRUTH.values(), 1.0)
    return row | {"initial_state_type": 14, "final_state_zenith": [0.1, 0.2]} | changed


def write(path, rows, truths):
    pq.write_table(pyarrow.table({"photons": rows, "mc_truth": truths}), path)
    return path


@pytest.mark.smoke
def test_photons_are_pulses_of_charge_one(tmp_path):
    path = write(
        tmp_path / "a.parquet",
        [photons(3), photons(0), photons(2)],
        [truth(initial_state_zenith=z) for z in (0.5, 1.5, 2.5)],
    )
    table = prometheus.read(path)
    assert table.events["number"].tolist() == [0, 2]
    assert table.events["zenith"].tolist() == [0.5, 2.5]
    assert table.pulses["time"].tolist() == [1, 2, 3, 1, 2]
    assert table.pulses["x"].tolist() == [2, 1, 0, 1, 0]
    assert (table.pulses["charge"] == 1).all()
    assert table.dropped == {"events without pulses": 1}


@pytest.mark.parametrize(
    ("rows", "truths", "message"),
    [
        ([photons(2, t=[1.0, np.nan])], [truth()], r"a\.parquet: column time.*row 1: nan"),
        ([photons(2, t=[1.0])], [truth()], "photons.t: other lengths"),
        ([{"t": [1.0]}], [truth()], "fields .*sensor_pos_x.* of photons missing"),
        ([photons(1)], [{"bjorken_x": 1.0}], "of mc_truth missing"),
        ([dict.fromkeys(photons(0), 1.0)], [truth()], "expected a list of photons an event"),
        ([photons(1)], [truth(initial_state_zenith=4.0)], "column zenith, row 0: 4.0"),
    ],
)
def test_bad_files_are_named(tmp_path, rows, truths, message):
    path = write(tmp_path / "a.parquet", rows, truths)
    with pytest.raises(BadFile, match=message):
        prometheus.read(path)


def test_its_example_says_where_neutrinos_came_from(hepjax_data, forwardness):
    table = prometheus.read(hepjax_data / "neutrino/prometheus_example_photons.parquet")
    assert pulses.n_events(table) == 10
    assert np.diff(table.offsets)[:4].tolist() == [54550, 1, 193, 1157]
    assert forwardness(table) > 0.15
    assert (table.events["energy"] > 0).all()
