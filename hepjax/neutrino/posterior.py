"""The posterior of an event's direction: an encoder of its pulses and a flow of the sphere.

A network that is trained to give true directions, of events drawn from a prior, a high density
gives the posterior (arXiv:1605.06376). Here it looks at an event in the frame of its own light
(`frames`), gives all parameters of the flow (`flows.sphere`) at once, and the flow's densities and
samples are turned back to the detector. All of it is pure: `Posterior` says what it is made of,
variables come and go. `encode` is done once for an event; `log_prob`, `sample` and a scan of the
whole sky go on from what it gives.

>>> Encoded._fields
('params', 'frame')
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.flows import sphere
from hepjax.neutrino import data, frames, media
from hepjax.nn import model


class Posterior(NamedTuple):
    """encoder: gives sphere.size(plan) numbers of frames.Features; plan: of the flow; medium: whose
    lengths are among the features.
    """

    encoder: model.Model
    plan: sphere.Plan
    medium: media.Medium


class Encoded(NamedTuple):
    """params: [event, number] of the flow, float32; frame: in which it stands."""

    params: Any
    frame: frames.Frame


def init(posterior: Posterior, key: jax.Array, pulses: data.Pulses) -> model.Variables:
    """Set up variables; pulses: an example."""
    found = frames.frame(pulses)
    return posterior.encoder.init(key, frames.features(pulses, found, posterior.medium))


def encode(posterior: Posterior, variables: Any, pulses: data.Pulses) -> Encoded:
    """Find the flow of each event."""
    found = frames.frame(pulses)
    inputs = frames.features(pulses, found, posterior.medium)
    params = posterior.encoder.apply(variables, inputs)
    return Encoded(params.astype(jnp.float32), found)


def log_prob(posterior: Posterior, encoded: Encoded, direction: Any) -> jax.Array:
    """Give the logarithm of the density, 1 / sr, [..., event] at directions [..., event, 3]."""
    local = _turned(encoded.frame.axes, direction)
    return sphere.log_prob(posterior.plan, encoded.params, local)


def sample(
    posterior: Posterior, encoded: Encoded, key: jax.Array, n_samples: int
) -> tuple[jax.Array, jax.Array]:
    """Draw directions [sample, event, 3] and their log_prob [sample, event]."""
    local, log_p = sphere.sample(key, posterior.plan, encoded.params, n_samples)
    axes = jnp.swapaxes(encoded.frame.axes, -1, -2)
    return _turned(axes, local), log_p


def _turned(axes: Any, vector: Any) -> jax.Array:
    """Multiply [event, 3, 3] by [..., event, 3], and make it a unit vector again."""
    out = jnp.einsum("eij,...ej->...ei", axes, jnp.asarray(vector), precision="highest")
    return out / jnp.sqrt((out**2).sum(-1, keepdims=True))
