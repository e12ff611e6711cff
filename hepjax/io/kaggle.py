"""The files of the IceCube competition on Kaggle: batches of pulses, and a table of truth.

batch_N.parquet holds sensor_id, time (ns), charge and auxiliary (a pulse of less trust), with the
number of the event in event_id, a column or the index of pandas; train_meta.parquet has batch_id,
event_id and, of the training sample, zenith and azimuth of where the neutrino came from
(arXiv:2310.15674); sensor_geometry.csv has sensor_id, x, y, z (m). The meta file of all batches has
a hundred million rows: the rows of one batch are read. Needs the extra `parquet`.

>>> geometry.__name__, sorted(PULSES)
('geometry', ['auxiliary', 'charge', 'event_id', 'sensor_id', 'time'])
"""

import os
from pathlib import Path

import numpy as np

from hepjax.io import columns, parquet, pulses
from hepjax.io.pulses import Modules, PulseTable
from hepjax.io.trees import BadFile

PULSES = ("event_id", "sensor_id", "time", "charge", "auxiliary")
TRUTH = ("zenith", "azimuth")


def geometry(path: str | os.PathLike[str]) -> Modules:
    """Read sensor_geometry.csv; raises BadFile, a ValueError that names file and column."""
    table = columns.read(Path(path), ("sensor_id", *pulses.POSITION), whole=("sensor_id",))
    position = np.stack([table[k] for k in pulses.POSITION], -1)
    if len(np.unique(table["sensor_id"])) < len(position) or not np.isfinite(position).all():
        raise BadFile(f"{path}: expected each sensor_id once, at a finite place")
    return Modules(table["sensor_id"], position, np.full(len(position), -1))


def read(
    batch: str | os.PathLike[str],
    meta: str | os.PathLike[str],
    modules: Modules,
    *,
    trusted: bool = False,
    drop_bad: bool = False,
) -> PulseTable:
    """Read one batch.

    batch: batch_N.parquet, whose N the meta file knows; meta: train_meta.parquet, or test_meta,
    which has no truth; trusted: leave out auxiliary pulses, counted in `dropped`. Raises BadFile, a
    ValueError that names file, column and row.
    """
    batch, meta = Path(batch), Path(meta)
    digits = batch.stem.rsplit("_", 1)[-1]
    if not digits.isdigit():
        raise BadFile(f"{batch}: expected a name as batch_12.parquet, with the number of the batch")
    here = parquet.read(meta, ("batch_id",))["batch_id"] == int(digits)
    if not here.any():
        raise BadFile(f"{meta}: column batch_id: no {digits}, the number of {batch.name}")
    known = [name for name in TRUTH if name in parquet.names(meta)]
    truth = parquet.read(meta, ("event_id", *known), rows=here)
    table = parquet.read(batch, PULSES)
    auxiliary = table["auxiliary"] != 0
    kept = ~auxiliary if trusted else np.ones(len(auxiliary), bool)
    found = pulses.assemble(
        str(batch),
        {
            "time": table["time"][kept].astype(np.float64),
            "charge": table["charge"][kept],
            "module": table["sensor_id"][kept],
            "auxiliary": auxiliary[kept],
        },
        table["event_id"][kept],
        {name: truth[name] for name in known},
        truth["event_id"],
        modules=modules,
        drop_bad=drop_bad,
    )
    count = int((~kept).sum())
    return found._replace(dropped=found.dropped | ({"auxiliary pulses": count} if count else {}))
