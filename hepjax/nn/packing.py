"""What is real of a padded batch, without the padding between: listed, packed and unpacked.

Half the particles of a padded batch are not there, and two thirds of the pairs, at the occupancy of
JetClass. A list of the real ones, padded to one of a few lengths so that a step compiles a few
times only, leaves the others out of every layer that looks at one entry at a time. `listed` makes
it; `chosen` tells which of its entries are real still; `pack` and `unpack` bring rows there and
back, `places` says where each row went. Their gradients gather as they do: a scatter would be slow.

>>> import jax.numpy as jnp, numpy as np
>>> mask = np.array([[True, False, False, False], [True, True, False, False]])
>>> where = listed(mask, n_lengths=2)
>>> where.tolist()
[[0, 4, 5, -1]]
>>> x = jnp.arange(8.0).reshape(2, 4, 1)
>>> unpack(pack(x, where), where, mask.shape)[..., 0].tolist()
[[0.0, 0.0, 0.0, 0.0], [4.0, 5.0, 0.0, 0.0]]
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

N_LENGTHS = 16
"""How many lengths a list can have, fractions of all that could be real."""


def listed(real: np.ndarray, n_groups: int = 1, n_lengths: int = N_LENGTHS) -> np.ndarray:
    """List what is real of a batch on the host, [group, entry] int32, behind it -1.

    real: [set, item]; n_groups: shares of the batch with a list each, a multiple of the number of
    devices. An entry counts the items of all sets of its group, padded ones too. The length is the
    smallest of n_lengths fractions of them that holds every group. Raises ValueError where the sets
    cannot be shared among the groups.
    """
    real = np.asarray(real, bool)
    if len(real) % n_groups:
        raise ValueError(f"n_groups: {len(real)} sets cannot be shared among {n_groups}")
    real = real.reshape(n_groups, -1)
    count = real.sum(1)
    step = -(-real.shape[1] // n_lengths)
    length = min(max(1, -(-int(count.max()) // step)) * step, real.shape[1])
    out = np.full((n_groups, length), -1, np.int32)
    out[np.arange(length) < count[:, None]] = np.nonzero(real)[1]
    return out


def chosen(real: jax.Array, listed: jax.Array) -> jax.Array:
    """Tell which entries of a list [group, entry] are real, from real [set, item] of all."""
    flat = real.reshape(len(listed), -1)
    found = jnp.take_along_axis(flat, jnp.maximum(listed, 0), 1, mode="promise_in_bounds")
    return (listed >= 0) & found


def places(listed: jax.Array, n: int) -> jax.Array:
    """Give the entry of the list that holds each of the n items of a group, [group, item]; the
    length of the list where none does.
    """
    n_groups, length = listed.shape
    place = jnp.full((n_groups, n), length, jnp.int32)
    to = jnp.where(listed < 0, n, listed)
    entry = jnp.arange(length, dtype=jnp.int32)
    return place.at[jnp.arange(n_groups)[:, None], to].set(entry, mode="drop")


def pack(x: jax.Array, listed: jax.Array) -> jax.Array:
    """Pick the rows of a list: x [set, item, feature] -> [group, entry, feature], 0 behind them."""
    rows = x.reshape(len(listed), -1, x.shape[-1])
    return _move(rows, listed, places(listed, rows.shape[1]))


def unpack(x: jax.Array, listed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Bring rows of a list back: x [group, entry, feature] -> [set, item, feature], 0 elsewhere;
    shape: of sets and items.
    """
    place = places(listed, math.prod(shape) // len(listed))
    rows = _move(x, jnp.where(place < x.shape[1], place, -1), listed)
    return rows.reshape(*shape, x.shape[-1])


@jax.custom_vjp
def _move(rows: jax.Array, source: jax.Array, target: jax.Array) -> jax.Array:
    """Take rows [group, row, feature] from `source`, 0 where it is negative; target: its inverse,
    negative or too large where a row goes nowhere.
    """
    there = (source >= 0) & (source < rows.shape[1])
    index = jnp.where(there, source, 0)
    found = jax.vmap(lambda x, i: x.at[i].get(mode="promise_in_bounds"))(rows, index)
    return jnp.where(there[..., None], found, 0)


def _move_forward(rows: jax.Array, source: jax.Array, target: jax.Array) -> tuple:
    return _move(rows, source, target), (source, target)


def _move_backward(saved: tuple[Any, Any], gradient: jax.Array) -> tuple:
    source, target = saved
    return _move(gradient, target, source), None, None


_move.defvjp(_move_forward, _move_backward)
