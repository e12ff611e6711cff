"""Where an event could be by the times of its pulses alone: quick, and robust.

`fit` goes from a direction on and fits when light arrives, from a track at the Cherenkov angle or
from a vertex evenly, by Gauss-Newton steps under a loss that noise and scattered light cannot pull
far, stiff at the end and soft at the start, and that prefers what is close to the pulses. The
direction of a cascade stays. It asks nothing of modules that saw no light, and takes 0.06 ms.

>>> from hepjax.neutrino import detectors, simulation
>>> telescope = simulation.setup(detectors.arca(), media.mediterranean())
>>> pulses, truth = simulation.events(jax.random.key(0), telescope, 1)
>>> one = jax.tree.map(lambda x: x[0], pulses)
>>> found = fit(telescope, one, jnp.array([0.0, 0.0, 1.0]), 12)
>>> found.anchor.shape, found.direction.shape
((3,), (3,))
"""

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import matrices
from hepjax.neutrino import coordinates, frames, light, media
from hepjax.neutrino.coordinates import Chart
from hepjax.neutrino.data import Pulses, Truth
from hepjax.neutrino.simulation import Setup

EARLY, LATE = 10.0, 0.7
"""Scale of the loss: ns for light that is early, and in mean delays for light that is late."""
REACH = 70.0
"""Distance, m, on which a pulse is less likely by e."""
SOFT = 4.0
"""Factor on the scale of the loss at the start."""
FARTHEST = 5.0
"""Largest change of a coordinate in a step."""
BEFORE = 0.15
"""Share of pulses that may come from before the vertex of a starting track: noise, scattering."""


def fit(setup: Setup, pulses: Pulses, direction: jax.Array, n_turns: int) -> Chart:
    """Fit one event, fields of pulses [pulse, ...], from a direction [3] on, in n_turns steps: a
    chart there.
    """
    chart = _by_times(setup, pulses, _start(setup, pulses, direction), n_turns)
    return _beginning(setup, pulses, chart) if setup.kind == "starting" else chart


def aligned(chart: Chart) -> Chart:
    """Give a chart the axes of the event's frame."""
    first, second, _ = frames.axes(chart.direction)
    return chart._replace(first=first, second=second)


def _start(setup: Setup, pulses: Pulses, direction: jax.Array) -> Chart:
    """Put a chart at the middle of the pulses; light needs a while to come."""
    weight = jnp.where(pulses.mask, 1.0, 0.0)
    anchor = weight @ pulses.position / jnp.maximum(weight.sum(), 1)
    along = (pulses.position - anchor) @ direction
    late = pulses.time - (0 if setup.kind == "cascade" else along / media.LIGHT)
    middle = jnp.nanmedian(jnp.where(pulses.mask, late, jnp.nan))
    return coordinates.chart(anchor, jnp.nan_to_num(middle) - 100, direction)


def _by_times(setup: Setup, pulses: Pulses, chart: Chart, n_turns: int) -> Chart:
    """Fit when light arrives, of one event; gives a chart there. A cascade's direction stays."""
    weight = jnp.where(pulses.mask, 1.0, 0.0)
    z = pulses.position[:, 2]
    scattering, absorption = media.coefficients(setup.medium, z, z)
    rate = 1 / setup.medium.delay + media.LIGHT / setup.medium.group_index * absorption
    delay = scattering / light.PANDEL / rate  # mean, of a metre of way
    n_fit = coordinates.n_event(setup.kind) - 1
    as_track = setup.kind != "cascade"

    def seen(x: jax.Array, chart: Chart) -> tuple:
        x = jnp.concatenate([x, jnp.zeros(4)])
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        time, across, way = _arrival(setup.medium, pulses, event, as_track)
        return (time, across), (time, across, way)

    def turn(chart: Chart, k: jax.Array) -> tuple[Chart, None]:
        zero = jnp.zeros(n_fit)
        (by_time, by_place), (time, across, way) = jax.jacfwd(seen, has_aux=True)(zero, chart)
        late = pulses.time - time
        scale = jnp.where(late < 0, EARLY, EARLY + LATE * delay * way)
        scale = scale * SOFT ** (1 - k / max(n_turns - 1, 1))
        pull = weight / (1 + (late / scale) ** 2 / 4) / scale**2
        near = weight / (REACH * jnp.sqrt((across**2).sum(-1) + light.FLOOR**2))
        by_place = jnp.where(pulses.mask[:, None, None], by_place, 0)
        bend = (by_time * pull[:, None]).T @ by_time
        bend += jnp.einsum("pai,p,paj->ij", by_place, near, by_place)
        slope = by_time.T @ (pull * late) - jnp.einsum("pai,p,pa->i", by_place, near, across)
        damping = jnp.diag(1e-2 * jnp.diag(bend) + 1e-3)
        step = matrices.solve(bend + damping, slope)
        step = step / jnp.maximum(jnp.abs(step).max() / FARTHEST, 1)
        x = jnp.concatenate([jnp.where(jnp.isfinite(step), step, 0), jnp.zeros(4)])
        event = coordinates.truth(setup.kind, setup.prior, chart, x)
        return aligned(coordinates.around(setup.kind, event, chart.anchor)), None

    return jax.lax.scan(turn, aligned(chart), jnp.arange(n_turns))[0]


def _beginning(setup: Setup, pulses: Pulses, chart: Chart) -> Chart:
    """Move the vertex of a track along it to where all but BEFORE of the pulses come from later."""
    event = coordinates.truth(
        setup.kind, setup.prior, chart, jnp.zeros(coordinates.dim(setup.kind))
    )
    relative = pulses.position - event.position
    along = relative @ event.direction
    across = jnp.sqrt(jnp.maximum((relative**2).sum(-1) - along**2, 0))
    left = jnp.where(pulses.mask, along - across / media.tangent(setup.medium), jnp.nan)
    back = jnp.nan_to_num(jnp.nanquantile(left, BEFORE))
    anchor = chart.anchor + back * chart.direction
    return chart._replace(anchor=anchor, time=chart.time + back / media.LIGHT)


def _arrival(
    medium: media.Medium, pulses: Pulses, event: Truth, as_track: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Give the earliest time [pulse], the vector [pulse, 3] from track or vertex, and the way."""
    relative = pulses.position - event.position
    along = relative @ event.direction
    across = relative - along[:, None] * event.direction if as_track else relative
    distance = jnp.sqrt((across**2).sum(-1) + light.FLOOR**2)
    if not as_track:
        return event.time + medium.group_index * distance / media.LIGHT, across, distance
    tangent = media.tangent(medium)
    way = distance * np.hypot(1, tangent) / tangent
    time = along - distance / tangent + medium.group_index * way
    return event.time + time / media.LIGHT, across, way
