"""Small tables of jets for the tests of hepjax.io: random, but with the kinematics of real jets."""

from collections.abc import Callable

import numpy as np
import pytest

from hepjax import lorentz
from hepjax.io.table import Columns

CLASSES = ("QCD", "Hbb", "Tbqq")


def make_columns(n_jets: int = 40, seed: int = 0) -> Columns:
    """Jets of 1 to 30 massless particles around an axis; the jet is their sum, in float32."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 31, n_jets)
    counts[0] = 1
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    n = int(offsets[-1])
    eta = np.repeat(rng.uniform(-2, 2, n_jets), counts) + rng.normal(0, 0.2, n)
    phi = np.repeat(rng.uniform(-np.pi, np.pi, n_jets), counts) + rng.normal(0, 0.2, n)
    p4 = lorentz.from_pt_eta_phi_mass(1 + rng.exponential(20, n), eta, phi, np.zeros(n))
    jet = np.add.reduceat(p4, offsets[:-1])
    jet_eta, jet_phi = lorentz.eta(jet), lorentz.phi(jet)
    sign = np.where(jet_eta > 0, 1, -1)
    kind = rng.integers(0, 5, n)
    charged = np.isin(kind, (0, 3, 4))
    particles = {
        "part_px": p4[:, 1],
        "part_py": p4[:, 2],
        "part_pz": p4[:, 3],
        "part_energy": p4[:, 0],
        "part_deta": np.repeat(sign, counts) * (lorentz.eta(p4) - np.repeat(jet_eta, counts)),
        "part_dphi": lorentz.wrap_phi(lorentz.phi(p4) - np.repeat(jet_phi, counts)),
        "part_charge": charged * rng.choice([-1, 1], n),
    }
    flags = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")
    particles |= {f"part_{flag}": kind == index for index, flag in enumerate(flags)}
    for name, width in (("d0val", 0.1), ("d0err", 0.02), ("dzval", 0.1), ("dzerr", 0.02)):
        particles[f"part_{name}"] = charged * np.abs(rng.normal(0, width, n))
    label = rng.integers(0, len(CLASSES), n_jets)
    jets = {
        "jet_pt": lorentz.pt(jet),
        "jet_eta": jet_eta,
        "jet_phi": jet_phi,
        "jet_energy": jet[:, 0],
        "jet_nparticles": counts,
        "jet_tau1": rng.uniform(0, 1, n_jets),
        "jet_tau2": rng.uniform(0, 1, n_jets),
    }
    jets |= {f"label_{name}": label == index for index, name in enumerate(CLASSES)}
    float32 = {name: values.astype(np.float32) for name, values in jets.items()}
    event = 10**12 + np.arange(n_jets, dtype=np.int64) // 2
    return Columns(
        {name: values.astype(np.float32) for name, values in particles.items()},
        offsets,
        {**float32, "event_number": event, "aux_pid": np.full(n_jets, 25, np.int32)},
    )


def assert_equal(found: Columns, expected: Columns) -> None:
    """The same branches with the same numbers and dtypes, bit for bit."""
    assert found.offsets.dtype == np.int64
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    for ours, theirs in ((found.particles, expected.particles), (found.jets, expected.jets)):
        assert set(ours) == set(theirs)
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype, name
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.fixture(scope="session")
def make() -> Callable[..., Columns]:
    return make_columns


@pytest.fixture(scope="session")
def same() -> Callable[[Columns, Columns], None]:
    return assert_equal


@pytest.fixture(scope="session")
def forwardness():
    """The function forwardness(table of pulses) -> does light move the way that particles travel?

    The mean cosine between the direction of travel and how pulses move in time, with more weight on
    events of more light.
    """
    from hepjax import sphere

    def mean_cosine(table):
        cosine, weight = [], []
        travel = sphere.direction(table.events["zenith"], table.events["azimuth"])
        for direction, start, stop in zip(travel, table.offsets, table.offsets[1:]):
            place = np.stack([table.pulses[k][start:stop] for k in "xyz"], -1)
            time = table.pulses["time"][start:stop]
            if stop - start >= 8:
                move = (time - time.mean()) @ (place - place.mean(0))
                cosine.append(direction @ move / np.linalg.norm(move))
                weight.append(min(stop - start, 100))
        return np.average(cosine, weights=weight)

    return mean_cosine
