"""The competition's files: one batch with its rows of truth, and what can be wrong with them."""

import numpy as np
import pytest

from hepjax.io import kaggle, parquet
from hepjax.io.trees import BadFile

pytest.importorskip("pyarrow")

PULSES = {
    "sensor_id": np.array([1, 0, 1, 2], np.int16),
    "time": np.array([6000, 5900, 6100, 5000], np.int64),
    "charge": np.array([1.5, 0.5, 0.8, 2.0]),
    "auxiliary": np.array([False, True, False, False]),
    "event_id": np.array([24, 24, 41, 41], np.int32),
}
META = {
    "batch_id": np.array([1, 2, 2, 2, 3]),
    "event_id": np.array([3, 24, 41, 59, 60]),
    "azimuth": np.array([0.0, 5.0, 1.0, 2.0, 3.0]),
    "zenith": np.array([0.0, 2.0, 3.0, 1.0, 0.5]),
}


@pytest.fixture
def folder(tmp_path):
    parquet.write(tmp_path / "batch_2.parquet", PULSES)
    parquet.write(tmp_path / "train_meta.parquet", META)
    rows = ["sensor_id,x,y,z", "0,-10,0,5", "1,20,0,5", "2,0,30,-5"]
    (tmp_path / "sensor_geometry.csv").write_text("\n".join(rows))
    return tmp_path


def read(folder, **options):
    modules = kaggle.geometry(folder / "sensor_geometry.csv")
    return kaggle.read(
        folder / "batch_2.parquet", folder / "train_meta.parquet", modules, **options
    )


@pytest.mark.smoke
def test_a_batch_and_its_truth(folder):
    table = read(folder)
    assert table.events["number"].tolist() == [24, 41]
    assert table.events["zenith"].tolist() == [2, 3]
    assert table.events["azimuth"].tolist() == [5, 1]
    assert table.pulses["time"].tolist() == [5900, 6000, 5000, 6100]
    assert table.pulses["module"].tolist() == [0, 1, 2, 1]
    assert table.pulses["x"].tolist() == [-10, 20, 0, 20]
    assert table.pulses["auxiliary"].tolist() == [True, False, False, False]
    assert table.dropped == {"events without pulses": 1}


def test_auxiliary_pulses_can_be_left_out(folder):
    table = read(folder, trusted=True)
    assert table.pulses["time"].tolist() == [6000, 5000, 6100]
    assert table.dropped == {"events without pulses": 1, "auxiliary pulses": 1}


def test_the_event_may_be_the_index_of_pandas(folder):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(PULSES).set_index("event_id").to_parquet(folder / "batch_2.parquet")
    assert read(folder).offsets.tolist() == [0, 2, 4]


def test_a_test_sample_has_no_truth(folder):
    parquet.write(folder / "train_meta.parquet", {k: META[k] for k in ("batch_id", "event_id")})
    table = read(folder)
    assert list(table.events) == ["number"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sensor_id": np.array([1, 0, 7, 2])}, "no such module, row 2: 7"),
        ({"event_id": np.array([24, 24, 60, 41])}, "no such event, row 2: 60"),
        ({"charge": np.array([1, 1, np.nan, 1])}, "column charge.*row 2: nan"),
        ({"time": None}, r"batch_2\.parquet: columns \['time'\] missing"),
    ],
)
def test_bad_batches_are_named(folder, change, message):
    kept = {k: v for k, v in (PULSES | change).items() if v is not None}
    parquet.write(folder / "batch_2.parquet", kept)
    with pytest.raises(BadFile, match=message):
        read(folder)


def test_bad_files_beside_it_are_named(folder):
    modules = kaggle.geometry(folder / "sensor_geometry.csv")
    meta = folder / "train_meta.parquet"
    with pytest.raises(BadFile, match=r"expected a name as batch_12\.parquet"):
        kaggle.read(folder / "batch.parquet", meta, modules)
    with pytest.raises(BadFile, match="column batch_id: no 9"):
        kaggle.read(folder / "batch_9.parquet", meta, modules)
    parquet.write(meta, META | {"zenith": META["zenith"] + 1})
    with pytest.raises(BadFile, match=r"column zenith, row 1: 4\.0"):
        read(folder)
    (folder / "sensor_geometry.csv").write_text("sensor_id,x,y,z\n0,1,2,3\n0,1,2,4\n")
    with pytest.raises(BadFile, match="each sensor_id once"):
        read(folder)
    (folder / "sensor_geometry.csv").write_text("sensor_id,x,y\n0,1,2\n")
    with pytest.raises(BadFile, match="columns z missing"):
        read(folder)
