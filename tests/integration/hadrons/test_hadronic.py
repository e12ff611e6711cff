"""Hadronic processes by matrix elements: Pythia, events of another program, cuts, symmetry."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration import integrator, vegas
from hepjax.integration.amplitudes import standard_model
from hepjax.integration.hadrons import (
    alpha_s,
    flavours,
    hadronic,
    pdf,
    processes,
)
from hepjax.integration.kinematics import layouts, scales

needs_densities = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc, whose parton densities are used, comes with the extra `generators`",
)


@pytest.fixture(scope="module")
def densities():
    with jax.enable_x64(True):
        return pdf.load(processes.PROTON)


def running():
    known = alpha_s.running(0.13, 91.188, loops=2)
    return lambda square: alpha_s.alpha_s(known, square)


def total(integrand, n_points, n_steps=6, seed=0):
    """Integrate by VEGAS on each channel: cross-section and error, pb."""
    settings = vegas.Settings(n_points=n_points, n_bins=64, beta=0.0)
    _, found = integrator.classical(integrand, jax.random.key(seed), settings, n_steps=n_steps)
    return float(found.value.sum()), float((found.error**2).sum() ** 0.5)


def agrees(found, reference, most):
    """A pull below four, at a relative error below a bound."""
    error = (found[1] ** 2 + reference[1] ** 2) ** 0.5
    assert found[1] < most * reference[0]
    assert abs(found[0] - reference[0]) < 4 * error


@needs_densities
def test_top_pairs_of_gluons_as_in_other_events(densities):
    process = hadronic.of("g g > t t~", scale=scales.clustered, coupling=running())
    agrees(total(hadronic.integrand(process, densities), 10_000), (440.675, 0.367), 0.01)


@needs_densities
def test_top_pairs_and_a_gluon_as_in_other_events(densities):
    process = hadronic.of("g g > t t~ g", scale=scales.clustered, coupling=running())
    integrand = hadronic.integrand(process, densities)
    assert (integrand.dim, integrand.n_channels) == (7, 4)
    agrees(total(integrand, 4000), (414.03, 0.92), 0.01)


@needs_densities
def test_all_partons_of_top_pairs_as_in_pythia(densities):
    """Pythia 8.317 with a fixed coupling and scale: 566.2 +- 0.7 pb."""
    parameters = standard_model.DEFAULT._replace(mass_top=172.5, width_top=0.0)
    process = hadronic.top_pair(0, scale=scales.fixed(172.5), parameters=parameters)
    agrees(total(hadronic.integrand(process, densities), 10_000), (566.2, 0.7), 0.01)
    gluons = hadronic.of("g g > t t~", scale=scales.fixed(172.5), parameters=parameters)
    agrees(total(hadronic.integrand(gluons, densities), 10_000), (495.2, 0.7), 0.01)


@pytest.fixture(scope="module")
def jet():
    """A top pair and a jet, and points of it."""
    with jax.enable_x64(True):
        process = hadronic.of("g g > t t~ g")
        rng = np.random.default_rng(0)
        u, channel = rng.uniform(size=(500, 7)), rng.integers(0, 4, 500)
        at = jax.jit(lambda u, k: hadronic.points(process, u, k))(u, channel)
        return process, u, channel, at


def test_points_are_those_of_their_layouts(jet):
    process, u, channel, at = jet
    for k, layout in enumerate(process.layouts):
        own = layouts.forward(process.space, layout, u[channel == k])
        np.testing.assert_allclose(own.momenta, at.momenta[channel == k], rtol=1e-9, atol=1e-9)


def test_cuts(jet):
    process, _, _, at = jet
    kept = np.asarray(hadronic.passes(process, at))
    p = np.asarray(at.momenta)[:, 4]
    pt = np.hypot(p[:, 1], p[:, 2])
    boost = np.log(at.first / at.second) / 2
    with np.errstate(divide="ignore"):
        eta = np.arctanh(p[:, 3] / p[:, 0]) + boost
    expected = (pt >= 20) & (np.abs(eta) <= 5) & np.isfinite(at.log_jacobian)
    np.testing.assert_array_equal(kept, expected)
    assert 0.05 < kept.mean() < 0.95


def test_jets_keep_their_distance():
    process = hadronic.of("g g > t t~ g g")
    turns = np.array([0.1, 0.39, 0.41, 3.0, 2 * np.pi - 0.2, 2 * np.pi - 0.5])
    p = np.zeros((len(turns), 6, 4))
    p[:, 4] = [50, 50, 0, 0]
    p[:, 5] = 30 * np.stack([np.ones(6), np.cos(turns), np.sin(turns), np.zeros(6)], 1)
    half = np.full(len(turns), 0.5)
    at = layouts.Points(jnp.asarray(p), half, half, jnp.zeros(len(turns)))
    kept = np.asarray(hadronic.passes(process, at))
    assert kept.tolist() == [False, False, True, True, False, True]


@needs_densities
def test_the_hadrons_are_alike(densities):
    """A process and its mirror image add up to the same, point by point."""
    process = hadronic.top_pair(1)
    rng = np.random.default_rng(0)
    n = 20
    at = layouts.forward(process.space, process.layouts[0], rng.uniform(size=(n, 7)))
    mirrored = at.momenta.at[..., 3].multiply(-1).at[:, :2].set(at.momenta[:, :2])
    other = layouts.Points(mirrored, at.second, at.first, at.log_jacobian)
    value = jax.jit(lambda at: hadronic.parts(process, densities, at).sum(-1))
    kept = np.asarray(hadronic.passes(process, at))
    np.testing.assert_allclose(value(at)[kept], value(other)[kept], rtol=1e-9)
    assert kept.sum() > 3


def test_masses_must_agree():
    with pytest.raises(ValueError, match=r"outgoing masses .* expected the same of all"):
        hadronic.of_all(dict.fromkeys(("g g > t t~", "u u~ > w+ w-"), ()))


@pytest.mark.parametrize(
    ("process", "what"),
    [
        ("g b > t w-", "5 comes in, expected a parton without mass"),
        ("e- e+ > mu- mu+", "comes in, expected a parton"),
        ("u d~ > w+", "1 outgoing particles, expected at least 2"),
        ("g g > b b~", "a jet of 4.7 GeV, expected no mass"),
    ],
)
def test_what_is_not_there_is_an_error(process, what):
    with pytest.raises(ValueError, match=what):
        hadronic.of(process)


def test_a_least_momentum_must_be_there():
    with pytest.raises(ValueError, match=r"min_pt: 0.0, expected above 0"):
        hadronic.of("g g > t t~ g", cuts=hadronic.Cuts(min_pt=0.0))


def test_cuts_are_for_jets_alone():
    process = hadronic.of("u u~ > e- e+ g")
    assert process.jets == process.space.hard == (2,)


def test_one_process_has_the_partons_that_it_names():
    process = hadronic.of("u g > t t~ u")
    assert process.terms[0].ways == (flavours.Way((0, 1, 2, 3, 4), ((2, 21, 6, -6, 2),)),)
    assert process.jets == (2,)
