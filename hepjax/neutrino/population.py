"""Draws from a density that can be computed, by importance sampling that learns its proposal.

The proposal is a mixture of Student's distributions, whose tails are longer than those of most
posteriors. In each round it is drawn from, draws are weighted by the density over the mixture's,
and one step of expectation-maximisation moves the mixture towards them: population Monte Carlo
(arXiv:0708.0711). While few draws have all of the weight, weights are raised to a power below one.
Only the last round counts; its draws are independent, and their effective number, (sum w)^2 / sum
w^2, tells whether the mixture has become like the density. What no round has ever met it does not
know, so start from all modes that are known, and wide.

`recycled` makes do with hundreds of draws. It draws as many from each component, weights every
draw by the mixtures of all rounds so far (adaptive multiple importance sampling, arXiv:0907.1254),
and moves each component to the mean and covariance of what belongs to it; one to which nothing
belongs is put where most does. Its numbers are those of a Sobol sequence, the same at each call: it
takes no key.

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

from hepjax import matrices

FREEDOM = 5.0
"""Degrees of freedom of Student's distributions."""
LEAST = 1e-6
"""Added to variances."""
ROUNDING = 1e-4
"""Added to correlations, of float32."""
FEWEST, WIDER, NEW_SHARE = 4.0, 2.0, 0.02
"""Draws of a component below which it goes to where most are, how much larger its covariance is
there, and its share.
"""
NOTHING = -1e6
"""Log density of draws that have none, and the least: where all have none all count."""
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
    to which weights are raised; weight: [draw] then, of sum 1; belongs: [component, draw] parts of
    the weight; mixture: of means and covariances of these parts; effective: draws that the weights
    are worth.
    """

    x: Any
    log_weight: Any
    power: Any
    weight: Any
    belongs: Any
    mixture: Mixture
    effective: Any


class _Shape(NamedTuple):
    """Of components: centre [component, dim], factor of the scale and its inverse [component, dim,
    dim], log_size [component].
    """

    centre: Any
    factor: Any
    inverse: Any
    log_size: Any


def recycled(
    log_p: Callable[[jax.Array, jax.Array], jax.Array],
    start: Mixture,
    *,
    n_rounds: int,
    n_draws: int,
    least: float = 20.0,
) -> Recycled:
    """Draw n_rounds of n_draws a component from log_p: x [dim], index -> log density, the index
    that of the component of `start` that x is close to or comes from; weights are raised to a power
    at which at least so many draws count.

    Where log_p is not finite there is nothing. Pure; differs from call to call by log_p alone.
    """
    n_components, dim = start.centre.shape
    n_new = n_components * n_draws
    n = n_rounds * n_new
    numbers = _student(n_rounds, n_new, dim).reshape(n_rounds, n_components, n_draws, dim)
    first = _shape(start.centre, start.covariance)

    def turn(state: tuple, given: tuple) -> tuple[tuple, None]:
        shape, share, kin, x, value, mixed, before = state
        k, numbers = given

        def kept(all_: jax.Array, new: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(all_, new, k * n_new, -1)

        before = jax.tree.map(
            lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, k * n_components, 0),
            before,
            shape,
        )
        new = shape.centre[:, None] + jnp.einsum("kij,knj->kni", shape.factor, numbers)
        its = jax.vmap(lambda i, x: jax.vmap(lambda x: log_p(x, i))(x))(kin, new).reshape(-1)
        value = kept(value, jnp.maximum(jnp.where(jnp.isfinite(its), its, NOTHING), NOTHING))
        new = new.reshape(n_new, dim).T
        x = kept(x, new)
        there = jnp.arange(n_rounds * n_components) < (k + 1) * n_components
        of_new = jnp.where(there[:, None], _log_density(new, before), -jnp.inf)
        of_all = _log_density(x, shape)
        mixed = jnp.logaddexp(mixed, jax.nn.logsumexp(of_all, 0))
        mixed = kept(mixed, jax.nn.logsumexp(of_new, 0))
        its = of_all + jnp.log(share)[:, None]
        found = _weighed(x, value - mixed, (k + 1) * n_components, its, least)
        return (*_taught(shape, found, kin), x, value, mixed, before), None

    none = jnp.full(n, -jnp.inf)
    before = jax.tree.map(lambda a: jnp.zeros((n_rounds * len(a), *a.shape[1:])), first)
    kin = jnp.arange(n_components)
    state = first, jnp.exp(start.log_share), kin, jnp.zeros((dim, n)), none, none, before
    state, _ = jax.lax.scan(turn, state, (jnp.arange(n_rounds), jnp.asarray(numbers)))
    shape, share, _, x, value, mixed, _ = state
    its = _log_density(x, shape) + jnp.log(share)[:, None]
    return _weighed(x, value - mixed, n_rounds * n_components, its, least)._replace(x=x.T)


def _log_density(x: jax.Array, each: _Shape) -> jax.Array:
    """Give the log density of components [component, draw] of draws x [dim, draw]."""
    dim = len(x)
    log_unit = special.gammaln((FREEDOM + dim) / 2) - special.gammaln(FREEDOM / 2)
    log_unit = float(log_unit) - dim / 2 * math.log(FREEDOM * math.pi)
    z = each.inverse.reshape(-1, dim) @ x
    z = z.reshape(*each.centre.shape, -1) - (each.inverse @ each.centre[..., None])
    squared = (z**2).sum(1)
    log_size = each.log_size[:, None] - log_unit
    return -(FREEDOM + dim) / 2 * jnp.log1p(squared / FREEDOM) - log_size


def _weighed(x: jax.Array, over: jax.Array, n_mixed: Any, its: jax.Array, least: float) -> Recycled:
    """Weight draws x [dim, draw] by over [draw], log densities over the sum of those of n_mixed
    components, minus infinity where they are yet to come, and part them by the log densities and
    shares of components, its [component, draw].
    """
    log_weight = over + jnp.log(1.0 * n_mixed)
    weight, power = tempered(log_weight, least)
    belongs = weight * jax.nn.softmax(its, 0)
    return Recycled(x, log_weight, power, weight, belongs, _parts(x, belongs), effective(weight))


def _shape(centre: jax.Array, covariance: jax.Array) -> _Shape:
    width = jnp.sqrt(jnp.diagonal(covariance, axis1=-2, axis2=-1) + LEAST)
    eye = jnp.eye(width.shape[-1])
    even = covariance / (width[:, :, None] * width[:, None]) + ROUNDING * eye
    factor = width[:, :, None] * jnp.linalg.cholesky(even)
    inverse = matrices.inverse(factor)
    log_size = jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    return _Shape(centre, factor, inverse, log_size)


def _parts(x: jax.Array, belongs: jax.Array) -> Mixture:
    """Give shares, means and covariances of parts [component, draw] of draws x [dim, draw]."""

    def one(weight: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        share = weight.sum() + 1e-12
        mean = x @ weight / share
        away = x - mean[:, None]
        return jnp.log(share), mean, (weight * away) @ away.T / share

    each = [one(weight) for weight in belongs]  # one by one is quicker than all at once
    return Mixture(*(jnp.stack(a) for a in zip(*each)))


def _taught(shape: _Shape, found: Recycled, kin: jax.Array) -> tuple[_Shape, jax.Array, jax.Array]:
    """Move components to what belongs to them: those of few draws keep most of their scale, those
    of hardly any go to the likeliest. Gives shapes, shares and what they come from.
    """
    share, centre, covariance = jnp.exp(found.mixture.log_share), *found.mixture[1:]
    dim, n = centre.shape[-1], share * found.effective
    most = jnp.argmax(share)
    lost = (n < FEWEST) & (jnp.arange(len(n)) != most)
    old = (1 / (1 + n / dim))[:, None, None]
    its = (1 - old) * covariance + old * shape.factor @ jnp.swapaxes(shape.factor, -1, -2)
    centre = jnp.where(lost[:, None], centre[most], centre)
    its = jnp.where(lost[:, None, None], WIDER * covariance[most], its)
    share = jnp.where(lost, NEW_SHARE, share)
    return _shape(centre, its), share / share.sum(), jnp.where(lost, kin[most], kin)


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
        z = matrices.inverse(factor) @ (x - centre).T
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
