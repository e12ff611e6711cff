"""What an integrator is made of: an integrand in channels, and a density for each of them.

The density of a channel is a flow behind a grid of VEGAS, and networks for numbers that are
discrete, which are drawn first and which the flow is told. `place` takes latent points through all
of that, `log_density` gives the density of points again, with other parameters; `called` asks the
integrand and looks at the shapes of what it gives, `weighted` puts the channel weights in, which
`channels` computes. `integrator` trains all of this, `sampling` draws from it.

>>> integrand = Integrand(lambda x, channel: Values(x[:, 0]), dim=2, n_channels=3, groups=(0, 1, 0))
>>> groups(integrand).tolist()
[0, 1, 0]
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.flows import coupling, discrete
from hepjax.integration import channels, losses, vegas
from hepjax.integration.buffer import Points


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
    """What is integrated over the cube, and summed over channels and discrete numbers.

    function: (x [point, dim], channel [point]) -> Values, and (x, channel, index [point, number])
    where there are discrete numbers; discrete: how many values each of these has; groups: [channel]
    the flow that it has, counted from 0 (empty: each its own); signed: whether it may be negative.
    """

    function: Callable[..., Values]
    dim: int
    n_channels: int = 1
    n_features: int = 0
    groups: tuple[int, ...] = ()
    discrete: tuple[int, ...] = ()
    signed: bool = True


class Parameters(NamedTuple):
    """What is trained: flows, leading axis flow; the network of channel weights, None for one
    channel; networks of discrete numbers, leading axis flow, None without such.
    """

    flows: coupling.Parameters
    weights: Any
    discrete: Any = None


class Extra(NamedTuple):
    """What is known beside: grids [channel, dim, bin + 1], which channels are active [channel],
    moments of the latest steps, and the points of some, if they are kept.
    """

    grids: jax.Array
    active: jax.Array
    history: losses.Sums
    buffer: Points | None = None


class Placed(NamedTuple):
    """Points [tile, place]: y [..., dim] between flow and grid, float32, the logarithm of the
    density there, x [..., dim] of the cube, the logarithm of what the grid adds to the density, and
    discrete numbers [..., number] or None.
    """

    y: jax.Array
    log_flow: jax.Array
    x: jax.Array
    log_grid: jax.Array
    index: Any


def groups(integrand: Integrand) -> np.ndarray:
    """Tell which flow each channel has [channel]. Raises ValueError for groups that are none."""
    n = integrand.n_channels
    if not integrand.groups:
        return np.arange(n)
    found = np.asarray(integrand.groups)
    if len(found) != n or set(found.tolist()) != set(range(int(found.max()) + 1)):
        raise ValueError(f"groups: {integrand.groups} of {n} channels, expected one each, from 0")
    return found


def _of(params: Parameters, group: jax.Array) -> tuple[coupling.Parameters, Any]:
    """Give the flow and the networks of discrete numbers of each tile, of a group [tile]."""
    return jax.tree.map(lambda x: x[group], (params.flows, params.discrete))


def place(
    integrand: Integrand, params: Parameters, extra: Extra, channel: jax.Array, z: jax.Array
) -> Placed:
    """Take latent points z [tile, place, n_discrete + dim], of channel [tile], through the networks
    of discrete numbers, flows and grids.
    """
    flow, numbers = _of(params, jnp.asarray(groups(integrand))[channel])
    n, index, given, log_p = len(integrand.discrete), None, None, 0.0
    if n:
        index, log_p = discrete.forward(numbers, z[..., :n])
        given = discrete.one_hot(index, integrand.discrete)
    y, log_det = coupling.forward(flow, z[..., n:], given)
    x, log_grid = jax.vmap(vegas.forward)(extra.grids[channel], y.astype(extra.grids.dtype))
    return Placed(y, log_p - log_det, x, -log_grid, index)


def log_density(integrand: Integrand, params: Parameters, points: Points) -> jax.Array:
    """Give the logarithm of the density now [tile, place] of points of the cube."""
    flow, numbers = _of(params, jnp.asarray(groups(integrand))[points.channel])
    if points.index is None:
        return coupling.inverse(flow, points.y)[1] + points.log_grid
    given = discrete.one_hot(points.index, integrand.discrete)
    log_p = discrete.log_prob(numbers, points.index)
    return coupling.inverse(flow, points.y, given)[1] + log_p + points.log_grid


def checked(integrand: Integrand, found: Values, n: int) -> Values:
    """Give what an integrand gave for n points, even logarithms of channel weights where it has
    several and gave none. Raises ValueError for another shape.
    """
    if found.value.shape != (n,):
        raise ValueError(f"integrand: gave values {found.value.shape}, expected ({n},)")
    n_channels = integrand.n_channels
    if n_channels == 1:
        return Values(found.value)
    prior = jnp.zeros((n, n_channels)) if found.log_prior is None else found.log_prior
    for name, given, width in (
        ("features", found.features, integrand.n_features),
        ("log_prior", prior, n_channels),
    ):
        if given is None or given.shape != (n, width):
            shape = None if given is None else given.shape
            raise ValueError(f"integrand: gave {name} {shape}, expected ({n}, {width})")
    return found._replace(log_prior=prior)


def called(integrand: Integrand, x: jax.Array, channel: jax.Array, index: Any = None) -> Values:
    """Call the integrand at points [point, dim] of channel [point], with the discrete numbers
    [point, number] that it may have. Raises ValueError as `checked` does.
    """
    given = (x, channel) if index is None else (x, channel, index)
    return checked(integrand, integrand.function(*given), len(x))


def log_weights(
    integrand: Integrand, weights: Any, features: Any, log_prior: Any, active: Any = True
) -> jax.Array:
    """Give logarithms of the channel weights [point, channel] of a network, None for the prior; one
    that has fewer numbers than there are channels has one of each group.
    """
    few = weights is not None and weights[-1]["bias"].shape[-1] < integrand.n_channels
    same = groups(integrand) if few else None
    return channels.log_weights(weights, features, log_prior, active, same)


def weighted(
    integrand: Integrand,
    weights: Any,
    extra: Extra,
    found: Values,
    channel: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Give channel weight times integrand [point] of what was `checked`, for points of channel
    [point], and whether all of it was finite, and not negative where that must not be [point];
    where it was not the value is 0, and has no gradient.
    """
    good = jnp.isfinite(found.value)
    if not integrand.signed:
        good &= ~(found.value < 0)
    if integrand.n_channels == 1:
        return jnp.where(good, found.value, 0), good
    good &= jnp.isfinite(found.features).all(1) & (found.log_prior < jnp.inf).all(1)
    features = jnp.where(good[:, None], found.features, 0)
    prior = jnp.where(good[:, None], found.log_prior, 0)
    log_alpha = log_weights(integrand, weights, features, prior, extra.active)
    alpha = jnp.exp(jnp.take_along_axis(log_alpha, channel[:, None], 1)[:, 0])
    return jnp.where(good, found.value, 0) * alpha, good


def evaluated(
    integrand: Integrand,
    weights: Any,
    extra: Extra,
    x: jax.Array,
    channel: jax.Array,
    index: Any = None,
) -> tuple[jax.Array, jax.Array]:
    """Call the integrand at points [point, dim] of channel [point] and give what `weighted` does;
    only channel weights have a gradient.
    """
    found = jax.lax.stop_gradient(called(integrand, x, channel, index))
    return weighted(integrand, weights, extra, found, channel)
