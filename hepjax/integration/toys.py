"""Integrands of the unit cube whose integrals are known, for comparing ways to integrate.

>>> round(camel_integral(4), 6)
0.963657
>>> camel(jnp.full((2, 4), 0.5)).shape
(2,)
"""

import math

import jax
import jax.numpy as jnp
import numpy as np


def camel(x: jax.Array, width: float = 0.2) -> jax.Array:
    """Two normal peaks on the diagonal, at 1/3 and 2/3: x [point, dim] -> [point].

    Lepage's test of VEGAS (J. Comput. Phys. 27, 192); width: sqrt(2) standard deviations.
    """
    size = (width * math.sqrt(math.pi)) ** x.shape[-1]
    peaks = [jnp.exp(-(((x - c) / width) ** 2).sum(-1)) for c in (1 / 3, 2 / 3)]
    return (peaks[0] + peaks[1]) / (2 * size)


def camel_integral(dim: int, width: float = 0.2) -> float:
    """Give the integral of `camel`."""
    return ((math.erf(1 / (3 * width)) + math.erf(2 / (3 * width))) / 2) ** dim


def ring_line(x: jax.Array) -> jax.Array:
    """Thin ring and thin diagonal line: x [point, 2] -> [point]; no product of two functions.

    Ring of radius 0.35 about (0.5, 0.5), and a piece of the diagonal, 0.5 long, through the centre;
    both 0.01 wide.
    """
    a, b = x[:, 0] - 0.5, x[:, 1] - 0.5
    ring = jnp.exp(-0.5 * ((jnp.hypot(a, b) - RADIUS) / THIN) ** 2)
    along, across = (a + b) / math.sqrt(2), (a - b) / math.sqrt(2)
    line = jnp.exp(-0.5 * (across / THIN) ** 2) * (jnp.abs(along) < LENGTH / 2)
    return ring + line


RADIUS, THIN, LENGTH = 0.35, 0.01, 0.5


def ring_line_integral() -> float:
    """Give the integral of `ring_line`; what leaves the square is below rounding."""
    ring = math.sqrt(2 * math.pi) * THIN * 2 * math.pi * RADIUS
    return ring + math.sqrt(2 * math.pi) * THIN * LENGTH


def peak(x: jax.Array, width: float = 1e-4) -> jax.Array:
    """One narrow normal peak at (0.3, 0.6, 0.3, ...), integral 1: x [point, dim] -> [point]."""
    centre = np.where(np.arange(x.shape[-1]) % 2, 0.6, 0.3)
    size = (width * math.sqrt(2 * math.pi)) ** x.shape[-1]
    return jnp.exp(-0.5 * (((x - centre) / width) ** 2).sum(-1)) / size
