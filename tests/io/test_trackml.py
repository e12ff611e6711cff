"""TrackML's CSV files: ids of 64 bits, noise, what is missing, and the real event."""

import gzip

import numpy as np
import pytest

from hepjax.io import hits, trackml
from hepjax.io.trees import BadFile

FILES = {
    "hits": (
        "hit_id,x,y,z,volume_id,layer_id,module_id\n7,1,0,5,8,2,1\n3,2,0,9,8,4,1\n9,3,0,9,8,2,9\n"
    ),
    "truth": (
        "hit_id,particle_id,tx,ty,tz,tpx,tpy,tpz,weight\n"
        "3,4505867370102785,2,0,9,1,0,2,0.25\n7,4505867370102784,1,0,5,1,0,2,0.5\n"
        "9,0,3,0,9,0,0,0,0\n"
    ),
    "particles": (
        "particle_id,particle_type,vx,vy,vz,px,py,pz,q,nhits\n"
        "4505867370102784,-211,0,0,2,3,4,0,-1,7\n4505867370102785,13,0,0,2,0,1,1,1,9\n"
    ),
    "cells": "hit_id,ch0,ch1,value\n7,1,1,0.5\n7,1,2,0.25\n9,4,4,1\n",
}


@pytest.fixture
def start(tmp_path):
    for name, text in FILES.items():
        (tmp_path / f"event000000001-{name}.csv").write_text(text)
    return tmp_path / "event000000001"


def test_an_event(start):
    event = trackml.read_event(start)
    assert event.hits["module"].tolist() == [0, 2, 1]
    assert event.hits["n_cells"].tolist() == [2, 0, 1]
    np.testing.assert_allclose(event.hits["charge"], [0.75, 0, 1])
    np.testing.assert_allclose(event.hits["weight"], [0.5, 0.25, 0])
    assert event.truth.tolist() == [[0, 0], [1, 1]]  # ids that differ beyond 53 bits
    np.testing.assert_allclose(event.particles["pt"], [5, 1])
    np.testing.assert_allclose(event.particles["eta"], [0, np.arcsinh(1)])
    assert event.particles["charge"].tolist() == [-1, 1]


def test_folders_and_gzip(start):
    for name in FILES:
        path = start.parent / f"event000000001-{name}.csv"
        with gzip.open(f"{path}.gz", "wt") as file:
            file.write(path.read_text())
        path.unlink()
    events, skipped = trackml.read(start.parent)
    assert len(events) == 1
    assert not skipped
    assert hits.n_particles(events[0]) == 2


def test_without_truth_and_cells(start):
    for name in ("truth", "particles", "cells"):
        (start.parent / f"event000000001-{name}.csv").unlink()
    event = trackml.read_event(start)
    assert hits.n_hits(event) == 3
    assert hits.n_particles(event) == 0
    assert "charge" not in event.hits


def test_no_hits(start):
    header = FILES["hits"].split("\n")[0]
    (start.parent / "event000000002-hits.csv").write_text(header + "\n")
    assert hits.n_hits(trackml.read_event(start.parent / "event000000002-hits.csv")) == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("truth", FILES["truth"].replace("\n9,0", "\n8,0"), "truth: row 2 names 8"),
        ("truth", FILES["truth"].replace("785", "786"), "truth: row 0 names 4505867370102786"),
        ("cells", FILES["cells"] + "1,1,1,1\n", "cells: row 3 names 1"),
        ("hits", FILES["hits"].replace("3,2,0", "7,2,0"), "a hit_id twice"),
        ("hits", FILES["hits"].replace("2,0,9", "nan,0,9"), "x of hit 1: nan"),
        ("hits", FILES["hits"].replace("2,0,9", "two,0,9"), "could not convert"),
        ("hits", FILES["hits"].replace("module_id", "module"), "columns module_id missing"),
    ],
)
def test_files_that_lie(start, name, text, message):
    (start.parent / f"event000000001-{name}.csv").write_text(text)
    with pytest.raises(BadFile, match=message):
        trackml.read_event(start)
    with pytest.raises(BadFile, match="1 of 1 files skipped"):
        trackml.read(start.parent, skip_bad=True)


def test_missing_files(start):
    with pytest.raises(BadFile, match=r"-hits\.csv: no such file"):
        trackml.read_event(start.parent / "event000000003")
    (start.parent / "event000000001-particles.csv").unlink()
    with pytest.raises(BadFile, match=r"-particles\.csv: no such file"):
        trackml.read_event(start)


def test_the_real_event(hepjax_data):
    event = trackml.read_event(hepjax_data / "trackml" / "event000000001")
    assert (hits.n_hits(event), hits.n_particles(event)) == (5527, 548)
    assert set(np.unique(event.hits["volume"])) <= {7, 8, 9, 12, 13, 14, 16, 17, 18}
    one = event.hits
    near = np.hypot(one["x"] - one["tx"], one["y"] - one["ty"])
    assert np.median(near) < 0.05
