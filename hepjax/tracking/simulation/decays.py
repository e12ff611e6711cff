"""Particles for simulated events: momenta of soft collisions, decays in flight, scattering.

>>> bool(0.5 < hagedorn(np.random.default_rng(0), 10_000).mean() < 0.6)
True
>>> two = kaon_to_pions(np.random.default_rng(0), np.array([[0.0, 0, 1]]))
>>> np.sum(two, 0).round(6).tolist()
[[0.0, 0.0, 1.0]]
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MASS = {"pion": 0.13957, "kaon": 0.49368, "electron": 0.000511}
"""GeV."""

PID = {"pion": 211, "kaon": 321, "electron": 11}
K_SHORT, K_SHORT_CTAU = 0.49761, 26.84
"""Mass, GeV, and mean decay length at a momentum of one mass, mm."""

SOFT, POWER = 1.3, 7.6


def hagedorn(rng: np.random.Generator, n: int, scale: float = SOFT) -> np.ndarray:
    """Draw transverse momenta of dn/dpt ~ pt (1 + pt / scale) ** -7.6 [n], GeV."""
    return scale * rng.gamma(2, size=n) / rng.gamma(POWER - 2, size=n)


def kaon_to_pions(rng: np.random.Generator, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let short-lived kaons of momenta [particle, 3] decay to two pions, evenly in their frame."""
    own = np.sqrt(K_SHORT**2 / 4 - MASS["pion"] ** 2)
    cosine, phi = rng.uniform(-1, 1, len(p)), rng.uniform(0, 2 * np.pi, len(p))
    sine = np.sqrt(1 - cosine**2)
    there = own * np.stack([sine * np.cos(phi), sine * np.sin(phi), cosine], -1)
    energy = np.sqrt((p**2).sum(-1) + K_SHORT**2)
    along = (there * p).sum(-1)
    shift = p * (along / (K_SHORT * (energy + K_SHORT)))[:, None]
    return p / 2 + there + shift, p / 2 - there - shift


def highland(momentum: Any, mass: Any, depth: Any) -> jax.Array:
    """Give the width of the angle, in a plane, that matter turns a particle by, rad.

    momentum, mass: GeV; depth: of the matter, radiation lengths. Source: Review of Particle Physics
    2024, eq. 34.16.
    """
    beta = momentum / jnp.sqrt(momentum**2 + mass**2)
    return 0.0136 / (beta * momentum) * jnp.sqrt(depth) * (1 + 0.038 * jnp.log(depth / beta**2))
