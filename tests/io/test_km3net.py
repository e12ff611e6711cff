"""KM3NeT's events: both kinds of HDF5, places and delays, directions, and its own samples."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepjax.io import detx, km3net, pulses
from hepjax.io.trees import BadFile

TEXT = "1 2\n101 1 1 1\n 1 0 0 10 0 0 1 5.0\n102 2 1 1\n 2 9 0 10 0 0 1 1000.0\n"
HITS = {
    "channel_id": np.zeros(5, np.uint8),
    "dom_id": np.array([101, 102, 101, 102, 102], np.uint32),
    "time": np.array([3, 1, 2, 70_000_001, 70_000_003], np.int32),
    "tot": np.array([20, 30, 25, 26, 27], np.uint8),
    "triggered": np.array([1, 0, 1, 1, 1], np.uint8),
    "event_id": np.array([0, 0, 0, 1, 1], np.uint32),
    "pos_x": np.array([0.0, 9, 0, 9, 9]),
    "pos_y": np.array([0.1, 0, -0.1, 0, 0]),
    "pos_z": np.full(5, 10.0),
}
TRACKS = {name: np.array([1.0, 2, 3]) for name in km3net.TRACK}
TRACKS |= {"event_id": np.array([0, 0, 1]), "type": np.array([14, 13, -14])}
TRACKS |= {
    f"dir_{k}": np.array(v) for k, v in zip("xyz", ([0.0, 0, 0], [0.0, 0, 1], [-1.0, -1, 0]))
}
INFO = {"event_id": np.array([0, 1, 2]), "weight_w1": np.ones(3)}


def write(path, hits=HITS, tracks=TRACKS, info=INFO, groups=False):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, table in (("hits", hits), ("mc_tracks", tracks), ("event_info", info)):
            if groups and name == "hits":
                for column, values in table.items():
                    file[f"hits/{column}"] = values
                file["hits/_indices"] = np.zeros(2)
            elif table:
                rows = np.rec.fromarrays(list(table.values()), names=list(table))
                file[name] = rows
    return path


def with_empty(tracks=TRACKS):
    """Tracks of event 2 too, which has no hits."""
    return {k: np.append(v, 2 if k == "event_id" else v[0]) for k, v in tracks.items()}


@pytest.mark.smoke
@pytest.mark.parametrize("groups", [False, True])
def test_hits_of_both_kinds_of_hdf5(tmp_path, groups):
    path = write(tmp_path / "a.h5", tracks=with_empty(), groups=groups)
    table = km3net.read_hdf5(path)
    assert table.events["number"].tolist() == [0, 1]
    assert table.pulses["time"].tolist() == [1, 2, 3, 70_000_001, 70_000_003]
    assert table.pulses["tot"].tolist() == [30, 25, 20, 26, 27]
    assert table.events["pid"].tolist() == [14, -14]
    np.testing.assert_allclose(table.events["zenith"], [0, np.pi / 2])  # -z and +y
    np.testing.assert_allclose(table.events["azimuth"][1], 3 * np.pi / 2)
    np.testing.assert_allclose(table.modules.position, [[0, 0, 10], [9, 0, 10]])
    assert table.dropped == {"events without pulses": 1}


def test_raw_hits_get_places_and_delays(tmp_path):
    hits = HITS | {f"pos_{k}": np.full(5, np.nan) for k in "xyz"}
    path = write(tmp_path / "a.h5", hits=hits, tracks=with_empty())
    with pytest.raises(BadFile, match=r"a\.h5: hits have no places"):
        km3net.read_hdf5(path)
    telescope = detx.parse(TEXT)
    table = km3net.read_hdf5(path, telescope=telescope)
    assert table.pulses["time"][:3].tolist() == [7, 8, 1001]
    assert table.pulses["x"][:3].tolist() == [0, 0, 9]
    assert table.modules.string.tolist() == [1, 2]
    placed = km3net.read_hdf5(write(tmp_path / "b.h5", tracks=with_empty()), telescope=telescope)
    assert placed.pulses["time"][:3].tolist() == [1, 2, 3]  # calibrated: nothing to add
    chosen = km3net.read_hdf5(path, telescope=telescope, triggered=True)
    assert len(chosen.pulses["time"]) == 4
    assert chosen.dropped["hits that did not trigger"] == 1


def test_events_without_a_track_are_named_or_counted(tmp_path):
    path = write(tmp_path / "a.h5")
    with pytest.raises(BadFile, match=r"event 2 has no Monte Carlo track \(1 such\)"):
        km3net.read_hdf5(path)
    assert km3net.read_hdf5(path, drop_bad=True).dropped == {"events without truth": 1}
    data = km3net.read_hdf5(write(tmp_path / "b.h5", tracks=None))
    assert list(data.events) == ["number"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"hits": {k: v for k, v in HITS.items() if k != "tot"}},
            r"hits: columns \['tot'\] missing",
        ),
        ({"info": {"weight": np.ones(3)}}, r"event_info: columns \['event_id'\] missing"),
        ({"info": None}, "table event_info missing"),
        ({"tracks": {"event_id": np.arange(3)}}, "mc_tracks: columns .*dir_x"),
        ({"hits": HITS | {"event_id": np.array([0, 0, 0, 1, 7])}}, "no such event, row 4: 7"),
        (
            {"hits": HITS | {"pos_x": np.array([0, np.nan, 0, np.nan, np.nan])}},
            "no such module.*102",
        ),
    ],
)
def test_bad_hdf5_is_named(tmp_path, changed, message):
    path = write(tmp_path / "a.h5", **({"tracks": with_empty()} | changed))
    with pytest.raises(BadFile, match=message):
        km3net.read_hdf5(path)


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_a_file_cut_off_is_named(tmp_path, size):
    path = write(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BadFile, match=r"a\.h5: cannot be read"):
        km3net.read_hdf5(path)
    with pytest.raises(BadFile, match=r"a\.h5"):
        km3net.read_root(path)


def test_a_root_file_of_something_else_is_named(tmp_path):
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(tmp_path / "a.root") as file:
        file["E"] = ak.zip({"x": np.arange(3)})
    with pytest.raises(BadFile, match=r"a\.root: branches \['Evt/hits/hits.dom_id'"):
        km3net.read_root(tmp_path / "a.root")


ORCA = "mcv6.0.gsg_muon_highE-CC_50-500GeV.km3sim.jterbr00008357.jorcarec.aanet.905.root"
ARCA = "KM3NeT_-00000001_20171212.detx"
SAMPLES = [
    ("read_root", f"offline/{ORCA}", None, 140, 0.7),
    ("read_root", "offline/numucc.root", ARCA, 10, 0.8),
    (
        "read_hdf5",
        "hdf5/mcv5.40.mupage_10G.sirene.jterbr00006060.962.root.h5",
        "detx_v4.detx",
        10,
        0.8,
    ),
    (
        "read_hdf5",
        "hdf5/numu_cc_test.h5",
        "orca_115strings_av20min17mhorizontal_18OMs_alt9mvertical_v2.detx",
        2,
        0.8,
    ),
]


@pytest.mark.parametrize(("reader", "name", "detector", "n", "cosine"), SAMPLES)
def test_its_samples_have_light_that_moves_along_the_track(
    reader, name, detector, n, cosine, forwardness
):
    data = Path(pytest.importorskip("km3net_testdata").__file__).parent / "data"
    if reader == "read_hdf5":
        pytest.importorskip("hdf5plugin")
    telescope = detx.read(data / "detx" / detector) if detector else None
    read = getattr(km3net, reader)
    table = read(data / name, telescope=telescope, triggered=True)
    assert pulses.n_events(table) == n
    assert forwardness(table) > cosine
