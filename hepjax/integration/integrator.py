"""Integrals by flows that learn where the integrand is, and channel weights that learn whose it is.

An `Integrand` is a function on the unit cube, of one channel or of several, each behind a map of
its own. A training (`train_step` in `train.fit`) draws points from the flows, evaluates the
integrand and makes a loss of the weights small (`losses`); points are shared among channels by how
much these vary, from the history of the training. In front of each flow stands a grid of VEGAS, an
exact map that may be left even (arXiv:2212.06172, arXiv:2311.01548). `sampling` draws weighted
points from what was trained.

Flows are float32, and so are the networks; points go through the grid and to the integrand in the
precision that is switched on, and weights come back in it.

>>> integrand = Integrand(lambda x, channel: Values(3 * x[:, 0] ** 2), dim=2)
>>> settings = Settings(n_points=64, flow=coupling.Settings(n_bins=4, width=8))
>>> state = init(integrand, settings, jax.random.key(0))
>>> state, sums = jax.jit(train_step(integrand, settings))(state, None)
>>> float(sums.moments.n[0])
64.0
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hepjax import parallel, train
from hepjax.flows import coupling
from hepjax.integration import channels, losses, vegas


class Values(NamedTuple):
    """What an integrand gives for points, x [point, dim] of the cube, each of a channel [point].

    value: [point] the integrand times the Jacobian of the channel's map, 0 outside of cuts;
    features: [point, feature] that channel weights are learned from; log_prior: [point, channel]
    logarithms of the channel weights before the training (None: even).
    """

    value: Any
    features: Any = None
    log_prior: Any = None


class Integrand(NamedTuple):
    """function(x [point, dim], channel [point]) -> Values; dim; n_channels; n_features."""

    function: Callable[[jax.Array, jax.Array], Values]
    dim: int
    n_channels: int = 1
    n_features: int = 0


class Settings(NamedTuple):
    """How an integrator is made and trained.

    n_points: a step; size: of a tile, all points of which are of one channel (0: all points for one
    channel, 32 for more); flow; width, n_hidden: of the network for channel weights; loss;
    softclip: see `losses.sums`; learning_rate: the largest, of Adam, falling along a cosine;
    n_steps; even: share of the points that is spread evenly over channels; memory: steps after
    which the history is forgotten.
    """

    n_points: int = 1024
    size: int = 0
    flow: coupling.Settings = coupling.DEFAULT
    width: int = 32
    n_hidden: int = 2
    loss: losses.Loss = losses.stratified_variance
    softclip: float = 0.0
    learning_rate: float = 1e-3
    n_steps: int = 1000
    even: float = 0.1
    memory: int = 20


class Parameters(NamedTuple):
    """What is trained: flows, leading axis channel, and the network of channel weights, None for
    one channel.
    """

    flows: coupling.Parameters
    weights: Any


class Extra(NamedTuple):
    """What is known beside: grids [channel, dim, bin + 1], which channels are active [channel], and
    moments of the latest steps.
    """

    grids: jax.Array
    active: jax.Array
    history: losses.Sums


class StepSums(NamedTuple):
    """What steps add up: loss [], their number [], points whose values were no finite numbers [],
    and the moments of all.
    """

    loss: jax.Array
    steps: jax.Array
    n_bad: jax.Array
    moments: losses.Sums


def tile_size(integrand: Integrand, settings: Settings, n: int) -> int:
    """Give the size of a tile: of one channel all of n points, or as the settings have it."""
    if integrand.n_channels == 1:
        return n
    return settings.size or 32


def optimiser(settings: Settings) -> optax.GradientTransformation:
    """Adam along half a cosine."""
    return optax.adam(optax.cosine_decay_schedule(settings.learning_rate, settings.n_steps))


def init(
    integrand: Integrand, settings: Settings, key: jax.Array, grids: Any = None
) -> train.TrainState:
    """Begin: flows that are the identity, and weights that are the prior.

    grids: [channel, dim, bin + 1] of VEGAS (None: even). Raises ValueError for grids of another
    shape, and for several channels without features.
    """
    n, dim = integrand.n_channels, integrand.dim
    if n > 1 and integrand.n_features < 1:
        raise ValueError(f"n_features: {integrand.n_features} for {n} channels, expected some")
    flow_key, weight_key, root = jax.random.split(key, 3)
    flows = jax.vmap(lambda key: coupling.init(key, dim, settings.flow))(
        jax.random.split(flow_key, n)
    )
    weights = None
    if n > 1:
        sizes = {"width": settings.width, "n_hidden": settings.n_hidden}
        weights = channels.init(weight_key, integrand.n_features, n, **sizes)
    if grids is None:
        grids = jnp.broadcast_to(jnp.linspace(0.0, 1.0, 3), (n, dim, 3))
    if grids.shape[:2] != (n, dim):
        raise ValueError(f"grids: {grids.shape}, expected [{n}, {dim}, bin + 1]")
    zeros = jnp.zeros(n, jnp.result_type(float))
    extra = Extra(jnp.asarray(grids), jnp.ones(n, bool), losses.Sums(*[zeros] * 6))
    return train.init(Parameters(flows, weights), optimiser(settings), root, extra)


def classical(
    integrand: Integrand, key: jax.Array, settings: vegas.Settings, *, n_steps: int = 10
) -> tuple[vegas.State, vegas.Estimate]:
    """Integrate each channel by VEGAS, or VEGAS+, with its prior weights.

    Returns the states [channel, ...] and the estimates of the second half of the steps [channel],
    each of as many points. An integrator that begins with the edges, and is not trained, is VEGAS
    with many channels.
    """
    n = integrand.n_channels
    extra = Extra(jnp.zeros(()), jnp.ones(n, bool), losses.Sums(*[jnp.zeros(n)] * 6))

    def one(state: vegas.State, channel: jax.Array, key: jax.Array) -> tuple:
        def function(x: jax.Array) -> jax.Array:
            return evaluated(integrand, None, extra, x, jnp.full(len(x), channel))[0]

        state, _, found = vegas.step(function, state, key, settings)
        return state, found

    step, found = jax.jit(jax.vmap(one)), []
    first = vegas.init(integrand.dim, settings)
    states = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), first)
    for k in range(n_steps):
        keys = jax.random.split(jax.random.fold_in(key, k), n)
        states, estimates = step(states, jnp.arange(n), keys)
        found.append(estimates)
    return states, vegas.combine(found[n_steps // 2 :])


def shares(extra: Extra, even: float) -> jax.Array:
    """Give the share of the points that each channel gets: by its standard deviation so far, and
    some evenly.
    """
    known, n_active = extra.history, jnp.maximum(extra.active.sum(), 1)
    sigma = jnp.where(extra.active, jnp.sqrt(losses.spread(known)), 0.0)
    flat = extra.active / n_active
    total = sigma.sum()
    by_sigma = jnp.where(total > 0, sigma / jnp.where(total > 0, total, 1), flat)
    return even * flat + (1 - even) * by_sigma


def place(
    params: Parameters, extra: Extra, channel: jax.Array, z: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Take latent points z [tile, place, dim], of channel [tile], through flows and grids.

    Returns what stands between the two, float32, the logarithm of its density, points of the cube,
    and the logarithm of what the grid adds to the density.
    """
    y, log_det = coupling.forward(_flows(params, channel), z)
    x, log_grid = jax.vmap(vegas.forward)(extra.grids[channel], y.astype(extra.grids.dtype))
    return y, -log_det, x, -log_grid


def _flows(params: Parameters, channel: jax.Array) -> coupling.Parameters:
    return jax.tree.map(lambda x: x[channel], params.flows)


def weighted(
    integrand: Integrand, weights: Any, extra: Extra, found: Values, channel: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Give channel weight times integrand [point] of what an integrand gave for points of channel
    [point], and whether all of it was finite [point]; where it was not the value is 0, and has no
    gradient.

    Raises ValueError for values of another shape.
    """
    n, n_channels = len(channel), integrand.n_channels
    if found.value.shape != (n,):
        raise ValueError(f"integrand: gave values {found.value.shape}, expected ({n},)")
    good = jnp.isfinite(found.value)
    if n_channels == 1:
        return jnp.where(good, found.value, 0), good
    prior = jnp.zeros((n, n_channels)) if found.log_prior is None else found.log_prior
    for name, given, width in (
        ("features", found.features, integrand.n_features),
        ("log_prior", prior, n_channels),
    ):
        if given is None or given.shape != (n, width):
            shape = None if given is None else given.shape
            raise ValueError(f"integrand: gave {name} {shape}, expected ({n}, {width})")
    good &= jnp.isfinite(found.features).all(1) & (prior < jnp.inf).all(1)
    features = jnp.where(good[:, None], found.features, 0)
    prior = jnp.where(good[:, None], prior, 0)
    log_alpha = channels.log_weights(weights, features, prior, extra.active)
    alpha = jnp.exp(jnp.take_along_axis(log_alpha, channel[:, None], 1)[:, 0])
    return jnp.where(good, found.value, 0) * alpha, good


def evaluated(
    integrand: Integrand, weights: Any, extra: Extra, x: jax.Array, channel: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Call the integrand at points [point, dim] of channel [point] and give what `weighted` does;
    only channel weights have a gradient.
    """
    found = jax.lax.stop_gradient(integrand.function(x, channel))
    return weighted(integrand, weights, extra, found, channel)


def lay(
    integrand: Integrand,
    settings: Settings,
    state: train.TrainState,
    key: jax.Array,
    n: int,
    layout: parallel.Layout | None = None,
) -> tuple[channels.Tiles, tuple]:
    """Draw n points in tiles: which, and what `place` gives of them. The same points on any layout
    of devices (None: one), each of which has some tiles, or some of the points of a single one.
    """
    params, extra = jax.lax.stop_gradient((state.params, state.extra))
    size = tile_size(integrand, settings, n)
    count = channels.allocate(n, shares(extra, settings.even))
    laid = channels.tiles(count, channels.n_tiles(n, integrand.n_channels, size), size)
    z = jax.random.uniform(key, (*laid.real.shape, integrand.dim), jnp.float32)
    if layout is not None:
        z = parallel.spread(layout, z, axis=int(len(z) == 1))
    return laid, place(params, extra, laid.channel, z)


def train_step(
    integrand: Integrand, settings: Settings, layout: parallel.Layout | None = None
) -> train.Step:
    """Build step(state, None) -> (state, StepSums) for `train.fit`, which gets the same layout.

    Values that are no finite numbers count as 0, and are counted.
    """
    adam, n_channels = optimiser(settings), integrand.n_channels

    def step(state: train.TrainState, _: Any) -> tuple[train.TrainState, StepSums]:
        key = jax.random.fold_in(state.key, state.step)
        laid, (y, log_flow, x, log_grid) = lay(
            integrand, settings, state, key, settings.n_points, layout
        )
        channel = jnp.repeat(laid.channel, laid.real.shape[1])
        extra, log_drawn = state.extra, log_flow + log_grid

        def objective(params: Parameters) -> tuple[jax.Array, tuple]:
            flat = x.reshape(-1, integrand.dim)
            value, good = evaluated(integrand, params.weights, extra, flat, channel)
            bad = laid.real & ~good.reshape(laid.real.shape)
            log_now = coupling.inverse(_flows(params, laid.channel), y)[1] + log_grid
            given = value.reshape(laid.real.shape), log_drawn, log_now, laid.channel, laid.real
            found = losses.sums(*given, n_channels)
            clipped = losses.sums(*given, n_channels, settings.softclip)
            return settings.loss(clipped), (found, bad.sum())

        (loss, (found, n_bad)), slope = jax.value_and_grad(objective, has_aux=True)(state.params)
        change, opt_state = adam.update(slope, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, change)
        kept = 1 - 1 / settings.memory
        history = jax.tree.map(lambda old, new: kept * old + new, extra.history, found)
        state = state._replace(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            extra=extra._replace(history=history),
        )
        one = jnp.ones((), loss.dtype)
        return state, StepSums(loss, one, n_bad.astype(loss.dtype), found)

    return step


def finish(sums: StepSums) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Give the mean loss of steps for the log, the relative standard deviation of their points with
    optimal shares, and the share of points whose values were no finite numbers.
    """
    loss = sums.loss / sums.steps
    found = sums.moments
    rsd = jnp.sqrt(losses.spread(found)).sum() / losses.scale(found)
    return loss, {"loss": loss, "rsd": rsd, "bad_fraction": sums.n_bad / found.n.sum()}
