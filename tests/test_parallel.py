"""Layouts on one device; tests/eight_devices has the rest."""

import platform
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import parallel


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_call_and_collect(mode):
    layout = parallel.layout(1, mode)
    axis = parallel.axis_name(layout)
    assert axis == (None if mode == "jit" else "data")

    def double(state, x):
        return state + x.sum(), 2 * x.sum()

    call = parallel.compile(layout, double, donate=True)
    state = parallel.place_state(layout, jnp.ones(()))
    state, output = call(state, parallel.place_batch(layout, np.ones(8, np.float32)))
    assert float(parallel.collect_state(layout, state)) == 9
    assert float(output) == 16


def test_typed_keys_are_placed_and_collected():
    for mode in ("jit", "pmap"):
        layout = parallel.layout(1, mode)
        key = parallel.collect_state(layout, parallel.place_state(layout, jax.random.key(3)))
        assert jax.random.uniform(key) == jax.random.uniform(jax.random.key(3))


@pytest.mark.parametrize(
    ("devices", "mode", "message"), [(0, "jit", "1 to"), (99, "jit", "1 to"), (1, "tpu", "mode")]
)
def test_bad_layouts(devices, mode, message):
    with pytest.raises(ValueError, match=message):
        parallel.layout(devices, mode)


def test_all_devices_by_default():
    assert parallel.n_devices(parallel.layout()) == jax.device_count()


FAULTS = """
import resource, statistics, sys, jax, numpy as np
from hepjax import parallel
assert sys.argv[1] == "as it is" or parallel.keep_memory()
call = parallel.compile(parallel.layout(1), lambda state, x: (None, x + 1))
x = np.zeros(4 << 20, np.float32)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    jax.block_until_ready(call(None, x))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(statistics.median([faults() for _ in range(40)][20:]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_memory_is_kept_from_call_to_call():
    """As fit has it, before the first call; it takes some calls until the lists of memory fit."""
    found = []
    for how in ("as it is", "kept"):
        command = [sys.executable, "-c", FAULTS, how]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(float(done.stdout))
    assert found[1] <= 0.1 * found[0], found
