"""What a posterior is worth: its answers for many simulated events beside their truths.

`measure` simulates events, encodes them, draws directions of each posterior and places the truth
among them; it keeps a few numbers an event, so that a hundred thousand events fit. `summary` counts
coverage and angles of them, `binned` does so against energy, zenith and number of modules. What is
exact comes from elsewhere (`exact`, `fits`).

>>> Measured._fields[:3]
('truth', 'n_modules', 'level')
"""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import counting, coverage, resolution, runs, sphere
from hepjax.neutrino import calibration, data, posterior, training
from hepjax.train import evaluation as train_evaluation

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
    """Test a posterior on events that are simulated for it, in chunks, two at once."""

    @jax.jit
    def some(variables: Any, index: jax.Array) -> tuple[Any, Any, Any]:
        draw, look = jax.random.split(jax.random.fold_in(key, index))
        pulses, truth = simulate(draw, chunk)
        found = answer(model, variables, pulses, truth.direction, look, n_samples)
        return truth, modules(pulses), found

    parts = []
    n_chunks = -(-n_events // chunk)
    compiled = some.lower(variables, jnp.uint32(0)).compile()  # or each thread would do so
    each = train_evaluation.ahead(
        lambda k: jax.device_get(compiled(variables, jnp.uint32(k))), range(n_chunks), n_threads=2
    )
    with runs.progress(n_chunks * chunk, "events") as advance:
        for k, (truth, n_modules, found) in enumerate(each):
            parts.append(judged(truth, n_modules, found, seed=k))
            advance(chunk)
    whole = jax.tree.map(lambda *x: np.concatenate(x)[:n_events], *parts)
    return whole


def speed(
    model: posterior.Posterior,
    variables: Any,
    simulate: training.Simulate,
    key: jax.Array,
    n_events: int | None = None,
    repeats: int = 3,
) -> dict[str, float | str]:
    """Time encoding of events from the host, with the density at one direction of each, and its
    way back: milliseconds an event, by the clock, the median of some calls of a batch, of 128
    events on a CPU, which has enough with fewer, and of 1024 elsewhere.
    """
    n_events = n_events or (128 if jax.default_backend() == "cpu" else 1024)
    pulses, truth = jax.device_get(jax.jit(lambda k: simulate(k, n_events))(key))

    @jax.jit
    def once(variables: Any, pulses: data.Pulses, direction: Any) -> jax.Array:
        encoded = posterior.encode(model, variables, pulses)
        return posterior.log_prob(model, encoded, direction)

    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        np.asarray(once(variables, pulses, truth.direction))
        taken.append(1e3 * (time.perf_counter() - start) / n_events)
    return {
        "milliseconds_per_event": float(np.median(taken[1:])),
        "device": jax.devices()[0].device_kind,
    }


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
    """Give coverage at LEVELS with errors, the median angle, deg, the median areas, deg^2, and the
    probabilities of a larger distance from the uniform distribution.
    """
    found = coverage.coverage(measured.level, LEVELS)
    results: dict[str, float | int] = {"n_events": len(measured.level)}
    for nominal, value, error in zip(LEVELS, found.value, found.error):
        name = f"coverage_{round(100 * nominal)}"
        results |= {name: float(value), f"{name}_error": float(error)}
    results |= median("angle_deg", np.degrees(measured.angle))
    for k, nominal in enumerate(LEVELS):
        name = f"area_{round(100 * nominal)}_deg2"
        results |= median(name, measured.area[:, k] * np.degrees(1) ** 2)
    for name, place in (("hpd", measured.level), ("tarp", measured.tarp)):
        results[f"p_value_{name}"] = float(coverage.probability_curve(place).p_value)
    return results


def median(name: str, x: np.ndarray) -> dict[str, float]:
    """Give {"median_<name>": value, "median_<name>_error": half of its interval}."""
    found = resolution.quantiles(x, (0.5,))
    half = (found.high[0] - found.low[0]) / 2
    return {f"median_{name}": float(found.value[0]), f"median_{name}_error": float(half)}


def binned(
    measured: Measured, n_bins: int = 10
) -> dict[str, dict[float, counting.EfficiencyCurve]]:
    """Give coverage in bins of equal numbers of events of energy, zenith and number of modules: by
    what, then by nominal level.
    """
    return {
        name: coverage.coverage_against(x, measured.level, edges(x, n_bins), LEVELS)
        for name, x in along(measured).items()
    }


def along(measured: Measured) -> dict[str, np.ndarray]:
    """Give what coverage may depend on, [event] each: log10 of the energy, zenith in degrees and
    number of modules.
    """
    zenith = sphere.zenith_azimuth(unit(measured.truth.direction))[0]
    return {
        "log_energy": np.asarray(measured.truth.log_energy, float),
        "zenith": np.degrees(zenith),
        "modules": measured.n_modules.astype(float),
    }


def edges(x: np.ndarray, n_bins: int) -> np.ndarray:
    """Cut [event] into bins of equal numbers; integers are cut between them."""
    found = np.quantile(x, np.linspace(0, 1, n_bins + 1))
    if (x == np.round(x)).all():
        found = np.append(np.round(found[:-1]) - 0.5, x.max() + 0.5)
    else:
        found[-1] += 1e-6
    return np.unique(found)


def worst(curves: dict[str, dict[float, counting.EfficiencyCurve]]) -> dict[str, float]:
    """Give the largest difference of coverage and nominal level in any bin, by what."""
    return {
        f"worst_bin_{name}": max(
            float(np.nanmax(np.abs(curve.value - level))) for level, curve in of.items()
        )
        for name, of in curves.items()
    }
