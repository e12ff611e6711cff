"""Directions, one an event and no posterior: what gives them, how it is learned, what it is worth.

A `Network` is two pure functions, whatever stands behind them: the emission points of `trident`,
or an encoder with three numbers at its end (`from_encoder`: DynEdge, or the transformer of
pulses). It looks at one pulse of a module, the first, with the charge of all (`one_of_module`).
`loss` has two terms, the chord between directions and, where a network names the points of the
track that sent the light out, their distances from the true ones (`emission_points`). `fit` trains
on events that are simulated as they are needed, `measure` tests on others, beside the line fit.

>>> import numpy as np
>>> from hepjax.neutrino import media
>>> up = data.Truth(np.zeros((1, 3)), np.array([[0.0, 0, 1]]), *np.zeros((5, 1)))
>>> emission_points(up, np.array([[[30.0, 0, 0]]]), media.uniform(50, 100, delay=500.0)).round()
Array([[[  0.,   0., -33.]]], dtype=float32)
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch, resolution, runs, sphere, train
from hepjax.neutrino import data, frames, media, training
from hepjax.nn import model

NEAR, FAR = 2.0, 50.0
"""Distances of emission points count squared below the one, as they are up to the other, and by
their logarithm beyond, m: what noise has for emission points should not matter.
"""
CHORD, EMISSION = 0.05, 20.0
"""What counts as one in the loss: a chord, and metres."""
CHANGE = 0.3
"""Chord by which an encoder's output of 1 turns the direction of the line fit."""


class Reconstruction(NamedTuple):
    """What a network says of events.

    direction: [event, 3] of travel; point: [event, pulse, 3] m, where the light of each pulse left
    the track, weight: [event, pulse] of it in the fit, which sum up to 1; both None of networks
    that do not look for such points.
    """

    direction: Any
    point: Any = None
    weight: Any = None


class Network(NamedTuple):
    """init(key, pulses) -> variables; reconstruct(variables, pulses) -> Reconstruction, pure."""

    init: Callable[[jax.Array, data.Pulses], model.Variables]
    reconstruct: Callable[[Any, data.Pulses], Reconstruction]


class Measured(NamedTuple):
    """Numbers of each event [event]: truth; n_modules: that saw light; angle, line_angle: rad,
    from the true direction to that of the network and of the line fit; distance: m, of emission
    points from the true ones, the median over pulses, NaN where there are none; milliseconds: of
    CPU that the network took an event, line fit included.
    """

    truth: data.Truth
    n_modules: np.ndarray
    angle: np.ndarray
    line_angle: np.ndarray
    distance: np.ndarray
    milliseconds: float


def one_of_module(pulses: data.Pulses, length: int) -> data.Pulses:
    """Keep of each module its first pulse, with the charge of all, and of modules the `length` of
    largest charge; in order of time.
    """
    return data.strongest(data.first_of_module(pulses), length)


def emission_points(truth: data.Truth, position: Any, medium: media.Medium) -> jax.Array:
    """Give the points of tracks [event, pulse, 3] m, from which light that is not scattered comes
    to positions [event, pulse, 3] m: at distance d of the track, d / tan(theta_c) before the point
    that is closest.
    """
    start, direction = (jnp.asarray(x)[:, None] for x in (truth.position, truth.direction))
    relative = jnp.asarray(position) - start
    along = (relative * direction).sum(-1, keepdims=True)
    square = ((relative - along * direction) ** 2).sum(-1, keepdims=True)
    return start + (along - jnp.sqrt(square) / media.tangent(medium)) * direction


def from_encoder(net: model.Model, medium: media.Medium) -> Network:
    """Make a direction of an encoder's three numbers: they turn that of the line fit."""

    def init(key: jax.Array, pulses: data.Pulses) -> model.Variables:
        return net.init(key, frames.features(pulses, frames.frame(pulses), medium))

    def reconstruct(variables: Any, pulses: data.Pulses) -> Reconstruction:
        found = frames.frame(pulses)
        out = net.apply(variables, frames.features(pulses, found, medium))
        if out.shape[-1] != 3:
            raise ValueError(f"net: gives {out.shape[-1]} numbers an event, expected 3")
        local = jnp.array([0.0, 0.0, 1.0]) + CHANGE * out.astype(jnp.float32)
        length = jnp.sqrt((local**2).sum(-1, keepdims=True) + 1e-6)
        return Reconstruction(frames.turn_back(found, local / length))

    return Network(init, reconstruct)


def loss(
    network: Network, simulate: training.Simulate, n_events: int, medium: media.Medium
) -> train.Loss:
    """Build the loss on n new events a step; those without pulses do not count.

    Means of it: "loss", the objective, and what it is of: "chord" to the true direction, and
    "distance" of emission points, m, which is `robust`.
    """

    def function(params: Any, _: Any, key: jax.Array) -> dict[str, batch.Mean]:
        pulses, truth = jax.lax.stop_gradient(simulate(key, n_events))
        found = network.reconstruct({"params": params}, pulses)
        some = pulses.mask.any(-1)
        away = jnp.where(some[:, None], found.direction - truth.direction, 0)
        chord = jnp.sqrt((away**2).sum(-1) + 1e-8)
        total, means = chord / CHORD, {"chord": batch.mean(chord, some)}
        if found.point is not None:
            true = emission_points(truth, pulses.position, medium)
            gap = jnp.where(pulses.mask[..., None], found.point - true, 0)
            each = jnp.where(pulses.mask, robust((gap**2).sum(-1)), 0).sum(-1)
            each = each / jnp.maximum(pulses.mask.sum(-1), 1)
            total += each / EMISSION
            means["distance"] = batch.mean(each, some)
        return {"loss": batch.mean(total, some), **means}

    return train.mean_loss(function, {"chord": 0.0, "distance": 0.0})


def robust(square: jax.Array) -> jax.Array:
    """Give what distances count, m, from their squares [...], m^2."""
    return FAR * jnp.log1p((jnp.sqrt(square + NEAR**2) - NEAR) / FAR)


def fit(
    run: runs.Run,
    network: Network,
    simulate: training.Simulate,
    plan: training.Plan,
    medium: media.Medium,
    *,
    key: jax.Array,
    resume: bool = False,
) -> Any:
    """Train from nothing, or from the latest checkpoint; returns the averaged variables."""
    first, then, example = jax.random.split(key, 3)
    start = jax.jit(lambda one, two: network.init(one, simulate(two, 2)[0]))
    params = start(first, example)["params"]
    goal = loss(network, simulate, plan.n_events, medium)
    return training.averaged(run, goal, params, plan, key=then, resume=resume)


def measure(
    network: Network,
    variables: Any,
    simulate: training.Simulate,
    medium: media.Medium,
    *,
    key: jax.Array,
    n_events: int,
    chunk: int = 500,
) -> Measured:
    """Test on new events, in chunks; of events without pulses nothing is kept."""
    draw = jax.jit(lambda key: simulate(key, chunk))
    look = jax.jit(network.reconstruct)
    beside = jax.jit(lambda pulses, truth, found: _numbers(pulses, truth, found, medium))
    parts, seconds, n_seen, n_kept, k = [], 0.0, 0, 0, 0
    while n_kept < n_events:
        pulses, truth = jax.block_until_ready(draw(jax.random.fold_in(key, k)))
        if k == 0:
            jax.block_until_ready(look(variables, pulses))
        began = time.process_time()
        found = jax.block_until_ready(look(variables, pulses))
        seconds += time.process_time() - began
        some = np.asarray(pulses.mask.any(-1))
        if not some.any():
            raise ValueError(f"simulate: none of {chunk} events has a pulse")
        numbers = jax.device_get((truth, *beside(pulses, truth, found)))
        parts.append(jax.tree.map(lambda x, s=some: np.asarray(x)[s], numbers))
        n_seen, n_kept, k = n_seen + chunk, n_kept + int(some.sum()), k + 1
    whole = jax.tree.map(lambda *x: np.concatenate(x)[:n_events], *parts)
    return Measured(*whole, milliseconds=1e3 * seconds / n_seen)


def _numbers(
    pulses: data.Pulses, truth: data.Truth, found: Reconstruction, medium: media.Medium
) -> tuple[jax.Array, ...]:
    line = frames.line(pulses.position, pulses.time, pulses.mask, pulses.charge).direction
    angles = [sphere.angle(one, truth.direction) for one in (found.direction, line)]
    distance = jnp.full(pulses.mask.shape[:1], jnp.nan)
    if found.point is not None:
        gap = found.point - emission_points(truth, pulses.position, medium)
        away = jnp.where(pulses.mask, jnp.sqrt((gap**2).sum(-1)), jnp.nan)
        distance = jnp.nanmedian(away, -1)
    return pulses.mask.sum(-1), *angles, distance


def summary(measured: Measured) -> dict[str, float | int]:
    """Give medians with their errors: angles in degrees, of the line fit too, and metres between
    emission points; milliseconds of CPU an event.
    """
    results: dict[str, float | int] = {"n_events": len(measured.angle)}
    columns = {
        "median_angle_deg": np.degrees(measured.angle),
        "median_angle_line_deg": np.degrees(measured.line_angle),
    }
    if np.isfinite(measured.distance).any():
        columns["median_distance_m"] = measured.distance[np.isfinite(measured.distance)]
    for name, column in columns.items():
        found = resolution.quantiles(column, (0.5,))
        results[name] = float(found.value[0])
        results[f"{name}_error"] = float(found.high[0] - found.low[0]) / 2
    return {**results, "milliseconds_per_event": measured.milliseconds}
