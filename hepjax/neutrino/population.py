"""Draws from a density that can be computed, by importance sampling that learns its proposal.

The proposal is a mixture of Student's distributions, whose tails are longer than those of most
posteriors. In each round it is drawn from, draws are weighted by the density over the mixture's,
and one step of expectation-maximisation moves the mixture towards them: population Monte Carlo
(arXiv:0708.0711). While few draws have all of the weight, weights are raised to a power below one.
Only the last round counts; its draws are independent, and their effective number, (sum w)^2 / sum
w^2, tells whether the mixture has become like the density. What no round has ever met it does not
know, so start from all modes that are known, and wide.

>>> def log_p(x):
...     return -((x[0] - 1) ** 2) / 2 - (x[1] - x[0] ** 2) ** 2
>>> draws = sample(jax.random.key(1), log_p, around(jnp.zeros((1, 2)), jnp.eye(2)[None], 8))
>>> bool(draws.effective > 2000), round(float(draws.mean()[0]), 1)
(True, 1.0)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

FREEDOM = 5.0
"""Degrees of freedom of Student's distributions."""
LEAST = 1e-6
"""Added to variances."""


class Settings(NamedTuple):
    """n_rounds of n_draws that teach the mixture, n_last that count; share: of draws that should be
    effective when the mixture is moved; n_at_once: densities that are computed at once.
    """

    n_rounds: int = 12
    n_draws: int = 2048
    n_last: int = 8192
    share: float = 0.08
    n_at_once: int = 64


DEFAULT = Settings()


class Mixture(NamedTuple):
    """log_share: [component]; centre: [component, dim]; covariance: [component, dim, dim]."""

    log_share: Any
    centre: Any
    covariance: Any


class Draws(NamedTuple):
    """x: [draw, dim]; log_density: [draw]; weight: [draw], of sum 1; effective: draws that they are
    worth; mixture: that they were drawn from.
    """

    x: Any
    log_density: Any
    weight: Any
    effective: Any
    mixture: Mixture

    def mean(self) -> jax.Array:
        """Give the mean [dim]."""
        return self.weight @ self.x


def around(centres: jax.Array, covariances: jax.Array, n_components: int) -> Mixture:
    """Start a mixture from modes [mode, dim] and their covariances [mode, dim, dim], which are
    taken in turn, 4 times as wide each time around.
    """
    n = len(centres)
    at = jnp.arange(n_components)
    wider = 4.0 ** (at // n)
    log_share = jnp.full(n_components, -jnp.log(n_components))
    return Mixture(log_share, centres[at % n], wider[:, None, None] * covariances[at % n])


def sample(
    key: jax.Array,
    log_p: Callable[[jax.Array], jax.Array],
    start: Mixture,
    settings: Settings = DEFAULT,
) -> Draws:
    """Draw from log_p: x [dim] -> log density, which need not be normalised; pure.

    Where it is not finite there is nothing. Raises ValueError for fewer draws than dimensions.
    """
    size = start.centre.shape[-1]
    if settings.n_draws <= size:
        raise ValueError(f"n_draws: {settings.n_draws}, expected more than {size} dimensions")

    def look(key: jax.Array, mixture: Mixture, n: int) -> tuple:
        x = _drawn(key, mixture, n)
        each, squared = _log_student(x, mixture)
        value = jax.lax.map(log_p, x, batch_size=settings.n_at_once)
        value = jnp.where(jnp.isfinite(value), value, -jnp.inf)
        log_weight = value - jax.nn.logsumexp(each + mixture.log_share, -1)
        return x, value, log_weight, each, squared

    def turn(mixture: Mixture, key: jax.Array) -> tuple[Mixture, None]:
        x, _, log_weight, each, squared = look(key, mixture, settings.n_draws)
        powers = jnp.linspace(1.0, 0.05, 20)
        worth = jax.vmap(lambda power: effective(jax.nn.softmax(power * log_weight)))(powers)
        power = powers[jnp.argmax(worth >= settings.share * settings.n_draws)]
        weight = jax.nn.softmax(power * log_weight)
        return _moved(mixture, x, weight, each, squared), None

    keys = jax.random.split(key, settings.n_rounds + 1)
    mixture, _ = jax.lax.scan(turn, start, keys[:-1])
    x, value, log_weight, _, _ = look(keys[-1], mixture, settings.n_last)
    weight = jax.nn.softmax(log_weight)
    return Draws(x, value, weight, effective(weight), mixture)


def effective(weight: jax.Array) -> jax.Array:
    """Give the number of equal draws that draws of weight [draw], of sum 1, are worth."""
    return 1 / (weight**2).sum()


def chosen(key: jax.Array, draws: Draws, n: int) -> jax.Array:
    """Choose n of the draws by their weights, as evenly as can be (systematic): indices [n]."""
    at = (jnp.arange(n) + jax.random.uniform(key)) / n
    return jnp.minimum(jnp.searchsorted(jnp.cumsum(draws.weight), at), len(draws.weight) - 1)


def _drawn(key: jax.Array, mixture: Mixture, n: int) -> jax.Array:
    keys = jax.random.split(key, 3)
    k = jax.random.categorical(keys[0], mixture.log_share, shape=(n,))
    normal = jax.random.normal(keys[1], (n, mixture.centre.shape[-1]))
    stretch = jnp.sqrt(FREEDOM / 2 / jax.random.gamma(keys[2], FREEDOM / 2, (n,)))
    away = jnp.einsum("nij,nj->ni", _factor(mixture)[k], normal)
    return mixture.centre[k] + stretch[:, None] * away


def _log_student(x: jax.Array, mixture: Mixture) -> tuple[jax.Array, jax.Array]:
    """Give the log density of each component [draw, component], up to a constant, and its squared
    distance.
    """
    size = x.shape[-1]

    def one(centre: jax.Array, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = jax.scipy.linalg.solve_triangular(factor, (x - centre).T, lower=True)
        squared = (z**2).sum(0)
        log_size = jnp.log(jnp.diagonal(factor)).sum()
        return -(FREEDOM + size) / 2 * jnp.log1p(squared / FREEDOM) - log_size, squared

    return jax.vmap(one, out_axes=1)(mixture.centre, _factor(mixture))


def _factor(mixture: Mixture) -> jax.Array:
    return jnp.linalg.cholesky(mixture.covariance + LEAST * jnp.eye(mixture.centre.shape[-1]))


def _moved(
    mixture: Mixture, x: jax.Array, weight: jax.Array, each: jax.Array, squared: jax.Array
) -> Mixture:
    """Take a step of expectation-maximisation of Student's mixtures with weighted draws; components
    of few draws borrow the mean and covariance of all.
    """
    size, n_components = x.shape[-1], len(mixture.log_share)
    belongs = weight[:, None] * jax.nn.softmax(each + mixture.log_share, -1)
    share = belongs.sum(0)
    pull = belongs * (FREEDOM + size) / (FREEDOM + squared)
    centre = pull.T @ x / (pull.sum(0)[:, None] + 1e-12)
    away = x - centre[:, None]
    covariance = jnp.einsum("nk,kni,knj->kij", pull, away, away) / (share[:, None, None] + 1e-12)
    mean = weight @ x
    whole = (weight[:, None] * (x - mean)).T @ (x - mean)
    few = 1 / (1 + share * effective(weight) / (2 * size))[:, None, None]
    covariance = (1 - few) * covariance + few * whole
    centre = (1 - few[..., 0]) * centre + few[..., 0] * mean
    return Mixture(jnp.log(0.9 * share + 0.1 / n_components), centre, covariance)
