"""From the tables of `hepjax.io` to the records that networks and likelihoods take.

Readers give flat columns in float64, as files have them (`io.pulses.PulseTable`). `events` makes of
them padded `Pulses`, the `Truth` and the `Detector`: times in float32 after the median time of an
event's pulses, which is kept in float64; directions of travel from zenith and azimuth of where it
came from; the point of a track closest to the detector's centre from its vertex.

>>> from hepjax.io import pulses
>>> hits = {"time": [7e7 + 5, 7e7], "x": [0.0, 9], "y": [0.0, 0], "z": [1.0, 1]}
>>> table = pulses.assemble("toy", hits, [1, 1], {"zenith": [0.0], "azimuth": [0.0]}, [1])
>>> found = events(table, length=4)
>>> found.pulses.time.tolist(), found.truth.direction[0].tolist()
([[-2.5, 2.5, 0.0, 0.0]], [-0.0, -0.0, -1.0])
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import sphere
from hepjax.io.pulses import Modules, PulseTable
from hepjax.neutrino.data import Detector, Pulses, Truth, pack

C = 0.299792458
"""Speed of light, m / ns."""


class Events(NamedTuple):
    """Events of a file, ready for a batch."""

    pulses: Pulses
    truth: Truth | None  # None where the file has no direction; what else it lacks is NaN
    detector: Detector
    reference: np.ndarray  # [event] ns, float64, which was taken off all times
    number: np.ndarray  # [event] int64, the file's number of the event


def detector(modules: Modules, efficiency: ArrayLike | None = None) -> Detector:
    """Give the detector of a file's modules; efficiency: [module], relative, 1 where None.

    Raises ValueError for another number of efficiencies and for ones that are not above 0.
    """
    n = len(modules.number)
    relative = np.ones(n) if efficiency is None else np.asarray(efficiency, np.float64)
    if relative.shape != (n,) or not (relative > 0).all():
        raise ValueError(f"efficiency: shape {relative.shape}, expected [{n}], all above 0")
    return Detector(
        modules.position.astype(np.float32),
        relative.astype(np.float32),
        modules.string.astype(np.int32),
    )


def events(
    table: PulseTable,
    *,
    length: int,
    at_vertex: bool = False,
    efficiency: ArrayLike | None = None,
) -> Events:
    """Pad the pulses of a table to one length, the strongest of each event, and give the truth.

    length: pulses kept an event; at_vertex: the truth's position is the vertex, as for cascades and
    starting tracks, and not the point closest to the mean place of the modules. The time of the
    vertex is the table's column `t0` or else 0, as simulations have it. Raises ValueError for a
    table without events and for charges below 0.
    """
    n = len(table.offsets) - 1
    if n < 1 or length < 1:
        raise ValueError(f"table, length: {n} events and {length}, expected at least 1 each")
    columns = table.pulses
    bad = np.flatnonzero(columns["charge"] < 0)
    if len(bad):
        raise ValueError(
            f"charge: {columns['charge'][bad[0]]} of pulse {bad[0]}, expected 0 or more "
            f"({len(bad)} such)"
        )
    of = np.repeat(np.arange(n), np.diff(table.offsets))
    reference = _median(columns["time"], table.offsets)
    flat = Pulses(
        np.stack([columns[k] for k in "xyz"], -1).astype(np.float32),
        (columns["time"] - reference[of]).astype(np.float32),
        columns["charge"].astype(np.float32),
        columns["module"].astype(np.int32),
        np.ones(len(of), bool),
    )
    return Events(
        pack(flat, of, n_events=n, length=length),
        _truth(table, reference, at_vertex),
        detector(table.modules, efficiency),
        reference,
        table.events["number"],
    )


def _median(time: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Median [event] of times that rise within each event."""
    last = offsets[1:] - 1
    low, high = (offsets[:-1] + last) // 2, (offsets[:-1] + last + 1) // 2
    return time[low] + (time[high] - time[low]) / 2


def _truth(table: PulseTable, reference: np.ndarray, at_vertex: bool) -> Truth | None:
    found, n = table.events, len(reference)
    if "zenith" not in found or "azimuth" not in found:
        return None
    zenith, azimuth = (found[k].astype(np.float64) for k in ("zenith", "azimuth"))
    direction = sphere.direction(zenith, azimuth)
    unknown = np.full(n, np.nan)
    vertex = np.stack([found.get(k, unknown) for k in "xyz"], -1)
    along = np.zeros(n)
    if not at_vertex:
        along = ((table.modules.position.mean(0) - vertex) * direction).sum(-1)
    time = found.get("t0", np.zeros(n)) + along / C - reference
    energy = found.get("energy", unknown).astype(np.float64)
    log_energy = np.log10(energy, out=np.full(n, np.nan), where=energy > 0)
    nominal = np.ones(n, np.float32)
    return Truth(
        (vertex + along[:, None] * direction).astype(np.float32),
        direction.astype(np.float32),
        time.astype(np.float32),
        log_energy.astype(np.float32),
        nominal,
        nominal,
        nominal,
    )
