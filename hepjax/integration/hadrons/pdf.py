"""Parton densities of the proton, x f(x, Q^2), interpolated on device.

`load` reads a member of a set (`io.lhagrid`) and prepares it; `xf` gives all flavours at once at
any points, a cubic Hermite polynomial in log x and log Q, whose slopes at the knots are means of
the differences on either side, as in LHAPDF's "logcubic" (arXiv:1412.7420); at a threshold, where
quarks begin, they look at their own side alone. Beyond the knots densities stay as they are at the
last one; at x of 1 and above they are 0. All in float64, differentiable in x and Q^2.

>>> from hepjax.io import lhagrid
>>> x, q, flat = np.geomspace(1e-3, 1, 6), np.geomspace(1, 100, 5), np.ones((6, 5, 14))
>>> with jax.enable_x64(True):
...     print(xf(prepare(lhagrid.Grid(x, q, (0,), flat)), np.array([0.1]), np.array([50.0])).shape)
(1, 14)
"""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.io import lhagrid
from hepjax.io.lhagrid import FLAVOURS


class PDF(NamedTuple):
    """A member, prepared.

    log_x, log_q: [x], [q] knots; corner: [x, q, 4, flavour] at each knot x f, its slopes in log x,
    in log Q, and in both; the knots of a threshold stand twice.
    """

    log_x: Any
    log_q: Any
    corner: Any


def load(name: str | os.PathLike[str], member: int = 0) -> PDF:
    """Load a member of a set by name or path; raises ValueError where there is none."""
    return prepare(lhagrid.read(lhagrid.find(name, member)))


def prepare(grid: lhagrid.Grid) -> PDF:
    """Compute the slopes at all knots."""
    log_x, log_q = np.log(grid.x), np.log(grid.q)
    along_x = _slope(grid.xf, log_x, 0)
    ends = [*grid.first[1:], len(grid.q)]
    parts = []
    for a, b in zip(grid.first, ends):
        of = np.stack([grid.xf[:, a:b], along_x[:, a:b]], 2)
        parts.append(np.concatenate([of, _slope(of, log_q[a:b], 1)], 2))
    return PDF(log_x, log_q, np.concatenate(parts, 1))


def _slope(values: np.ndarray, knots: np.ndarray, axis: int) -> np.ndarray:
    """Give slopes at the knots: means of the differences on either side, one at the ends."""
    values = np.moveaxis(values, axis, 0)
    step = np.diff(values, axis=0) / np.diff(knots).reshape(-1, *[1] * (values.ndim - 1))
    inner = (step[1:] + step[:-1]) / 2
    return np.moveaxis(np.concatenate([step[:1], inner, step[-1:]]), 0, axis)


def column(pid: int) -> int:
    """Tell in which column of `xf` a parton stands, by its PDG code; raises ValueError."""
    if pid not in FLAVOURS:
        raise ValueError(f"pid: {pid}, expected a parton: {', '.join(map(str, FLAVOURS))}")
    return FLAVOURS.index(pid)


def xf(pdf: PDF, x: Any, q2: Any) -> jax.Array:
    """Give x f(x, Q^2) of all flavours [..., flavour], columns as in `lhagrid.FLAVOURS`.

    x: [...] share of the proton's momentum; q2: [...] GeV^2. Raises ValueError without float64.
    """
    if not jax.config.jax_enable_x64:  # type: ignore
        raise ValueError("pdf: expected float64, which is off: jax.config.update('jax_enable_x64')")
    x, q2 = jnp.broadcast_arrays(jnp.asarray(x, float), jnp.asarray(q2, float))
    at_x, weight_x, i = _hermite(jnp.asarray(pdf.log_x), jnp.log(jnp.maximum(x, 1e-300)))
    at_q, weight_q, j = _hermite(jnp.asarray(pdf.log_q), jnp.log(jnp.maximum(q2, 1e-300)) / 2)
    corner = jnp.asarray(pdf.corner)
    found = jnp.zeros((*x.shape, len(FLAVOURS)))
    for a in (0, 1):
        for b in (0, 1):
            known = corner[i + a, j + b]
            found += jnp.einsum(
                "...k,...kf->...f",
                jnp.stack(
                    [
                        at_x[a] * at_q[b],
                        weight_x[a] * at_q[b],
                        at_x[a] * weight_q[b],
                        weight_x[a] * weight_q[b],
                    ],
                    -1,
                ),
                known,
            )
    return jnp.where(((x > 0) & (x < 1))[..., None], found, 0.0)


def _hermite(knots: jax.Array, at: jax.Array) -> tuple[Any, Any, jax.Array]:
    """Find the interval of points, and the weights there of values and of slopes at its ends."""
    at = jnp.clip(at, knots[0], knots[-1])
    place = jnp.clip(jnp.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    width = knots[place + 1] - knots[place]
    t = (at - knots[place]) / width
    values = (1 + 2 * t) * (1 - t) ** 2, t**2 * (3 - 2 * t)
    slopes = t * (1 - t) ** 2 * width, t**2 * (t - 1) * width
    return values, slopes, place
