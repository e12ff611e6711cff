"""The lists that taggers read before particle clouds: charged particles, neutral ones, vertices.

Each list has a length of its own and an order: particles by falling pt, as files have them,
secondary vertices by the significance of their flight. `first` picks the first members of a class
out of padded particles, `vertices` finds vertices among the tracks and scales what is known of
them, `jet` says what the jet is as a whole.

>>> import jax.numpy as jnp
>>> x, chosen = jnp.array([[[1.0], [2.0], [3.0]]]), jnp.array([[False, True, True]])
>>> found, mask = first(x, chosen, 2)
>>> found[0, :, 0].tolist(), mask[0].tolist()
([2.0, 3.0], [True, True])
"""

from typing import Any

import jax
import jax.numpy as jnp

from hepjax import lorentz
from hepjax.jets import data, secondary_vertex

VERTEX_FEATURES = (
    *("deta", "dphi", "log_pt", "log_pt_fraction", "mass", "n_tracks"),
    *("flight", "significance", "chi2"),
)
"""What `vertices` says of each, scaled; long tails go through logarithms or asinh."""


def first(x: jax.Array, chosen: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Pick the first n particles that are chosen: [jet, n, feature], 0 beyond them, and mask.

    x: [jet, particle, feature]; chosen: [jet, particle]. Lists shorter than n are filled up.
    """
    n_seen = min(n, x.shape[1])
    order = jnp.argsort(~chosen, axis=1, stable=True)[:, :n_seen]
    mask = jnp.arange(n_seen) < chosen.sum(1, keepdims=True)
    found = jnp.where(mask[..., None], jnp.take_along_axis(x, order[..., None], 1), 0)
    wider = ((0, 0), (0, n - n_seen))
    return jnp.pad(found, (*wider, (0, 0))), jnp.pad(mask, wider)


def tracks(inputs: data.Inputs, name: str) -> jax.Array:
    """Tell which particles left a track, [jet, particle], by the error of d0.

    name: of the tagger that asks. Raises ValueError for inputs without impact parameters.
    """
    if inputs.displacement is None:
        raise ValueError(f"{name} needs impact parameters: features 'full', found 'kinematic'")
    return inputs.mask & (inputs.displacement[..., 1] > 0)


def vertices(inputs: data.Inputs, charged: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Find n secondary vertices, the most significant first: features [jet, n, feature] and mask.

    charged: [jet, particle] the tracks; features: in the order of VERTEX_FEATURES. No gradient
    flows.
    """
    p4 = jnp.where(charged[..., None], inputs.p4, jnp.array([1.0, 1, 0, 0]))
    displacement = inputs.displacement
    seen = secondary_vertex.Tracks(
        lorentz.pt(p4),
        lorentz.eta(p4),
        lorentz.phi(p4),
        *jnp.moveaxis(jnp.where(charged[..., None], displacement, 1), -1, 0),
    )
    axis = jax.lax.stop_gradient(jnp.where(inputs.mask[..., None], inputs.p4, 0).sum(1))
    found = secondary_vertex.find(seen, charged, axis, n)
    mask, towards = found.mask, jnp.where(found.mask[..., None], found.p4, axis[:, None])
    axis_pt, axis_eta = jnp.maximum(lorentz.pt(axis), 1e-3)[:, None], lorentz.eta(axis)[:, None]
    listed = [
        4 * (lorentz.eta(towards) - axis_eta) * jnp.where(axis_eta > 0, 1, -1),
        4 * lorentz.delta_phi(towards, axis[:, None]),
        (jnp.log(jnp.maximum(lorentz.pt(towards), 1e-3)) - 3) * 0.7,
        (jnp.log(jnp.maximum(lorentz.pt(towards), 1e-3) / axis_pt) + 3) * 0.7,
        jnp.arcsinh(lorentz.mass(found.p4)),
        found.n_tracks / 4,
        jnp.arcsinh(found.flight) / 2,
        jnp.arcsinh(found.significance) / 3,
        jnp.log1p(found.chi2),
    ]
    order = jnp.argsort(jnp.where(mask, -jnp.abs(found.significance), jnp.inf), axis=1)
    stacked = jnp.where(mask[..., None], jnp.stack(listed, -1), 0)
    picked = jnp.take_along_axis(stacked, order[..., None], 1)
    return jax.lax.stop_gradient(picked), jnp.take_along_axis(mask, order, 1)


def jet(inputs: data.Inputs, *masks: Any) -> jax.Array:
    """Describe the jet as a whole: [jet, 3 + list], its log pt, abs(eta), log mass, and the lengths
    of lists with masks [jet, item].
    """
    p4 = jnp.where(inputs.mask[..., None], inputs.p4, 0).sum(1)
    some = inputs.mask.any(1)
    p4 = jax.lax.stop_gradient(jnp.where(some[:, None], p4, jnp.array([1.0, 1, 0, 0])))
    listed = [
        jnp.log(lorentz.pt(p4)) - 6,
        jnp.abs(lorentz.eta(p4)),
        jnp.log(jnp.maximum(lorentz.mass(p4), 1)) - 4,
        *(jnp.log1p(mask.sum(1)) for mask in masks),
    ]
    return jnp.where(some[:, None], jnp.stack(listed, -1), 0)
