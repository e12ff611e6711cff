"""ACTS' CSV, written by hand as its writers do: hits, truth by barcodes, tracks, and bad files."""

import numpy as np
import pytest

from hepjax.io import acts, hits
from hepjax.io.trees import BadFile

SURFACE = [8 << 56 | layer << 36 | sensor << 8 for layer, sensor in ((2, 5), (4, 7), (6, 9))]
CODE = "particle_id_pv,particle_id_sv,particle_id_part,particle_id_gen,particle_id_subpart"


@pytest.fixture
def start(tmp_path):
    """An event of two particles and a third that was not kept; its second hit is of both."""
    name = f"{tmp_path}/event000000007"

    def write(what, header, rows):
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        with open(f"{name}-{what}.csv", "w") as file:
            file.write("\n".join(lines) + "\n")

    header = "measurement_id,geometry_id,local_key,global_x,global_y,global_z"
    positions = [(32.0, 0.5, -3.0), (72.0, 1.0, 4.0), (116.0, 2.0, 5.0)]
    rows = [(k, g, "", *x) for k, (g, x) in enumerate(zip(SURFACE, positions))]
    write("measurements", header, rows)
    owners = [(1, 0, 4, 0, 0), (1, 0, 4, 0, 0), (2, 0, 1, 0, 0), (3, 0, 1, 0, 0)]
    write("hits", f"{CODE},geometry_id,tx", [(*code, 0, 1.5) for code in owners])
    write("measurement-simhit-map", "measurement_id,hit_id", [(0, 0), (1, 1), (1, 2), (2, 3)])
    particles = [
        (2, 0, 1, 0, 0, 11, 0, 0, 0, 3, 4, 0, -1),
        (1, 0, 4, 0, 0, 211, 1, 2, 3, 0, 2, 0, 1),
    ]
    write("particles_simulated", f"{CODE},particle_type,vx,vy,vz,px,py,pz,q", particles)
    return name


def test_an_event(start):
    event = acts.read_event(f"{start}-measurements.csv")
    hits.validate(event)
    assert event.hits["volume"].tolist() == [8, 8, 8]
    assert event.hits["layer"].tolist() == [2, 4, 6]
    assert event.hits["module"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(event.hits["z"], [-3, 4, 5])
    assert event.truth.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert event.particles["pid"].tolist() == [11, 211]
    np.testing.assert_allclose(event.particles["pt"], [5, 2])
    assert event.particles["charge"].tolist() == [-1, 1]


def test_a_folder_and_a_bad_event_in_it(start, tmp_path):
    (tmp_path / "event000000008-measurements.csv").write_text("measurement_id\n1\n")
    with pytest.warns(RuntimeWarning, match="1 of 2 files skipped"):
        events, skipped = acts.read(tmp_path, skip_bad=True)
    assert len(events) == len(skipped) == 1
    with pytest.raises(BadFile, match="columns geometry_id"):
        acts.read(tmp_path)


def test_tracks_name_measurements(start):
    path, header = f"{start}-tracks.csv", "track_id,pT,Measurements_ID"
    with open(path, "w") as file:
        file.write(f'{header}\n5,1.5,"[2,0,]"\n3,0.7,"[1,]"\n')
    hit_id = np.array([2, 1, 0])
    assert acts.read_tracks(path, hit_id).tolist() == [[0, 0], [2, 0], [1, 1]]
    beside = acts.tracks_beside(f"{start}-measurements.csv", hit_id)
    np.testing.assert_array_equal(beside, acts.read_tracks(path, hit_id))
    with pytest.raises(BadFile, match=r"tracks\.csv: row 0 names 2, which is not there"):
        acts.read_tracks(path, hit_id[1:])
    with open(path, "w") as file:
        file.write("track_id\n5\n")
    with pytest.raises(BadFile, match="column Measurements_ID missing"):
        acts.read_tracks(path, hit_id)


def test_no_tracks_beside(start):
    assert acts.tracks_beside(f"{start}-measurements.csv", np.arange(3)).shape == (0, 2)


@pytest.mark.parametrize(
    ("what", "text", "problem"),
    [
        ("measurement-simhit-map", "measurement_id,hit_id\n0,9\n", "row 0 names hit 9"),
        (
            "measurement-simhit-map",
            "measurement_id,hit_id\n8,0\n",
            "row 0 names 8, which is not",
        ),
        ("hits", f"{CODE}\n1,0,4,0\n", "event000000007-hits.csv: "),
    ],
)
def test_truth_that_names_what_is_not_there(start, what, text, problem):
    with open(f"{start}-{what}.csv", "w") as file:
        file.write(text)
    with pytest.raises(BadFile, match=problem):
        acts.read_event(f"{start}-measurements.csv")


def test_a_file_that_is_missing(start, tmp_path):
    (tmp_path / "event000000007-hits.csv").unlink()
    with pytest.raises(BadFile, match=r"event000000007-hits\.csv: no such file"):
        acts.read_event(f"{start}-measurements.csv")
