"""The exact posterior of an event, by Markov chains in all that is not known.

Prior and likelihood of a simulated event are known, so its posterior is too, up to what a sampler
lacks: no learned posterior can be narrower on average and right. `posterior` (of one event after
its fit; `posteriors` does both for a batch) moves many chains in
the coordinates of `coordinates`: direction, place, time, energy and nuisances together. They begin
at draws from Student's distributions about the modes that `fits` found, resampled by importance, so
that modes have the weight that they should, and go on by Hamiltonian Monte Carlo with a mass from
the spread of all chains, which is settled in the burn-in. Split R-hat and effective sample size
(arXiv:1903.08008, without ranks) of the direction come with the draws.

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

from hepjax.neutrino import coordinates, fits
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup


class Settings(NamedTuple):
    """How chains go: n_chains, n_burn steps to settle and n_draws steps that are kept, each of
    n_leaps leaps; n_start: draws that chains begin from; freedom: of Student's distributions.
    """

    n_chains: int = 32
    n_burn: int = 40
    n_draws: int = 60
    n_leaps: int = 6
    n_start: int = 512
    freedom: float = 5.0


DEFAULT = Settings()
FITTING = fits.Settings(profiled=True)


class Posterior(NamedTuple):
    """Draws of one event's posterior.

    direction: [draw, 3]; truth: [draw] all fields; log_density: [draw] in coordinates, up to a
    constant; effective: draws that these are worth, the smaller one of the direction's two
    coordinates; r_hat: split, the larger one; accepted: share of steps; chart: where coordinates
    x [chain, step, dim] are.
    """

    direction: Any
    truth: Truth
    log_density: Any
    effective: Any
    r_hat: Any
    accepted: Any
    chart: Chart
    x: Any


def posterior(
    key: jax.Array, setup: Setup, pulses: Pulses, fit: fits.Fit, settings: Settings = DEFAULT
) -> Posterior:
    """Sample the posterior of one event, fields of pulses [pulse, ...], from its profiled fit.

    Nuisances that are known are held. Raises ValueError for fewer than 4 chains or 4 draws.
    """
    if min(settings.n_chains, settings.n_draws) < 4:
        raise ValueError(f"{settings.n_chains} chains of {settings.n_draws}, expected 4 or more")
    chart = jax.tree.map(lambda a: a[0], fit.chart)
    modules = fit.modules[0]
    size = coordinates.dim(setup.kind)
    spread = jnp.array([s for _, s in (setup.prior.scattering, setup.prior.absorption)])
    spread = jnp.append(spread, setup.prior.efficiency[1])
    free = jnp.concatenate([jnp.ones(size - 3, bool), spread > 0])

    def log_p(x: jax.Array) -> jax.Array:
        value = coordinates.log_posterior(setup, pulses, chart, jnp.where(free, x, 0), modules)
        return value - jnp.where(free, 0, x**2).sum() / 2

    first, second = jax.random.split(key)
    start = _start(first, setup, fit, chart, log_p, settings)
    covariance = fits.positive(fit.hessian[0])[1]
    x, values, accepted = _chains(second, log_p, start, covariance, settings)
    flat = jnp.where(free, x.reshape(-1, size), 0)
    truth = jax.vmap(lambda x: coordinates.truth(setup.kind, setup.prior, chart, x))(flat)
    r_hat, effective = diagnose(x[..., :2])
    return Posterior(
        truth.direction, truth, values.reshape(-1), effective.min(), r_hat.max(), accepted, chart, x
    )


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


def _start(
    key: jax.Array, setup: Setup, fit: fits.Fit, chart: Chart, log_p: Any, settings: Settings
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draw from Student's distributions about all modes, and resample chains by importance; gives
    their coordinates [chain, dim], log density and its gradient.
    """
    n_modes = len(fit.value)
    centres = jax.vmap(lambda t: coordinates.from_truth(setup.kind, setup.prior, chart, t))(
        fit.truth
    )
    inverse = jax.vmap(lambda h: fits.positive(h)[1])(fit.hessian)
    factor = jnp.linalg.cholesky(inverse + 1e-6 * jnp.eye(inverse.shape[-1]))
    keys = jax.random.split(key, 3)
    n, size = settings.n_start, centres.shape[-1]
    mode = jnp.arange(n) % n_modes
    normal = jax.random.normal(keys[0], (n, size))
    chi2 = 2 * jax.random.gamma(keys[1], settings.freedom / 2, (n,)) / settings.freedom
    x = centres[mode] + jnp.einsum("nij,nj->ni", factor[mode], normal) / jnp.sqrt(chi2)[:, None]

    def density(x: jax.Array) -> jax.Array:
        """Of the mixture, up to a constant."""
        z = jax.vmap(lambda c, f: jax.scipy.linalg.solve_triangular(f, x - c, lower=True))
        r2 = (z(centres, factor) ** 2).sum(-1)
        log_size = jnp.log(jnp.abs(jnp.diagonal(factor, axis1=1, axis2=2))).sum(-1)
        power = -(settings.freedom + size) / 2 * jnp.log1p(r2 / settings.freedom)
        return jax.nn.logsumexp(power - log_size)

    value, slope = jax.lax.map(jax.value_and_grad(log_p), x, batch_size=64)
    log_weight = value - jax.vmap(density)(x)
    log_weight = jnp.where(jnp.isfinite(log_weight), log_weight, -jnp.inf)
    # less than the weight: where few draws have all of it, chains should not be one
    chosen = jax.random.categorical(keys[2], 0.7 * log_weight, shape=(settings.n_chains,))
    return x[chosen], value[chosen], slope[chosen]


def _chains(
    key: jax.Array, log_p: Any, start: tuple, covariance: jax.Array, settings: Settings
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Move chains from their start, coordinates [chain, dim], log density and its gradient; gives
    draws [chain, step, dim], log density, share accepted.
    """
    both = jax.vmap(jax.value_and_grad(log_p))
    x, value, slope = start
    n_chains, size = x.shape

    def leap(state: tuple, scaled: tuple) -> tuple[tuple, None]:
        x, velocity, _, slope = state
        step, factor = scaled
        velocity = velocity + step / 2 * slope @ factor
        x = x + step * velocity @ factor.T
        value, slope = both(x)
        slope = jnp.where(jnp.isfinite(slope), slope, 0)
        return (x, velocity + step / 2 * slope @ factor, value, slope), None

    def move(state: tuple, key: jax.Array) -> tuple[tuple, tuple]:
        x, value, slope, factor, log_step, moments, count = state
        keys = jax.random.split(key, 3)
        velocity = jax.random.normal(keys[0], (n_chains, size))
        step = jnp.exp(log_step) * jax.random.uniform(keys[1], (n_chains, 1), minval=0.7)
        ahead = x, velocity, value, slope
        ahead, _ = jax.lax.scan(lambda s, _: leap(s, (step, factor)), ahead, None, settings.n_leaps)
        energy = (ahead[1] ** 2 - velocity**2).sum(-1) / 2
        log_ratio = ahead[2] - value - energy
        log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
        accept = jnp.log(jax.random.uniform(keys[2], (n_chains,))) < log_ratio
        x, value, slope = (
            jnp.where(accept.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
            for new, old in zip((ahead[0], *ahead[2:]), (x, value, slope))
        )
        share = jnp.minimum(jnp.exp(log_ratio), 1).mean()
        burning = count < settings.n_burn
        log_step = jnp.where(burning, log_step + 0.3 * (share - 0.75), log_step)
        keep = jnp.where(count < settings.n_burn // 3, 0.7, 0.9)  # what is old is forgotten
        mean = moments[0] * keep + (1 - keep) * x.mean(0)
        square = moments[1] * keep + (1 - keep) * (x.T @ x) / n_chains
        found = square - jnp.outer(mean, mean)
        settle = burning & ((count % 10) == 9)
        factor = jnp.where(settle, _factor(found), factor)
        count = count + 1
        return (x, value, slope, factor, log_step, (mean, square), count), (x, value, share)

    moments = x.mean(0), covariance + jnp.outer(x.mean(0), x.mean(0))
    state = x, value, slope, _factor(covariance), jnp.log(0.4), moments, 0
    keys = jax.random.split(key, settings.n_burn + settings.n_draws)
    _, (xs, values, share) = jax.lax.scan(move, state, keys)
    kept = slice(settings.n_burn, None)
    return xs[kept].swapaxes(0, 1), values[kept].swapaxes(0, 1), share[kept].mean()


def _factor(covariance: jax.Array) -> jax.Array:
    return jnp.linalg.cholesky(covariance + 1e-5 * jnp.diag(jnp.diag(covariance) + 1e-4))


def diagnose(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give split R-hat and effective sample size of draws x [chain, step, ...], for each of the
    last axes: autocorrelations of all chains, summed up to the first negative pair (Geyer).
    """
    half = x.shape[1] // 2
    split = jnp.concatenate([x[:, :half], x[:, half : 2 * half]])
    within = split.var(1, ddof=1).mean(0)
    total = within * (half - 1) / half + split.mean(1).var(0, ddof=1)
    centred = split - split.mean(1, keepdims=True)
    spectrum = jnp.fft.rfft(centred, 2 * half, axis=1)
    lagged = jnp.fft.irfft(jnp.abs(spectrum) ** 2, 2 * half, axis=1)[:, :half].mean(0) / half
    rho = 1 - (within - lagged * half / (half - 1)) / total
    pairs = rho[: half // 2 * 2].reshape(half // 2, 2, *rho.shape[1:]).sum(1)
    going = jnp.cumprod(pairs > 0, axis=0)
    time = jnp.maximum(2 * (pairs * going).sum(0) - 1, 1 / jnp.log10(10.0 + split.shape[0] * half))
    return jnp.sqrt(total / within), split.shape[0] * half / time


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
