"""Jets as pictures: the transverse momentum that falls into each pixel around the axis of a jet.

The momentum of a jet depends on where in the detector it flew and how its decay was turned, which
says nothing of what it is. So a picture is taken from a standard position (arXiv:1511.05190,
arXiv:1701.08784), `standard`: the centroid of the transverse momentum in the middle, the principal
axis upright, more momentum in the upper half than in the lower, and in the right than in the left.
`image` fills the pixels with shares of the jet's transverse momentum, inside the step, from the
constituents.

>>> import jax.numpy as jnp
>>> points = jnp.array([[[0.3, 0.0], [-0.1, 0.0]]])
>>> moved = standard(points, jnp.array([[1.0, 3.0]]))
>>> (10 * moved[0, :, 1]).round().astype(int).tolist()  # along the axis that is upright
[-3, 1]
"""

import jax
import jax.numpy as jnp

from hepjax import lorentz
from hepjax.jets import data

N_PIXELS, RADIUS = 64, 0.8
NUDGE = 1e-3
"""Part of a pixel by which all is moved: a jet of two particles lies on a line between pixels, and
rounding shall not choose the side."""


def standard(points: jax.Array, pt: jax.Array) -> jax.Array:
    """Bring the particles of each jet into the standard position: [jet, particle, 2].

    points: [jet, particle, 2] (deta, dphi), rad; pt: [jet, particle] GeV, 0 for padding. Returns
    (x, y), rad, the principal axis along y.
    """
    points = points - _mean(points, pt)[:, None]
    x, y = points[..., 0], points[..., 1]
    spread = _mean(jnp.stack([x * x - y * y, 2 * x * y], -1), pt)
    flat = (spread**2).sum(-1) == 0
    angle = jnp.arctan2(jnp.where(flat, 0, spread[:, 1]), jnp.where(flat, 1, spread[:, 0])) / 2
    cos, sin = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    turned = jnp.stack([x * sin - y * cos, x * cos + y * sin], -1)
    balance = (jnp.sign(turned) * pt[..., None]).sum(1)
    return turned * jnp.where(balance < 0, -1, 1)[:, None]


def image(inputs: data.Inputs, n_pixels: int = N_PIXELS, radius: float = RADIUS) -> jax.Array:
    """Take the picture of each jet, [jet, row, column]: shares of the transverse momentum.

    Rows run upwards along the principal axis; the picture reaches from -radius to radius, rad, in
    both directions, and what lies outside is left out. An empty jet is black. No gradient flows.
    """
    mask = inputs.mask
    p4, points = (jnp.where(mask[..., None], x, 0) for x in (inputs.p4, inputs.points))
    pt = lorentz.pt(jax.lax.stop_gradient(p4))
    place = standard(jax.lax.stop_gradient(points), pt)
    pixel = jnp.floor((place / radius + 1) * (n_pixels / 2) + NUDGE)
    hit = pixel[..., None] == jnp.arange(n_pixels)  # [jet, particle, 2, pixel]
    total = pt.sum(-1, keepdims=True)
    share = pt / jnp.where(total > 0, total, 1)
    rows = jnp.where(hit[:, :, 1], share[..., None], 0)
    return jnp.einsum("jpr,jpc->jrc", rows, hit[:, :, 0].astype(rows.dtype))


def _mean(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Average x [jet, particle, feature] with weights [jet, particle]; 0 of nothing."""
    total = weight.sum(1)[:, None]
    return (x * weight[..., None]).sum(1) / jnp.where(total > 0, total, 1)
