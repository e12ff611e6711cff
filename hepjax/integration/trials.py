"""An integral from many seeds: whether it scatters about its value as much as its errors say.

Each trial trains an integrator of its own and measures the integral with fresh points; some run
side by side, by `jax.vmap`. Where the integral is known, `pulls` are distances to it in units of
the error: their mean is 0 and their width is 1, if the integral is unbiased and errors are right.

>>> pulls(vegas.Estimate(np.array([1.1, 0.8]), np.array([0.1, 0.1]), 100, 1.0), 1.0).round(6)
array([ 1., -2.])
"""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import plot
from hepjax.integration import (
    integrator,
    losses,
    sampling,
    vegas,
)

TOGETHER = 20
"""Trials that run at once."""


def measured(found: losses.Sums) -> vegas.Estimate:
    """Give the integral of moments [channel] of points drawn from the flows, each channel of which
    has some, or none and no part of the integral.
    """
    n = jnp.maximum(found.n, 2)
    spread = losses.spread(found)
    value = (found.first / n).sum()
    error = jnp.sqrt((spread / (n - 1)).sum())
    total: Any = found.n.sum()
    return vegas.Estimate(value, error, total, jnp.sqrt(spread).sum() / jnp.abs(value))


@functools.partial(jax.jit, static_argnames=("integrand", "settings", "n"))
def estimates(
    integrand: integrator.Integrand,
    settings: integrator.Settings,
    keys: jax.Array,
    n: int,
    grids: Any = None,
) -> vegas.Estimate:
    """Train with each of the keys [trial], and measure with n fresh points [trial].

    grids: as for `integrator.init`, the same for all.
    """
    step = integrator.train_step(integrand, settings)

    def one(key: jax.Array) -> vegas.Estimate:
        first, last = jax.random.split(key)
        state = integrator.init(integrand, settings, first, grids)
        state, _ = jax.lax.scan(step, state, None, length=settings.n_steps)
        return measured(sampling.moments(integrand, settings, state, last, n))

    return jax.lax.map(one, keys, batch_size=min(len(keys), TOGETHER))


def pulls(found: vegas.Estimate, exact: float) -> np.ndarray:
    """Give (value - exact) / error [trial]. Raises ValueError for an error that is none."""
    value, error = (np.asarray(x, float) for x in (found.value, found.error))
    bad = ~(np.isfinite(value) & (error > 0))
    if bad.any():
        raise ValueError(f"trials: {bad.sum()} of {len(bad)} without a value and an error")
    return (value - exact) / error


def summary(found: vegas.Estimate, exact: float) -> tuple[dict[str, float], np.ndarray]:
    """Give mean and width of the pulls, the median relative standard deviation, the number of
    trials, and the pulls [trial].
    """
    pull = pulls(found, exact)
    rsd = float(np.median(found.rsd))
    width = float(pull.std(ddof=1))
    return {"mean": float(pull.mean()), "width": width, "rsd": rsd, "n": len(pull)}, pull


def draw(path: Path, pull: np.ndarray, *, title: str = "") -> None:
    """Draw pulls [trial] beside the normal distribution that they should have."""
    edges = np.linspace(-4, 4, 17)
    at = np.linspace(-4, 4, 161)
    with plot.figure(path) as ax:
        count, _ = np.histogram(pull, edges)
        black = plot.look(0)["color"]
        label = f"mean {pull.mean():.2f}, width {pull.std(ddof=1):.2f}"
        ax.stairs(count, edges, color=black, label=label)
        middle = (edges[1:] + edges[:-1]) / 2
        ax.errorbar(middle, count, np.sqrt(count), fmt="none", color=black)
        normal = len(pull) * np.diff(edges)[0] * np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
        ax.plot(at, normal, "--", color=plot.look(1)["color"], label="normal")
        ax.set(xlabel="(Integral - exact) / error", ylabel="Trials")
        plot.sample(ax, title, f"{len(pull)} seeds")
        ax.legend()
