"""A learned posterior beside the exact one, and beside the likelihood's best fit.

`compare` simulates events, fits each with the likelihood that they were drawn from (nuisances at
their nominal values, as a fit that trusts its ice does), draws the exact posterior, and samples the
learned one. Areas of 90 % regions are found from as many draws of either posterior by the same
estimate, so that what smoothing does to it cancels in their ratio. Exact posteriors that are worth
fewer than MIN_EFFECTIVE draws are left out of the ratio, and their number is told. `mistaken` does
without exact posteriors, in ice that is not as the fit takes it to be: the prior of the events'
nuisances is another one, of which neither knows.

>>> one = np.ones(4)
>>> summary(Compared(one, one * 1.1, one * 2000, one, one, one))["area_ratio_90"]
1.1
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from hepjax import runs
from hepjax.neutrino import calibration, evaluation, exact, fits, posterior, simulation
from hepjax.train import evaluation as train_evaluation

MIN_EFFECTIVE = 1000
"""Draws that an exact posterior must be worth."""


class Compared(NamedTuple):
    """Numbers of each event [event].

    area_exact, area: of 90 % regions, deg^2, of exact and learned posterior; effective: draws of
    the exact one; angle_fit, angle_exact, angle: deg, to the truth from the best fit, from the mean
    of the exact and of the learned posterior.
    """

    area_exact: np.ndarray
    area: np.ndarray
    effective: np.ndarray
    angle_fit: np.ndarray
    angle_exact: np.ndarray
    angle: np.ndarray


def compare(
    model: posterior.Posterior,
    variables: Any,
    setup: simulation.Setup,
    key: jax.Array,
    n_events: int,
    *,
    settings: exact.Settings = exact.DEFAULT,
    chunk: int = 16,
) -> Compared:
    """Compare on n events of a setup, in chunks."""

    @jax.jit
    def some(variables: Any, key: jax.Array) -> tuple:
        draw, move, look = jax.random.split(key, 3)
        pulses, truth = simulation.events(draw, setup, chunk)
        nominal = fits.fits(setup, pulses, chunk=chunk)
        profiled = fits.fits(setup, pulses, exact.FITTING, chunk=chunk)
        keys = jax.random.split(move, chunk)
        found = jax.lax.map(
            lambda one: exact.posterior(one[0], setup, one[1], one[2], settings),
            (keys, pulses, profiled),
        )
        n_samples = settings.n_draws
        answers = evaluation.answer(model, variables, pulses, truth.direction, look, n_samples)
        kept = found.direction, found.effective
        return truth.direction, nominal.truth.direction[:, 0], kept, answers.directions

    parts = _parts(some, variables, key, n_events, chunk, "exact posteriors", _numbers)
    return Compared(*parts)


def _parts(
    some: Any,
    variables: Any,
    key: jax.Array,
    n_events: int,
    chunk: int,
    what: str,
    numbers: Callable[..., tuple],
) -> list[np.ndarray]:
    """Make numbers of some(variables, key), a jitted function, for n events, in chunks, two at
    once: a chunk of few events keeps no more than one core busy.
    """
    n_chunks = -(-n_events // chunk)
    compiled = some.lower(variables, key).compile()  # or each thread would do so

    def one(k: int) -> tuple:
        return numbers(*jax.device_get(compiled(variables, jax.random.fold_in(key, k))))

    parts = []
    with runs.progress(n_chunks * chunk, what) as advance:
        for part in train_evaluation.ahead(one, range(n_chunks), n_threads=2):
            parts.append(part)
            advance(chunk)
    return [np.concatenate(x)[:n_events] for x in zip(*parts)]


def _numbers(true: Any, fitted: Any, kept: tuple, directions: Any) -> Compared:
    """Make the numbers of a chunk."""
    drawn, effective = kept
    true, fitted, ours = (evaluation.unit(x) for x in (true, fitted, directions))
    drawn = evaluation.unit(drawn)
    means = [calibration.mean_direction(x) for x in (np.swapaxes(drawn, 0, 1), ours)]
    fit, exactly, learned = (
        np.degrees(calibration.angular_error(true, x)) for x in (fitted, *means)
    )
    return Compared(
        area_exact=np.array([_area(one) for one in drawn]),
        area=np.array([_area(one) for one in np.swapaxes(ours, 0, 1)]),
        effective=np.asarray(effective),
        angle_fit=fit,
        angle_exact=exactly,
        angle=learned,
    )


def _area(directions: np.ndarray) -> float:
    """Give the area of the 90 % region, deg^2, nan where draws are one or lost their way."""
    if not np.isfinite(directions).all() or np.ptp(directions, 0).min() == 0:
        return float("nan")
    return exact.area(directions, 0.9)


def summary(compared: Compared) -> dict[str, float | int]:
    """Give the median ratio of areas, and median angles in degrees with those of the fit."""
    good = (compared.effective >= MIN_EFFECTIVE) & np.isfinite(compared.area_exact)
    if not good.any():
        raise ValueError(
            f"effective: at most {compared.effective.max():.0f} draws, expected {MIN_EFFECTIVE}"
        )
    results: dict[str, float | int] = {"n_exact": int(good.sum()), "n_compared": len(good)}
    ratio = compared.area[good] / compared.area_exact[good]
    found = evaluation.median("area_ratio_90", ratio)
    results |= {name.removeprefix("median_"): x for name, x in found.items()}
    return (
        results
        | _angles("", compared.angle, compared.angle_fit)
        | evaluation.median("angle_exact_deg", compared.angle_exact)
    )


def _angles(end: str, ours: np.ndarray, fit: np.ndarray) -> dict[str, float]:
    """Give both medians, and the ratio with an error from the events drawn again, in pairs."""
    results = evaluation.median(f"angle_compared{end}_deg", ours)
    results |= evaluation.median(f"angle_likelihood{end}_deg", fit)
    rows = np.random.default_rng(0).integers(0, len(ours), (500, len(ours)))
    again = np.median(ours[rows], 1) / np.median(fit[rows], 1)
    results[f"angle_ratio{end}"] = float(np.median(ours) / np.median(fit))
    results[f"angle_ratio{end}_error"] = float(again.std())
    return results


def mistaken(
    model: posterior.Posterior,
    variables: Any,
    setup: simulation.Setup,
    key: jax.Array,
    n_events: int,
    *,
    factor: float,
    chunk: int = 64,
) -> dict[str, float]:
    """Compare angles of the fit and of the learned posterior on events in a medium whose scattering
    and absorption lengths are the nominal ones times a factor.
    """
    known = setup.prior._replace(scattering=(factor, 0.0), absorption=(factor, 0.0))
    other = setup._replace(prior=known)

    @jax.jit
    def some(variables: Any, key: jax.Array) -> tuple:
        draw, look = jax.random.split(key)
        pulses, truth = simulation.events(draw, other, chunk)
        fitted = fits.fits(setup, pulses, chunk=min(chunk, 16)).truth.direction[:, 0]
        answers = evaluation.answer(model, variables, pulses, truth.direction, look, 500)
        return truth.direction, fitted, answers.directions

    def angles(*given: Any) -> tuple:
        true, fitted, ours = (evaluation.unit(x) for x in given)
        both = calibration.mean_direction(ours), fitted
        return tuple(np.degrees(calibration.angular_error(true, x)) for x in both)

    ours, fit = _parts(some, variables, key, n_events, chunk, "events in other ice", angles)
    return _angles("_mistaken", ours, fit)
