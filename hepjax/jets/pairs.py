"""What two particles of a jet have to do with each other: ln kT, ln z, ln Delta R and ln m^2.

The four features of a pair are the variables in which QCD radiation is simple (arXiv:2202.03772,
eq. 3): kT = min(pT) Delta R, z = min(pT) / (pTi + pTj), the distance Delta R in rapidity and
azimuth, and the pair's mass. They are symmetric, so that only the lower triangle of pairs is
computed, with its diagonal, and `mirror` fills the square. In order: `indices` of the triangle,
`real` for lists of what is real (`nn.packing`), the two ways to compute features of pairs, `spread`
from a list back to the triangle, and `mirror`.

`stable` is for float32: masses from `lorentz.mass_squared`, and 1 - cos theta from unit vectors.
`weaver` is the formula of the reference code, E^2 - |p|^2 of the sum and ln(1 + 2 pz / (E - pz)) /
2, to be used beside weights when bits matter: for collinear particles its last feature is noise in
float32, which moves logits by 2e-3. In exact arithmetic the two are equal.

>>> import jax.numpy as jnp
>>> p4 = jnp.array([[[50.0, 30, 40, 0], [50, 40, 30, 0]]])
>>> [round(float(x), 3) for x in jax.jit(stable)(p4)[3, 0]]
[-18.421, 5.298, -18.421]
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import lorentz
from hepjax.nn import packing

PairFeatures = Callable[..., jax.Array]
"""p4 [jet, particle, 4] -> features [feature, jet, pair], finite where p4 is 0; with a list of
pairs [group, pair] behind p4, the features [feature, group, pair] of those.
"""

FLOOR = 1e-8
"""Smallest argument of the logarithms, GeV or GeV^2, as in the reference code."""


class Indices(NamedTuple):
    """Pairs i >= j of n particles, and where each pair of the square is among them.

    i, j: [pair]; square: [particle * particle]; above: [pair] and below: [pair], where (i, j) and
    (j, i) are in the square.
    """

    i: np.ndarray
    j: np.ndarray
    square: np.ndarray
    below: np.ndarray
    above: np.ndarray


class Real(NamedTuple):
    """Lists of what is real of a batch, nn.packing.listed: particles [group, entry], and pairs
    [group, entry] of the lower triangle.
    """

    particles: Any
    pairs: Any


def indices(n_particles: int) -> Indices:
    """List the lower triangle, diagonal included, row by row."""
    i, j = (x.astype(np.int32) for x in np.tril_indices(n_particles))
    square = np.zeros((n_particles, n_particles), np.int32)
    square[i, j] = square[j, i] = np.arange(len(i))
    return Indices(i, j, square.ravel(), i * n_particles + j, j * n_particles + i)


def mask(particles: jax.Array) -> jax.Array:
    """Tell which pairs are real, [jet, pair], from which particles are, [jet, particle]."""
    pairs = indices(particles.shape[1])
    return _pick(particles, pairs.i) & _pick(particles, pairs.j)


def real(particles: np.ndarray, n_groups: int = 1, n_lengths: int = packing.N_LENGTHS) -> Real:
    """List the real particles of a batch and their pairs on the host.

    particles: [jet, particle], which are real; n_groups: shares of the batch with lists of their
    own, a multiple of the number of devices; n_lengths: how many lengths a list can have, for each
    of which a step is compiled. Raises ValueError where jets cannot be shared among the groups.
    """
    particles = np.asarray(particles, bool)
    triangle = indices(particles.shape[1])
    both = particles[:, triangle.i] & particles[:, triangle.j]
    return Real(*(packing.listed(found, n_groups, n_lengths) for found in (particles, both)))


def stable(p4: jax.Array, listed: jax.Array | None = None) -> jax.Array:
    """Compute the features [4, jet, pair] of p4 [jet, particle, 4] GeV in a form that holds in
    float32.
    """
    single = jnp.stack(
        [
            lorentz.pt(p4),
            lorentz.rapidity(p4),
            lorentz.phi(p4),
            p4[..., 0],
            lorentz.momentum(p4),
            lorentz.mass_squared(p4),
            *jnp.moveaxis(lorentz.direction(p4), -1, 0),
        ]
    )
    a, b = _sides(jax.lax.optimization_barrier(single), listed)
    (pt_a, y_a, phi_a, e_a, p_a, m2_a), (pt_b, y_b, phi_b, e_b, p_b, m2_b) = a[:6], b[:6]
    total = e_a * e_b + p_a * p_b
    light = (m2_a * e_b**2 + m2_b * p_a**2) / jnp.where(total > 0, total, 1)
    apart = (a[6] - b[6]) ** 2 + (a[7] - b[7]) ** 2 + (a[8] - b[8]) ** 2
    mass_squared = m2_a + m2_b + 2 * light + p_a * p_b * apart
    return _features(pt_a, pt_b, y_a - y_b, lorentz.wrap_phi(phi_a - phi_b), mass_squared)


def weaver(p4: jax.Array, listed: jax.Array | None = None) -> jax.Array:
    """Compute the features [4, jet, pair] of p4 [jet, particle, 4] GeV as weaver-core does."""
    e, px, py, pz = jnp.moveaxis(p4, -1, 0)
    height = 0.5 * jnp.log(1 + 2 * pz / jnp.maximum(e - pz, 1e-20))
    a, b = _sides(jnp.stack([lorentz.pt(p4), height, lorentz.phi(p4), e, px, py, pz]), listed)
    e, px, py, pz = a[3:] + b[3:]
    mass_squared = e**2 - (px**2 + py**2 + pz**2)
    phi = jnp.mod(a[2] - b[2] + jnp.pi, 2 * jnp.pi) - jnp.pi
    return _features(a[0], b[0], a[1] - b[1], phi, mass_squared)


def _sides(single: jax.Array, listed: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Give both particles of each pair, from single [..., jet, particle]."""
    n = single.shape[-1]
    pairs = indices(n)
    if listed is None:
        return _pick(single, pairs.i), _pick(single, pairs.j)
    jet, pair = jnp.divmod(jnp.maximum(listed, 0), len(pairs.i))
    flat = single.reshape(*single.shape[:-2], len(listed), -1)
    i, j = (jnp.asarray(x)[pair] for x in (pairs.i, pairs.j))
    return _pick(flat, jet * n + i), _pick(flat, jet * n + j)


def _features(
    pt_a: jax.Array, pt_b: jax.Array, dy: jax.Array, dphi: jax.Array, mass_squared: jax.Array
) -> jax.Array:
    """Take the logarithms; constant, with gradient 0, where the argument is below FLOOR."""
    ln_floor = float(np.log(FLOOR))
    lower = jnp.minimum(pt_a, pt_b)
    ln_pt = _log(lower, 1e-30)
    ln_distance = 0.5 * _log(dy**2 + dphi**2, 1e-36)
    ln_sum = _log(pt_a + pt_b, FLOOR)
    features = (ln_pt + ln_distance, ln_pt - ln_sum, ln_distance, _log(mass_squared, FLOOR))
    return jnp.stack([jnp.maximum(x, ln_floor) for x in features])


def _log(x: jax.Array, floor: float) -> jax.Array:
    above = x > floor
    return jnp.where(above, jnp.log(jnp.where(above, x, 1.0)), float(np.log(floor)))


def spread(x: jax.Array, listed: jax.Array, n_pairs: int) -> jax.Array:
    """Bring pairs of a list to their places among n_pairs of each group, 0 elsewhere: [..., group,
    pair] -> [..., group, n_pairs].
    """
    return _spread(x, listed, packing.places(listed, n_pairs))


@jax.custom_vjp
def _spread(x: jax.Array, listed: jax.Array, place: jax.Array) -> jax.Array:
    return _pick(jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)]), place)


def _spread_forward(x: jax.Array, listed: jax.Array, place: jax.Array) -> tuple:
    return _spread(x, listed, place), listed


def _spread_backward(listed: jax.Array, gradient: jax.Array) -> tuple:
    return jnp.where(listed < 0, 0, _pick(gradient, jnp.maximum(listed, 0))), None, None


_spread.defvjp(_spread_forward, _spread_backward)


@jax.custom_vjp
def mirror(x: jax.Array) -> jax.Array:
    """Fill the square from the triangle: [..., pair] -> [..., particle, particle].

    The gradient of a pair is the sum of those of its two places, gathered: a scatter would be slow.
    """
    n = _n_particles(x.shape[-1])
    return _pick(x, indices(n).square).reshape(*x.shape[:-1], n, n)


def _mirror_forward(x: jax.Array) -> tuple[jax.Array, None]:
    return mirror(x), None


def _mirror_backward(_: None, gradient: jax.Array) -> tuple[jax.Array]:
    n = gradient.shape[-1]
    pairs = indices(n)
    flat = gradient.reshape(*gradient.shape[:-2], n * n)
    both = _pick(flat, pairs.below) + _pick(flat, pairs.above)
    return (jnp.where(pairs.i == pairs.j, both / 2, both),)


mirror.defvjp(_mirror_forward, _mirror_backward)


def _n_particles(n_pairs: int) -> int:
    n = (int((8 * n_pairs + 1) ** 0.5) - 1) // 2
    if n * (n + 1) // 2 != n_pairs:
        raise ValueError(f"x: expected n (n + 1) / 2 pairs, found {n_pairs}")
    return n


def _pick(x: jax.Array, where: Any) -> jax.Array:
    """Take x[..., where]; batched, so that the leading axes stay where they are in memory."""
    index = jnp.broadcast_to(where, (*x.shape[:-1], where.shape[-1]))
    return jnp.take_along_axis(x, index, -1, mode="promise_in_bounds")
