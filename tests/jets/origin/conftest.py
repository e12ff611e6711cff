"""Toy jets of an electron-positron collider: quarks differ in charge, heavy ones in d0."""

import numpy as np
import pytest
import toy

from hepjax.io import root
from hepjax.jets.origin import data, metrics


def columns(n=220, seed=0):
    """Columns as origin.generator makes them, out of toy jets; all classes in equal numbers."""
    rng = np.random.default_rng(seed)
    made, _ = toy.jets(n=n, seed=seed)
    label = rng.permutation(np.arange(n) % len(data.CLASSES))
    quark = [metrics.CHARGES[c[0]] * (-1 if c.endswith("bar") else 1) for c in data.CLASSES[:-1]]
    towards = np.array([*quark, 0])[label]
    jet, n_particles = np.repeat(np.arange(n), np.diff(made.offsets)), int(made.offsets[-1])
    charged = rng.random(n_particles) < 0.6
    positive = rng.random(n_particles) < 0.5 + 0.3 * towards[jet]
    heavy = (label < 4)[jet] & (rng.random(n_particles) < 0.4)
    error = np.where(charged, rng.uniform(0.005, 0.02, n_particles), 0)
    pid = np.where(charged, rng.choice([211, 321, 2212, 11], n_particles), 22)
    particles = dict(made.particles)
    particles |= {
        "part_charge": np.where(charged, np.where(positive, 1.0, -1.0), 0.0),
        "part_isChargedHadron": charged & (pid != 11),
        "part_isNeutralHadron": np.zeros(n_particles),
        "part_isPhoton": ~charged,
        "part_isElectron": pid == 11,
        "part_isMuon": np.zeros(n_particles),
        "part_d0val": error * rng.normal(size=n_particles) * np.where(heavy, 30, 1),
        "part_d0err": error,
        "part_dzval": error * rng.normal(size=n_particles) * np.where(heavy, 30, 1),
        "part_dzerr": error,
    }
    particles = {name: np.asarray(x, np.float32) for name, x in particles.items()}
    particles["part_truth_pid"] = pid.astype(np.int32)
    flat = {name: x for name, x in made.jets.items() if not name.startswith("label_")}
    flat |= {f"label_{c}": (label == k).astype(np.int32) for k, c in enumerate(data.CLASSES)}
    return root.Columns(particles, made.offsets, flat)


@pytest.fixture(scope="session")
def make_columns():
    return columns


@pytest.fixture(scope="session")
def jets():
    """A sample of 220 jets with perfect identity."""
    return data.from_columns(columns())
