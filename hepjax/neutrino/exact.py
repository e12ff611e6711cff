"""The exact posterior of an event, by draws in all that is not known.

Prior and likelihood of a simulated event are known, so its posterior is too, up to what a sampler
lacks: no learned posterior can be narrower on average and right. `posterior` (of one event after
its fit; `posteriors` does both for a batch) draws in the coordinates of `coordinates`: direction,
place, time, energy and nuisances together. The draws are weighted ones of a mixture that starts at
the modes that `fits` found and learns what the posterior is like (`population`), chosen again by
their weights. How many they are worth comes with them.

`area` measures regions of highest density on the sky from draws, `rank` where the truth is among
draws: over many events ranks are even if, and only if, simulator, likelihood and sampler agree
(arXiv:1804.06788).

>>> n = jax.random.normal(jax.random.key(0), (2000, 3)) * 0.02 + jnp.array([0.0, 0.0, 1.0])
>>> n = n / jnp.linalg.norm(n, axis=-1, keepdims=True)
>>> expected = -2 * np.pi * np.log(0.1) * 0.02**2 * np.degrees(1) ** 2
>>> bool(abs(area(n, 0.9) / expected - 1) < 0.1)
True
"""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.neutrino import coordinates, fits, likelihood, population, prior
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup

FITTING = fits.Settings(n_kept=6, profiled=True)


class Settings(NamedTuple):
    """n_components: of the mixture; n_draws: that are chosen in the end; n_modules: that are asked
    what they expect, and n_rough: while the mixture learns; sampling: its rounds.
    """

    n_components: int = 12
    n_draws: int = 1000
    n_modules: int = 1536
    n_rough: int = 512
    sampling: population.Settings = population.Settings(n_draws=4096)


DEFAULT = Settings()


class Posterior(NamedTuple):
    """Draws of one event's posterior.

    direction: [draw, 3]; truth: [draw] all fields; log_density: [draw] in coordinates, up to a
    constant; effective: independent draws that those are worth from which these were chosen;
    chart: where coordinates x [draw, dim] are.
    """

    direction: Any
    truth: Truth
    log_density: Any
    effective: Any
    chart: Chart
    x: Any


def posterior(
    key: jax.Array, setup: Setup, pulses: Pulses, fit: fits.Fit, settings: Settings = DEFAULT
) -> Posterior:
    """Sample the posterior of one event, fields of pulses [pulse, ...], from its profiled fit.

    Nuisances that are known are held. Raises ValueError for a mixture of nothing.
    """
    if min(settings.n_components, settings.n_draws) < 1:
        raise ValueError(
            f"{settings.n_components} components, {settings.n_draws} draws, expected 1 or more"
        )
    chart = jax.tree.map(lambda a: a[0], fit.chart)
    sizes = settings.n_modules, settings.n_rough
    modules, fewer = (likelihood.asked(setup, fit.truth, n) for n in sizes)
    size = coordinates.dim(setup.kind)
    spread = jnp.array([getattr(setup.prior, name)[1] for name in prior.NUISANCES])
    free = jnp.concatenate([jnp.ones(size - 3, bool), spread > 0])

    def log_p(x: jax.Array, modules: likelihood.Asked = modules, linear: bool = False) -> jax.Array:
        at = jnp.where(free, x, 0)
        value = coordinates.log_posterior(setup, pulses, chart, at, modules, linear=linear)
        return value - jnp.where(free, 0, x**2).sum() / 2

    def rough(x: jax.Array) -> jax.Array:
        return log_p(x, fewer, linear=True)

    to = jax.vmap(lambda t: coordinates.from_truth(setup.kind, setup.prior, chart, t))
    covariances = jax.vmap(lambda h: fits.positive(h)[1])(fit.hessian)
    start = population.around(to(fit.truth), covariances, settings.n_components)
    first, second = jax.random.split(key)
    draws = population.sample(first, log_p, start, settings.sampling, rough=rough)
    at = population.chosen(second, draws, settings.n_draws)
    x = jnp.where(free, draws.x[at], 0)
    truth = jax.vmap(lambda x: coordinates.truth(setup.kind, setup.prior, chart, x))(x)
    return Posterior(truth.direction, truth, draws.log_density[at], draws.effective, chart, x)


def posteriors(
    key: jax.Array,
    setup: Setup,
    pulses: Pulses,
    settings: Settings = DEFAULT,
    fitting: fits.Settings = FITTING,
) -> tuple[Posterior, fits.Fit]:
    """Fit and sample events, fields of pulses [event, ...], one after the other; jit it."""
    found = fits.fits(setup, pulses, fitting)
    keys = jax.random.split(key, len(pulses.mask))
    drawn = jax.lax.map(
        lambda each: posterior(each[0], setup, each[1], each[2], settings), (keys, pulses, found)
    )
    return drawn, found


def area(direction: Any, content: float, *, n_grid: int = 200, n_most: int = 8) -> float:
    """Measure the smallest region of the sky that holds so much of the probability, deg^2.

    direction: [draw, 3], hundreds or more. The density is a mixture of Gaussians in the tangent
    plane of their mean, of up to n_most, as many as Bayes' information criterion asks for. Of 1000
    independent draws from a Gaussian, a banana and two modes the 90 % areas were 0 %, 3 % and 0 %
    too large on average, from Student's distribution of 5 degrees of freedom 7 %. Not for draws all
    over the sky. Raises ValueError for shapes that are no draws.
    """
    n = np.asarray(direction, np.float64)
    if n.ndim != 2 or n.shape[1] != 3 or not 0 < content < 1:
        raise ValueError(f"direction: {n.shape}, content: {content}, expected [draw, 3], (0, 1)")
    mean = n.mean(0) / np.linalg.norm(n.mean(0))
    frame = np.linalg.svd(mean[None])[2][1:]
    flat = 2 * (n @ frame.T) / (1 + n @ mean)[:, None]
    centre = flat.mean(0)
    factor = np.linalg.cholesky(np.cov(flat.T))
    z = np.linalg.solve(factor, (flat - centre).T).T
    x = [np.linspace(a - 1, b + 1, n_grid) for a, b in zip(z.min(0), z.max(0))]
    grid = np.stack(np.meshgrid(*x, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(_mixture(z, n_most).score_samples(grid))
    away = ((grid @ factor.T + centre) ** 2).sum(-1)
    cell = np.prod([a[1] - a[0] for a in x]) * np.linalg.det(factor) / (1 + away / 4) ** 2
    order = np.argsort(-density * (1 + away / 4) ** 2)  # per steradian
    held = np.cumsum(density[order]) / density.sum()
    return float(np.interp(content, held, np.cumsum(cell[order])) * np.degrees(1) ** 2)


def _mixture(z: np.ndarray, n_most: int) -> Any:
    """Fit mixtures of more and more Gaussians to z [draw, 2] until two in a row are no better."""
    from sklearn.mixture import GaussianMixture

    best, lowest, n_worse = None, np.inf, 0
    for k in range(1, n_most + 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # slow convergence is good enough
            one = GaussianMixture(k, random_state=0, max_iter=200, reg_covar=1e-5).fit(z)
        criterion = one.bic(z)
        n_worse = n_worse + 1 if criterion >= lowest else 0
        if criterion < lowest:
            best, lowest = one, criterion
        if n_worse == 2:
            break
    return best


def rank(draws: Any, truth: Any) -> np.ndarray:
    """Give the share of draws [draw, ...] below the truth [...]."""
    return (np.asarray(draws) < np.asarray(truth)).mean(0)
