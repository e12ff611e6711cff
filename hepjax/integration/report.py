"""Plots of integrals: weights of points, distributions, and whose each point is.

>>> np.round(binned(np.array([0.5, 1.5, 1.6]), np.array([1.0, 2.0, 2.0]), np.arange(3.0), 3)[0], 3)
array([0.333, 1.333])
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from hepjax import plot
from hepjax.integration import integrator, mixture, sampling
from hepjax.integration.events import unweighting
from hepjax.integration.hadrons import observables


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


def jackknife(without: Callable[[slice], float], n_blocks: int = 20) -> float:
    """Give the error of a number that is found from points without some of them, the rows of a
    slice; each of the blocks is left out once.
    """
    found = [without(slice(k, None, n_blocks)) for k in range(n_blocks)]
    return float(np.std(found) * np.sqrt(n_blocks - 1))


def summary(sampled: sampling.Sampled, active: Any, overweight: float) -> dict[str, float | int]:
    """Give the cross-section of weighted points with its error, pb, its relative standard deviation
    and what unweighting would keep, with a share of overweights and with the largest weight; errors
    are those of a jackknife.
    """

    def without(rows: slice) -> float:
        some = (None if x is None else np.delete(x, rows, 0) for x in sampled)
        return float(sampling.estimate(sampling.Sampled(*some), active).rsd)

    found, weight = sampling.estimate(sampled, active), whole_weights(sampled, len(active))
    return {
        "sigma_pb": float(found.value),
        "sigma_error_pb": float(found.error),
        "rsd": float(found.rsd),
        "rsd_error": jackknife(without),
        **unweighted(weight, overweight),
    }


def unweighted(weight: np.ndarray, overweight: float) -> dict[str, float | int]:
    """Give what unweighting would keep of weights [point], with a share of overweights, with its
    error, and with the largest weight; the limit is that of the same n points.
    """

    def without(rows: slice) -> float:
        return unweighting.efficiency(np.delete(weight, rows), overweight).efficiency

    kept = unweighting.efficiency(weight, overweight)
    return {
        "unweighting_efficiency": kept.efficiency,
        "unweighting_efficiency_error": jackknife(without),
        "overweight_fraction": kept.overweight_fraction,
        "unweighting_efficiency_maximum": unweighting.efficiency(weight).efficiency,
        "n": kept.n,
    }


def spread(ax: Axes, samples: Mapping[str, np.ndarray], *, title: str = "") -> Axes:
    """Draw how far weights are from their mean, of some samples of points."""
    edges = np.geomspace(1e-3, 1e3, 61)
    for k, (name, weight) in enumerate(samples.items()):
        size = np.abs(weight) / np.abs(weight).mean()
        share = np.histogram(size, edges)[0] / len(size)
        look = plot.look(k)
        ax.stairs(share, edges, label=name, color=look["color"], linestyle=look["linestyle"])
        plot.sample(ax, title, f"{len(weight)} points each")
    ax.set(xlabel="Weight / mean", ylabel="Share of the points", xscale="log", yscale="log")
    ax.legend()
    return ax


def distribution(
    axes: tuple[Axes, Axes],
    samples: Mapping[str, tuple[np.ndarray, np.ndarray]],
    edges: np.ndarray,
    label: str,
    *,
    unit: str = "",
    log: bool = True,
    title: str = "",
) -> tuple[Axes, Axes]:
    """Draw a cross-section against a value, of some samples (value [point], weight [point]), and
    below it their ratios to the first.
    """
    ax, below = axes
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
    if edges[-1] - edges[-2] > 2 * (edges[1] - edges[0]):
        ax.set(xscale="log")
    below.set(xlabel=f"{label} [{unit}]" if unit else label, ylabel="Ratio", ylim=(0.8, 1.2))
    plot.sample(ax, title)
    ax.legend()
    return axes


MOST_CHANNELS = 6


def channel_shares(
    ax: Axes,
    at: np.ndarray,
    alpha: Mapping[str, np.ndarray],
    label: str,
    names: tuple[str, ...],
    *,
    title: str = "",
) -> Axes:
    """Draw channel weights [value, channel] against a value, learned ones beside the prior; of many
    channels, those that are largest somewhere.
    """
    size = np.max([weights.max(0) for weights in alpha.values()], 0)
    shown = np.sort(np.argsort(-size, kind="stable")[:MOST_CHANNELS])
    shown = shown[size[shown] > 1e-3]  # and not those that were given up
    for style, (which, weights) in zip(("-", ":"), alpha.items()):
        for j, k in enumerate(shown):
            color, name = plot.look(j)["color"], f"{names[k]}, {which}"
            ax.plot(at, weights[:, k], style, color=color, label=name)
    ax.set(xlabel=label, ylabel="Channel weight", ylim=(0, 1.35))
    plot.sample(ax, title)
    ax.legend(ncols=2)
    return ax


def process(
    folder: Path,
    observe: observables.Observe,
    integrand: integrator.Integrand,
    weights: Any,
    samples: Mapping[str, sampling.Sampled],
    *,
    active: Any = True,
    title: str = "",
) -> None:
    """Draw all observables of some samples, their weights, and the channel weights of a network
    (its layers) against the first observable, beside the prior; active: [channel].
    """
    n = integrand.n_channels
    whole = {name: whole_weights(sample, n) for name, sample in samples.items()}
    seen = {name: observe(sample.x, sample.channel) for name, sample in samples.items()}
    first = next(iter(samples))
    for name, one in seen[first].items():
        values = {key: (np.asarray(seen[key][name].value), whole[key]) for key in samples}
        how: dict[str, Any] = {"unit": one.unit, "log": one.log, "title": title}
        with plot.figure_with_ratio(folder / name) as axes:
            distribution(axes, values, one.edges, one.label, **how)
    with plot.figure(folder / "weights") as ax:
        spread(ax, whole, title=title)
    if n > 1:
        one = next(iter(seen[first].values()))
        where, alpha = weights_along(one.value, integrand, weights, samples[first], active=active)
        label = f"{one.label} [{one.unit}]" if one.unit else one.label
        names = tuple(f"{k + 1}" for k in range(n))
        with plot.figure(folder / "channels") as ax:
            channel_shares(ax, where, alpha, label, names, title=title)


def weights_along(
    value: Any,
    integrand: integrator.Integrand,
    weights: Any,
    sample: sampling.Sampled,
    *,
    active: Any = True,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Average channel weights over all else than a value [point] of points: values [bin], and
    weights [bin, channel] learned and prior, in bins of at least 20 points where the integrand is
    not 0.
    """
    rows = slice(None, MOST_LOOKED_AT)
    index = None if sample.discrete is None else jnp.asarray(sample.discrete[rows])
    given = jnp.asarray(sample.x[rows]), jnp.asarray(sample.channel[rows]), index
    found = mixture.called(integrand, *given)
    value, some = np.asarray(value)[rows], np.asarray(found.value) != 0
    bins = np.where(some, np.digitize(value, np.geomspace(*_ends(value[some]), 61)), -1)
    each = [np.flatnonzero(bins == k) for k in np.unique(bins[some])]
    each = [row for row in each if len(row) > 20]
    alpha = {}
    for which, layers in (("learned", weights), ("prior", None)):
        log = mixture.log_weights(integrand, layers, *found[1:], active)
        alpha[which] = np.array([np.exp(log)[row].mean(0) for row in each])
    return np.array([value[row].mean() for row in each]), alpha


MOST_LOOKED_AT = 100_000
"""Points that channel weights are drawn of."""


def _ends(x: np.ndarray) -> tuple[float, float]:
    return float(x.min()), float(x.max())
