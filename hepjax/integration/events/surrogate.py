"""Two-stage unweighting: a fast guess at a slow matrix element decides first.

A network learns the logarithm of |M|^2 from invariants of the momenta (`fit`, `predict`). With it
points are unweighted as if it were right; only those that are kept meet the matrix element, and are
unweighted once more, by the ratio of truth and guess, against its own limit (arXiv:2109.11964).
Both stages carry what is above their limit, so that cross-section and distributions are those of
the matrix element however bad the guess is; a bad one only costs efficiency. `gain` says what it is
worth, from the efficiencies of both stages and the ratio of times.

>>> cheap, full = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 5.0])
>>> limits(cheap, full)
(4.0, 1.25)
>>> found = unweight(cheap, lambda index: full[index], 4.0, 1.25, np.random.default_rng(0))
>>> found.first.n, found.second.n == found.n_evaluated
(3, True)
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import lorentz
from hepjax.integration import channels
from hepjax.integration.events import unweighting

TINY = 1e-12
"""Invariants below this share of the squared energy are taken for it."""


class Surrogate(NamedTuple):
    """A network for log |M|^2.

    layers: of the network; mean, scale: [feature] of the training; centre, width: of log |M|^2.
    """

    layers: channels.Layers
    mean: Any
    scale: Any
    centre: Any
    width: Any


class Settings(NamedTuple):
    """A network and its training.

    width, n_hidden: of its layers; batch_size: points; learning_rate: the largest, of Adam, falling
    along a cosine; n_steps.
    """

    width: int = 64
    n_hidden: int = 3
    batch_size: int = 512
    learning_rate: float = 3e-3
    n_steps: int = 5000


DEFAULT = Settings()


class TwoStage(NamedTuple):
    """index: [event] of the points that are kept; weight: [event], 1 or more, with the sign of the
    integrand, in units of the product of both limits; first, second: what each stage kept;
    n_evaluated: how often the matrix element was asked.
    """

    index: np.ndarray
    weight: np.ndarray
    first: unweighting.Unweighting
    second: unweighting.Unweighting
    n_evaluated: int


def invariants(momenta: Any) -> jax.Array:
    """Give log s and the logarithms of all products 2 p_i p_j / s [..., feature] of legs.

    momenta: [..., leg, 4] GeV, the two incoming ones first.
    """
    p = jnp.asarray(momenta)
    s = lorentz.mass_squared(p[..., 0, :] + p[..., 1, :])
    pairs = list(itertools.combinations(range(p.shape[-2]), 2))[1:]  # the first of which is s
    one, other = (p[..., np.array(legs), :] for legs in zip(*pairs))
    share = jnp.maximum(2 * lorentz.dot(one, other) / s[..., None], TINY)
    return jnp.concatenate([jnp.log(s)[..., None], jnp.log(share)], -1)


def predict(surrogate: Surrogate, momenta: Any) -> jax.Array:
    """Guess |M|^2 [...] of momenta [..., leg, 4]; it is never 0."""
    features = (invariants(momenta) - surrogate.mean) / surrogate.scale
    return jnp.exp(_network(surrogate.layers, features) * surrogate.width + surrogate.centre)


def fit(
    key: jax.Array, momenta: Any, value: Any, settings: Settings = DEFAULT
) -> tuple[Surrogate, np.ndarray]:
    """Train a network on |M|^2 [point] of momenta [point, leg, 4].

    Returns it with the mean squared error of the logarithm at each step, in units of its spread.
    Raises ValueError for values that are not positive, and for fewer than two points.
    """
    value = np.asarray(value, float)
    bad = ~(np.isfinite(value) & (value > 0))
    if len(value) < 2 or bad.any():
        what = f"{bad.sum()} of {len(value)} are not positive"
        raise ValueError(f"value: {what}, expected two or more that are")
    features, log = np.asarray(invariants(momenta), float), np.log(value)
    mean, scale = features.mean(0), np.maximum(features.std(0), 1e-6)
    centre, width = log.mean(), max(log.std(), 1e-6)
    x = jnp.asarray((features - mean) / scale, jnp.float32)
    y = jnp.asarray((log - centre) / width, jnp.float32)
    start, order = jax.random.split(key)
    sizes = {"width": settings.width, "n_hidden": settings.n_hidden}
    layers = channels.init(start, x.shape[1], 1, **sizes)
    layers, losses = _trained(layers, x, y, order, settings)
    return Surrogate(layers, mean, scale, centre, width), np.asarray(losses)


def limits(cheap: Any, full: Any, overweight: float = 0.0) -> tuple[float, float]:
    """Find the limits of both stages from points [point] of which guess and truth are known, both
    with all other factors of the weight: that of the guess, and that of truth over guess.

    overweight: share of the total weight that may stand above, half of it in each stage. Raises
    ValueError as `unweighting.limit` does, and where the guess is 0 and the truth is not.
    """
    cheap, full = np.asarray(cheap, float), np.asarray(full, float)
    lost = (cheap == 0) & (full != 0)
    if lost.any():
        raise ValueError(f"cheap: 0 at {lost.sum()} points where full is not, expected none")
    ratio = np.divide(full, cheap, out=np.zeros_like(full), where=cheap != 0)
    most = unweighting.limit(cheap, overweight / 2)
    return most, unweighting.limit(ratio, overweight / 2, times=cheap)


def unweight(
    cheap: Any,
    full: Callable[[np.ndarray], Any],
    most: float,
    most_ratio: float,
    rng: np.random.Generator,
) -> TwoStage:
    """Unweight points [point] in two stages.

    cheap: [point] weights by the guess; full: index [kept] -> weights by the truth, asked once;
    most, most_ratio: limits of both stages. The sum of the weights, times the limits over the
    number of points, is the integral.
    """
    cheap = np.asarray(cheap, float)
    index, first = unweighting.unweight(np.abs(cheap), most, rng)
    ratio = np.asarray(full(index), float) / np.abs(cheap[index])
    kept, second = unweighting.unweight(ratio, most_ratio, rng)
    weight = first[kept] * second
    stages = (
        _stage(np.abs(cheap), np.ones_like(cheap), most, len(index)),
        _stage(np.abs(ratio), first, most_ratio, len(kept)),
    )
    return TwoStage(index[kept], weight, *stages, len(index))


def _stage(
    size: np.ndarray, times: np.ndarray, limit: float, n_kept: int
) -> unweighting.Unweighting:
    total, above = ((times * x).sum() for x in (size, np.maximum(size - limit, 0)))
    fraction = float(above / total) if total else 0.0
    return unweighting.Unweighting(limit, n_kept / max(len(size), 1), fraction, len(size))


def gain(
    found: TwoStage, direct: unweighting.Unweighting, time_ratio: float, worth: float = 1.0
) -> float:
    """Give how many times less time an event takes than by unweighting the truth alone.

    direct: what that keeps of the same points; time_ratio: of a guess over a matrix element; worth:
    `unweighting.effective` of what direct unweighting keeps. Events count by their effective
    number, as in arXiv:2109.11964; the time of making points is in that of the guess.
    """
    ours = unweighting.effective(found.weight) * found.second.efficiency
    return ours / (worth * direct.efficiency) / (time_ratio / found.first.efficiency + 1)


def _network(layers: channels.Layers, features: Any) -> jax.Array:
    x = jnp.asarray(features, jnp.float32)
    for layer in layers[:-1]:
        x = jax.nn.silu(x @ layer["kernel"] + layer["bias"])
    return (x @ layers[-1]["kernel"] + layers[-1]["bias"])[..., 0].astype(jnp.result_type(float))


def _trained(
    layers: channels.Layers, x: jax.Array, y: jax.Array, key: jax.Array, settings: Settings
) -> tuple[channels.Layers, jax.Array]:
    """Train with batches that are drawn at random."""
    adam = optax.adam(optax.cosine_decay_schedule(settings.learning_rate, settings.n_steps))
    size = min(settings.batch_size, len(x))

    def loss(layers: Any, x: Any, y: Any) -> jax.Array:
        return ((_network(layers, x) - y) ** 2).mean()

    @jax.jit
    def train(layers: Any, x: Any, y: Any) -> Any:
        def step(state: Any, k: jax.Array) -> tuple[Any, jax.Array]:
            layers, memory = state
            batch = jax.random.randint(jax.random.fold_in(key, k), (size,), 0, len(x))
            found, slope = jax.value_and_grad(loss)(layers, x[batch], y[batch])
            change, memory = adam.update(slope, memory, layers)
            return (optax.apply_updates(layers, change), memory), found

        return jax.lax.scan(step, (layers, adam.init(layers)), jnp.arange(settings.n_steps))

    (layers, _), losses = train(layers, x, y)
    return layers, losses
