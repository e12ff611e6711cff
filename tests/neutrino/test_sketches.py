"""Sketches: their means and widths against the truth, and what becomes of events of nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import coordinates, frames, sketches


@pytest.fixture(scope="module")
def features(small):
    """The function features(pulses, sketches) -> of 48 events, compiled once."""
    return jax.jit(lambda pulses, found: sketches.features(small, pulses, found))


@pytest.mark.smoke
def test_widths_are_the_errors(small_events, sketched):
    """In units of the lens of the mode that is nearest, two in five truths are within 1."""
    found = sketched
    truth = small_events[1].direction[:48]

    def to(charts, n):
        return jax.vmap(lambda c: coordinates.tangents(c, n))(charts)

    flat = coordinates.ANGLE * np.asarray(jax.vmap(to)(found.guess.chart, truth))
    z = np.linalg.solve(np.asarray(sketches.lens(found.looks)), flat[..., None])[..., 0]
    away = np.linalg.norm(z, axis=-1)
    assert 0.25 < (away.min(1) < 1).mean() < 0.65
    assert (away.min(1) > 4).mean() < 0.15
    assert (away[:, 0] > 4).mean() < 0.3


def test_evidence_falls_and_shares_are_probabilities(sketched):
    looks = sketched.looks
    assert (np.diff(np.asarray(looks.evidence), axis=1) <= 0).all()
    share = np.exp(np.asarray(sketches.shares(looks)))
    np.testing.assert_allclose(share.sum(1), 1, atol=1e-5)
    assert 0.3 < np.median(share[:, 0]) <= 1


def test_features_have_one_shape_and_are_finite(features, small_events, sketched):
    given = features(jax.tree.map(lambda x: x[:48], small_events[0]), sketched)
    assert given.pulse.shape == (48, 48, frames.N_PULSE + 13)
    assert all(np.isfinite(x).all() for x in given)
    assert (np.abs(given.whole) < 40).all()


def test_an_event_without_pulses_has_a_wide_sketch(empty, sketch, features):
    both = jax.tree.map(lambda x: x[:48], empty)
    found = sketch(*both)
    assert (np.degrees(sketches.lens(found.looks)[:, :, 0, 0]) > 5).all()
    assert all(np.isfinite(x).all() for x in features(both[0], found))


def test_where_no_draw_has_a_density_the_sketch_is_wide_about_the_guess(
    small, small_events, guessed, monkeypatch
):
    """Draws that nothing holds go astray, further with each round."""
    given = jax.tree.map(lambda x: x[:2], (small_events[0], guessed))
    monkeypatch.setattr(sketches.surrogate, "log_l", lambda *_, **__: jnp.nan)
    few = sketches.Settings(n_rounds=8, n_draws=16)
    found = jax.jit(lambda pulses, guess: sketches.about(small, pulses, guess, few))(*given)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
    assert (np.degrees(sketches.lens(found.looks)[:, :, 0, 0]) > 5).all()
    off = found.guess.chart.anchor - given[1].chart.anchor[:, :1]
    assert np.linalg.norm(off, axis=-1).max() < 1


def test_lenses_are_kept_in_bounds():
    thin = jnp.array([[1.0, 0.0], [0.0, 1e-12]])
    factor = np.asarray(sketches._factor(thin))
    assert factor[1, 1] == pytest.approx(sketches.THINNEST)
    wide = np.asarray(sketches._factor(jnp.array([[1e6, 1e6], [1e6, 2e6]])))
    assert (np.diag(wide) == sketches.WIDTHS[1]).all()
    c = np.array([[2.0, 0.5], [0.5, 1.0]])
    factor = np.asarray(sketches._factor(jnp.asarray(c)))
    np.testing.assert_allclose(factor @ factor.T, c, rtol=1e-5)
