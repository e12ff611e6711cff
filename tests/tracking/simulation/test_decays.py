"""Momenta of soft particles, decays that conserve, and Highland's angle."""

import numpy as np
import pytest

from hepjax.tracking.simulation import decays


def test_hagedorn_has_its_mean_and_its_tail():
    """Mean of pt (1 + pt / s) ** -n: 2 s / (n - 3), and the integral above 3 GeV."""
    pt = decays.hagedorn(np.random.default_rng(0), 400_000)
    s, n = decays.SOFT, decays.POWER
    assert pt.mean() == pytest.approx(2 * s / (n - 3), rel=0.01)
    x = np.linspace(0, 400, 2_000_001)
    density = x * (1 + x / s) ** -n
    assert (pt > 3).mean() == pytest.approx(density[x > 3].sum() / density.sum(), rel=0.05)


def test_pions_have_the_momentum_and_the_mass_of_the_kaon():
    rng = np.random.default_rng(1)
    p = rng.normal(scale=2, size=(500, 3))
    two = decays.kaon_to_pions(rng, p)
    np.testing.assert_allclose(two[0] + two[1], p, atol=1e-9)
    energy = sum(np.sqrt((x**2).sum(-1) + decays.MASS["pion"] ** 2) for x in two)
    mass = np.sqrt(energy**2 - (p**2).sum(-1))
    np.testing.assert_allclose(mass, decays.K_SHORT, rtol=1e-9)


def test_highland_is_that_of_the_review():
    """13.6 MeV / p for one radiation length and beta = 1; less for less matter, more when slow."""
    assert float(decays.highland(10.0, 0.0, 1.0)) == pytest.approx(0.00136, rel=1e-6)
    thin, slow = decays.highland(1.0, 0.0, 0.01), decays.highland(1.0, 1.0, 0.01)
    assert float(thin) == pytest.approx(0.0136 * 0.1 * (1 + 0.038 * np.log(0.01)), rel=1e-5)
    assert float(slow) > 1.4 * float(thin)
