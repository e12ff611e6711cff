"""The running coupling: the equation itself, other generators' couplings, steps, slopes."""

import functools
import gzip
import importlib.util
import re

import jax
import numpy as np
import pytest
from scipy import integrate

from hepjax.integration.hadrons import alpha_s

needs_pythia = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc comes with the extra `generators`",
)
Q = np.geomspace(2, 5000, 30)


@functools.cache
def coupling(value=0.118, scale=91.188, **options):
    with jax.enable_x64(True):
        return alpha_s.running(value, scale, **options)


of = jax.jit(alpha_s.alpha_s)


@pytest.mark.parametrize("loops", [1, 2, 3])
def test_the_equation_is_solved(loops):
    """With five flavours only, beside a solver with a tolerance of 1e-12."""
    beta = alpha_s.coefficients(5, loops)
    found = np.asarray(of(coupling(loops=loops, thresholds=(0.1, 0.2)), Q**2))
    for q, ours in zip(Q[::5], found[::5]):
        ends = 2 * np.log([91.188, q])
        solved = integrate.solve_ivp(
            lambda _, a: -(a**2) * np.polyval(beta[::-1], a), ends, [0.118], rtol=1e-12, atol=1e-14
        )
        assert ours == pytest.approx(solved.y[0, -1], rel=1e-8)
    if loops == 1:
        exact = 0.118 / (1 + 0.118 * beta[0] * 2 * np.log(Q / 91.188))
        np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_coefficients_as_printed():
    """In units of pi: 23/12, 29/12, 9769/3456 for five flavours, as in the review of the PDG."""
    found = alpha_s.coefficients(5) * np.pi ** np.arange(1, 4)
    np.testing.assert_allclose(found, [23 / 12, 29 / 12, 9769 / 3456], rtol=1e-12)


@pytest.mark.parametrize("loops", [1, 2, 3])
def test_it_is_the_same_from_wherever_one_begins(loops):
    """Up over three thresholds and down again, steps and all."""
    options = {"loops": loops, "thresholds": (1.5, 4.7, 173.0)}
    one = coupling(**options)
    for scale, flavours in ((1.2, 3), (3.0, 4), (1000.0, 6)):
        other = coupling(float(of(one, scale**2)), scale, flavours=flavours, **options)
        np.testing.assert_allclose(of(other, Q**2), of(one, Q**2), rtol=1e-8)


def test_steps_at_thresholds():
    for loops, poles, size in ((2, False, 0), (3, False, 11 / 72), (3, True, -7 / 24)):
        one = coupling(loops=loops, poles=poles)
        below, above = np.asarray(of(one, np.array([4.7 * (1 - 1e-9), 4.7 * (1 + 1e-9)]) ** 2))
        assert above / below - 1 == pytest.approx(-size * (below / np.pi) ** 2, abs=1e-8)


@needs_pythia
@pytest.mark.parametrize(("loops", "tolerance"), [(1, 1e-12), (2, 1e-2), (3, 1e-3)])
def test_pythia(loops, tolerance):
    """It expands in logarithms beyond one loop, which counts most at low scales."""
    import pythia8mc

    theirs = pythia8mc.AlphaStrong()
    theirs.init(0.118, loops, 5, False)
    ours = np.asarray(of(coupling(loops=loops, thresholds=(1.5, 4.8)), Q**2))
    ratio = ours / [theirs.alphaS(q**2) for q in Q]
    np.testing.assert_allclose(ratio[Q > 4.8], 1, atol=tolerance)
    np.testing.assert_allclose(ratio[Q > 20], 1, atol=tolerance / 5)


def couplings_in(path):
    """Scales and couplings of the events of a file."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        found = re.findall(r"<event.*>\s*\S+\s+\S+\s+\S+\s+(\S+)\s+\S+\s+(\S+)", file.read())
    return np.array(found, float).T


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("madgraph5-3.5.8-pp_to_jj.lhe.gz", {"loops": 2}),
        ("pythia-8.3.14-weakbosons.lhe", {"loops": 1, "thresholds": (1.5, 4.8, 171.0)}),
    ],
)
def test_events_of_other_generators(hepjax_data, name, options):
    """The couplings that they wrote, from 0.130 at the Z, to all their digits."""
    scale, theirs = couplings_in(hepjax_data / "lhe" / f"pylhe-testfile-{name}")
    ours = np.asarray(of(coupling(0.13, **options), scale**2))
    assert len(scale) > 90
    assert np.ptp(scale) > 50
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_from_the_tau_to_the_z():
    """0.332 at 1.777 GeV becomes 0.1202 with four loops (arXiv:0801.1821)."""
    tau = coupling(0.332, 1.777, loops=3, thresholds=(1.286, 4.164), flavours=3)
    assert float(of(tau, 91.1876**2)) == pytest.approx(0.1202, abs=3e-4)


def test_slopes():
    """In the scale as the equation says; in value and threshold as differences do."""
    one, q2 = coupling(loops=3), 30.0**2
    a, slope = jax.value_and_grad(lambda log: alpha_s.alpha_s(one, np.e**log))(np.log(q2))
    expected = -(a**2) * np.polyval(alpha_s.coefficients(5)[::-1], a)
    assert float(slope) == pytest.approx(float(expected), rel=1e-6)

    def low(value, bottom):
        known = alpha_s.running(value, thresholds=(1.5, bottom), loops=3)
        return alpha_s.alpha_s(known, 9.0)

    slopes = jax.grad(low, (0, 1))(0.118, 4.7)
    for k, step in ((0, 1e-5), (1, 1e-3)):
        up, down = ([0.118, 4.7] for _ in range(2))
        up[k], down[k] = up[k] + step, down[k] - step
        difference = (low(*up) - low(*down)) / step / 2
        assert float(slopes[k]) == pytest.approx(float(difference), rel=1e-5)


def test_bad_input():
    with pytest.raises(ValueError, match="loops: 4, expected 1, 2 or 3"):
        alpha_s.running(loops=4)
    with pytest.raises(ValueError, match="flavours: 6, expected 3 to 5 with 2 thresholds"):
        alpha_s.running(flavours=6)
    with jax.enable_x64(False), pytest.raises(ValueError, match="expected float64"):
        alpha_s.running()
    assert np.isnan(of(coupling(), 1e-3))
    assert float(of(coupling(thresholds=(), flavours=3), 91.188**2)) == pytest.approx(0.118)
