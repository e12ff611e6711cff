"""Where a step runs: one device or many, by the global view of jit or by the local view of pmap.

The default is a global view: a mesh with one axis `data`, parameters replicated, each batch
sharded along its leading axis, and jit sees the whole batch, so that the same step serves 1 device
and N. With mode="pmap" each device runs the step on its share and knows the others only through
sums over the axis `data` (`axis_name` tells a step which of the two it is in). In order: `layout`
chooses devices, `compile` builds the call, `place_state` and `place_batch` bring data to it, and
`collect_state` brings the state back as plain arrays.

>>> import jax.numpy as jnp
>>> one = layout(devices=1)
>>> call = compile(one, lambda state, batch: (state + batch.sum(), batch.sum()))
>>> state, total = call(place_state(one, jnp.zeros(())), place_batch(one, jnp.ones(8)))
>>> float(collect_state(one, state))
8.0
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"
"""Name of the one mesh axis."""

Mode = Literal["jit", "pmap"]

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""Options of glibc's mallopt, by the numbers of malloc.h."""


class Layout(NamedTuple):
    """Devices in a mesh of one axis, and the mode: "jit" (global view) or "pmap" (local view)."""

    mesh: Mesh
    mode: Mode


def layout(devices: int | None = None, mode: Mode = "jit") -> Layout:
    """Choose the first `devices` devices (None: all of them).

    Raises ValueError for more devices than there are, or an unknown mode.
    """
    found = jax.devices()
    count = len(found) if devices is None else devices
    if not 1 <= count <= len(found):
        raise ValueError(f"devices must be 1 to {len(found)} here, found {devices}")
    if mode not in ("jit", "pmap"):
        raise ValueError(f"mode must be 'jit' or 'pmap', found {mode!r}")
    return Layout(Mesh(found[:count], (AXIS,), axis_types=(AxisType.Auto,)), mode)


def n_devices(layout: Layout) -> int:
    """Count the devices."""
    return layout.mesh.size


def axis_name(layout: Layout) -> str | None:
    """Name the axis over which a step itself must sum: `data` under pmap, None under jit."""
    return AXIS if layout.mode == "pmap" else None


def keep_memory() -> bool:
    """Tell the allocator to keep freed memory for the next step; returns whether it listened.

    On a CPU the buffers of each step come from malloc, and glibc hands large ones back to the
    kernel, which clears every page of them again at the next step: a quarter of the time of a
    small network, half of that of a large one. To be called before JAX starts its threads
    (`runs.create` does), since a thread that has drawn its own arena keeps it, and an arena other
    than the first holds 64 MB at most. Where there is no glibc, nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    options = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_ARENA_MAX: 1}
    done = [bool(mallopt(option, value)) for option, value in options.items()]
    return all(done)


def compile(layout: Layout, function: Callable, *, donate: bool = False) -> Callable:
    """Compile function(state, batch) -> (state or None, output) for the layout.

    donate hands the memory of the first argument to the result, which then cannot be used again.
    """
    donated = (0,) if donate else ()
    if layout.mode == "pmap":
        mapped = jax.pmap(
            function, axis_name=AXIS, devices=list(layout.mesh.devices.flat), donate_argnums=donated
        )

        def call(state: Any, batch: Any) -> tuple[Any, Any]:
            state, output = mapped(state, batch)
            return state, jax.tree.map(lambda x: x[0], output)

        return call
    return jax.jit(function, donate_argnums=donated)


def place_state(layout: Layout, state: Any) -> Any:
    """Bring a state to all devices, the same on each (under pmap with a leading device axis)."""
    if layout.mode == "pmap":
        count = n_devices(layout)
        sharding = NamedSharding(layout.mesh, PartitionSpec(AXIS))
        return jax.tree.map(
            lambda x: jax.device_put(
                jnp.broadcast_to(jnp.asarray(x), (count, *jnp.shape(x))), sharding
            ),
            state,
        )
    sharding = NamedSharding(layout.mesh, PartitionSpec())
    return jax.tree.map(lambda x: jnp.copy(jax.device_put(x, sharding)), state)


def collect_state(layout: Layout, state: Any) -> Any:
    """Take one copy of a state out of the layout."""
    return jax.tree.map(lambda x: x[0], state) if layout.mode == "pmap" else state


def place_batch(layout: Layout, batch: Any, *, stacked: bool = False) -> Any:
    """Share a batch among the devices along its event axis.

    batch: a pytree of arrays [event, ...], or [step, event, ...] when stacked. Raises ValueError
    where the number of events is no multiple of the number of devices. No batch (None) stays None.
    """
    count, axis = n_devices(layout), int(stacked)

    def check(x: Any) -> None:
        if x.shape[axis] % count:
            raise ValueError(
                f"{x.shape[axis]} events in a batch cannot be shared among {count} devices"
            )

    jax.tree.map(check, batch)
    if layout.mode == "jit":
        spec = PartitionSpec(None, AXIS) if stacked else PartitionSpec(AXIS)
        return jax.device_put(batch, NamedSharding(layout.mesh, spec))

    def share(x: Any) -> Any:
        parts = x.reshape(*x.shape[:axis], count, x.shape[axis] // count, *x.shape[axis + 1 :])
        return parts.swapaxes(0, axis)

    sharding = NamedSharding(layout.mesh, PartitionSpec(AXIS))
    return jax.device_put(jax.tree.map(share, batch), sharding)


def spread(layout: Layout, x: jax.Array, axis: int = 0) -> jax.Array:
    """Share an array that is made within a step among the devices along an axis, and so what is
    computed from it; values stay what they are.

    Raises ValueError under pmap, where a step has its own part of everything.
    """
    if layout.mode != "jit":
        raise ValueError(f"mode: {layout.mode!r}, expected 'jit' to share what a step makes")
    spec = PartitionSpec(*[None] * axis, AXIS)
    return jax.lax.with_sharding_constraint(x, NamedSharding(layout.mesh, spec))


def local_outputs(layout: Layout, output: Any) -> Any:
    """Join the outputs of all devices of a mapped call into [event, ...] on the host."""
    gathered = jax.device_get(output)
    if layout.mode == "jit":
        return gathered
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), gathered)
