"""Hadronic cross-sections of two particles against Pythia's, and channels that change nothing."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration import vegas
from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.hadrons import pdf, processes
from hepjax.io import lhagrid

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc, whose parton densities are used, comes with the extra `generators`",
)
Z = closed_forms.z_boson(91.1876, 2.50419, 0.2312, 0.2315)
PHOTON = closed_forms.PHOTON
SETTINGS = vegas.Settings(n_points=8000, n_bins=50)


@pytest.fixture
def densities():
    return pdf.load(processes.PROTON)


def integral(pair, densities, channel=0):
    integrand = processes.integrand(pair, densities)

    def function(u):
        return integrand.function(u, jnp.full(len(u), channel)).value

    return vegas.integrate(
        function, vegas.init(3, SETTINGS), jax.random.key(0), SETTINGS, n_steps=8, n_burn=4
    )[0]


@pytest.mark.parametrize(
    ("pair", "channel", "expected", "error"),
    [
        (processes.drell_yan([PHOTON, Z], (60.0, 120.0)), 1, 1459.6, 2.7),
        (processes.top_pair(), 0, 566.2, 0.7),
        (processes.gluons(), 0, 9.000e6, 0.011e6),
    ],
    ids=["drell_yan", "ttbar", "gluons"],
)
def test_cross_sections_are_pythias(densities, pair, channel, expected, error):
    """Pythia 8.317.2, the same densities and parameters (PDF:pSet = 13, 13 TeV)."""
    found = integral(pair, densities, channel)
    assert abs(found.value - expected) < 3 * np.hypot(found.error, error)
    assert float(found.value) == pytest.approx(expected, rel=5e-3)


def test_each_map_gives_the_same_integral(densities):
    pair = processes.drell_yan([PHOTON, Z], (60.0, 120.0))
    values = [integral(pair, densities, channel) for channel in (0, 1)]
    error = np.hypot(values[0].error, values[1].error)
    assert abs(values[0].value - values[1].value) < 4 * error


def test_prior_weights_add_up_and_know_their_peak():
    """With densities that are one; and points are inside of what they may be."""
    x, q = np.geomspace(1e-6, 1, 8), np.geomspace(1, 1e4, 5)
    flat = pdf.prepare(lhagrid.Grid(x, q, (0,), np.ones((8, 5, 14))))
    pair = processes.drell_yan([PHOTON, Z], (60.0, 120.0))
    integrand = processes.integrand(pair, flat)
    u = np.random.default_rng(0).uniform(size=(200, 3))
    channel = np.repeat([0, 1], 100)
    found = integrand.function(u, channel)
    assert found.features.shape == (200, integrand.n_features)
    np.testing.assert_allclose(np.exp(found.log_prior).sum(1), 1, rtol=1e-9)
    at = processes.kinematics(pair, u, channel)
    near = np.abs(np.sqrt(at.s) - 91.19) < 1
    assert near.sum() > 20
    assert (np.exp(found.log_prior[near, 1]) > 0.8).all()
    assert (np.abs(at.cos) <= 1).all()
    for share in (at.first, at.second):
        assert ((share > 0) & (share <= 1)).all()
    assert (found.value >= 0).all()


def test_a_cut_on_transverse_momentum():
    pair = processes.gluons(min_pt=50.0)
    u = np.random.default_rng(1).uniform(size=(500, 3))
    at = processes.kinematics(pair, u, np.zeros(500, int))
    pt = np.sqrt(at.s) / 2 * np.sqrt(1 - at.cos**2)
    assert pt.min() > 50 * (1 - 1e-9)


def even():
    """Densities that are one."""
    x, q = np.geomspace(1e-8, 1, 8), np.geomspace(1, 1e4, 5)
    return pdf.prepare(lhagrid.Grid(x, q, (0,), np.ones((8, 5, 14))))


def test_only_partons_that_are_named_count():
    """A proton of gluons alone makes top pairs and no lepton pairs."""
    x, q = np.geomspace(1e-8, 1, 8), np.geomspace(1, 1e4, 5)
    values = np.zeros((8, 5, 14))
    values[..., pdf.column(21)] = 1
    gluons = pdf.prepare(lhagrid.Grid(x, q, (0,), values))
    u, first = np.random.default_rng(0).uniform(0.01, 0.99, (50, 3)), np.zeros(50, int)
    leptons = processes.integrand(processes.drell_yan([PHOTON], (60.0, 120.0)), gluons)
    tops = processes.integrand(processes.top_pair(), gluons)
    assert (leptons.function(u, first).value == 0).all()
    assert (tops.function(u, first).value > 0).all()


def test_sides_are_alike():
    """Two equal hadrons: turning the event round changes nothing."""
    pair = processes.drell_yan([PHOTON, Z], (60.0, 120.0))
    integrand = processes.integrand(pair, even())
    u = np.random.default_rng(3).uniform(size=(100, 3))
    turned = np.stack([u[:, 0], 1 - u[:, 1], 1 - u[:, 2]], -1)
    channel = np.zeros(100, int)
    np.testing.assert_allclose(
        integrand.function(turned, channel).value, integrand.function(u, channel).value, rtol=1e-9
    )


def test_a_cross_section_changes_with_the_mass_as_differences_say():
    """The gradient of the closed form by the mass of the top, which a fit of it needs."""
    s, cos = (2 * 172.5) ** 2 * 1.5, np.linspace(-0.9, 0.9, 19)

    def total(mass):
        quarks = closed_forms.top_pair_of_quarks(s, cos, mass, 0.118)
        return (closed_forms.top_pair_of_gluons(s, cos, mass, 0.118) + quarks).sum()

    step = 1e-3
    difference = (total(170.0 + step) - total(170.0 - step)) / (2 * step)
    assert float(jax.grad(total)(170.0)) == pytest.approx(float(difference), rel=1e-6)
    assert difference != 0
