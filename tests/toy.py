"""Toy jets in the layout of JetClass, for tests of jets and of the experiments."""

import numpy as np

from hepjax import lorentz
from hepjax.io import root
from hepjax.jets import data


def jets(n=40, seed=0, events=True):
    """Random jets of massless particles; tops are wider than QCD jets and have more particles.

    Returns root.Columns and the label [jet], 1 = top.
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    count = rng.integers(2, 20, size=n) + 4 * label
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    jet = np.repeat(np.arange(n), count)
    eta0, phi0 = rng.uniform(-2, 2, n), rng.uniform(-np.pi, np.pi, n)
    pt = rng.exponential(20, len(jet)) + 0.5
    pt = pt[np.lexsort((-pt, jet))]
    width = 0.15 + 0.1 * label[jet]
    p4 = lorentz.from_pt_eta_phi_mass(
        pt,
        eta0[jet] + rng.normal(0, width),
        phi0[jet] + rng.normal(0, width),
        np.zeros(len(jet)),
    )
    total = np.add.reduceat(p4, offsets[:-1])
    sign = np.where(lorentz.eta(total) > 0, 1, -1)[jet]
    pid = rng.integers(0, 5, len(jet))
    parts = {f"part_{c}": p4[:, i] for i, c in enumerate(("energy", "px", "py", "pz"))}
    parts["part_deta"] = sign * (lorentz.eta(p4) - lorentz.eta(total)[jet])
    parts["part_dphi"] = lorentz.delta_phi(p4, total[jet])
    parts |= {f"part_{c}": (pid == i).astype(np.float32) for i, c in enumerate(data.PID)}
    for name in ("charge", "d0val", "d0err", "dzval", "dzerr"):
        parts[f"part_{name}"] = rng.normal(0, 2, len(jet))
    flat = {f"label_{c}": np.zeros(n, np.float32) for c in data.CLASSES}
    flat["label_QCD"], flat["label_Tbqq"] = (label == 0) * 1.0, (label == 1) * 1.0
    flat |= {
        "jet_pt": lorentz.pt(total),
        "jet_eta": lorentz.eta(total),
        "jet_phi": lorentz.phi(total),
        "jet_energy": total[:, 0],
        "jet_nparticles": count,
        **{f"jet_tau{i}": rng.uniform(0.1, 1, n) / i for i in (1, 2, 3, 4)},
        "jet_sdmass": 0.9 * lorentz.mass(total),
    }
    particles = {name: x.astype(np.float32) for name, x in parts.items()}
    flat = {name: np.asarray(x).astype(np.float32) for name, x in flat.items()}
    if events:
        flat["event_number"] = np.arange(n) // 2
    return root.Columns(particles, offsets, flat), label


def ten_classes(n=900, seed=0):
    """Random jets, a tenth of each class of JetClass, told apart by their number of particles."""
    columns, _ = jets(n, seed)
    order = np.argsort(np.argsort(np.diff(columns.offsets), kind="stable"))
    for i, name in enumerate(data.CLASSES):
        columns.jets[f"label_{name}"] = (order * 10 // n == i).astype(np.float32)
    return columns
