"""Other scales and densities: MadGraph's own weights, the integrand again, what cancels, names."""

import importlib.util

import jax
import numpy as np
import pytest

from hepjax.integration.events import variations
from hepjax.integration.hadrons import alpha_s, pdf, processes
from hepjax.io import lhagrid, lhe_reader

needs_pythia = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc, which brings densities, comes with the extra `generators`",
)
X, Q = np.geomspace(1e-4, 1, 12), np.geomspace(1, 1e4, 9)


def powers(slope):
    """Densities x f = x^slope Q^slope of all flavours."""
    values = (X[:, None] * Q) ** slope
    return pdf.prepare(lhagrid.Grid(X, Q, (0,), np.repeat(values[..., None], 14, 2)))


@pytest.fixture(scope="module")
def running():
    with jax.enable_x64(True):
        one = alpha_s.running(0.13, loops=1, thresholds=(1.5, 4.7, 175.0))
    return jax.jit(lambda q2: alpha_s.alpha_s(one, q2))


@needs_pythia
def test_weights_of_another_generator(hepjax_data, running):
    """Two jets by MadGraph with the same densities, whose coupling runs by one loop and has a
    threshold for top quarks; its own interpolation of the coupling is good to a few 1e-5.
    """
    head, events = lhe_reader.read(
        hepjax_data / "lhe" / "pylhe-testfile-madgraph5-3.5.8-pp_to_jj.lhe.gz"
    )
    weights = head.groups[0].weights
    columns = [k for k, w in enumerate(weights) if "DYN_SCALE" not in w.attributes]
    factors = [tuple(float(weights[k].attributes[m]) for m in ("MUR", "MUF")) for k in columns]
    share = variations.shares(events.p4.reshape(-1, 4, 4), head.energies)
    partons = events.pid.reshape(-1, 4)[:, :2]
    densities = pdf.load(processes.PROTON)
    found = variations.scales(densities, running, 2, share, partons, events.scale, factors=factors)
    theirs = events.variations[:, columns] / events.weight[:, None]
    away = np.abs(found / theirs - 1)
    assert len(factors) == 8
    assert np.ptp(theirs) > 1
    assert np.median(away) < 2e-5
    assert away.max() < 2e-4
    same_coupling = [k for k, (r, _) in enumerate(factors) if r == 1]
    assert away[:, same_coupling].max() < 1e-5
    assert np.median(away[:, same_coupling]) < 1e-7


@needs_pythia
def test_the_integrand_at_the_other_scale(running):
    """Two gluons to a pair of top quarks, point by point."""
    pair, densities = processes.top_pair(), pdf.load(processes.PROTON)
    u, channel = np.random.default_rng(0).uniform(size=(50, 3)), np.zeros(50, int)
    at = processes.kinematics(pair, u, channel)

    def value(renormalization, factorization):
        strong = float(running((172.5 * renormalization) ** 2))
        top = processes.top_pair(alpha_s=strong, scale=172.5 * factorization)
        gluons = top._replace(
            partons=top.partons[:1], partonic=lambda s, cos: top.partonic(s, cos)[..., :1]
        )
        return processes.integrand(gluons, densities).function(u, channel).value

    share = np.stack([at.first, at.second], 1)
    partons, scale = np.full((50, 2), 21), np.full(50, 172.5)
    found = variations.scales(densities, running, 2, share, partons, scale)
    for k in (0, 1, 5):
        expected = value(*variations.SEVEN[k]) / value(1, 1)
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-10)


def test_powers_of_scales():
    """Densities (x Q)^a and a coupling 1 / mu^2 give powers of the factors."""
    rng = np.random.default_rng(0)
    share, partons = rng.uniform(0.01, 0.5, (20, 2)), rng.choice([21, -1, 2], (20, 2))
    scale = np.stack([rng.uniform(20, 30, 20), rng.uniform(100, 200, 20)], 1)
    factors = ((1, 1), (2, 1), (0.5, 2))
    found = variations.scales(
        powers(0.2), lambda q2: 1 / q2, 3, share, partons, scale, factors=factors
    )
    expected = np.array([1, 2.0**-6, 0.5**-6 * 2**0.4])
    np.testing.assert_allclose(found, np.tile(expected, (20, 1)), rtol=2e-3)
    np.testing.assert_allclose(found[:, 0], 1, rtol=1e-14)


def test_members():
    share, partons = np.full((4, 2), [0.1, 0.2]), np.array([[21, 21], [1, -1], [-1, 1], [2, 5]])
    scale = np.full(4, 50.0)
    others = [powers(0.2), powers(0.3)]
    found = variations.members(powers(0.2), others, share, partons, scale)
    ratio = (0.1 * 50) ** 0.1 * (0.2 * 50) ** 0.1
    np.testing.assert_allclose(found, np.tile([1, ratio], (4, 1)), rtol=1e-2)
    assert variations.members(powers(0.2), [], share, partons, scale).shape == (4, 0)


def test_names_in_order():
    scales, densities = variations.groups(variations.SEVEN, 247000, range(1, 3))
    ids = [weight.name for group in (scales, densities) for weight in group.weights]
    assert ids == [str(k) for k in range(1001, 1010)]
    assert [w.attributes["MUR"] for w in scales.weights] == [str(r) for r, _ in variations.SEVEN]
    assert scales.attributes["combine"] == "envelope"
    assert densities.weights[1].attributes == {"PDF": "247002"}
    assert densities.attributes["combine"] == "replicas"
    (one,) = variations.groups((), 90400, [1], combine="hessian")
    assert one.attributes["combine"] == "hessian"
    assert variations.groups((), 1) == ()
    ratios = {r / f for r, f in variations.SEVEN}
    assert max(ratios) == 2
    assert min(ratios) == 0.5
    assert len(set(variations.SEVEN)) == 7


def test_bad_events_are_named():
    share, partons = np.full((3, 2), 0.1), np.full((3, 2), 21)
    share[1, 0] = 1.0  # where densities are 0
    with pytest.raises(ValueError, match=r"0\.0 in event 1; 1 such events, expected a number"):
        variations.members(powers(0.2), [], share, partons, np.full(3, 50.0))
    with pytest.raises(ValueError, match="pid: 23, expected a parton"):
        variations.members(powers(0.2), [], share, partons + 2, np.full(3, 50.0))
