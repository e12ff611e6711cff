"""The posterior of an event's direction: an encoder of its pulses and a flow of the sphere.

A network that is trained to give true directions, of events drawn from a prior, a high density
gives the posterior (arXiv:1605.06376). Here it looks at an event from a first guess of it
(`first_guess`), in the frame of its own light, and gives all parameters of the flow
(`flows.sphere`) at once. The flow sees the sky through a lens (`sphere.magnified`) at the guess,
which makes the errors that the likelihood's slopes promise about 1 rad wide: what there is to learn
is of order one, for events of a degree and of a minute of arc. Whatever the guess, the posterior is
one of the pulses: a bad guess makes it wider and no worse calibrated. All of it is pure:
`Posterior` says what it is made of, variables come and go. `encode` is done once for an event;
`log_prob`, `sample` and a scan of the whole sky go on from what it gives.

>>> Encoded._fields
('params', 'axes', 'scale')
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax import sphere
from hepjax.flows import sphere as flow
from hepjax.neutrino import data, first_guess, frames, simulation
from hepjax.nn import model


class Posterior(NamedTuple):
    """encoder: gives flow.size(plan) numbers of frames.Features; plan: of the flow; setup: detector
    and medium that the guess takes to be there; guess: how it is made, or None for the line fit of
    `frames`, which asks no likelihood, and no lens.
    """

    encoder: model.Model
    plan: flow.Plan
    setup: simulation.Setup
    guess: first_guess.Settings | None = first_guess.DEFAULT


class Encoded(NamedTuple):
    """params: [event, number] of the flow, float32; axes: [event, axis, 3] in which it stands, the
    third one towards the guess; scale: [event] rad, of the lens.
    """

    params: Any
    axes: Any
    scale: Any


def look(posterior: Posterior, pulses: data.Pulses) -> tuple[frames.Features, jax.Array, jax.Array]:
    """Make the first guess of each event; gives the features that the encoder is to see, axes
    [event, axis, 3] and scale [event].
    """
    if posterior.guess is None:
        frame = frames.frame(pulses)
        features = frames.features(pulses, frame, posterior.setup.medium)
        return features, frame.axes, jnp.ones(len(pulses.mask), jnp.float32)
    found = first_guess.guess(posterior.setup, pulses, posterior.guess)
    scored = first_guess.scores(posterior.setup, pulses, found)
    features = first_guess.features(posterior.setup, pulses, found, scored)
    return features, first_guess.frame(found).axes, first_guess.scale(scored)


def init(posterior: Posterior, key: jax.Array, pulses: data.Pulses) -> model.Variables:
    """Set up variables; pulses: an example, of which shapes matter."""
    shapes, _, _ = jax.eval_shape(lambda p: look(posterior, p), pulses)
    features = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), shapes)
    return posterior.encoder.init(key, features)


def encode(posterior: Posterior, variables: Any, pulses: data.Pulses) -> Encoded:
    """Find the flow of each event."""
    features, axes, scale = jax.lax.stop_gradient(look(posterior, pulses))
    params = posterior.encoder.apply(variables, features)
    return Encoded(params.astype(jnp.float32), axes, scale)


def log_prob(posterior: Posterior, encoded: Encoded, direction: Any) -> jax.Array:
    """Give the logarithm of the density, 1 / sr, [..., event] at directions [..., event, 3]."""
    local, log_ratio = sphere.magnified(_turned(encoded.axes, direction), encoded.scale)
    return flow.log_prob(posterior.plan, encoded.params, local) + log_ratio


def sample(
    posterior: Posterior, encoded: Encoded, key: jax.Array, n_samples: int
) -> tuple[jax.Array, jax.Array]:
    """Draw directions [sample, event, 3] and their log_prob [sample, event]."""
    seen, log_p = flow.sample(key, posterior.plan, encoded.params, n_samples)
    local, log_ratio = sphere.magnified(seen, 1 / encoded.scale)
    return _turned(jnp.swapaxes(encoded.axes, -1, -2), local), log_p - log_ratio


def _turned(axes: Any, vector: Any) -> jax.Array:
    """Multiply [event, 3, 3] by [..., event, 3], and make it a unit vector again."""
    return sphere.unit(
        jnp.einsum("eij,...ej->...ei", axes, jnp.asarray(vector), precision="highest")
    )
