"""Toy jets with tracks: b jets have displaced ones that share a vertex."""

import numpy as np
import pytest
import toy

from hepjax.io import root
from hepjax.jets.flavour import data
from hepjax.jets.simulation import events


def columns(n=80, seed=0):
    """Columns as flavour.generator makes them, out of toy jets."""
    rng = np.random.default_rng(seed)
    made, _ = toy.jets(n=n, seed=seed)
    label = rng.integers(0, 4, n)
    size = np.diff(made.offsets)
    jet, n_tracks = np.repeat(np.arange(n), size), int(made.offsets[-1])
    charge = rng.choice([-1.0, 0.0, 1.0], n_tracks)
    away = (rng.random(n_tracks) < 0.4) & (label[jet] > 0) & (charge != 0)
    error = rng.uniform(0.01, 0.05, n_tracks)
    d0 = np.where(charge != 0, error * rng.normal(size=n_tracks), 0)
    d0 = np.where(away, 0.3 * np.sign(np.sin(made.particles["part_dphi"])), d0)
    origin = np.where(away, np.array([2, 5, 3, 6])[label[jet]], events.PRIMARY)
    particles = dict(made.particles)
    particles |= {
        "part_charge": charge,
        "part_d0val": d0,
        "part_d0err": np.where(charge != 0, error, 0),
        "part_dzval": 0.1 * rng.normal(size=n_tracks) * (charge != 0),
        "part_dzerr": np.where(charge != 0, 2 * error, 0),
        "part_pterr": np.where(charge != 0, 0.02, 0),
        "part_hits_first": (charge != 0) & ~away,
        "part_hits_pixel": np.where(charge != 0, 4, 0),
        "part_hits_strip": np.where(charge != 0, 8, 0),
        "part_truth_origin": np.where(charge != 0, origin, -1),
        "part_truth_vertex": np.where(charge != 0, away, -1),
    }
    flat = {name: x for name, x in made.jets.items() if not name.startswith("label_")}
    flat |= {f"label_{name}": (label == k) * 1 for k, name in enumerate(data.CLASSES)}
    particles = {
        name: np.asarray(x, np.int32 if "truth" in name else np.float32)
        for name, x in particles.items()
    }
    return root.Columns(particles, made.offsets, flat)


@pytest.fixture(scope="session")
def make_columns():
    return columns


@pytest.fixture(scope="session")
def tracks():
    """A sample of 80 jets with tracks."""
    return data.from_columns(columns())
