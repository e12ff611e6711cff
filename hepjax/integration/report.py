"""Plots of integrals: weights of points, distributions, and whose each point is.

>>> np.round(binned(np.array([0.5, 1.5, 1.6]), np.array([1.0, 2.0, 2.0]), np.arange(3.0), 3)[0], 3)
array([0.333, 1.333])
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from hepjax import plot
from hepjax.integration import channels, integrator, processes, sampling, unweighting


def binned(
    value: np.ndarray, weight: np.ndarray, edges: np.ndarray, n: float
) -> tuple[np.ndarray, np.ndarray]:
    """Give a distribution of n weighted points, weight per unit of the value, and its errors."""
    width = np.diff(edges)
    total, _ = np.histogram(value, edges, weights=weight)
    square, _ = np.histogram(value, edges, weights=weight**2)
    error = np.sqrt(np.maximum(square - total**2 / n, 0))
    return total / n / width, error / n / width


def whole_weights(sampled: sampling.Sampled, n_channels: int) -> np.ndarray:
    """Scale weights such that their mean over all points is the integral, however many points each
    channel has.
    """
    count = np.bincount(sampled.channel, minlength=n_channels)
    return sampled.weight * len(sampled.weight) / np.maximum(count, 1)[sampled.channel]


def summary(sampled: sampling.Sampled, active: Any, overweight: float) -> dict[str, float | int]:
    """Give the cross-section of weighted points with its error, pb, its relative standard deviation
    and what unweighting would keep, with a share of overweights and with the largest weight.
    """
    found, weight = sampling.estimate(sampled, active), whole_weights(sampled, len(active))
    kept = unweighting.efficiency(weight, overweight)
    return {
        "sigma_pb": float(found.value),
        "sigma_error_pb": float(found.error),
        "rsd": float(found.rsd),
        "unweighting_efficiency": kept.efficiency,
        "overweight_fraction": kept.overweight_fraction,
        "unweighting_efficiency_maximum": unweighting.efficiency(weight).efficiency,
        "n": kept.n,
    }


def spread(path: Path, samples: Mapping[str, np.ndarray], *, title: str = "") -> None:
    """Draw how far weights are from their mean, of some samples of points."""
    edges = np.geomspace(1e-3, 1e3, 61)
    with plot.figure(path) as ax:
        for k, (name, weight) in enumerate(samples.items()):
            size = np.abs(weight) / np.abs(weight).mean()
            share = np.histogram(size, edges)[0] / len(size)
            look = plot.look(k)
            ax.stairs(share, edges, label=name, color=look["color"], linestyle=look["linestyle"])
        ax.set(xlabel="Weight / mean", ylabel="Share of the points", xscale="log", yscale="log")
        plot.sample(ax, title, f"{len(weight)} points each")
        ax.legend()


def distribution(
    path: Path,
    samples: Mapping[str, tuple[np.ndarray, np.ndarray]],
    edges: np.ndarray,
    label: str,
    *,
    unit: str = "",
    log: bool = True,
    title: str = "",
) -> None:
    """Draw a cross-section against a value, of some samples (value [point], weight [point])."""
    with plot.figure_with_ratio(path) as (ax, below):
        first = None
        for k, (name, (value, weight)) in enumerate(samples.items()):
            y, error = binned(value, weight, edges, len(weight))
            look = plot.look(k)
            shape = {"color": look["color"], "linestyle": look["linestyle"]}
            ax.stairs(y, edges, label=name, **shape)
            first = y if first is None else first
            ratio, size = (
                np.divide(x, first, where=first > 0, out=np.ones_like(x)) for x in (y, error)
            )
            below.stairs(ratio, edges, **shape)
            below.stairs(ratio + size, edges, baseline=ratio - size, fill=True, alpha=0.3, **shape)
        per = f" / {unit}" if unit else ""
        ax.set(ylabel=f"Cross-section [pb{per}]", yscale="log" if log else "linear")
        below.set(xlabel=f"{label} [{unit}]" if unit else label, ylabel="Ratio", ylim=(0.8, 1.2))
        plot.sample(ax, title)
        ax.legend()


def channel_shares(
    path: Path,
    at: np.ndarray,
    alpha: Mapping[str, np.ndarray],
    label: str,
    names: tuple[str, ...],
    *,
    title: str = "",
) -> None:
    """Draw channel weights [value, channel] against a value, learned ones beside the prior."""
    with plot.figure(path) as ax:
        for style, (which, weights) in zip(("-", ":"), alpha.items()):
            for k, name in enumerate(names):
                ax.plot(
                    at, weights[:, k], style, color=plot.look(k)["color"], label=f"{name}, {which}"
                )
        ax.set(xlabel=label, ylabel="Channel weight", ylim=(0, 1.35))
        plot.sample(ax, title)
        ax.legend(ncols=2)


def pair(
    folder: Path,
    process: processes.Pair,
    integrand: integrator.Integrand,
    weights: Any,
    samples: Mapping[str, sampling.Sampled],
    *,
    active: Any = True,
    title: str = "",
) -> None:
    """Draw what two particles look like in some samples: mass, cos(theta), weights, and the channel
    weights of a network (its layers) against the mass, beside the prior; active: [channel].
    """
    n, low = integrand.n_channels, process.limits[0] ** 0.5
    whole = {name: whole_weights(sample, n) for name, sample in samples.items()}
    at = {
        name: processes.kinematics(process, jnp.asarray(sample.x), jnp.asarray(sample.channel))
        for name, sample in samples.items()
    }
    edges = np.geomspace(low, min(process.limits[1] ** 0.5, 30 * low), 61)
    mass = {name: (np.sqrt(x.s), whole[name]) for name, x in at.items()}
    distribution(folder / "mass", mass, edges, "Mass", unit="GeV", title=title)
    cos = {name: (np.asarray(x.cos), whole[name]) for name, x in at.items()}
    bins = np.linspace(-1, 1, 41)
    distribution(folder / "cos_theta", cos, bins, r"$\cos\theta$", log=False, title=title)
    spread(folder / "weights", whole, title=title)
    if n > 1:
        first = next(iter(samples))
        sample, s = samples[first], at[first].s
        found = integrand.function(jnp.asarray(sample.x), jnp.asarray(sample.channel))
        m = np.sqrt(s)
        bins = np.digitize(m, np.geomspace(m.min(), m.max(), 101))
        rows = [np.flatnonzero(bins == k) for k in np.unique(bins)]
        alpha = {}
        for which, layers in (("learned", weights), ("prior", None)):
            each = np.exp(channels.log_weights(layers, found.features, found.log_prior, active))
            alpha[which] = np.array([each[row].mean(0) for row in rows])  # over all else
        names = tuple(f"channel {k + 1}" for k in range(n))
        where = np.array([m[row].mean() for row in rows])
        channel_shares(folder / "channels", where, alpha, "Mass [GeV]", names, title=title)
