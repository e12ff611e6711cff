"""Pictures against numpy's histogram, from a standard position that forgets where the jet was."""

import jax
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.jets import data, images


def jets(n_jets=6, n_particles=20, seed=0):
    """Inputs of massless particles around the axis, the second jet with few, the last empty."""
    rng = np.random.default_rng(seed)
    mask = np.arange(n_particles) < np.array([n_particles] * (n_jets - 2) + [2, 0])[:, None]
    points = rng.normal(0, 0.25, (n_jets, n_particles, 2)) * [1.0, 0.5]
    pt = rng.exponential(20, (n_jets, n_particles)) + 1
    p4 = lorentz.from_pt_eta_phi_mass(pt, points[..., 0], points[..., 1], np.zeros_like(pt))
    kept = mask[..., None]
    return data.Inputs(np.zeros((n_jets, n_particles, 7)), points * kept, p4 * kept, mask)


def by_hand(inputs, jet, n_pixels, radius):
    """One jet in float64: moment matrix, its eigenvectors, flips, numpy's histogram."""
    kept = inputs.mask[jet]
    pt, x = lorentz.pt(inputs.p4[jet, kept]), inputs.points[jet, kept]
    x = x - np.average(x, axis=0, weights=pt)
    _, vectors = np.linalg.eigh((x * pt[:, None]).T @ x)
    along, across = x @ vectors[:, 1], x @ vectors[:, 0]
    along, across = (v if (np.sign(v) * pt).sum() >= 0 else -v for v in (along, across))
    edges = np.linspace(-radius, radius, n_pixels + 1) - images.NUDGE * 2 * radius / n_pixels
    return np.histogram2d(along, across, [edges, edges], weights=pt / pt.sum())[0]


@pytest.mark.parametrize(("n_pixels", "radius"), [(64, 0.8), (16, 0.3)])
def test_numpy_histogram(n_pixels, radius):
    inputs = jets()
    found = jax.jit(images.image, static_argnums=(1, 2))(inputs, n_pixels, radius)
    assert found.shape == (6, n_pixels, n_pixels)
    for jet in range(4):
        np.testing.assert_allclose(found[jet], by_hand(inputs, jet, n_pixels, radius), atol=1e-6)
    assert np.all(np.asarray(found)[5] == 0)
    inside = np.asarray(found).sum((1, 2))
    assert np.all((inside[:4] > 0.9) if radius > 0.5 else (inside[:4] < 0.999))


@pytest.mark.parametrize("change", ["shift", "turn", "mirror", "scale", "order"])
def test_what_a_picture_forgets(change):
    inputs = jets()
    points, p4, mask = inputs.points, inputs.p4, inputs.mask
    if change == "shift":
        points = points + np.array([0.11, -0.23])
    if change == "turn":
        c, s = np.cos(0.7), np.sin(0.7)
        points = points @ np.array([[c, s], [-s, c]])
    if change == "mirror":
        points = points * [-1, 1]
    if change == "scale":
        p4 = 3 * p4
    if change == "order":
        order = np.random.default_rng(1).permutation(points.shape[1])
        points, p4, mask = points[:, order], p4[:, order], mask[:, order]
    take = jax.jit(images.image, static_argnums=(1, 2))
    before = np.asarray(take(inputs, 32, 0.8))
    after = np.asarray(take(inputs._replace(points=points, p4=p4, mask=mask), 32, 0.8))
    assert np.abs(before).sum((1, 2))[:5].min() > 0.9
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_the_standard_position():
    inputs = jets(seed=3)
    pt = lorentz.pt(inputs.p4)
    place = np.asarray(jax.jit(images.standard)(inputs.points, pt))
    mean = (place * pt[..., None]).sum(1)[:5] / pt.sum(1)[:5, None]
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    x, y = place[..., 0], place[..., 1]
    assert np.all((pt * (y**2 - x**2)).sum(1)[:5] > 0)
    np.testing.assert_allclose((pt * x * y).sum(1), 0, atol=2e-3)
    assert np.all((pt * np.sign(y)).sum(1)[:5] >= 0)
    assert np.all((pt * np.sign(x)).sum(1)[:4] >= 0)


def test_two_particles_share_a_column():
    """They lie on the axis up to rounding; whichever way the jet pointed, it is one column."""
    take = jax.jit(images.image, static_argnums=(1, 2))
    for seed in range(20):
        picture = np.asarray(take(jets(seed=seed), 64, 2.0))[4]
        assert np.flatnonzero(picture.sum(0)).tolist() == [32]
        assert (picture > 0).sum() == 2


def test_momentum_has_no_gradient():
    inputs = jets()

    def total(p4):
        return (images.image(inputs._replace(p4=p4), 16, 0.8) ** 2).sum()

    assert np.all(np.asarray(jax.jit(jax.grad(total))(inputs.p4.astype(np.float32))) == 0)
