"""VEGAS and VEGAS+: the classical adaptive integration over the unit cube, on device.

A map bends each axis by itself: a grid of bins, each as likely as the other, whose widths follow
the integrand (Lepage, J. Comput. Phys. 27, 192). VEGAS+ (arXiv:2009.05112) divides the mapped cube
into cells as well, and gives most points to those where the integrand varies most. `step` draws,
evaluates, estimates and adapts once; `integrate` runs some steps and combines those that count.
`forward` and `inverse` are the map alone, an exact bijection with its Jacobian that flows may stand
behind. All shapes are fixed, so a step is compiled once; leading axes are for `jax.vmap`.

Beside a peak that is thousands of times narrower than the cube stands one wide bin, whose few
points are heavy: there the error that is said is too small.

>>> settings = Settings(n_points=4000, n_bins=50)
>>> found, state = integrate(lambda x: 3 * x[:, 0] ** 2, init(2, settings), jax.random.key(0),
...                          settings, n_steps=6)
>>> abs(float(found.value) - 1) < 5 * float(found.error)
True
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Integrand = Callable[[jax.Array], jax.Array]
"""From points [point, dim] of the unit cube to values [point]."""

MIN_CELL = 2
"""Points in each cell of VEGAS+, of which a variance can be told."""

MIN_BIN = 10
"""Points in each bin of an axis: edges that follow fewer follow their noise."""


class Settings(NamedTuple):
    """How much is drawn, and how fast a step adapts.

    n_points: a step; n_bins: of each axis, fewer for few points (MIN_BIN); damping: of the grid, 0
    keeps it; beta: how strongly points go where the integrand varies, 0 for VEGAS without cells;
    share: of the points that do, the others are even over the cells.
    """

    n_points: int = 20_000
    n_bins: int = 1000
    damping: float = 0.5
    beta: float = 0.75
    share: float = 0.75


class State(NamedTuple):
    """What is learned: edges [dim, bin + 1] of the grid, and weight [cell], how many points each
    cell shall have beyond the least.
    """

    edges: jax.Array
    weight: jax.Array


class Drawn(NamedTuple):
    """Points of one step: where they are [point, dim], their weights [point] (the integrand over
    the density of the points), cell [point], and how many the cell has [point].
    """

    x: jax.Array
    weight: jax.Array
    cell: jax.Array
    n_in_cell: jax.Array


class Estimate(NamedTuple):
    """An integral, its error, n points, the relative standard deviation: error over value, times
    the root of n; and the part of the integral of the absolute value that is negative, where told.
    """

    value: Any
    error: Any
    n: Any
    rsd: Any
    negative: Any = 0.0


def cells(dim: int, settings: Settings) -> tuple[int, ...]:
    """Tell into how many parts each axis is divided: one without stratification."""
    if not settings.beta:
        return (1,) * dim
    room = max((1 - settings.share) * settings.n_points / MIN_CELL, 1)
    parts = [max(math.floor(room ** (1 / dim) + 1e-9), 1)] * dim
    for k in range(dim):
        more = math.prod(parts) // parts[k] * (parts[k] + 1)
        parts[k] += more <= room
    return tuple(parts)


def init(dim: int, settings: Settings) -> State:
    """Begin with even bins and even cells. Raises ValueError for settings that cannot be."""
    for name, value, least in (("dim", dim, 1), ("n_bins", settings.n_bins, 2)):
        if value < least:
            raise ValueError(f"{name}: {value}, expected at least {least}")
    n_cells = math.prod(cells(dim, settings))
    if settings.n_points < MIN_CELL * n_cells:
        raise ValueError(f"n_points: {settings.n_points}, expected at least {MIN_CELL * n_cells}")
    n = max(min(settings.n_bins, settings.n_points // MIN_BIN), 2)
    edges = jnp.broadcast_to(jnp.linspace(0.0, 1.0, n + 1), (dim, n + 1))
    return State(edges, jnp.ones(n_cells))


def forward(edges: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Map even points y [point, dim] by a grid [dim, bin + 1]; also log |dx/dy| [point]."""
    n = edges.shape[-1] - 1
    index = jnp.clip((y * n).astype(int), 0, n - 1)
    axis = jnp.arange(edges.shape[0])
    low, width = edges[axis, index], edges[axis, index + 1] - edges[axis, index]
    x = low + width * (y * n - index)
    return jnp.clip(x, 0, 1), jnp.log(width * n).sum(-1)


def inverse(edges: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Map points x [point, dim] back; also log |dy/dx| [point], the density of the grid."""
    n = edges.shape[-1] - 1
    find = jax.vmap(functools.partial(jnp.searchsorted, side="right"), (0, 1), 1)
    index = jnp.clip(find(edges, x) - 1, 0, n - 1)
    axis = jnp.arange(edges.shape[0])
    low, width = edges[axis, index], edges[axis, index + 1] - edges[axis, index]
    y = (index + jnp.clip((x - low) / width, 0, 1)) / n
    return y, -jnp.log(width * n).sum(-1)


def draw(integrand: Integrand, state: State, key: jax.Array, settings: Settings) -> Drawn:
    """Draw the points of one step and evaluate the integrand.

    Raises ValueError for an integrand of another shape.
    """
    dim, n = state.edges.shape[0], settings.n_points
    parts = np.array(cells(dim, settings))
    n_cells = int(parts.prod())
    free = n - MIN_CELL * n_cells
    until = jnp.cumsum(state.weight / state.weight.sum())
    until = jnp.round(until * free).at[-1].set(free).astype(int) + MIN_CELL * (
        1 + jnp.arange(n_cells)
    )
    count = jnp.diff(until, prepend=0)
    cell = jnp.searchsorted(until, jnp.arange(n), side="right")
    corner = jnp.stack(jnp.unravel_index(cell, tuple(parts)), -1)
    y = (corner + jax.random.uniform(key, (n, dim), state.edges.dtype)) / parts
    x, log_jacobian = forward(state.edges, y)
    values = integrand(x)
    if values.shape != (n,):
        raise ValueError(f"integrand: gave {values.shape}, expected ({n},)")
    n_in_cell = count[cell]
    weight = values * jnp.exp(log_jacobian) * n / (n_cells * n_in_cell)
    return Drawn(x, weight, cell, n_in_cell)


def estimate(drawn: Drawn, n_cells: int) -> tuple[Estimate, jax.Array]:
    """Estimate the integral; also the standard deviation of the integrand in each cell [cell]."""
    n = len(drawn.weight)
    of = drawn.weight * drawn.n_in_cell * (n_cells / n)  # as if each cell were the whole
    count = jax.ops.segment_sum(jnp.ones_like(of), drawn.cell, n_cells)
    mean = jax.ops.segment_sum(of, drawn.cell, n_cells) / count
    square = jax.ops.segment_sum((of - mean[drawn.cell]) ** 2, drawn.cell, n_cells)
    variance = square / jnp.maximum(count - 1, 1)
    value = mean.mean()
    error = jnp.sqrt((variance / count).sum()) / n_cells
    return Estimate(value, error, jnp.asarray(n), error * n**0.5 / jnp.abs(value)), variance**0.5


def refine(edges: jax.Array, x: jax.Array, weight: jax.Array, damping: float) -> jax.Array:
    """Move the edges [dim, bin + 1] to where squared weights [point] are large: bins get equal
    shares of them, smoothed over neighbours and damped.
    """
    n = edges.shape[-1] - 1
    y, _ = inverse(edges, x)
    index = jnp.clip((y * n).astype(int), 0, n - 1)

    def one(edges: jax.Array, index: jax.Array) -> jax.Array:
        count = jax.ops.segment_sum(jnp.ones_like(weight), index, n)
        size = jax.ops.segment_sum(weight**2, index, n) / jnp.maximum(count, 1)
        padded = jnp.concatenate([size[:1], size, size[-1:]])
        size = (padded[:-2] + 6 * size + padded[2:]) / 8
        size = size / jnp.maximum(size.sum(), jnp.finfo(size.dtype).tiny)
        inner = (size > 0) & (size < 1 - 1e-8)
        safe = jnp.where(inner, size, 0.5)
        slow = jnp.where(inner, ((safe - 1) / jnp.log(safe)) ** damping, size > 0)
        until = jnp.concatenate([jnp.zeros(1, slow.dtype), jnp.cumsum(slow)])
        moved = jnp.interp(jnp.linspace(0, 1, n + 1) * until[-1], until, edges)
        return jnp.where(until[-1] > 0, moved.at[0].set(0).at[-1].set(1), edges)

    return jax.vmap(one, (0, 1))(edges, index)


def graded(edges: jax.Array, growth: float = 1.0) -> jax.Array:
    """Make a grid [..., bin + 1] fit for a flow behind it: no bin is wider than another and
    `growth` times the distance to it, as many bins.

    A bare grid has one wide bin beside a narrow peak, whose tail in it no point will find.
    """
    edges = jnp.asarray(edges)
    if edges.ndim > 1:
        return jax.vmap(lambda one: graded(one, growth))(edges)
    width = jnp.diff(edges)
    size = jnp.minimum(jnp.append(width, width[-1]), jnp.append(width[0], width))
    apart = growth * jnp.abs(edges[:, None] - edges)
    size = (size + apart).min(1)  # at the edges
    near = jnp.append(0, jnp.geomspace(1e-9, 0.5, 128))
    inner = jnp.concatenate([near, 1 - near[-2:0:-1]]) * width[:, None]  # from the left edge
    most = jnp.minimum(size[:-1, None], size[1:, None] + growth * (width[:, None] - 2 * inner))
    most = jnp.minimum(most + growth * inner, width[:, None])
    at = jnp.append((edges[:-1, None] + inner).reshape(-1), edges[-1])
    one_over = jnp.append((1 / most).reshape(-1), 1 / size[-1])
    pieces = jnp.diff(at) * (one_over[1:] + one_over[:-1]) / 2
    until = jnp.append(0, jnp.cumsum(pieces))
    found = jnp.interp(jnp.linspace(0, 1, len(edges)) * until[-1], until, at)
    return found.at[0].set(edges[0]).at[-1].set(edges[-1])


def step(
    integrand: Integrand, state: State, key: jax.Array, settings: Settings
) -> tuple[State, Drawn, Estimate]:
    """Draw, estimate and adapt once."""
    drawn = draw(integrand, state, key, settings)
    found, spread = estimate(drawn, len(state.weight))
    edges, weight = state
    if settings.damping:
        of = drawn.weight * drawn.n_in_cell
        edges = refine(edges, drawn.x, of, settings.damping)
    if settings.beta:
        weight = spread**settings.beta
        weight = jnp.where(weight.sum() > 0, weight, jnp.ones_like(weight))
    return State(edges, weight), drawn, found


@functools.partial(jax.jit, static_argnames=("integrand", "settings"))
def _step(
    integrand: Integrand, state: State, key: jax.Array, settings: Settings
) -> tuple[State, Estimate]:
    state, _, found = step(integrand, state, key, settings)
    return state, found


def integrate(
    integrand: Integrand,
    state: State,
    key: jax.Array,
    settings: Settings,
    *,
    n_steps: int = 10,
    n_burn: int = 5,
) -> tuple[Estimate, State]:
    """Run some steps; those behind the first n_burn make the estimate.

    They count by their points, and not by their errors, which would favour what is too low. Raises
    ValueError where none is left, and for an integrand that gives no finite number.
    """
    if not 0 <= n_burn < n_steps:
        raise ValueError(f"n_burn: {n_burn}, expected 0 to {n_steps - 1}")
    found = []
    for k in range(n_steps):
        state, one = _step(integrand, state, jax.random.fold_in(key, k), settings)
        if not np.isfinite(one.value):
            raise ValueError(f"integrand: step {k} gave {float(one.value)}, expected a number")
        found.append(one)
    return combine(found[n_burn:]), state


def combine(found: list[Estimate]) -> Estimate:
    """Take the mean of independent estimates of equal numbers of points."""
    n = sum(one.n for one in found)
    value = sum(one.value for one in found) / len(found)
    error = jnp.sqrt(sum(one.error**2 for one in found)) / len(found)
    return Estimate(value, error, n, error * n**0.5 / jnp.abs(value))
