"""A good sample of each format that hepjax reads, and how it is read: what `fuzzing` damages."""

import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import test_acts
import test_amplitude_dump
import test_detx
import test_graphnet
import test_kaggle
import test_km3net
import test_lhagrid
import test_lhe_reader
import test_named
import test_prometheus
import test_scale_factors
import test_torch_weights
import test_trackml
import test_velo
import toy
from fuzzing import Case

from hepjax import checkpoint, healpix, runs
from hepjax.io import (
    acts,
    amplitude_dump,
    cards,
    columns,
    detx,
    export,
    graphnet,
    km3net,
    lhagrid,
    lhe_reader,
    named,
    parquet,
    prometheus,
    root,
    scale_factors,
    skymap,
    stream,
    torch_weights,
    trackml,
    velo,
    weaver,
)

CARD = """
selection: (jet_pt > 100)
new_variables:
   part_mask: ak.ones_like(part_energy)
   part_pt: np.hypot(part_px, part_py)
inputs:
   pf_features: {length: 24, pad_mode: wrap, vars: [[part_pt, 1.7, 0.7], part_charge]}
   pf_mask: {length: 24, vars: [[part_mask, null]]}
labels: {type: simple, value: [label_QCD, label_Tbqq]}
observers: [jet_pt]
weights: {use_precomputed_weights: false, reweight_method: flat, reweight_vars: {jet_pt: [1, 500]},
          class_weights: [1, 2], reweight_classes: [label_QCD, label_Tbqq]}
"""


def _acts(folder: Path) -> None:
    test_acts.start.__wrapped__(folder)
    (folder / "event000000007-tracks.csv").write_text(
        'track_id,pT,Measurements_ID\n5,1.5,"[2,0,]"\n3,0.7,"[1,]"\n'
    )


def _read_acts(folder: Path) -> None:
    for event in acts.read(folder)[0]:
        acts.tracks_beside(folder / "event000000007-measurements.csv", event.hits["hit_id"])


def _trackml(folder: Path) -> None:
    for name, text in test_trackml.FILES.items():
        with gzip.open(folder / f"event000000001-{name}.csv.gz", "wt") as file:
            file.write(text)


def _velo(folder: Path) -> None:
    (folder / "a_1.json").write_text(json.dumps(test_velo.content()))


def _kaggle(folder: Path) -> None:
    test_kaggle.folder.__wrapped__(folder)


def _jets(folder: Path) -> None:
    root.write_jetclass(folder / "jets.root", toy.jets(n=20)[0])


def _stream(folder: Path) -> None:
    scan = stream.scan(folder / "jets.root", chunk_size=7)
    for chunk in range(stream.n_chunks(scan)):
        stream.read_chunk(scan, chunk)


def _card(folder: Path) -> None:
    _jets(folder.parent)
    (folder / "card.yaml").write_text(CARD)


def _read_card(folder: Path) -> None:
    card, jets = cards.load(folder / "card.yaml"), folder.parent / "jets.root"
    try:
        weaver.read(weaver.auto(card, jets), jets)
    except ValueError as error:  # which names the section or expression of a card without a file
        raise ValueError(f"card.yaml: {error}") from error


def _weights(folder: Path) -> None:
    x = np.arange(6, dtype="<f4")
    tensor = test_torch_weights.tensor("FloatStorage", 0, 6, (2, 3), (3, 1))
    content = {"state_dict": {"x": tensor, "y": tensor}}
    test_torch_weights.write(folder / "w.pt", content, [x.tobytes()], byteorder="little")


def _named(folder: Path) -> None:
    test_named.csv(folder / "a.csv", test_named.COLUMNS)


def _read_named(folder: Path) -> None:
    path = folder / "a.csv"
    named.read(path, test_named.NAMES, truth_names=test_named.TRUTH, degrees=True)


def _prometheus(folder: Path) -> None:
    rows, truths = [test_prometheus.photons(3)] * 4, [test_prometheus.truth()] * 4
    test_prometheus.write(folder / "a.parquet", rows, truths)


def _sqlite(folder: Path) -> None:
    tables = {"merged_photons": test_graphnet.PULSES, "mc_truth": test_graphnet.TRUTH}
    test_graphnet.database(folder / "a.db", tables)


def _graphnet(folder: Path) -> None:
    tables = {"merged_photons": test_graphnet.PULSES, "mc_truth": test_graphnet.TRUTH}
    for name, table in tables.items():
        for part, rows in enumerate((slice(0, 3), slice(3, None))):
            some = {key: np.array(x[rows]) for key, x in table.items()}
            parquet.write(folder / "merged" / name / f"{name}_{part}.parquet", some)


def _sky(folder: Path) -> None:
    pixel = np.arange(48)
    sky = healpix.SkyMap(np.ones(48, int), pixel, np.full(48, 0.25 / np.pi))
    skymap.write(folder / "sky.fits", sky, frame="icrs")


def _artefact(folder: Path) -> None:
    inputs = {"x": np.ones((3, 2), np.float32)}
    export.write(folder / "net.zip", lambda i: {"y": 2 * i["x"]}, [inputs], {"name": "double"})


def _checkpoints(folder: Path) -> None:
    with checkpoint.open(folder / "checkpoints") as kept:
        for step in (3, 5):
            state = {"w": jnp.full(4, step), "key": jax.random.key(step)}
            checkpoint.save(kept, step, state, meta={"epoch": step}, metrics={"loss": 1.0})


def _read_checkpoints(folder: Path) -> None:
    """Right numbers, of this step or the one before, or an error."""
    target = {"w": jnp.zeros(4, int), "key": jax.random.key(0)}
    with checkpoint.open(folder / "checkpoints") as kept:
        state, meta = checkpoint.restore(kept, target)
    if meta["epoch"] not in (3, 5) or state["w"].tolist() != [meta["epoch"]] * 4:
        raise AssertionError(f"other numbers: {state}, {meta}")


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of a run that is to be run again."""

    out: Path = Path("run")
    kind: str = "track"
    range: tuple[float, float] | None = (2.0, 6.0)
    layers: tuple[int, ...] = (64, 64)
    resume: bool = False


def _parquet(folder: Path) -> None:
    parquet.write(folder / "a.parquet", test_kaggle.PULSES)


def _write(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text)


CASES: dict[str, Case] = {
    "csv": Case(_write("a.csv", "a,b\n1,2.5\n3,4\n"), lambda f: columns.read(f / "a.csv", ("a",))),
    "acts": Case(_acts, _read_acts),
    "trackml": Case(_trackml, trackml.read),
    "velo": Case(_velo, velo.read),
    "kaggle": Case(_kaggle, test_kaggle.read),
    "prometheus": Case(_prometheus, lambda f: prometheus.read(f / "a.parquet")),
    "graphnet": Case(_graphnet, lambda f: graphnet.read(f, graphnet.NUBENCH)),
    "parquet": Case(_parquet, lambda f: parquet.read(f / "a.parquet")),
    "sqlite": Case(_sqlite, lambda f: graphnet.read(f / "a.db", graphnet.NUBENCH)),
    "named": Case(_named, _read_named),
    "hdf5": Case(
        lambda f: test_km3net.write(f / "a.h5", tracks=test_km3net.with_empty()),
        lambda f: km3net.read_hdf5(f / "a.h5"),
    ),
    "detx": Case(_write("a.detx", test_detx.NEW), lambda f: detx.read(f / "a.detx")),
    "root": Case(_jets, lambda f: root.read_jetclass(f / "jets.root")),
    "root, streamed": Case(_jets, _stream),
    "card": Case(_card, _read_card),
    "torch weights": Case(_weights, lambda f: torch_weights.read(f / "w.pt")),
    "scale factors": Case(
        lambda f: scale_factors.write(f / "a.json.gz", test_scale_factors.TABLE),
        lambda f: scale_factors.read(f / "a.json.gz", "tagger"),
    ),
    "parton densities": Case(
        _write("toy_0000.dat", test_lhagrid.text()), lambda f: lhagrid.read(f / "toy_0000.dat")
    ),
    "lhe": Case(
        _write("a.lhe", test_lhe_reader.text(header=test_lhe_reader.WEIGHTS)),
        lambda f: lhe_reader.read(f / "a.lhe"),
    ),
    "lhe, packed": Case(
        lambda f: (f / "a.lhe.gz").write_bytes(gzip.compress(test_lhe_reader.text().encode())),
        lambda f: lhe_reader.read(f / "a.lhe.gz"),
    ),
    "sky map": Case(_sky, lambda f: skymap.read(f / "sky.fits")),
    "artefact": Case(_artefact, lambda f: export.read(f / "net.zip")),
    "checkpoints": Case(_checkpoints, _read_checkpoints),
    "run": Case(
        lambda f: runs.create(f, Config()), lambda f: runs.again(Config, f) and runs.read(f)
    ),
    "amplitudes": Case(
        _write("dump.txt", test_amplitude_dump.POINT.format(0.5) * 2),
        lambda f: amplitude_dump.read(f / "dump.txt"),
    ),
}
