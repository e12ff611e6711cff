"""Small matrices: beside numpy, on any scale, and where calls of LAPACK would wait for ever."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import matrices

RNG = np.random.default_rng(0)


def positive(n, shape=(50,)):
    x = RNG.normal(size=(*shape, n, n))
    scale = np.exp(2 * RNG.normal(size=(*shape, n)))
    found = x @ np.swapaxes(x, -1, -2) + 0.1 * np.eye(n)
    return (found * scale[..., :, None] * scale[..., None, :]).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_inverses_and_solutions(n):
    """Within what rounding costs, whatever the units of rows."""
    a = positive(n)
    scale = np.sqrt(np.diagonal(a, axis1=-2, axis2=-1))
    bound = 1e-6 * np.linalg.cond(a / scale[:, :, None] / scale[:, None, :].astype(float))
    found = np.asarray(jax.jit(matrices.inverse)(a), float)
    unit = (found @ a) * scale[:, :, None] / scale[:, None, :]
    assert (np.abs(unit - np.eye(n)).max((1, 2)) < bound).all()
    x = RNG.normal(size=(50, n)) / scale
    b = np.einsum("bij,bj->bi", a.astype(float), x).astype(np.float32)
    away = (jax.jit(matrices.solve)(a, b) - x) * scale
    assert (np.abs(away).max(1) < 3 * bound).all()


def test_triangular_matrices_too():
    lower = np.tril(positive(4)) + np.eye(4, dtype=np.float32)
    expected = np.linalg.inv(lower.astype(float))
    found = matrices.inverse(jnp.asarray(lower))
    assert (np.triu(found, 1) == 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("n", [1, 2, 3, 6, 9])
def test_eigenvalues_and_vectors(n):
    x = RNG.normal(size=(40, n, n))
    a = x + np.swapaxes(x, -1, -2)
    a[0], a[1] = np.eye(n), np.diag(np.arange(n))[::-1, ::-1]  # nothing to do
    a[2] = np.ones((n, n))  # n - 1 of them alike
    expected = np.linalg.eigvalsh(a)
    values, vectors = (np.asarray(x, float) for x in jax.jit(matrices.eigh)(a.astype(np.float32)))
    np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())
    unit = np.swapaxes(vectors, -1, -2) @ vectors
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(n), unit.shape), atol=1e-5)
    again = (vectors * values[:, None]) @ np.swapaxes(vectors, -1, -2)
    np.testing.assert_allclose(again, a, atol=2e-5 * np.abs(expected).max())


def test_eigenvalues_in_float64():
    with jax.enable_x64(True):
        x = RNG.normal(size=(20, 9, 9))
        a = x + np.swapaxes(x, -1, -2)
        np.testing.assert_allclose(
            matrices.eigh(jnp.asarray(a))[0], np.linalg.eigvalsh(a), atol=1e-12
        )


PROGRAM = """
import os, sys, threading
threading.Timer(20, lambda: os._exit(3)).start()
import jax, jax.numpy as jnp
from hepjax import matrices
inverse = jnp.linalg.inv if sys.argv[1] == "lapack" else matrices.inverse
def turn(x, _):
    return x + 1e-3 * sum(inverse(x + k * jnp.eye(9)) for k in range(1, 7)), None
x = jnp.eye(9) + 0.1 * jax.random.normal(jax.random.key(0), (512, 9, 9))
jax.block_until_ready(jax.jit(lambda x: jax.lax.scan(turn, x, None, 30)[0])(x))
os._exit(0)
"""


@pytest.mark.slow
def test_large_batches_do_not_wait_for_each_other(monkeypatch):
    """In a pool of two threads; LAPACK is run as well, which tells whether this is still needed."""
    monkeypatch.setenv("PJRT_NPROC", "2")
    codes = {
        how: subprocess.run([sys.executable, "-c", PROGRAM, how], check=False).returncode
        for how in ("lapack", "plain")
    }
    assert codes["plain"] == 0
    if codes["lapack"] == 0:
        pytest.skip("jaxlib's calls of LAPACK no longer wait for each other")
    assert codes["lapack"] == 3
