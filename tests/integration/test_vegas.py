"""VEGAS: the map and its inverse, estimates with right errors, cells, peaks, bad integrands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration import toys, vegas

SMALL = vegas.Settings(n_points=4000, n_bins=50)


@pytest.fixture
def bent():
    """A grid that is not even."""
    rng = np.random.default_rng(0)
    widths = rng.uniform(0.2, 2.0, (3, 20))
    return jnp.concatenate([np.zeros((3, 1)), np.cumsum(widths, 1) / widths.sum(1)[:, None]], 1)


def test_the_map_and_its_inverse(bent):
    y = np.random.default_rng(1).uniform(size=(500, 3))
    x, log_jacobian = vegas.forward(bent, y)
    again, back = vegas.inverse(bent, x)
    np.testing.assert_allclose(again, y, atol=1e-12)
    np.testing.assert_allclose(back, -log_jacobian, atol=1e-12)
    slope = jax.vmap(jax.jacfwd(lambda y: vegas.forward(bent, y[None])[0][0]))(y)
    np.testing.assert_allclose(np.exp(log_jacobian), np.linalg.det(slope), rtol=1e-9)
    ends, _ = vegas.forward(bent, np.array([[0.0] * 3, [1.0] * 3]))
    np.testing.assert_array_equal(ends, [[0.0] * 3, [1.0] * 3])


def test_a_grid_follows_a_density():
    """Where the squared integrand is even, edges stay; where it is not, bins get equal shares."""
    x = np.random.default_rng(2).uniform(size=(40_000, 1))
    even = jnp.linspace(0, 1, 11)[None]
    np.testing.assert_allclose(vegas.refine(even, x, np.ones(len(x)), 0.5), even, atol=1e-9)
    edges = even
    for _ in range(60):  # f^2 dx/dy of each bin becomes the same: widths like 1 / f
        y = np.random.default_rng(3).uniform(size=x.shape)
        at, log_jacobian = vegas.forward(edges, y)
        edges = vegas.refine(edges, at, (1 + at[:, 0]) * np.exp(log_jacobian), 0.5)
    expected = np.sqrt(1 + 3 * np.linspace(0, 1, 11)) - 1  # of a density of 1 + x
    np.testing.assert_allclose(edges[0], expected, atol=0.02)


def test_few_points_have_few_bins():
    """Edges follow no noise: with 2000 points the weights are as with ten times as many."""
    few = vegas.Settings(n_points=2000, beta=0.0)
    many = few._replace(n_points=20_000)
    states = [vegas.init(2, settings) for settings in (few, many)]
    assert [state.edges.shape for state in states] == [(2, 201), (2, 1001)]
    assert vegas.init(1, few._replace(n_points=4)).edges.shape == (1, 3)
    rsd = [
        vegas.integrate(toys.camel, state, jax.random.key(0), settings)[0].rsd
        for state, settings in zip(states, (few, many))
    ]
    np.testing.assert_allclose(*rsd, rtol=0.05)


@pytest.mark.parametrize("beta", [0.0, 0.75])
def test_pulls_are_normal(beta):
    """Forty integrals: no bias, and the error that is said."""
    settings = SMALL._replace(beta=beta)
    pulls, errors = [], []
    for seed in range(40):
        found, _ = vegas.integrate(
            toys.camel, vegas.init(2, settings), jax.random.key(seed), settings
        )
        pulls.append((found.value - toys.camel_integral(2)) / found.error)
        errors.append(found.error)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(40)
    assert 0.7 < np.std(pulls) < 1.35
    assert found.n == 5 * 4000
    assert found.rsd == pytest.approx(found.error / found.value * np.sqrt(20_000))
    assert np.median(errors) < (0.006, 0.0012)[beta > 0]


def test_cells_fill_their_room():
    assert vegas.cells(2, vegas.Settings(n_points=20_000)) == (50, 50)
    assert vegas.cells(4, vegas.Settings(n_points=20_000)) == (7, 7, 7, 7)
    assert vegas.cells(3, vegas.Settings(n_points=20_000, beta=0.0)) == (1, 1, 1)
    assert vegas.cells(9, vegas.Settings(n_points=10)) == (1,) * 9


def test_points_go_where_the_integrand_varies():
    settings = SMALL._replace(damping=0.0)
    state = vegas.init(2, settings)
    state = state._replace(weight=state.weight.at[0].set(1e6))
    drawn = vegas.draw(toys.camel, state, jax.random.key(0), settings)
    count = np.bincount(drawn.cell, minlength=len(state.weight))
    assert count.sum() == 4000
    assert count.min() == vegas.MIN_CELL
    assert count[0] > 0.7 * 4000
    np.testing.assert_array_equal(count[drawn.cell], drawn.n_in_cell)
    flat = vegas.draw(lambda x: jnp.ones(len(x)), state, jax.random.key(1), settings)
    assert flat.weight.mean() == pytest.approx(1)


def test_a_narrow_peak_is_found_and_held():
    """Of width 1e-4, a part in 10^8 of the square: nothing becomes infinite, no edges meet."""
    settings = vegas.Settings(n_points=20_000, n_bins=200, beta=0.0)
    found, state = vegas.integrate(
        toys.peak, vegas.init(2, settings), jax.random.key(0), settings, n_steps=30, n_burn=25
    )
    assert found.value == pytest.approx(1, abs=0.1)
    assert np.isfinite(state.edges).all()
    assert (np.diff(state.edges) > 0).all()
    for edges, centre in zip(np.asarray(state.edges), (0.3, 0.6)):
        assert (np.abs(edges - centre) < 4e-4).mean() > 0.9


def test_nothing_to_learn_from_changes_nothing():
    state = vegas.init(2, SMALL)
    again, _, found = vegas.step(lambda x: jnp.zeros(len(x)), state, jax.random.key(0), SMALL)
    assert found.value == 0
    jax.tree.map(np.testing.assert_array_equal, again, state)


def test_bad_integrands_and_settings_are_named():
    state = vegas.init(2, SMALL)
    with pytest.raises(ValueError, match=r"integrand: gave \(4000, 2\)"):
        vegas.draw(lambda x: x, state, jax.random.key(0), SMALL)
    with pytest.raises(ValueError, match="step 0 gave nan"):
        vegas.integrate(lambda x: jnp.full(len(x), jnp.nan), state, jax.random.key(0), SMALL)
    with pytest.raises(ValueError, match="n_burn: 3, expected 0 to 2"):
        vegas.integrate(toys.camel, state, jax.random.key(0), SMALL, n_steps=3, n_burn=3)
    with pytest.raises(ValueError, match="dim: 0"):
        vegas.init(0, SMALL)
    with pytest.raises(ValueError, match="n_points: 1"):
        vegas.init(1, vegas.Settings(n_points=1))


def test_estimates_are_combined_by_their_points():
    """And not by their errors: the mean of what steps of equal size gave."""
    one = vegas.Estimate(1.0, 0.3, 100, 3.0)
    other = vegas.Estimate(2.0, 0.4, 100, 2.0)
    found = vegas.combine([one, other])
    assert found.value == 1.5
    assert found.error == pytest.approx(0.25)
    assert found.n == 200
    assert found.rsd == pytest.approx(0.25 * np.sqrt(200) / 1.5)


def test_channels_side_by_side_are_those_one_after_the_other():
    """A step under vmap, with a grid and cells of each channel's own."""
    powers, keys = jnp.array([1.0, 3.0]), jax.random.split(jax.random.key(0), 2)

    def step(state, power, key):
        return vegas.step(lambda x: (power + 1) * x[:, 0] ** power, state, key, SMALL)

    first = vegas.init(2, SMALL)
    both = jax.tree.map(lambda x: jnp.stack([x, x]), first)
    states, _, found = jax.vmap(step)(both, powers, keys)
    np.testing.assert_allclose(found.value, [1, 1], atol=0.05)
    for k in (0, 1):
        state, _, one = step(first, powers[k], keys[k])
        assert float(one.value) == pytest.approx(float(found.value[k]), rel=1e-9)
        np.testing.assert_allclose(states.edges[k], state.edges, atol=1e-9)
        np.testing.assert_allclose(states.weight[k], state.weight, rtol=1e-6, atol=1e-9)


def test_a_graded_grid_has_no_wide_bin_beside_a_narrow_one():
    """A bin is at most as wide as another and the distance to it; ends and numbers stay."""
    narrow = 0.3 + 1e-5 * np.linspace(-1, 1, 99)
    edges = np.concatenate([[0], narrow, [1]])
    found = np.asarray(vegas.graded(np.stack([edges, np.linspace(0, 1, 101)])))
    assert found.shape == (2, 101)
    assert (found[:, [0, -1]] == [0, 1]).all()
    np.testing.assert_allclose(found[1], np.linspace(0, 1, 101), atol=1e-12)
    width = np.diff(found[0])
    assert (width > 0).all()
    assert np.maximum(width[1:] / width[:-1], width[:-1] / width[1:]).max() < 4
    inside = (found[0] > narrow[0]) & (found[0] < narrow[-1])
    assert 60 < inside.sum() < 90  # most bins stay in the peak
    assert ((found[0] > 0.3 + 1e-5) & (found[0] < 0.301)).sum() >= 4
    slow = np.diff(np.asarray(vegas.graded(edges, growth=0.3)))
    assert np.maximum(slow[1:] / slow[:-1], slow[:-1] / slow[1:]).max() < 2
