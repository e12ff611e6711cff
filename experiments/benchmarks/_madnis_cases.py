"""What madnis_vs_peers.py integrates: integrands of hepjax, their integrals, and the trainings.

The lineshape is that of lepton pairs of up quarks by photon, Z and a Z' with its couplings, without
parton densities: over the squared mass and cos(theta), in channels 1 / s^2 and two peaks.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate

from hepjax.integration import integrator, losses, toys
from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.kinematics import maps

LIMITS = 20.0**2, 2000.0**2  # of the squared mass, GeV^2
VECTORS = [
    closed_forms.PHOTON,
    closed_forms.z_boson(91.1876, 2.50419, 0.2312),
    closed_forms.z_boson(500.0, 5.0, 0.2312),
]


class Case(NamedTuple):
    """An integrand, its integral, how flows are trained on it, and how many times as many seeds it
    needs: trainings on the lineshape vary by 14 % from seed to seed, on both sides.
    """

    integrand: integrator.Integrand
    exact: float
    n_steps: int
    loss: losses.Loss
    more_seeds: int = 1


def cross_section(s: Any, cos: Any) -> Any:
    """Up quarks to muons by photon, Z and Z': d sigma / d cos(theta), pb."""
    size = closed_forms.fermion_pair(s, cos, 2, 13, VECTORS, 0.00781751)
    return size * closed_forms.PICOBARN


def lineshape(u: jax.Array, channel: jax.Array) -> integrator.Values:
    """Map points by 1 / s^2 or by one of the two peaks, and give the cross-section there."""
    peaks = [(one.mass, one.width) for one in VECTORS[1:]]
    mapped = [maps.power(u[:, 0], *LIMITS, 2.0)]
    mapped += [maps.breit_wigner(u[:, 0], *LIMITS, *peak) for peak in peaks]
    row = jnp.arange(len(u))
    s, log_jacobian = (jnp.stack(x)[channel, row] for x in zip(*mapped))
    cos = 2 * u[:, 1] - 1
    log_prior = [maps.power_inverse(s, *LIMITS, 2.0)[1]]
    log_prior += [maps.breit_wigner_inverse(s, *LIMITS, *peak)[1] for peak in peaks]
    features = jnp.stack([jnp.log(s / LIMITS[0]) / math.log(LIMITS[1] / LIMITS[0]), cos], -1)
    value = 2 * jnp.exp(log_jacobian) * cross_section(s, cos)
    return integrator.Values(value, features, jax.nn.log_softmax(jnp.stack(log_prior, -1), -1))


def lineshape_integral() -> float:
    """Integrate the lineshape by a rule, piece by piece; of cos(theta), whose square is all there
    is, three points are exact.
    """
    at, weight = np.polynomial.legendre.leggauss(3)
    masses = [one.mass + k * one.width for one in VECTORS[1:] for k in (-20, -4, -1, 0, 1, 4, 20)]
    edges = [LIMITS[0], *(mass**2 for mass in masses), LIMITS[1]]

    def over_cos(s: float) -> float:
        return float((weight * np.asarray(cross_section(np.full(3, s), at))).sum())

    return sum(integrate.quad(over_cos, *x, epsrel=1e-9)[0] for x in itertools.pairwise(edges))


def toy(function: Callable[[jax.Array], jax.Array], dim: int, exact: float, n_steps: int) -> Case:
    """Make a case of one channel."""
    one = integrator.Integrand(lambda x, _: integrator.Values(function(x)), dim)
    return Case(one, exact, n_steps, losses.kullback_leibler)


def cases() -> dict[str, Case]:
    """Give all integrands by name."""
    found = {
        f"camel{dim}": toy(toys.camel, dim, toys.camel_integral(dim), n_steps)
        for dim, n_steps in ((2, 300), (4, 300), (8, 500))
    }
    found["ring_line"] = toy(toys.ring_line, 2, toys.ring_line_integral(), 300)
    three = integrator.Integrand(lineshape, 2, 3, 2)
    found["lineshape"] = Case(three, lineshape_integral(), 300, losses.stratified_variance, 3)
    return found
