"""GraphNeT's databases and folders: the same events from both, NuBench's two tables, bad files."""

import sqlite3

import numpy as np
import pytest

from hepjax import sphere
from hepjax.io import graphnet, parquet, pulses
from hepjax.io.trees import BadFile

PULSES = {
    "sensor_pos_x": [0.0, 0, 50, 0, 0],
    "sensor_pos_y": [0.0, 0, 0, 0, 0],
    "sensor_pos_z": [-10.0, -20, -10, -10, -10],
    "t": [3.0, 1, 2, 9, 8],
    "charge": [1.0, 2, 3, 4, 5],
    "event_no": [12, 12, 12, 11, 11],
}
TRUTH = {
    "event_no": [11, 12, 13],
    "initial_state_energy": [100.0, 200, 300],
    "initial_state_zenith": [0.1, 1.0, 3.0],
    "initial_state_azimuth": [0.1, 6.0, 3.0],
    "initial_state_x": [1.0, 2, 3],
    "initial_state_y": [1.0, 2, 3],
    "initial_state_z": [1.0, 2, 3],
    "initial_state_type": [14, -14, 14],
    "muon_zenith": [0.2, 1.1, 2.9],
}


def database(path, tables):
    with sqlite3.connect(path) as connection:
        for name, columns in tables.items():
            connection.execute(f"create table {name} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            rows = zip(*columns.values())
            connection.executemany(f"insert into {name} values ({marks})", rows)
    connection.close()
    return path


@pytest.fixture
def nubench(tmp_path):
    """Training pulses with noise, test pulses without: fewer."""
    test = {k: v[:3] for k, v in PULSES.items()}
    tables = {"merged_photons": PULSES, "pulses_no_noise": test, "mc_truth": TRUTH}
    return database(tmp_path / "merged.db", tables)


@pytest.mark.smoke
def test_nubench_has_two_tables_of_pulses(nubench):
    table = graphnet.read(nubench, graphnet.NUBENCH)
    assert table.events["number"].tolist() == [11, 12]
    assert table.pulses["time"].tolist() == [8, 9, 1, 2, 3]
    assert table.pulses["charge"].tolist() == [5, 4, 2, 3, 1]
    assert table.events["zenith"].tolist() == [0.1, 1.0]
    assert table.events["muon_zenith"].tolist() == [0.2, 1.1]
    assert table.dropped == {"events without pulses": 1}
    assert len(table.modules.number) == 3
    test = graphnet.read(nubench, graphnet.NUBENCH_TEST)
    assert test.events["number"].tolist() == [12]
    assert graphnet.numbers(nubench, graphnet.NUBENCH).tolist() == [11, 12, 13]


def test_a_selection_of_events(nubench):
    table = graphnet.read(nubench, graphnet.NUBENCH, events=[12])
    assert table.events["number"].tolist() == [12]
    assert not table.dropped
    with pytest.raises(BadFile, match=r"mc_truth: event 17 missing \(1 such\)"):
        graphnet.read(nubench, graphnet.NUBENCH, events=[12, 17])


def test_a_folder_of_parquet_gives_the_same(nubench, tmp_path):
    pytest.importorskip("pyarrow")
    folder = tmp_path / "parquet"
    for name, columns in (("merged_photons", PULSES), ("mc_truth", TRUTH)):
        for part, rows in enumerate((slice(0, 3), slice(3, None))):
            some = {k: np.array(v[rows]) for k, v in columns.items()}
            parquet.write(folder / name / f"{name}_{part}.parquet", some)
    for events in (None, [11]):
        a = graphnet.read(nubench, graphnet.NUBENCH, events=events)
        b = graphnet.read(folder, graphnet.NUBENCH, events=events)
        np.testing.assert_array_equal(a.offsets, b.offsets)
        for name in ("pulses", "events"):
            x, y = getattr(a, name), getattr(b, name)
            assert set(x) == set(y)
            for column in x:
                np.testing.assert_array_equal(x[column], y[column])
    assert graphnet.numbers(folder, graphnet.NUBENCH).tolist() == [11, 12, 13]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drop table mc_truth", r"merged\.db: table mc_truth missing, found"),
        (
            "alter table merged_photons rename column t to u",
            r"merged_photons: columns \['t'\] missi",
        ),
        ("alter table mc_truth rename column event_no to n", "mc_truth: column event_no missing"),
        ("update merged_photons set t = 'late' where charge = 3", "column t, row 2: 'late'"),
        ("update merged_photons set t = null where charge = 3", "column time.*row 2: nan"),
        ("update merged_photons set event_no = 99 where charge = 3", "no such event, row 2: 99"),
        ("update mc_truth set initial_state_zenith = 90 where event_no = 12", "zenith, row 1: 90"),
        ("update mc_truth set event_no = 11", "event 11 twice"),
    ],
)
def test_a_bad_database_is_named(nubench, change, message):
    with sqlite3.connect(nubench) as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(BadFile, match=message) as caught:
        graphnet.read(nubench, graphnet.NUBENCH)
    assert str(caught.value).startswith(str(nubench))


def test_bad_pulses_are_counted_on_request(nubench):
    with sqlite3.connect(nubench) as connection:
        connection.execute("update merged_photons set t = null where charge > 3")
    connection.close()
    table = graphnet.read(nubench, graphnet.NUBENCH, drop_bad=True)
    assert table.dropped == {"pulses not finite": 2, "events without pulses": 2}


@pytest.mark.parametrize("size", [1, 500, 5000])
def test_a_file_cut_off_or_of_another_kind_is_named(nubench, size):
    nubench.write_bytes(nubench.read_bytes()[:size])
    with pytest.raises(BadFile, match=r"merged\.db"):
        graphnet.read(nubench, graphnet.NUBENCH)
    nubench.write_bytes(b"event_no,t\n" * 200)
    with pytest.raises(BadFile, match=r"merged\.db: cannot be read"):
        graphnet.read(nubench, graphnet.NUBENCH)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(BadFile, match="no such file or folder"):
        graphnet.read(tmp_path / "none.db")
    with pytest.raises(BadFile, match="no folder mc_truth in it, nor in merged/"):
        graphnet.read(tmp_path)


def test_modules_of_a_table(tmp_path):
    pytest.importorskip("pyarrow")
    columns = {"sensor_id": np.array([3, 4]), "string": np.array([1, 1])}
    columns |= {f"dom_{k}": np.array([0.0, 5.0]) for k in "xyz"}
    parquet.write(tmp_path / "a.parquet", columns)
    found = graphnet.modules(tmp_path / "a.parquet")
    assert found.number.tolist() == [3, 4]
    assert found.string.tolist() == [1, 1]
    assert found.position.tolist() == [[0, 0, 0], [5, 5, 5]]
    for change, message in (
        ({"sensor_id": np.array([3, 3])}, "each sensor_id once"),
        ({"dom_x": None}, "sensor_pos_x or dom_x missing"),
        ({"dom_z": None}, r"columns \['dom_z'\] missing"),
    ):
        kept = {k: v for k, v in (columns | change).items() if v is not None}
        parquet.write(tmp_path / "b.parquet", kept)
        with pytest.raises(BadFile, match=message):
            graphnet.modules(tmp_path / "b.parquet")


def ahead(table):
    """Mean cosine between the direction of travel and the way from the vertex to the light."""
    travel = sphere.direction(table.events["zenith"], table.events["azimuth"])
    weight = np.diff(table.offsets)
    place = np.stack([np.add.reduceat(table.pulses[k], table.offsets[:-1]) for k in "xyz"], -1)
    vertex = np.stack([table.events[k] for k in "xyz"], -1)
    cosine = (travel * sphere.unit(place / weight[:, None] - vertex)).sum(-1)
    return np.average(cosine, weights=np.minimum(weight, 100))


def test_the_examples_of_graphnet_say_where_neutrinos_came_from(hepjax_data, forwardness):
    pytest.importorskip("pyarrow")
    folder = hepjax_data / "neutrino"
    a = graphnet.read(folder / "examples/sqlite/prometheus/prometheus-events.db")
    b = graphnet.read(folder / "examples/parquet/prometheus")
    assert pulses.n_events(a) == 50
    assert len(a.pulses["time"]) == 1872
    a, b = (pulses.take(t, np.argsort(t.events["number"])) for t in (a, b))
    for name in a.pulses:
        np.testing.assert_array_equal(a.pulses[name], b.pulses[name])
    assert forwardness(a) > 0.05
    assert ahead(a) > 0.2
    assert np.isin(a.events["pid"], (14, -14)).all()
    modules = graphnet.modules(folder / "geometry_tables/prometheus/orca_150.parquet")
    placed = graphnet.read(folder / "examples/parquet/prometheus", modules=modules)
    found = modules.position[placed.pulses["module"]]
    np.testing.assert_array_equal(found[:, 2], placed.pulses["z"])
    assert len(modules.number) == 3300
