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
import concurrent.futures, ctypes, resource
from hepjax import parallel
libc, size = ctypes.CDLL("libc.so.6"), 64 << 20
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    libc.memset(block, 1, size)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
without = [faults() for _ in range(3)]
assert parallel.keep_memory()
with concurrent.futures.ThreadPoolExecutor(1) as other:  # as a thread of JAX
    there = [other.submit(faults).result() for _ in range(3)]
print(min(without), [faults() for _ in range(3)][-1], there[-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_memory_is_kept_from_call_to_call():
    """A block that was freed is there again without a page fault, in other threads too."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, *after = map(int, done.stdout.split())
    assert max(after) <= 0.1 * before, done.stdout


def test_what_a_step_makes_is_shared_and_stays_what_it_is():
    one = parallel.layout(1)
    x = jnp.arange(6.0).reshape(2, 3)
    for axis in (0, 1):
        found = jax.jit(lambda x, axis=axis: parallel.spread(one, 2 * x, axis))(x)
        np.testing.assert_array_equal(found, 2 * x)
    with pytest.raises(ValueError, match="mode: 'pmap', expected 'jit'"):
        parallel.spread(parallel.layout(1, "pmap"), x)
