"""Fits of tracks find what toys were made with, with pulls of width one and chi2 of its mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.tracking import fits

N = 400
helix = jax.jit(fits.helix, static_argnums=2)


def padded(position, seed=0):
    """Drop hits at random, and pad with rubbish."""
    there = np.random.default_rng(seed).random(position.shape[:2]) < 0.8
    there[:, [0, 3, 6, 9]] = True
    return jnp.asarray(np.where(there[..., None], position, 777.0), jnp.float32), jnp.asarray(there)


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.normal(size=(N, 2)), rng.normal(scale=0.2, size=(N, 2))], -1)
    z = np.sort(rng.uniform(0, 300, (N, 10)), -1)
    xy = truth[:, None, :2] + truth[:, None, 2:] * z[..., None]
    xy = xy + rng.normal(scale=0.02, size=xy.shape)
    return truth, *padded(np.concatenate([xy, z[..., None]], -1))


@pytest.fixture(scope="module")
def helices():
    """Particles of 0.4 to 10 GeV in 2 T, both charges, measured in ten layers around the beam."""
    rng = np.random.default_rng(1)
    kappa = rng.choice([-1, 1], N) * fits.TESLA_MM * 2 / rng.uniform(0.4, 10, N)
    phi0, tan = rng.uniform(-np.pi, np.pi, N), rng.normal(scale=1, size=N)
    d0, z0 = rng.normal(scale=0.3, size=N), rng.normal(scale=30, size=N)
    s = np.linspace(30, 500, 10) * np.ones((N, 1))
    turn = phi0[:, None] + kappa[:, None] * s
    x = d0 * np.sin(phi0) + (np.sin(turn) - np.sin(phi0)[:, None]).T / kappa
    y = -d0 * np.cos(phi0) - (np.cos(turn) - np.cos(phi0)[:, None]).T / kappa
    across = rng.normal(scale=0.02, size=(N, 10))
    x, y = x.T - np.sin(turn) * across, y.T + np.cos(turn) * across
    z = z0[:, None] + tan[:, None] * s + rng.normal(scale=0.05, size=(N, 10))
    truth = np.stack([d0, phi0, kappa, z0, tan], -1)
    return truth, *padded(np.stack([x, y, z], -1))


def check(fit, truth, wrap=None):
    pull = np.array(fits.pulls(fit, jnp.asarray(truth, jnp.float32)))
    if wrap is not None:
        error = np.sqrt(np.asarray(fit.covariance)[:, wrap, wrap])
        apart = np.asarray(fit.parameters)[:, wrap] - truth[:, wrap]
        pull[:, wrap] = (np.mod(apart + np.pi, 2 * np.pi) - np.pi) / error
    np.testing.assert_allclose(pull.mean(0), 0, atol=4 / np.sqrt(N))
    np.testing.assert_allclose(pull.std(0), 1, atol=0.12)
    ratio = np.asarray(fit.chi2).sum() / np.asarray(fit.n_dof).sum()
    assert ratio == pytest.approx(1, abs=0.06)


@pytest.mark.smoke
def test_lines(lines):
    truth, position, mask = lines
    check(jax.jit(fits.line)(position, mask, 0.02), truth)


def test_the_line_elsewhere_is_the_same_line(lines):
    _, position, mask = lines
    here, there = fits.line(position, mask, 0.02), fits.line(position, mask, 0.02, at=100.0)
    moved = here.parameters[:, :2] + 100 * here.parameters[:, 2:]
    np.testing.assert_allclose(there.parameters[:, :2], moved, atol=2e-3)
    np.testing.assert_allclose(there.chi2, here.chi2, rtol=1e-3)


def test_helices(helices):
    truth, position, mask = helices
    check(helix(position, mask, (0.02, 0.05)), truth, wrap=1)


def test_momenta(helices):
    truth, position, mask = helices
    fit = helix(position, mask, (0.02, 0.05))
    pt = fits.pt_of(fit.parameters[:, 2], 2.0)
    expected = fits.TESLA_MM * 2 / np.abs(truth[:, 2])
    assert np.median(np.abs(pt / expected - 1)) < 0.02
    assert (np.sign(fit.parameters[:, 2]) == np.sign(truth[:, 2])).mean() > 0.99


def test_a_helix_that_is_straight():
    s = np.linspace(30, 500, 10)
    position = np.stack([0.6 * s, 0.8 * s, 5 + 0.5 * s], -1)[None]
    given = jnp.asarray(position, jnp.float32), jnp.ones((1, 10), bool)
    fit = helix(*given, (0.02, 0.05))
    expected = [0, np.arctan2(0.8, 0.6), 0, 5, 0.5]
    np.testing.assert_allclose(fit.parameters[0], expected, atol=1e-3)
    assert fit.chi2[0] < 0.1


def test_padding_holds_anything(lines):
    _, position, mask = lines
    other = jnp.where(mask[..., None], position, -1e3)
    once, again = (fits.line(x, mask, 0.02).parameters for x in (position, other))
    np.testing.assert_allclose(again, once, atol=1e-5)


def test_hits_are_laid_out_from_the_inside():
    position = np.array([[5.0, 0, 0], [1, 0, 0], [3, 0, 0], [0, 2, 0]])
    pairs = np.array([[0, 1], [3, 0], [2, 1], [1, 1], [1, 0]])
    laid, mask = fits.arrays(position, pairs, max_hits=4, step=8)
    assert laid.shape == (8, 4, 3)
    assert mask.sum(1).tolist() == [2, 3, 0, 0, 0, 0, 0, 0]
    assert np.abs(laid[1, :3]).sum(-1).tolist() == [1, 3, 5]
    with pytest.raises(ValueError, match="track 1: 3 hits, expected at most 2"):
        fits.arrays(position, pairs, max_hits=2)


def test_transverse_momenta_of_an_event(pixel_sample):
    """Of prompt particles with four layers or more, within some percent."""
    event = pixel_sample[0].event
    n = np.bincount(event.truth[:, 1], minlength=len(event.particles["pt"]))
    prompt = np.hypot(event.particles["vx"], event.particles["vy"]) < 0.1
    chosen = (n >= 4) & prompt & (np.abs(event.particles["eta"]) < 1)
    pairs = event.truth[chosen[event.truth[:, 1]]]
    pairs[:, 1] = np.unique(pairs[:, 1], return_inverse=True)[1]
    position = np.stack([event.hits[k] for k in "xyz"], -1)
    pt = fits.transverse_momenta(position, pairs, (0.0144, 0.0162), 2.0)
    off = pt / event.particles["pt"][chosen] - 1
    assert len(pt) == chosen.sum()
    assert np.median(np.abs(off)) < 0.04
    assert abs(np.median(off)) < 0.02
    assert fits.transverse_momenta(position, pairs[:0], (0.01, 0.01), 2.0).shape == (0,)
