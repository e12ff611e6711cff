"""Draws from a density that can be computed, by importance sampling that learns its proposal.

The proposal is a mixture of Student's distributions, whose tails are longer than those of most
posteriors. In each round it is drawn from, draws are weighted by the density over the mixture's,
and one step of expectation-maximisation moves the mixture towards them: population Monte Carlo
(arXiv:0708.0711). While few draws have all of the weight, weights are raised to a power below one.
Only the last round counts; its draws are independent, and their effective number, (sum w)^2 / sum
w^2, tells whether the mixture has become like the density. What no round has ever met it does not
know, so start from all modes that are known, and wide.

`recycled` makes do with hundreds of draws, of a density that is of one piece: one Student's
distribution, which moves to the mean and covariance of all draws so far after each round, every
draw weighted by the mixture of all rounds (adaptive multiple importance sampling, arXiv:0907.1254).
Its numbers are those of a Sobol sequence, the same at each call: it takes no key.

>>> def log_p(x):
...     return -((x[0] - 1) ** 2) / 2 - (x[1] - x[0] ** 2) ** 2
>>> draws = sample(jax.random.key(1), log_p, around(jnp.zeros((1, 2)), jnp.eye(2)[None], 8))
>>> bool(draws.effective > 2000), round(float(draws.mean()[0]), 1)
(True, 1.0)
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

FREEDOM = 5.0
"""Degrees of freedom of Student's distributions."""
LEAST = 1e-6
"""Added to variances."""
NOTHING = -1e6
"""Log weight of draws of which none has any."""
POWERS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.08, 0.03)
"""To which weights are raised while few draws have all of the weight."""


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
    *,
    rough: Callable[[jax.Array], jax.Array] | None = None,
) -> Draws:
    """Draw from log_p: x [dim] -> log density, which need not be normalised; pure.

    rough: much the same and quicker, to teach the mixture; draws that count are weighted by log_p.
    Where it is not finite there is nothing. Raises ValueError for fewer draws than dimensions.
    """
    size = start.centre.shape[-1]
    if settings.n_draws <= size:
        raise ValueError(f"n_draws: {settings.n_draws}, expected more than {size} dimensions")

    def look(key: jax.Array, mixture: Mixture, n: int, log_p: Callable) -> tuple:
        x = _drawn(key, mixture, n)
        each, squared = _log_student(x, mixture)
        value = jax.lax.map(log_p, x, batch_size=settings.n_at_once)
        value = jnp.where(jnp.isfinite(value), value, -jnp.inf)
        log_weight = value - jax.nn.logsumexp(each + mixture.log_share, -1)
        return x, value, log_weight, each, squared

    def turn(mixture: Mixture, key: jax.Array) -> tuple[Mixture, None]:
        x, _, log_weight, each, squared = look(key, mixture, settings.n_draws, rough or log_p)
        weight, _ = tempered(log_weight, settings.share * settings.n_draws)
        return _moved(mixture, x, weight, each, squared), None

    keys = jax.random.split(key, settings.n_rounds + 1)
    mixture, _ = jax.lax.scan(turn, start, keys[:-1])
    x, value, log_weight, _, _ = look(keys[-1], mixture, settings.n_last, log_p)
    weight = jax.nn.softmax(log_weight)
    return Draws(x, value, weight, effective(weight), mixture)


class Recycled(NamedTuple):
    """x: [draw, dim] of all rounds; log_weight: [draw], of mean the integral of the density; power:
    to which weights are raised; weight: [draw] then, of sum 1; mean: [dim] and covariance: [dim,
    dim] by them.
    """

    x: Any
    log_weight: Any
    power: Any
    weight: Any
    mean: Any
    covariance: Any


def recycled(
    log_p: Callable[[jax.Array], jax.Array],
    mean: jax.Array,
    covariance: jax.Array,
    *,
    n_rounds: int,
    n_draws: int,
    least: float = 20.0,
) -> Recycled:
    """Draw n_rounds of n_draws from log_p: x [dim] -> log density, from a mean [dim] and covariance
    [dim, dim] on; weights are raised to a power at which at least so many draws count.

    Where log_p is not finite there is nothing. Pure; differs from call to call by log_p alone.
    """
    dim = len(mean)
    n = n_rounds * n_draws
    eye = jnp.eye(dim)
    table = jnp.asarray(_student(n_rounds, n_draws, dim))

    log_unit = special.gammaln((FREEDOM + dim) / 2) - special.gammaln(FREEDOM / 2)
    log_unit = float(log_unit) - dim / 2 * math.log(FREEDOM * math.pi)

    def log_q(squared: jax.Array, log_size: jax.Array) -> jax.Array:
        return log_unit - (FREEDOM + dim) / 2 * jnp.log1p(squared / FREEDOM) - log_size

    def turn(state: tuple, given: tuple) -> tuple[tuple, tuple]:
        mean, covariance, x, value, mixture, before = state
        k, numbers = given
        factor = jnp.linalg.cholesky(covariance + LEAST * eye)
        inverse = jax.scipy.linalg.solve_triangular(factor, eye, lower=True)
        one = mean, inverse, jnp.log(jnp.diagonal(factor)).sum()
        before = jax.tree.map(lambda all_, new: all_.at[k].set(new), before, one)
        new = mean + numbers @ factor.T
        its = jax.vmap(log_p)(new)
        old = log_q((((x - mean) @ inverse.T) ** 2).sum(-1), one[2])
        z = jnp.einsum("kdi,kji->kdj", new - before[0][:, None], before[1])
        each = log_q((z**2).sum(-1), before[2][:, None])
        each = jnp.where(jnp.arange(n_rounds)[:, None] <= k, each, -jnp.inf)

        def kept(all_: jax.Array, new: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(all_, new, k * n_draws, 0)

        mixture = kept(jnp.logaddexp(mixture, old), jax.nn.logsumexp(each, axis=0))
        x, value = kept(x, new), kept(value, jnp.where(jnp.isfinite(its), its, -jnp.inf))
        there = jnp.arange(n) < (k + 1) * n_draws
        log_weight = jnp.where(there, value - mixture + jnp.log(k + 1.0), -jnp.inf)
        nothing = ~jnp.isfinite(log_weight).any()
        log_weight = jnp.where(nothing & there, NOTHING, log_weight)
        weight, power = tempered(log_weight, least)
        mean = weight @ x
        away = x - mean
        covariance = (weight[:, None] * away).T @ away
        return (mean, covariance, x, value, mixture, before), (log_weight, power, weight)

    zeros = jnp.zeros
    none = jnp.full(n, -jnp.inf)
    before = zeros((n_rounds, dim)), zeros((n_rounds, dim, dim)), zeros(n_rounds)
    state = mean, covariance, zeros((n, dim)), none, none, before
    state, seen = jax.lax.scan(turn, state, (jnp.arange(n_rounds), table))
    log_weight, power, weight = (each[-1] for each in seen)
    return Recycled(state[2], log_weight, power, weight, *state[:2])


def tempered(log_weight: jax.Array, least: float | jax.Array) -> tuple[jax.Array, jax.Array]:
    """Raise weights [draw] to the largest of POWERS at which they are worth so many draws; gives
    them [draw], of sum 1, and the power.
    """
    powers = jnp.array(POWERS)
    weight = jnp.exp(powers[:, None] * (log_weight - log_weight.max()))
    total = weight.sum(-1)
    enough = total**2 / (weight**2).sum(-1) >= least
    k = jnp.where(enough.any(), jnp.argmax(enough), len(POWERS) - 1)
    return weight[k] / total[k], powers[k]


def effective(weight: jax.Array) -> jax.Array:
    """Give the number of equal draws that draws of weight [draw], of sum 1, are worth."""
    return 1 / (weight**2).sum()


def chosen(key: jax.Array, draws: Draws, n: int) -> jax.Array:
    """Choose n of the draws by their weights, as evenly as can be (systematic): indices [n]."""
    at = (jnp.arange(n) + jax.random.uniform(key)) / n
    return jnp.minimum(jnp.searchsorted(jnp.cumsum(draws.weight), at), len(draws.weight) - 1)


@functools.cache
def _student(n_rounds: int, n_draws: int, dim: int) -> np.ndarray:
    """Give numbers [round, draw, dim] of Student's distribution, spread evenly by Sobol's sequence
    (scrambled, in blocks: what belongs to a round is even by itself).
    """
    n_sequence = 2 ** math.ceil(math.log2(n_rounds * n_draws))
    u = stats.qmc.Sobol(dim + 1, rng=0).random(n_sequence)[: n_rounds * n_draws]
    u = np.clip(u, 1e-6, 1 - 1e-6)
    stretch = np.sqrt(FREEDOM / 2 / stats.gamma.ppf(u[:, dim:], FREEDOM / 2))
    return (stats.norm.ppf(u[:, :dim]) * stretch).reshape(n_rounds, n_draws, dim).astype(np.float32)


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
