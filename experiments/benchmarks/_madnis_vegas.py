"""VEGAS and VEGAS+ here and in vegas 6.4.1, for madnis_vs_peers.py.

Both adapt in some steps of as many calls, then keep map and cells and integrate in as many more; an
estimate is of these. `classical` starts `_vegas.py` in the environment of the peers.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from _madnis_cases import Case
from _madnis_sides import HERE, PEERS, _peers

from hepjax.integration import vegas

N_STEPS = 10
Ask = Callable[[str, int, int, vegas.Settings, int], vegas.Estimate]


def classical(cache: Path) -> Ask:
    """Start vegas; returns ask(case, channel, dim, settings, seed) -> estimate."""
    answer = _peers.conversation(_peers.environment(cache, PEERS), HERE / "_vegas.py")

    def ask(
        name: str, channel: int, dim: int, settings: vegas.Settings, seed: int
    ) -> vegas.Estimate:
        words = channel, dim, settings.beta, settings.n_points, N_STEPS, seed
        value, error, n = map(float, answer(name, *words))
        return vegas.Estimate(value, error, n, error * n**0.5 / abs(value))

    return ask


def frozen(
    function: vegas.Integrand, dim: int, settings: vegas.Settings
) -> Callable[[int], vegas.Estimate]:
    """Build what does the same here: seed -> estimate."""

    @jax.jit
    def one(state: vegas.State, key: jax.Array) -> vegas.Estimate:
        drawn = vegas.draw(function, state, key, settings)
        return vegas.estimate(drawn, len(state.weight))[0]

    def estimate(seed: int) -> vegas.Estimate:
        adapt, last = jax.random.split(jax.random.key(seed))
        start = vegas.init(dim, settings)
        words = {"n_steps": N_STEPS, "n_burn": 0}
        _, state = vegas.integrate(function, start, adapt, settings, **words)
        return vegas.combine([one(state, key) for key in jax.random.split(last, N_STEPS)])

    return estimate


def compared(
    ask: Ask, name: str, case: Case, settings: vegas.Settings, seeds: range
) -> dict[str, float]:
    """Compare relative standard deviations, means over seeds, and their ratio, ours over theirs;
    pulls: of the integrals over all seeds.
    """
    dim = case.integrand.dim
    here = frozen(lambda x: case.integrand.function(x, None).value, dim, settings)
    ours, theirs = [here(seed) for seed in seeds], [ask(name, 0, dim, settings, s) for s in seeds]
    (rsd, error), (other, other_error) = map(mean, ([x.rsd for x in y] for y in (ours, theirs)))
    pulls = [float((x.value - case.exact) / x.error) for x in map(vegas.combine, (ours, theirs))]
    return {
        "rsd": rsd,
        "rsd_error": error,
        "rsd_vegas": other,
        "rsd_vegas_error": other_error,
        "rsd_ratio": rsd / other,
        "rsd_ratio_error": rsd / other * float(np.hypot(error / rsd, other_error / other)),
        "pull": pulls[0],
        "pull_vegas": pulls[1],
        "n": float(np.mean([x.n for x in ours])),
        "n_vegas": float(np.mean([x.n for x in theirs])),
    }


def of_channels(ask: Ask, name: str, case: Case, n_calls: int, seed: int) -> float:
    """Give the relative standard deviation of vegas' map with as many calls in its adaptation,
    shared by the channels, of optimal shares of points behind it.
    """
    n, dim = case.integrand.n_channels, case.integrand.dim
    settings = vegas.Settings(n_points=n_calls // N_STEPS // n, beta=0.0)
    found = [ask(name, k, dim, settings, seed) for k in range(n)]
    return sum(x.error * x.n**0.5 for x in found) / abs(sum(x.value for x in found))


def mean(values: list) -> tuple[float, float]:
    """Give the mean and its error."""
    x = np.asarray(values, float)
    return float(x.mean()), float(x.std(ddof=1) / len(x) ** 0.5)
