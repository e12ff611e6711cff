"""Integrals by flows that learn where the integrand is, and channel weights that learn whose it is.

An `Integrand` is a function on the unit cube, of one channel or of several, each behind a map of
its own. A training (`train_step` in `train.fit`) draws points from the flows, evaluates the
integrand and makes a loss of the weights small (`losses`); points are shared among channels by how
much these vary, from the history of the training. In front of each flow stands a grid of VEGAS, an
exact map that may be left even (arXiv:2212.06172, arXiv:2311.01548). Channels that are images of
each other may share a flow; numbers that are discrete are drawn first, and the flow is told them
(`flows.discrete`); points may be learned from more than once (`buffer`). `sampling` draws weighted
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

import functools
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax

from hepjax import parallel, train
from hepjax.flows import coupling, discrete
from hepjax.integration import (
    buffer,
    channels,
    losses,
    mixture,
    vegas,
)
from hepjax.integration.buffer import Points
from hepjax.integration.mixture import (
    Extra,
    Integrand,
    Parameters,
    Placed,
    Values,
    evaluated,
    groups,
)


class Settings(NamedTuple):
    """How an integrator is made and trained.

    n_points: a step; size: of a tile, all points of which are of one channel (0: all points for one
    channel, 32 for more); flow; width, n_hidden: of the network for channel weights; loss;
    softclip: see `losses.sums`; learning_rate: the largest, of Adam, falling along a cosine;
    n_steps; even: share of the points that is spread evenly over channels; memory: steps after
    which the history is forgotten; frozen: share of the steps, the last, in which channel weights
    stay; alike: whether channels of a group get as many points and one number of the network each;
    drop: share of the integral that channels may make that are switched off every drop_every
    steps; buffer: steps whose points are kept; buffered: steps that learn from these, after each;
    n_stored: prior channel weights that are kept of each point (0: all); kish: effective share of
    the points that a batch must have to be used.
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
    frozen: float = 0.33
    alike: bool = False
    drop: float = 0.0
    drop_every: int = 100
    buffer: int = 0
    buffered: int = 0
    n_stored: int = 0
    kish: float = 0.3


class StepSums(NamedTuple):
    """What steps add up: loss [] of those that were used, their number [], points whose values were
    no finite numbers [], the moments of all; steps that were skipped, since their loss was no
    number [], points that were negative and must not be [], steps that learned from kept points [],
    and those that were not used, since the flow has moved too far [].
    """

    loss: jax.Array
    steps: jax.Array
    n_bad: jax.Array
    moments: losses.Sums
    skipped: Any = 0.0
    n_negative: Any = 0.0
    again: Any = 0.0
    refused: Any = 0.0


def tile_size(integrand: Integrand, settings: Settings, n: int) -> int:
    """Give the size of a tile: of one channel all of n points, or as the settings have it."""
    if integrand.n_channels == 1:
        return n
    return settings.size or 32


ADAM = optax.scale_by_adam()
"""Of all parameters in one vector, which compiles faster."""


def init(
    integrand: Integrand, settings: Settings, key: jax.Array, grids: Any = None
) -> train.TrainState:
    """Begin: flows that are the identity, and weights that are the prior.

    grids: [channel, dim, bin + 1] of VEGAS (None: even); channels that share a flow get the mean of
    theirs. Raises ValueError for grids of another shape, for several channels without features, and
    for a buffer that is too small.
    """
    n, dim = integrand.n_channels, integrand.dim
    if n > 1 and integrand.n_features < 1:
        raise ValueError(f"n_features: {integrand.n_features} for {n} channels, expected some")
    if settings.buffered > settings.buffer:
        raise ValueError(f"buffer: {settings.buffer}, expected at least {settings.buffered} steps")
    group = groups(integrand)
    n_flows = group.max() + 1
    flow_key, weight_key, root = jax.random.split(key, 3)
    n_given = sum(integrand.discrete)
    keys = jax.random.split(flow_key, n_flows)
    flows = jax.vmap(lambda key: coupling.init(key, dim, settings.flow, n_given=n_given))(keys)
    numbers = weights = None
    if integrand.discrete:
        more = jax.vmap(lambda key: jax.random.fold_in(key, dim))(keys)
        numbers = jax.vmap(lambda key: discrete.init(key, integrand.discrete))(more)
    if n > 1:
        sizes = {"width": settings.width, "n_hidden": settings.n_hidden}
        n_out = n_flows if settings.alike else n
        weights = channels.init(weight_key, integrand.n_features, n_out, **sizes)
    if grids is None:
        grids = jnp.broadcast_to(jnp.linspace(0.0, 1.0, 3), (n, dim, 3))
    if grids.shape[:2] != (n, dim):
        raise ValueError(f"grids: {grids.shape}, expected [{n}, {dim}, bin + 1]")
    grids = jnp.stack([jnp.asarray(grids)[group == k].mean(0) for k in range(n_flows)])[group]
    zeros = jnp.zeros(n, jnp.result_type(float))
    extra = Extra(grids, jnp.ones(n, bool), losses.Sums(*[zeros] * 6))
    params = Parameters(flows, weights, numbers)
    state = train.init(params, optax.flatten(ADAM), root, extra)
    if not settings.buffer:
        return state
    draw = functools.partial(fresh, integrand, settings)
    like = jax.eval_shape(lambda *given: buffer.pack(draw(*given), settings.n_stored), state, root)
    return state._replace(extra=extra._replace(buffer=buffer.empty(like, settings.buffer)))


def classical(
    integrand: Integrand, key: jax.Array, settings: vegas.Settings, *, n_steps: int = 10
) -> tuple[vegas.State, vegas.Estimate]:
    """Integrate each channel by VEGAS, or VEGAS+, with its prior weights.

    Returns the states [channel, ...] and the estimates of the second half of the steps [channel],
    each of as many points. An integrator that begins with the edges, and is not trained, is VEGAS
    with many channels. Discrete numbers are axes of the grids, the first, as even as their values;
    an integrator takes the edges of the others, edges[:, n_discrete:].
    """
    n, n_discrete = integrand.n_channels, len(integrand.discrete)
    n_values = np.array(integrand.discrete, int)
    extra = Extra(jnp.zeros(()), jnp.ones(n, bool), losses.Sums(*[jnp.zeros(n)] * 6))

    def one(state: vegas.State, channel: jax.Array, key: jax.Array) -> tuple:
        def function(x: jax.Array) -> jax.Array:
            index = None
            if n_discrete:
                index = jnp.minimum((x[:, :n_discrete] * n_values).astype(int), n_values - 1)
            of = jnp.full(len(x), channel)
            value = evaluated(integrand, None, extra, x[:, n_discrete:], of, index)[0]
            return value * n_values.prod()

        state, _, found = vegas.step(function, state, key, settings)
        return state, found

    step, found = jax.jit(jax.vmap(one)), []
    first = vegas.init(n_discrete + integrand.dim, settings)
    states = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), first)
    for k in range(n_steps):
        keys = jax.random.split(jax.random.fold_in(key, k), n)
        states, estimates = step(states, jnp.arange(n), keys)
        found.append(estimates)
    return states, vegas.combine(found[n_steps // 2 :])


def shares(extra: Extra, even: float, alike: Any = None) -> jax.Array:
    """Give the share of the points that each channel gets: by its standard deviation so far, and
    some evenly; alike: [channel] the group in which all that are active get as many (None: none).
    """
    known, n_active = extra.history, jnp.maximum(extra.active.sum(), 1)
    sigma = jnp.where(extra.active, jnp.sqrt(losses.spread(known)), 0.0)
    if alike is not None:
        n = len(sigma)
        total, count = (jax.ops.segment_sum(x, alike, n) for x in (sigma, extra.active * 1.0))
        sigma = jnp.where(extra.active, (total / jnp.maximum(count, 1))[alike], 0.0)
    flat = extra.active / n_active
    total = sigma.sum()
    by_sigma = jnp.where(total > 0, sigma / jnp.where(total > 0, total, 1), flat)
    return even * flat + (1 - even) * by_sigma


def lay(
    integrand: Integrand,
    settings: Settings,
    state: train.TrainState,
    key: jax.Array,
    n: int,
    layout: parallel.Layout | None = None,
) -> tuple[channels.Tiles, Placed]:
    """Draw n points in tiles: which, and what `place` gives of them. The same points on any layout
    of devices (None: one), each of which has some tiles, or some of the points of a single one.
    """
    params, extra = jax.lax.stop_gradient((state.params, state.extra))
    size = tile_size(integrand, settings, n)
    alike = groups(integrand) if settings.alike else None
    count = channels.allocate(n, shares(extra, settings.even, alike))
    laid = channels.tiles(count, channels.n_tiles(n, integrand.n_channels, size), size)
    n_latent = len(integrand.discrete) + integrand.dim
    z = jax.random.uniform(key, (*laid.real.shape, n_latent), jnp.float32)
    if layout is not None:
        z = parallel.spread(layout, z, axis=int(len(z) == 1))
    return laid, mixture.place(integrand, params, extra, laid.channel, z)


def fresh(
    integrand: Integrand,
    settings: Settings,
    state: train.TrainState,
    key: jax.Array,
    layout: parallel.Layout | None = None,
) -> Points:
    """Draw the points of a step, and call the integrand at them."""
    laid, placed = lay(integrand, settings, state, key, settings.n_points, layout)
    shape, index = laid.real.shape, placed.index
    channel = jnp.repeat(laid.channel, shape[1])
    index = None if index is None else index.reshape(-1, index.shape[-1])
    found = mixture.called(integrand, placed.x.reshape(-1, integrand.dim), channel, index)
    found = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), jax.lax.stop_gradient(found))
    log_drawn = placed.log_flow + placed.log_grid
    where = placed.y, placed.index, log_drawn, placed.log_grid, laid.channel, laid.real
    return Points(*where, found.value, found.features, found.log_prior)


class _Learned(NamedTuple):
    """Of one step: loss, whether it was finite, whether it was used, moments, points not good."""

    loss: jax.Array
    finite: jax.Array
    used: jax.Array
    moments: losses.Sums
    n_bad: jax.Array


def _of_weights(params: Parameters) -> jax.Array:
    """Tell which of all parameters, in one vector, are those of the channel weights."""
    none = jax.tree.map(lambda x: jnp.zeros(x.shape, bool), params)
    weights = jax.tree.map(lambda x: jnp.ones(x.shape, bool), params.weights)
    return jax.flatten_util.ravel_pytree(none._replace(weights=weights))[0]


def _learn(
    integrand: Integrand, settings: Settings, state: train.TrainState, points: Points
) -> tuple[train.TrainState, _Learned]:
    """Take one step with points; where it cannot be used, nothing changes."""
    extra, shape = state.extra, points.real.shape
    real = points.real & extra.active[points.channel][:, None]
    channel = jnp.repeat(points.channel, shape[1])
    values = Values(points.value, points.features, points.log_prior)
    values = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), values)

    def objective(params: Parameters) -> tuple[jax.Array, tuple]:
        value, good = mixture.weighted(integrand, params.weights, extra, values, channel)
        log_now = mixture.log_density(integrand, params, points)
        given = value.reshape(shape), points.log_drawn, log_now, points.channel, real
        found = losses.sums(*given, integrand.n_channels)
        clipped = losses.sums(*given, integrand.n_channels, settings.softclip)
        worth = buffer.kish(jnp.exp(log_now - points.log_drawn), real)
        n_bad = (real & ~good.reshape(shape)).sum()
        return settings.loss(clipped), (found, worth, n_bad)

    (loss, (found, worth, n_bad)), slope = jax.value_and_grad(objective, has_aux=True)(state.params)
    old, back = jax.flatten_util.ravel_pytree(state.params)
    slope, _ = jax.flatten_util.ravel_pytree(slope)
    change: Any
    change, opt_state = ADAM.update(slope, state.opt_state)
    rate: Any = optax.cosine_decay_schedule(settings.learning_rate, settings.n_steps)(state.step)
    finite = jnp.isfinite(loss) & jnp.isfinite(slope).all()
    used = finite & (worth >= settings.kish)
    frozen = state.step >= (1 - settings.frozen) * settings.n_steps
    moves = used & ~(frozen & _of_weights(state.params))

    def chosen(old: jax.Array, new: jax.Array) -> jax.Array:
        return jnp.where(moves if jnp.ndim(old) else used, new.astype(old.dtype), old)

    opt_state = jax.tree.map(chosen, state.opt_state, opt_state)
    params = back(chosen(old, old - rate * change))
    state = state._replace(params=params, opt_state=opt_state)
    return state, _Learned(loss, finite, used, found, n_bad)


def _learn_again(
    integrand: Integrand, settings: Settings, state: train.TrainState, points: Points, key: Any
) -> tuple[train.TrainState, jax.Array, jax.Array]:
    """Keep the points of a step, and take further steps with such as were kept, once enough are;
    also how many, and how many of them were not used.
    """
    kept = buffer.write(state.extra.buffer, buffer.pack(points, settings.n_stored), state.step)
    filled = jnp.minimum(state.step + 1, settings.buffer)
    batches = buffer.pick(kept, key, filled, settings.buffered)

    def learn(state: train.TrainState, batch: Points) -> tuple[train.TrainState, jax.Array]:
        batch = buffer.unpack(batch, integrand.n_channels)
        state, found = _learn(integrand, settings, state, batch)
        return state, found.used

    def some(state: train.TrainState) -> tuple[train.TrainState, jax.Array, jax.Array]:
        state, used = jax.lax.scan(learn, state, batches)
        return state, used.sum(), (~used).sum()

    def none(state: train.TrainState) -> tuple[train.TrainState, jax.Array, jax.Array]:
        return state, jnp.zeros((), int), jnp.zeros((), int)

    enough = filled >= max(settings.buffered, (settings.buffer + 1) // 2)
    state, n_used, n_refused = jax.lax.cond(enough, some, none, state)
    return state._replace(extra=state.extra._replace(buffer=kept)), n_used, n_refused


def train_step(
    integrand: Integrand, settings: Settings, layout: parallel.Layout | None = None
) -> train.Step:
    """Build step(state, None) -> (state, StepSums) for `train.fit`, which gets the same layout.

    Values that are no finite numbers, or negative where they must not be, count as 0, and are
    counted. A step whose loss is no finite number changes nothing, and is counted.
    """

    def step(state: train.TrainState, _: Any) -> tuple[train.TrainState, StepSums]:
        key, later = jax.random.split(jax.random.fold_in(state.key, state.step))
        points = fresh(integrand, settings, state, key, layout)
        state, first = _learn(integrand, settings._replace(kish=0.0), state, points)
        finite, extra = first.finite, state.extra
        moments = jax.tree.map(lambda x: jnp.where(finite, x, 0), first.moments)
        left = jnp.where(finite, 1 - 1 / settings.memory, 1)
        history = jax.tree.map(lambda old, new: left * old + new, extra.history, moments)
        state = state._replace(extra=extra._replace(history=history))
        n_again = n_refused = jnp.zeros((), int)
        if settings.buffered:
            points = points._replace(real=points.real & finite)
            state, *both = _learn_again(integrand, settings, state, points, later)
            n_again, n_refused = both
        if settings.drop:
            due = (state.step + 1) % settings.drop_every == 0
            size = history.size / jnp.maximum(history.n, 1)
            kept = channels.survivors(extra.active, size, settings.drop)
            active = jnp.where(due, kept, extra.active)
            state = state._replace(extra=state.extra._replace(active=active))
        state = state._replace(step=state.step + 1)
        negative = (points.real & (points.value < 0)).sum() * (not integrand.signed)
        counts = ~finite, negative, n_again, n_refused
        loss = jnp.where(finite, first.loss, 0)
        one, n_bad, *counts = (
            x.astype(loss.dtype) for x in (jnp.ones((), int), first.n_bad, *counts)
        )
        return state, StepSums(loss, one, n_bad, moments, *counts)

    return step


def finish(sums: StepSums) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Give the mean loss of steps for the log, the relative standard deviation of their points with
    optimal shares, the share of points whose values were no finite numbers or wrongly negative, and
    the shares of steps that were skipped, and of further steps that were not used.
    """
    n_used, found = sums.steps - sums.skipped, sums.moments
    loss = jnp.where(n_used > 0, sums.loss / jnp.maximum(n_used, 1), jnp.nan)
    rsd = jnp.sqrt(losses.spread(found)).sum() / losses.scale(found)
    further = jnp.maximum(sums.again + sums.refused, 1)
    return loss, {
        "loss": loss,
        "rsd": rsd,
        "bad_fraction": sums.n_bad / jnp.maximum(found.n.sum(), 1),
        "skipped": sums.skipped / sums.steps,
        "refused": sums.refused / further,
    }
