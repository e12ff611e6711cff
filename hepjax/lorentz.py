"""Four-vectors whose small quantities survive float32.

A four-vector is an array [..., 4] = (E, px, py, pz) in GeV, of numpy or of jax: every function here
takes either and gives back the same kind and dtype, so that a reader on the host and a jitted step
share them. In order: components and masses of one vector, pairs, boosts, sets, and building vectors
from other variables.

Masses are where float32 fails: E^2 - |p|^2 of a 100 GeV pion loses all of the 0.02 GeV^2 that it
should give. Three forms avoid it. The mass of one vector is summed from exact products, so that
what is left is the rounding of the input alone. The product of two vectors is Ea Eb - |pa||pb| +
|pa||pb| (1 - cos theta), each part a sum of squares. And the mass of a set is built from E - |p|
along its axis, term by term. A vector of zeros, as padding has it, gives 0 everywhere, with
gradient 0.

>>> import numpy as np
>>> a, b = np.array([50.0, 30, 40, 0]), np.array([50.0, 40, 30, 0])
>>> float(pt(a)), float(mass(a)), round(float(mass(a + b)), 4)
(50.0, 0.0, 14.1421)
>>> round(float(pair_mass_squared(a, b)), 9)
200.0
"""

import math
from typing import Any

Array = Any
"""A numpy or jax array; a python number where a single value is enough."""


def energy(p4: Array) -> Array:
    """Take the energy [...] GeV of p4 [..., 4]."""
    _namespace(p4=p4)
    return p4[..., 0]


def pt(p4: Array) -> Array:
    """Compute the momentum across the beam, [...] GeV, of p4 [..., 4]."""
    xp = _namespace(p4=p4)
    return _root(xp, _pt_squared(p4))


def momentum(p4: Array) -> Array:
    """Compute the length of the momentum, [...] GeV, of p4 [..., 4]."""
    xp = _namespace(p4=p4)
    return _root(xp, _pt_squared(p4) + p4[..., 3] ** 2)


def phi(p4: Array) -> Array:
    """Compute the azimuth [...] in (-pi, pi] of p4 [..., 4]; 0 where pt is 0."""
    xp = _namespace(p4=p4)
    still = _pt_squared(p4) == 0
    angle = xp.arctan2(xp.where(still, 0.0, p4[..., 2]), xp.where(still, 1.0, p4[..., 1]))
    return xp.where(angle <= -math.pi, math.pi, angle).astype(p4.dtype)


def eta(p4: Array) -> Array:
    """Compute the pseudorapidity asinh(pz / pt), [...], of p4 [..., 4].

    It is +-inf along the beam, 0 for a zero vector.
    """
    xp = _namespace(p4=p4)
    return _asinh_ratio(xp, p4[..., 3], _pt_squared(p4))


def rapidity(p4: Array) -> Array:
    """Compute the rapidity asinh(pz / mT), [...], of p4 [..., 4].

    It is +-inf where E <= |pz|, 0 for a zero vector. Equal to log((E + pz) / (E - pz)) / 2, without
    the cancellation of E - pz for forward particles.
    """
    xp = _namespace(p4=p4)
    return _asinh_ratio(xp, p4[..., 3], _pt_squared(p4) + mass_squared(p4))


def mass_squared(p4: Array) -> Array:
    """Compute E^2 - |p|^2, [...] GeV^2, of p4 [..., 4], negative where the components say so.

    Exact up to 1e-10 E^2 in float32, where the plain formula is off by 1e-7 E^2: the components are
    split in halves whose products are exact (Dekker, Numer. Math. 18 (1971) 224), and their sums
    carry their rounding errors along. What is left is the rounding of the components themselves:
    6e-8 E^2, a mass of 25 MeV at E = 100 GeV.
    """
    xp = _namespace(p4=p4)
    if p4.dtype.name != "float32":
        return (p4[..., 0] - momentum(p4)) * (p4[..., 0] + momentum(p4))
    if xp.__name__ == "numpy":
        return mass_squared(p4.astype(xp.float64)).astype(xp.float32)
    return _exact_mass_squared(xp, p4)


def mass(p4: Array) -> Array:
    """Compute the invariant mass [...] GeV of p4 [..., 4]; -sqrt(|p|^2 - E^2) where E < |p|."""
    xp = _namespace(p4=p4)
    squared = mass_squared(p4)
    return xp.where(squared < 0, -_root(xp, -squared), _root(xp, squared))


def transverse_mass(p4: Array) -> Array:
    """Compute mT = sqrt(E^2 - pz^2) = sqrt(m^2 + pt^2), [...] GeV, of p4 [..., 4]."""
    xp = _namespace(p4=p4)
    return _root(xp, mass_squared(p4) + _pt_squared(p4))


def wrap_phi(angle: Array) -> Array:
    """Bring an angle [...] to (-pi, pi], bit for bit where it is there already."""
    xp = _numbers_namespace(angle=angle)
    turned = angle - 2 * math.pi * xp.ceil((angle - math.pi) / (2 * math.pi))
    return xp.where(turned <= -math.pi, math.pi, turned).astype(angle.dtype)


def delta_phi(a: Array, b: Array) -> Array:
    """Compute the azimuth of a [..., 4] as seen from b [..., 4], [...] in (-pi, pi]."""
    return wrap_phi(phi(a) - phi(b))


def delta_r(a: Array, b: Array, *, use_rapidity: bool = False) -> Array:
    """Compute the distance [...] of a and b [..., 4] in (pseudo)rapidity and azimuth."""
    xp = _namespace(a=a, b=b)
    height = rapidity if use_rapidity else eta
    return _root(xp, (height(a) - height(b)) ** 2 + delta_phi(a, b) ** 2)


def dot(a: Array, b: Array) -> Array:
    """Compute the Minkowski product Ea Eb - pa.pb, [...] GeV^2, of a and b [..., 4].

    Stable for light collinear particles:     Ea Eb - |pa||pb| = (ma^2 mb^2 + ma^2 pb^2 + mb^2 pa^2)
    / (Ea Eb + |pa||pb|), and 1 - cos theta = |na - nb|^2 / 2 with the unit vectors n: nothing
    cancels but the input's own rounding.
    """
    xp = _namespace(a=a, b=b)
    ma, mb = mass_squared(a), mass_squared(b)
    pa, pb = momentum(a), momentum(b)
    total = a[..., 0] * b[..., 0] + pa * pb
    none = total == 0
    masses = xp.where(none, 0.0, ma * mb + ma * pb**2 + mb * pa**2) / xp.where(none, 1.0, total)
    apart = ((direction(a) - direction(b)) ** 2).sum(-1)
    return (masses + pa * pb * apart / 2).astype(masses.dtype)


def pair_mass_squared(a: Array, b: Array) -> Array:
    """Compute the squared mass (pa + pb)^2, [...] GeV^2, of a and b [..., 4], as stable as dot."""
    return mass_squared(a) + mass_squared(b) + 2 * dot(a, b)


def direction(p4: Array) -> Array:
    """Compute the unit vector [..., 3] of the momentum of p4 [..., 4]; 0 for a particle at rest."""
    xp = _namespace(p4=p4)
    length = momentum(p4)[..., None]
    still = length == 0
    return xp.where(still, 0.0, p4[..., 1:]) / xp.where(still, 1.0, length)


def boost(p4: Array, velocity: Array) -> Array:
    """Boost p4 [..., 4] by a velocity [..., 3] in units of c; NaN from the speed of light on.

    A particle at rest gets this velocity; -velocity brings it back. For the rest frame of a fast
    vector use `boost_to_rest`, which does not have to find 1 - v^2.
    """
    xp = _namespace(p4=p4)
    if velocity.shape[-1] != 3:
        raise ValueError(f"velocity: expected shape [..., 3], found {list(velocity.shape)}")
    gamma = (1 - (velocity**2).sum(-1)) ** -0.5
    along = (p4[..., 1:] * velocity).sum(-1)
    shift = gamma**2 / (gamma + 1) * along + gamma * p4[..., 0]
    return xp.concat(
        [(gamma * (p4[..., 0] + along))[..., None], p4[..., 1:] + shift[..., None] * velocity],
        axis=-1,
    )


def boost_to_rest(p4: Array, frame: Array) -> Array:
    """Boost p4 [..., 4] to the rest frame of the vector frame [..., 4]; NaN if that is massless."""
    xp = _namespace(p4=p4, frame=frame)
    m = mass_squared(frame) ** 0.5
    e = dot(p4, frame) / m
    shift = (p4[..., 0] + e) / (frame[..., 0] + m)
    return xp.concat([e[..., None], p4[..., 1:] - shift[..., None] * frame[..., 1:]], axis=-1)


def invariant_mass(p4: Array, mask: Array | None = None) -> Array:
    """Compute the mass [...] GeV of a set of constituents p4 [..., particle, 4].

    mask: [..., particle] True = real; an empty set has mass 0. m^2 = (E - |p|)(E + |p|) of the sum,
    where E - |p| is the sum of m_i^2 / (E_i + |p_i|) + |p_i| |n_i - n|^2 / 2 along the axis n of
    the set: light jets of high energy keep their mass in float32.
    """
    xp = _namespace(p4=p4)
    if mask is not None:
        if mask.shape != p4.shape[:-1]:
            raise ValueError(
                f"mask: expected shape {list(p4.shape[:-1])}, found {list(mask.shape)}"
            )
        p4 = xp.where(mask[..., None], p4, 0.0).astype(p4.dtype)
    total, p = p4.sum(-2), momentum(p4)
    plus = p4[..., 0] + p
    none = plus == 0
    own = xp.where(none, 0.0, mass_squared(p4)) / xp.where(none, 1.0, plus)
    apart = p * ((direction(p4) - direction(total)[..., None, :]) ** 2).sum(-1) / 2
    squared = (own + apart).sum(-1) * (total[..., 0] + momentum(total))
    return xp.where(squared < 0, -_root(xp, -squared), _root(xp, squared))


def from_px_py_pz_mass(px: Array, py: Array, pz: Array, mass: Array) -> Array:
    """Build p4 [..., 4] from momentum and mass, [...] GeV each; numbers and arrays broadcast."""
    xp = _numbers_namespace(px=px, py=py, pz=pz, mass=mass)
    squared = px**2 + py**2 + pz**2 + mass**2
    return xp.stack(xp.broadcast_arrays(_root(xp, squared), px, py, pz), axis=-1)


def from_pt_eta_phi_mass(pt: Array, eta: Array, phi: Array, mass: Array) -> Array:
    """Build p4 [..., 4] from pt and mass, GeV, pseudorapidity and azimuth; all broadcast."""
    xp = _numbers_namespace(pt=pt, eta=eta, phi=phi, mass=mass)
    return from_px_py_pz_mass(pt * xp.cos(phi), pt * xp.sin(phi), pt * xp.sinh(eta), mass)


def _namespace(**vectors: Array) -> Any:
    """Find the array library of four-vectors; raises ValueError for anything else."""
    for name, p4 in vectors.items():
        if not hasattr(p4, "__array_namespace__"):
            raise ValueError(
                f"{name}: expected an array of numpy or jax, found {type(p4).__name__}"
            )
        if p4.ndim == 0 or p4.shape[-1] != 4:
            shape = list(p4.shape)
            raise ValueError(f"{name}: expected shape [..., 4] = (E, px, py, pz), found {shape}")
    return _numbers_namespace(**vectors)


def _numbers_namespace(**numbers: Array) -> Any:
    """Find the array library of arrays and python numbers; raises ValueError for anything else."""
    found = []
    for name, number in numbers.items():
        if hasattr(number, "__array_namespace__"):
            found.append(number)
        elif not isinstance(number, float | int):
            kind = type(number).__name__
            raise ValueError(
                f"{name}: expected an array of numpy or jax, or a number, found {kind}"
            )
        dtype = getattr(number, "dtype", None)
        if dtype is not None and dtype.kind in "biuc":
            raise ValueError(f"{name}: expected floating point, found {dtype}")
    if not found:
        raise ValueError(f"{', '.join(numbers)}: expected an array of numpy or jax among them")
    return next((a for a in found if "jax" in type(a).__module__), found[0]).__array_namespace__()


def _pt_squared(p4: Array) -> Array:
    return p4[..., 1] ** 2 + p4[..., 2] ** 2


def _root(xp: Any, squared: Array) -> Array:
    """Take a root whose value and gradient are 0 at and below 0."""
    positive = squared > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, squared, 1.0)), 0.0)


def _asinh_ratio(xp: Any, pz: Array, across_squared: Array) -> Array:
    """Compute asinh(pz / across), +-inf where nothing is across, 0 where pz is 0 too."""
    positive = across_squared > 0
    ratio = pz / xp.sqrt(xp.where(positive, across_squared, 1.0))
    along = xp.where(pz == 0, 0.0, xp.where(pz > 0, math.inf, -math.inf))
    return xp.where(positive, xp.arcsinh(xp.where(positive, ratio, 0.0)), along).astype(pz.dtype)


def _exact_mass_squared(xp: Any, p4: Array) -> Array:
    """Sum +E^2 - px^2 - py^2 - pz^2 in float32 with the rounding errors carried along.

    Half of the bits of a component squares exactly, in a fused multiply-add too, so that no
    compiler can change the sum.
    """
    high = (p4.view(xp.int32) & ~0xFFF).view(xp.float32)
    low = p4 - high
    total, error = high[..., 0] * high[..., 0], 2 * high[..., 0] * low[..., 0]
    for k in (1, 2, 3):
        term = -high[..., k] * high[..., k]
        both = total + term
        rest = both - total
        error = error + ((total - (both - rest)) + (term - rest)) - 2 * high[..., k] * low[..., k]
        total = both
    small = low[..., 0] ** 2 - low[..., 1] ** 2 - low[..., 2] ** 2 - low[..., 3] ** 2
    return total + (error + small)
