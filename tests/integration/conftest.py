"""What the tests of cross-sections share: float64, momenta, reference points."""

import jax
import numpy as np
import pytest

from hepjax.io import amplitude_dump


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def two_to():
    """Function (masses of two incoming particles, of outgoing ones, energy, n, seed) -> momenta
    [point, leg, 4] that add up and are on their shells, at random angles, none soft.
    """

    def boost(p, by):
        """Boost [..., 4] from the rest frame of a momentum [..., 4]."""
        mass = np.sqrt(by[..., 0] ** 2 - (by[..., 1:] ** 2).sum(-1))
        along = (p[..., 1:] * by[..., 1:]).sum(-1)
        energy = (p[..., 0] * by[..., 0] + along) / mass
        share = (along / (by[..., 0] + mass) + p[..., 0]) / mass
        return np.concatenate([energy[..., None], p[..., 1:] + share[..., None] * by[..., 1:]], -1)

    def split(rng, total, mass, one, rest):
        """Decay [point] masses into one particle and the rest, isotropically."""
        p = np.sqrt((mass**2 - (one + rest) ** 2) * (mass**2 - (one - rest) ** 2)) / (2 * mass)
        way = rng.normal(size=(len(p), 3))
        way *= (p / np.linalg.norm(way, axis=-1))[:, None]
        pairs = ((np.sqrt(p**2 + m**2), sign * way) for m, sign in ((one, 1), (rest, -1)))
        return [boost(np.concatenate([e[:, None], x], -1), total) for e, x in pairs]

    def momenta(incoming, outgoing, energy, n=5, seed=0):
        rng = np.random.default_rng(seed)
        mass = np.full(n, float(energy))
        total = np.stack([mass, *np.zeros((3, n))], -1)
        beams = split(rng, total, mass, incoming[0], incoming[1])
        legs, left = [], mass - sum(outgoing)
        for k, one in enumerate(outgoing[:-1]):
            left = left * (rng.uniform(0.4, 0.8, n) if k < len(outgoing) - 2 else 0)
            rest = sum(outgoing[k + 1 :]) + left
            first, total = split(rng, total, mass, one, rest)
            legs.append(first)
            mass = rest
        return np.stack([*beams, *legs, total], 1)

    return momenta


@pytest.fixture(scope="session")
def dumps(hepjax_data):
    """Function of a name -> momenta [point, leg, 4] and |M|^2 [point] of another generator."""

    def read(name):
        path = hepjax_data / "matrix_elements" / f"dump_CPUTest.Sigma_sm_{name}.txt"
        return amplitude_dump.read(path)

    return read
