"""What a neutrino telescope saw and what was there: pulses, truth, and the detector itself.

A pulse is light that one module saw at one time. Events differ in their number of pulses and are
padded to one length, `mask` tells which are real; padding is zero. A direction is that of travel;
where a particle came from is the opposite one. Where an event has more pulses than there is room
for, `strongest` keeps those of the largest charge, of equal ones the earliest, in order of time:
one rule for training and test. `pack` pads the flat columns of a file, `check` refuses what no
reader should give, and `first_of_module` keeps what likelihoods of the first photon look at.

>>> time, module = np.array([5.0, 3.0, 4.0]), np.array([0, 1, 1])
>>> flat = Pulses(np.zeros((3, 3)), time, np.ones(3), module, None)
>>> pulses = pack(flat, np.array([0, 0, 1]), n_events=2, length=2)
>>> pulses.time.tolist(), pulses.mask.tolist()
([[3.0, 5.0], [4.0, 0.0]], [[True, True], [True, False]])
>>> bucket(pulses.mask, (1, 2, 4)).tolist()
[2, 1]
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch


class Pulses(NamedTuple):
    """Pulses of events, padded.

    position: [event, pulse, 3] m, of the module; time: [event, pulse] ns; charge: [event, pulse]
    photoelectrons; module: [event, pulse] int32, its row in the detector; mask: [event, pulse]
    bool, True = real.
    """

    position: Any
    time: Any
    charge: Any
    module: Any
    mask: Any


class Truth(NamedTuple):
    """What made the light of an event.

    position: [event, 3] m, the point of a track closest to the detector's centre, of cascades and
    starting tracks the vertex; direction: [event, 3] unit vector of travel; time: [event] ns at
    that point; log_energy: [event] log10 of GeV, there; scattering, absorption, efficiency: [event]
    factors on the lengths of the medium and on the efficiency of all modules, 1 = nominal.
    """

    position: Any
    direction: Any
    time: Any
    log_energy: Any
    scattering: Any
    absorption: Any
    efficiency: Any


class Detector(NamedTuple):
    """Where modules hang.

    position: [module, 3] m, z upwards; efficiency: [module] relative to the standard module;
    string: [module] int32.
    """

    position: Any
    efficiency: Any
    string: Any


def check(pulses: Pulses, n_modules: int | None = None) -> Pulses:
    """Give padded pulses back if they are sound, as arrays of numpy.

    Raises ValueError for shapes that do not fit, numbers that are not finite, negative charges and
    modules that the detector does not have, each where a pulse is real.
    """
    found = Pulses(*(np.asarray(x) for x in pulses))
    shape = found.mask.shape
    if len(shape) != 2:
        raise ValueError(f"mask: shape {shape}, expected [event, pulse]")
    for name, array in found._asdict().items():
        expected = (*shape, 3) if name == "position" else shape
        if array.shape != expected:
            raise ValueError(f"{name}: shape {array.shape}, expected {expected}")
        bad = ~np.isfinite(array.reshape(*shape, -1)).all(-1) & found.mask
        if bad.any():
            raise ValueError(f"{name}: {bad.sum()} real pulses are not finite{_where(bad)}")
    bad = (found.charge < 0) & found.mask
    if bad.any():
        raise ValueError(f"charge: {bad.sum()} are negative{_where(bad)}")
    bad = (found.module < 0) & found.mask
    if n_modules is not None:
        bad |= (found.module >= n_modules) & found.mask
    if bad.any():
        at = tuple(np.argwhere(bad)[0])
        raise ValueError(f"module: {found.module[at]}{_where(bad)}, expected one of {n_modules}")
    return found


def _where(bad: np.ndarray) -> str:
    event, pulse = np.argwhere(bad)[0]
    return f", the first in event {event}, pulse {pulse}"


def pack(flat: Pulses, event: Any, *, n_events: int, length: int) -> Pulses:
    """Pad the pulses of all events, which stand one after the other in columns.

    flat: fields [pulse, ...], of which `mask` is not looked at; event: [pulse] number of the event
    in [0, n_events), in any order. Of each event the strongest `length` pulses are kept. Events
    without pulses stay, all padding. Raises ValueError for events out of range and for columns of
    unequal length.
    """
    event = np.asarray(event)
    if len(event) and (event.min() < 0 or event.max() >= n_events):
        raise ValueError(f"event: {event.min()} to {event.max()}, expected [0, {n_events})")
    columns = [np.asarray(x) for x in flat[:4]]
    for name, column in zip(Pulses._fields, columns):
        if len(column) != len(event):
            raise ValueError(f"{name}: {len(column)} pulses, expected {len(event)}")
    order = np.lexsort((columns[1], -columns[2], event))
    offsets = np.searchsorted(event[order], np.arange(n_events + 1))
    ragged = batch.Ragged([column[order] for column in columns], offsets)
    values, mask = batch.pad(ragged, np.arange(n_events), length)
    by_time = np.argsort(np.where(mask, values[1], np.inf), 1, kind="stable")
    position, time, charge, module = (_along(np, x, by_time) for x in values)
    return Pulses(position, time, charge, module.astype(np.int32), mask)


def strongest(pulses: Pulses, length: int) -> Pulses:
    """Keep the `length` pulses of largest charge of each event, of equal ones the earliest, in
    order of time, padding last; pure and of fixed shape, as `pack` is for columns.
    """
    late = jnp.where(pulses.mask, pulses.time, jnp.inf)
    chosen = jnp.lexsort((late, jnp.where(pulses.mask, -pulses.charge, jnp.inf)), axis=-1)
    chosen = chosen[:, :length]
    order = jnp.argsort(_along(jnp, late, chosen), axis=-1, stable=True)
    chosen = _along(jnp, chosen, order)
    return Pulses(*(_along(jnp, jnp.asarray(x), chosen) for x in pulses))


def first_of_module(pulses: Pulses) -> Pulses:
    """Keep the first pulse of each module, which is given the charge of all its pulses.

    The shape stays; pulses must be in order of time, as all functions here leave them.
    """
    same = (pulses.module[:, :, None] == pulses.module[:, None]) & pulses.mask[:, None]
    n = pulses.mask.shape[-1]
    earlier = same & jnp.asarray(np.tril(np.ones((n, n), bool), -1))
    total = jnp.where(same, pulses.charge[:, None], 0).sum(-1)
    mask = pulses.mask & ~earlier.any(-1)
    kept = Pulses(pulses.position, pulses.time, total, pulses.module, mask)
    return jax.tree.map(lambda x: jnp.where(_like(mask, x), x, jnp.zeros_like(x)), kept)


def bucket(mask: Any, buckets: Sequence[int]) -> np.ndarray:
    """Find for each event the smallest bucket that holds its pulses [event]."""
    return batch.bucket_of(np.asarray(mask).sum(-1), buckets)


def _along(library: Any, array: Any, index: Any) -> Any:
    """Take along the axis of pulses."""
    return library.take_along_axis(array, index.reshape(*index.shape, *(1,) * (array.ndim - 2)), 1)


def _like(mask: Any, array: Any) -> Any:
    return mask.reshape(*mask.shape, *(1,) * (array.ndim - mask.ndim))
