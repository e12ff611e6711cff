"""The posterior of an event's direction: an encoder of its pulses and flows of the sphere.

A network that is trained to give true directions, of events drawn from a prior, a high density
gives the posterior (arXiv:1605.06376). Here it looks at an event and at a sketch of its posterior
(`sketches`), in the frame of its own light, and gives all parameters of flows (`flows.sphere`) at
once, one of each mode of the sketch, and their shares. A flow sees the sky through a lens
(`sphere.magnified`) at its mode's mean, which makes its covariance round and about 1 rad wide: what
there is to learn is of order one, for events of a degree and of a minute of arc. What a sketch may
have missed is in a wide part of each mode, even through a lens WIDE times as wide, so that the flow
need not stretch for it. Whatever the sketch, the posterior is one of the pulses: a bad one makes it
wider and no worse calibrated. All of it is pure: `Posterior` says what it is made of, variables
come and go. `encode` is done once for an event; `log_prob`, `sample` and a scan of the whole sky go
on from what it gives.

>>> Encoded._fields
('log_share', 'params', 'axes', 'lens')
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax import sphere
from hepjax.flows import sphere as flow
from hepjax.neutrino import data, frames, simulation, sketches
from hepjax.nn import model

WIDE, WIDE_LOGIT = 3.0, -3.0
"""Of the wide part of each mode: its lens over that of the flow, and where its share begins."""
RECALIBRATION = "recalibration"
"""Among variables: a table [term, 2] by which `recalibrated` corrects what the network says."""
TERMS = ("one", "z2", "z3", "z4", "log_pulses", "log_lens", "energy", "energy2")
"""What corrections depend on; z: of the unit vector along which the first mode travels; energy:
its place among those of the prior, from -1 to 1.
"""


class Posterior(NamedTuple):
    """encoder: gives `size` numbers of frames.Features; plan: of the flows; setup: detector and
    medium that the sketch takes to be there; sketch: how it is made, or None for the line fit
    of `frames`, which asks no likelihood, and no lens.
    """

    encoder: model.Model
    plan: flow.Plan
    setup: simulation.Setup
    sketch: sketches.Settings | None = sketches.DEFAULT


class Encoded(NamedTuple):
    """log_share: [event, mode, 2] of flows and of wide parts; params: [event, mode, number] of the
    flows, float32; axes: [event, mode, axis, 3] in which they stand, the third one towards the mean
    of the sketch; lens: [event, mode, 2, 2] rad, lower triangular.
    """

    log_share: Any
    params: Any
    axes: Any
    lens: Any


class Look(NamedTuple):
    """features: that the encoder is to see; log_share: [event, mode], axes, lens: as Encoded, by
    the sketch; energy: [event] of its first mode, as in TERMS.
    """

    features: frames.Features
    log_share: Any
    axes: Any
    lens: Any
    energy: Any


def size(plan: flow.Plan, settings: sketches.Settings | None = sketches.DEFAULT) -> int:
    """Count the numbers that an encoder has to give: of each mode a flow and two shares."""
    n_modes = 1 if settings is None else settings.guess.n_modes
    return n_modes * (flow.size(plan) + 2)


def look(posterior: Posterior, pulses: data.Pulses) -> Look:
    """Sketch each event."""
    if posterior.sketch is None:
        frame = frames.frame(pulses)
        features = frames.features(pulses, frame, posterior.setup.medium)
        n = len(pulses.mask)
        lens = jnp.tile(jnp.eye(2), (n, 1, 1, 1))
        return Look(features, jnp.zeros((n, 1)), frame.axes[:, None], lens, jnp.zeros(n))
    return sketched(
        posterior.setup, pulses, sketches.sketch(posterior.setup, pulses, posterior.sketch)
    )


def sketched(setup: simulation.Setup, pulses: data.Pulses, found: sketches.Sketch) -> Look:
    """Look at events that have been sketched."""
    features = sketches.features(setup, pulses, found)
    chart = found.guess.chart
    axes = jnp.stack([chart.first, chart.second, chart.direction], -2)
    energy = jnp.tanh(found.guess.x[:, 0, -4] / 2)
    return Look(features, sketches.shares(found.looks), axes, sketches.lens(found.looks), energy)


def init(posterior: Posterior, key: jax.Array, pulses: data.Pulses) -> model.Variables:
    """Set up variables; pulses: an example, of which shapes matter."""
    shapes = jax.eval_shape(lambda p: look(posterior, p), pulses).features
    features = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), shapes)
    return posterior.encoder.init(key, features)


def encode(posterior: Posterior, variables: Any, pulses: data.Pulses) -> Encoded:
    """Find the flows of each event."""
    return found(posterior, variables, look(posterior, pulses))


def found(posterior: Posterior, variables: Any, seen: Look) -> Encoded:
    """Find the flows of each event that has been looked at."""
    given = {name: x for name, x in variables.items() if name != RECALIBRATION}
    numbers = posterior.encoder.apply(given, seen.features).astype(jnp.float32)
    numbers = numbers.reshape(*seen.log_share.shape, -1)
    log_share = jax.nn.log_softmax(seen.log_share + numbers[..., 0])
    wide = numbers[..., 1] + WIDE_LOGIT
    parts = jnp.stack([jax.nn.log_sigmoid(-wide), jax.nn.log_sigmoid(wide)], -1)
    encoded = Encoded(log_share[..., None] + parts, numbers[..., 2:], seen.axes, seen.lens)
    if RECALIBRATION in variables:
        encoded = recalibrated(encoded, terms(seen), variables[RECALIBRATION])
    return encoded


def terms(seen: Look) -> jax.Array:
    """Give what corrections of an event depend on, [event, term] of TERMS."""
    z = seen.axes[:, 0, 2, 2]
    n_pulses = jnp.log1p(seen.features.mask.sum(-1)) - 3.3
    size = (jnp.log(seen.lens[:, 0, 0, 0]) + jnp.log(seen.lens[:, 0, 1, 1])) / 2 + 4.4
    energy = seen.energy
    powers = [z**2, z**3, z**4, n_pulses, size, energy, energy**2]
    return jnp.stack([jnp.ones_like(z), *powers], -1)


def recalibrated(encoded: Encoded, terms: jax.Array, table: jax.Array) -> Encoded:
    """Correct posteriors: terms [event, term] times table [term, 2] are the logarithms of factors
    on widths and on the odds of wide parts.
    """
    width, odds = jnp.moveaxis(jnp.matmul(terms, table, precision="highest"), -1, 0)
    flows, wide = encoded.log_share[..., 0], encoded.log_share[..., 1]
    logit = wide - flows + odds[:, None]
    parts = jnp.stack([jax.nn.log_sigmoid(-logit), jax.nn.log_sigmoid(logit)], -1)
    share = jnp.logaddexp(flows, wide)[..., None] + parts
    lens = encoded.lens * jnp.exp(width)[:, None, None, None]
    return encoded._replace(log_share=share, lens=lens)


def log_prob(posterior: Posterior, encoded: Encoded, direction: Any) -> jax.Array:
    """Give the logarithm of the density, 1 / sr, [..., event] at directions [..., event, 3]."""
    local = _turned(encoded.axes, jnp.asarray(direction)[..., None, :])
    seen, log_ratio = sphere.magnified(local, _inverse(encoded.lens))
    flows = flow.log_prob(posterior.plan, encoded.params, seen) + log_ratio
    _, log_ratio = sphere.magnified(local, _inverse(WIDE * encoded.lens))
    each = jnp.stack([flows, log_ratio - math.log(sphere.AREA)], -1)
    return jax.nn.logsumexp(each + encoded.log_share, (-2, -1))


def sample(
    posterior: Posterior, encoded: Encoded, key: jax.Array, n_samples: int
) -> tuple[jax.Array, jax.Array]:
    """Draw directions [sample, event, 3] and their log_prob [sample, event]."""
    keys = jax.random.split(key, 3)
    seen, _ = flow.sample(keys[0], posterior.plan, encoded.params, n_samples)
    even = sphere.uniform(keys[1], seen.shape[:-1], seen.dtype)
    local, _ = sphere.magnified(seen, encoded.lens)
    wide, _ = sphere.magnified(even, WIDE * encoded.lens)
    log_share = encoded.log_share.reshape(len(encoded.log_share), -1)
    shape = (n_samples, len(log_share))
    part = jax.random.categorical(keys[2], log_share, shape=shape)[..., None]
    local = jnp.where((part % 2 == 0)[..., None], local, wide)
    each = _turned(jnp.swapaxes(encoded.axes, -1, -2), local)
    n = jnp.take_along_axis(each, part[..., None] // 2, -2)[..., 0, :]
    return n, log_prob(posterior, encoded, n)


def _inverse(factor: jax.Array) -> jax.Array:
    """Invert lower triangular matrices [..., 2, 2]."""
    first, across, second = factor[..., 0, 0], factor[..., 1, 0], factor[..., 1, 1]
    rows = [
        jnp.stack([1 / first, jnp.zeros_like(first)], -1),
        jnp.stack([-across / (first * second), 1 / second], -1),
    ]
    return jnp.stack(rows, -2)


def _turned(axes: Any, vector: Any) -> jax.Array:
    """Multiply [event, mode, 3, 3] by [..., event, mode, 3], and make it a unit vector again."""
    return sphere.unit(jnp.einsum("emij,...emj->...emi", axes, vector, precision="highest"))
