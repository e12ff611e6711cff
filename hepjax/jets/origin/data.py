"""The constituents of a jet at an electron-positron collider: momenta, charges and species.

There is no beam axis of strong interactions here, so a jet is looked at along its own axis:
`in_frame` turns it to the x axis, where pT is the momentum and distances in (eta, phi) are angles,
and whatever a tagger of hadron collisions computes of four-vectors makes sense. In order: the
record; `from_columns`; `conjugate`, the same jets with particles and antiparticles exchanged, and
`with_conjugates`, twice the sample for a training; `in_frame`; and `inputs`, the scaled features,
computed in the step.

How well charged hadrons are told apart decides what can be known of strange quarks: with
identity="perfect" kaons and protons carry a flag, from the generator's truth (the assumption of
arXiv:2310.03440), with "none" they look like pions.

>>> jet = np.array([[5.0, 0.0, 3.0, 4.0]])
>>> in_frame(jet[:, None], jet)[0].round(6).tolist()
[[5.0, 5.0, 0.0, 0.0]]
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch, lorentz
from hepjax.jets import data
from hepjax.jets.origin.generator import CLASSES

Identity = Literal["perfect", "none"]
SPECIES = (321, 2212)
"""PDG codes of the species of charged hadrons that are told from pions."""

BUCKETS = (32, 64)
"""Padded lengths [particle]; one jet in 200 has more, of which the softest are cut."""

FEATURES = (
    *("log_energy", "log_energy_fraction", "angle", "across", "up"),
    *("charge", "charged_hadron", "neutral_hadron", "photon", "electron", "muon"),
    *("kaon", "proton", "charge_of_kaon", "charge_of_proton"),
    *("d0_significance", "dz_significance", "d0", "z0_sin_theta", "log_d0_error"),
)
"""Features of a constituent, in the order of Inputs.features."""


class Constituents(NamedTuple):
    """Constituents of jets, padded [jet, particle, ...] (0 where none is) or flat [particle, ...].

    p4: [..., 4] (E, px, py, pz) GeV; charge: [...] e; pid: [..., 5] one-hot, data.PID; species:
    [..., 2] identified as one of SPECIES; d0, dz: [...] impact parameters, mm; d0_error, dz_error:
    [...] their resolution, mm.
    """

    p4: Any
    charge: Any
    pid: Any
    species: Any
    d0: Any
    d0_error: Any
    dz: Any
    dz_error: Any


def from_columns(columns: Any, identity: Identity = "perfect") -> data.RaggedJets:
    """Turn the columns of a file into jets with their Constituents.

    columns: io.root.Columns as origin.generator makes them; part_truth_pid is only read for a
    perfect identity, and only of charged hadrons. Raises ValueError for another identity or if
    that branch is missing.
    """
    if identity not in ("perfect", "none"):
        raise ValueError(f"identity is {identity!r}, expected 'perfect' or 'none'")
    plain = data.from_columns(columns, CLASSES)
    part = plain.particles.values
    species = np.zeros((len(part.charge), len(SPECIES)), np.float32)
    if identity == "perfect":
        if "part_truth_pid" not in columns.particles:
            raise ValueError("branch part_truth_pid is missing, which a perfect identity needs")
        code = np.abs(np.asarray(columns.particles["part_truth_pid"]))
        hadron = (part.charge != 0) & (part.pid[:, 0] != 0)
        species[:] = hadron[:, None] & (code[:, None] == np.array(SPECIES))
    kept = (part.d0, part.d0_error, part.dz, part.dz_error)
    constituents = Constituents(part.p4, part.charge, part.pid, species, *kept)
    return plain._replace(particles=batch.Ragged(constituents, plain.particles.offsets))


def conjugate(jets: data.RaggedJets) -> data.RaggedJets:
    """Exchange particles and antiparticles: charges change their sign, quarks become antiquarks.

    What is measured of directions stays, impact parameters too. Strong interactions do not change
    by it; weak decays do, but to effects of polarisation.
    """
    swapped = np.array([k if k == len(CLASSES) - 1 else k ^ 1 for k in range(len(CLASSES))])
    part = jets.particles.values
    particles = jets.particles._replace(values=part._replace(charge=-part.charge))
    return jets._replace(particles=particles, label=swapped[jets.label].astype(np.int32))


def with_conjugates(jets: data.RaggedJets) -> data.RaggedJets:
    """Put the conjugate of each jet behind the jets, for a training that sees both."""
    other = conjugate(jets)
    values = Constituents(
        *(np.concatenate(pair) for pair in zip(jets.particles.values, other.particles.values))
    )
    offsets = jets.particles.offsets
    return data.RaggedJets(
        batch.Ragged(values, np.concatenate([offsets, offsets[1:] + offsets[-1]])),
        *(np.concatenate([getattr(x, name) for x in (jets, other)]) for name in _FLAT),
        observers={name: np.concatenate([x, x]) for name, x in jets.observers.items()},
        classes=jets.classes,
    )


_FLAT = ("p4", "label", "weight", "event")


def in_frame(p4: Any, jet_p4: Any) -> jax.Array:
    """Turn the axis of each jet to the x axis: p4 [jet, particle, 4] as (E, along, across, up).

    jet_p4: [jet, 4] GeV, 0 for padding. `across` points to rising phi, `up` to falling theta.
    """
    momentum, total = jnp.asarray(p4)[..., 1:], jnp.asarray(jet_p4)
    none = (total[:, 1:] == 0).all(-1, keepdims=True)
    axis = lorentz.direction(jnp.where(none, jnp.array([1.0, 1, 0, 0], total.dtype), total))
    transverse = jnp.hypot(axis[:, 0], axis[:, 1])
    cos_phi = jnp.where(transverse > 0, axis[:, 0] / jnp.where(transverse > 0, transverse, 1), 1)
    sin_phi = jnp.where(transverse > 0, axis[:, 1] / jnp.where(transverse > 0, transverse, 1), 0)
    zero = jnp.zeros_like(cos_phi)
    across = jnp.stack([-sin_phi, cos_phi, zero], -1)
    up = jnp.stack([-axis[:, 2] * cos_phi, -axis[:, 2] * sin_phi, transverse], -1)
    frame = jnp.stack([axis, across, up], 1)
    turned = jnp.einsum("jnk,jik->jni", momentum, frame, precision="highest")
    return jnp.concatenate([jnp.asarray(p4)[..., :1], turned], -1)


def signed_significances(part: Constituents, jet_p4: Any) -> tuple[jax.Array, jax.Array]:
    """Divide d0 and dz [jet, particle] by their errors, with the sign of a lifetime.

    Positive where they have the sign that a decay on the jet's axis, in front of the collision,
    would give them: that of the impact parameters of a line through a point of the axis.
    """
    _, px, py, pz = jnp.moveaxis(jnp.asarray(part.p4), -1, 0)
    _, x, y, z = (column[:, None] for column in jnp.moveaxis(jnp.asarray(jet_p4), -1, 0))
    forward = (x * py - y * px, z * (px**2 + py**2) - (x * px + y * py) * pz)
    values, errors = (part.d0, part.dz), (part.d0_error, part.dz_error)
    across, along = (
        value * jnp.sign(sign) / jnp.where(error > 0, error, 1)
        for value, error, sign in zip(values, errors, forward)
    )
    return across, along


def inputs(jets: data.Jets) -> data.Inputs:
    """Scale a batch of jets with Constituents into FEATURES, float32, 0 where masked.

    points are the angles to the axis, rad, across and up; p4 is `in_frame`. Impact parameters go
    through asinh, so that micrometres count and no significance is cut off.
    """
    part, mask = jets.particles, jnp.asarray(jets.mask)
    p4 = in_frame(part.p4, jets.p4)
    along, across, up = p4[..., 1], p4[..., 2], p4[..., 3]
    aside = jnp.hypot(across, up)
    angle = jnp.where(mask, jnp.arctan2(aside, along), 0)
    points = (
        jnp.where(aside > 0, angle / jnp.where(aside > 0, aside, 1), 0)[..., None] * p4[..., 2:]
    )
    energy = jnp.log(jnp.where(mask, p4[..., 0], 1))
    jet_energy = jnp.asarray(jets.p4)[:, :1]
    fraction = energy - jnp.log(jnp.where(jet_energy > 0, jet_energy, 1))
    transverse, longitudinal = signed_significances(part, jets.p4)
    momentum = lorentz.momentum(jnp.where(mask[..., None], p4, 1))
    sin_theta = lorentz.pt(part.p4) / momentum
    error = jnp.log(jnp.where(part.d0_error > 0, part.d0_error, 1))
    pid, species = jnp.asarray(part.pid), jnp.asarray(part.species)
    listed = [
        (energy - 0.5) * 0.6,
        (fraction + 3.7) * 0.6,
        angle * 4 - 1.2,
        *jnp.moveaxis(points * 3, -1, 0),
        part.charge,
        *jnp.moveaxis(pid, -1, 0),
        *jnp.moveaxis(species, -1, 0),
        *jnp.moveaxis(species * jnp.asarray(part.charge)[..., None], -1, 0),
        jnp.arcsinh(transverse) / 2,
        jnp.arcsinh(longitudinal) / 2,
        jnp.arcsinh(part.d0 / 0.01) / 2,
        jnp.arcsinh(part.dz * sin_theta / 0.01) / 2,
        jnp.where(part.d0_error > 0, (error + 4.5) * 1.2, 0),
    ]
    features = jnp.stack([jnp.asarray(f, jnp.float32) for f in listed], -1)
    kept = mask[..., None]
    return data.Inputs(
        jnp.where(kept, features, 0), jnp.where(kept, points, 0), jnp.where(kept, p4, 0), mask
    )
