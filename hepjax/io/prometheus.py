"""Prometheus' own parquet files: one row an event, with lists of photons.

A row holds two structs (github.com/Harvard-Neutrino/prometheus): photons with sensor_pos_x, _y, _z,
t, string_id and sensor_id, the last of which counts along one string, and mc_truth. The zenith and
azimuth of the initial state say where it came from; those of final states mix the zenith of where
with the azimuth of where to (seen in its example), and are not read. A photon is a pulse of
charge 1. Needs the extra `parquet`.

>>> sorted(TRUTH)[:3]
['azimuth', 'bjorken_x', 'bjorken_y']
"""

import os
from pathlib import Path

import numpy as np

from hepjax.io import parquet, pulses
from hepjax.io.graphnet import INITIAL, PLACE
from hepjax.io.pulses import Modules, PulseTable
from hepjax.io.trees import BadFile

PHOTONS = PLACE | {"string": "string_id", "sensor": "sensor_id"}
TRUTH = INITIAL | {name: name for name in ("interaction", "bjorken_x", "bjorken_y")}


def read(
    path: str | os.PathLike[str], *, modules: Modules | None = None, drop_bad: bool = False
) -> PulseTable:
    """Read the events of a file, numbered by their rows.

    modules, drop_bad: see `pulses.assemble`. Raises BadFile, a ValueError with file and field.
    """
    path = Path(path)
    photons, offsets = parquet.nested(path, "photons", PHOTONS.values())
    truth, lists = parquet.nested(path, "mc_truth", TRUTH.values())
    if offsets is None or lists is not None:
        raise BadFile(f"{path}: expected a list of photons an event, and one mc_truth")
    number = np.arange(len(offsets) - 1)
    return pulses.assemble(
        str(path),
        {ours: photons[name] for ours, name in PHOTONS.items()},
        np.repeat(number, np.diff(offsets)),
        {ours: truth[name] for ours, name in TRUTH.items()},
        number,
        modules=modules,
        drop_bad=drop_bad,
    )
