"""What a posterior is worth: its answers for many simulated events beside their truths.

`measure` simulates events, encodes them, draws directions of each posterior and places the truth
among them; it keeps a few numbers an event, so that a hundred thousand events fit. `summary` counts
coverage and angles of them, `binned` does so against energy, zenith and number of modules. What is
exact comes from elsewhere (`exact`, `fits`); here are the events.

>>> Measured._fields[:3]
('truth', 'n_modules', 'level')
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import coverage, runs, sphere
from hepjax.neutrino import calibration, data, posterior, training

LEVELS = (0.5, 0.68, 0.9)
"""Probabilities of the regions that are looked at."""


class Measured(NamedTuple):
    """Numbers of each event [event].

    truth; n_modules: that saw light; level: of the highest-density region that ends at the truth;
    tarp: share of samples closer to a random point than the truth; angle: rad, between the truth
    and the mean direction of the samples; area: [event, level] sr, of the regions of LEVELS;
    log_prob: at the truth.
    """

    truth: data.Truth
    n_modules: np.ndarray
    level: np.ndarray
    tarp: np.ndarray
    angle: np.ndarray
    area: np.ndarray
    log_prob: np.ndarray


class Answers(NamedTuple):
    """Posteriors of events: directions [sample, event, 3], their log_prob [sample, event], and that
    of the truth [event].
    """

    directions: Any
    sampled: Any
    log_prob: Any


def answer(
    model: posterior.Posterior,
    variables: Any,
    pulses: data.Pulses,
    direction: Any,
    key: jax.Array,
    n_samples: int,
) -> Answers:
    """Encode events, sample their posteriors, and look at true directions [event, 3]; pure."""
    encoded = posterior.encode(model, variables, pulses)
    directions, sampled = posterior.sample(model, encoded, key, n_samples)
    return Answers(directions, sampled, posterior.log_prob(model, encoded, direction))


def measure(
    model: posterior.Posterior,
    variables: Any,
    simulate: training.Simulate,
    key: jax.Array,
    n_events: int,
    *,
    n_samples: int = 200,
    chunk: int = 1000,
) -> Measured:
    """Test a posterior on events that are simulated for it, in chunks."""

    @jax.jit
    def some(variables: Any, key: jax.Array) -> tuple[Any, Any, Any]:
        draw, look = jax.random.split(key)
        pulses, truth = simulate(draw, chunk)
        found = answer(model, variables, pulses, truth.direction, look, n_samples)
        return truth, modules(pulses), found

    parts = []
    n_chunks = -(-n_events // chunk)
    with runs.progress(n_chunks * chunk, "events") as advance:
        for k in range(n_chunks):
            truth, n_modules, found = jax.device_get(some(variables, jax.random.fold_in(key, k)))
            parts.append(judged(truth, n_modules, found, seed=k))
            advance(chunk)
    whole = jax.tree.map(lambda *x: np.concatenate(x)[:n_events], *parts)
    return whole


def judged(truth: data.Truth, n_modules: Any, found: Answers, *, seed: int = 0) -> Measured:
    """Place truths among samples; all numpy."""
    sampled = np.asarray(found.sampled, np.float64)
    directions = unit(found.directions)
    true = unit(truth.direction)
    level = coverage.levels(found.log_prob, sampled, seed=seed)
    tarp = calibration.tarp(true, directions, seed=seed)
    angle = calibration.angular_error(true, calibration.mean_direction(directions))
    return Measured(
        truth, np.asarray(n_modules), level, tarp, angle, areas(sampled), np.asarray(found.log_prob)
    )


def areas(sampled: Any, levels: tuple[float, ...] = LEVELS) -> np.ndarray:
    """Give the area [event, level], sr, of the highest-density regions, from the log-densities of
    samples [sample, event]: the mean of 1 / density over the samples within.
    """
    order = -np.sort(-np.asarray(sampled, np.float64), 0)
    n = len(order)
    inside = np.cumsum(np.exp(-order), 0) / n
    at = [min(max(round(level * n), 1), n) - 1 for level in levels]
    return inside[at].T


def modules(pulses: data.Pulses) -> jax.Array:
    """Count the modules that saw light, [event]."""
    return data.first_of_module(pulses).mask.sum(-1)


def unit(direction: Any) -> np.ndarray:
    """Make directions [..., 3] unit vectors in float64."""
    long = np.asarray(direction, np.float64)
    return long / np.linalg.norm(long, axis=-1, keepdims=True)


def summary(measured: Measured) -> dict[str, float | int]:
    """Give coverage at LEVELS with errors, the median angle in degrees and the median areas in
    square degrees, the median's error by the spread of order statistics.
    """
    found = coverage.coverage(measured.level, LEVELS)
    results: dict[str, float | int] = {"n_events": len(measured.level)}
    for nominal, value, error in zip(LEVELS, found.value, found.error):
        name = f"coverage_{round(100 * nominal)}"
        results |= {name: float(value), f"{name}_error": float(error)}
    angle, error = median(np.degrees(measured.angle))
    results |= {"median_angle_deg": angle, "median_angle_deg_error": error}
    for k, nominal in enumerate(LEVELS):
        square = np.median(measured.area[:, k]) * np.degrees(1) ** 2
        results[f"median_area_{round(100 * nominal)}_deg2"] = float(square)
    for name, place in (("hpd", measured.level), ("tarp", measured.tarp)):
        results[f"p_value_{name}"] = float(coverage.probability_curve(place).p_value)
    return results


def median(x: np.ndarray) -> tuple[float, float]:
    """Give the median and its error, of half the distance of the order statistics one binomial
    standard deviation to both sides.
    """
    x, half = np.sort(x), np.sqrt(len(x)) / 2
    ends = [int(np.clip(round(len(x) / 2 + s * half), 0, len(x) - 1)) for s in (-1, 1)]
    return float(np.median(x)), float((x[ends[1]] - x[ends[0]]) / 2)


def binned(measured: Measured, n_bins: int = 10) -> dict[str, dict[str, np.ndarray]]:
    """Give coverage in bins of equal numbers of events: of energy, zenith and number of modules.

    By what: edges [bin + 1], value and error [bin, level].
    """
    zenith = sphere.zenith_azimuth(unit(measured.truth.direction))[0]
    along = {
        "log_energy": measured.truth.log_energy,
        "zenith": zenith,
        "n_modules": measured.n_modules,
    }
    found = {}
    for name, x in along.items():
        edges = np.unique(np.quantile(x, np.linspace(0, 1, n_bins + 1)))
        place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
        each = [
            coverage.coverage(measured.level[place == k], LEVELS) for k in range(len(edges) - 1)
        ]
        found[name] = {
            "edges": edges,
            "value": np.array([one.value for one in each]),
            "error": np.array([one.error for one in each]),
        }
    return found
