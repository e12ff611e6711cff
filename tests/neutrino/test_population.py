"""Population Monte Carlo: densities that are known, by their moments, modes and weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import population

COVARIANCE = np.array([[1.0, 1.8], [1.8, 4.0]])
SHIFT = jnp.array([0.5, -1.0])


def gaussian(x):
    return -(x - SHIFT) @ jnp.asarray(np.linalg.inv(COVARIANCE), jnp.float32) @ (x - SHIFT) / 2


def two(x):
    """Two modes, 12 standard deviations apart, of weights 3 to 1; nothing below x = -6.2."""
    both = jnp.array([(x[0] - 6) ** 2, (x[0] + 6) ** 2 + 2 * jnp.log(3.0)]) / 2
    return jnp.where(x[0] < -6.2, -jnp.inf, jax.nn.logsumexp(-both)) - x[1] ** 2 / 2


@pytest.fixture(scope="module")
def sampled():
    start = population.around(jnp.zeros((1, 2)), 9 * jnp.eye(2)[None], 3)
    return jax.jit(lambda key: population.sample(key, gaussian, start))(jax.random.key(0))


@pytest.mark.smoke
def test_a_gaussian_by_its_moments(sampled):
    assert sampled.effective > 5000
    assert float(sampled.weight.sum()) == pytest.approx(1, abs=1e-4)
    error = np.sqrt(np.diag(COVARIANCE) / float(sampled.effective))
    assert (np.abs(np.asarray(sampled.mean() - SHIFT)) < 4 * error).all()
    covariance = np.cov(np.asarray(sampled.x).T, aweights=np.asarray(sampled.weight))
    np.testing.assert_allclose(covariance, COVARIANCE, rtol=0.1)
    value = jax.vmap(gaussian)(sampled.x)
    np.testing.assert_allclose(sampled.log_density, value, atol=1e-3)


def test_a_rough_density_teaches_and_does_not_count(sampled):
    """One that is shifted and too wide: draws have the moments of the exact one."""
    rough = lambda x: gaussian(0.8 * x - 0.3)  # noqa: E731
    start = population.around(jnp.zeros((1, 2)), 9 * jnp.eye(2)[None], 3)
    found = jax.jit(lambda key: population.sample(key, gaussian, start, rough=rough))(
        jax.random.key(0)
    )
    assert 2000 < found.effective < sampled.effective
    error = np.sqrt(np.diag(COVARIANCE) / float(found.effective))
    assert (np.abs(np.asarray(found.mean() - SHIFT)) < 4 * error).all()


def test_draws_are_chosen_by_their_weights(sampled):
    at = population.chosen(jax.random.key(1), sampled, 2000)
    x = np.asarray(sampled.x[at])
    error = np.sqrt(np.diag(COVARIANCE) / 1000)
    assert (np.abs(x.mean(0) - np.asarray(SHIFT)) < 4 * error).all()
    np.testing.assert_allclose(np.cov(x.T), COVARIANCE, rtol=0.15)
    heavy = sampled._replace(weight=jnp.zeros(8192).at[7].set(1.0))
    assert set(np.asarray(population.chosen(jax.random.key(1), heavy, 50))) == {7}


def test_modes_have_their_weight_and_walls_hold():
    centres = jnp.array([[6.0, 0.0], [-6.0, 0.0]])
    start = population.around(centres, jnp.tile(jnp.eye(2), (2, 1, 1)), 4)
    found = jax.jit(lambda key: population.sample(key, two, start))(jax.random.key(2))
    assert found.effective > 2000
    left = float(found.weight[found.x[:, 0] < 0].sum())
    inside = 1 / 3 * 0.57926  # of the second mode, above its mean less 0.2
    assert left == pytest.approx(inside / (1 + inside), abs=0.02)
    assert float(found.weight[found.x[:, 0] < -6.2].sum()) == 0


def test_equal_weights_are_worth_their_number():
    assert float(population.effective(jnp.full(50, 0.02))) == pytest.approx(50)
    assert float(population.effective(jnp.array([1.0, 0.0]))) == 1


def test_components_start_at_modes_wider_and_wider():
    start = population.around(jnp.array([[0.0], [5.0]]), jnp.ones((2, 1, 1)), 5)
    assert start.centre[:, 0].tolist() == [0, 5, 0, 5, 0]
    assert start.covariance[:, 0, 0].tolist() == [1, 1, 4, 4, 16]
    assert float(jnp.exp(start.log_share).sum()) == pytest.approx(1)


def test_too_few_draws_are_named(sampled):
    few = population.Settings(n_draws=2)
    with pytest.raises(ValueError, match="n_draws: 2, expected more than 2 dimensions"):
        population.sample(jax.random.key(0), gaussian, sampled.mixture, few)


def started(*centres, wide=1.0):
    centres = jnp.array(centres)
    return population.around(
        centres, jnp.tile(wide * jnp.eye(2), (len(centres), 1, 1)), len(centres)
    )


@pytest.fixture(scope="module")
def banana():
    """Draws of a bent density from a start that is off."""

    def log_p(x, _):
        return -(x[0] ** 2) / 2 - (x[1] - 0.4 * x[0] ** 2) ** 2

    start = started([3.0, -2.0], wide=0.5)
    return jax.jit(lambda: population.recycled(log_p, start, n_rounds=16, n_draws=64))()


def test_recycled_draws_find_moments_and_size(banana):
    assert banana.power == 1
    assert banana.effective > 300
    assert float(banana.effective) == pytest.approx(float(population.effective(banana.weight)))
    np.testing.assert_allclose(banana.mixture.centre[0], [0, 0.4], atol=0.1)
    np.testing.assert_allclose(np.diag(banana.mixture.covariance[0]), [1, 0.82], rtol=0.2)
    integral = np.exp(np.asarray(banana.log_weight, float)).mean()
    assert integral == pytest.approx(np.sqrt(2) * np.pi, rel=0.15)


@pytest.fixture(scope="module")
def in_two():
    """Draws of two modes, from close to each, and a third start where nothing is."""
    start = started([5.0, 0.5], [-5.0, 0.0], [40.0, 40.0])
    return jax.jit(
        lambda: population.recycled(lambda x, _: two(x), start, n_rounds=12, n_draws=64)
    )()


def test_recycled_components_share_modes(in_two):
    """Means and shares are those of the modes; the lost one helps where most draws are."""
    share, centre = np.exp(in_two.mixture.log_share), np.asarray(in_two.mixture.centre)
    assert in_two.effective > 300
    assert share.sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(in_two.belongs.sum(0), in_two.weight, atol=1e-6)
    inside = 1 / 3 * 0.57926
    left = centre[:, 0] < 0
    assert left.tolist() == [False, True, False]
    assert share[left].sum() == pytest.approx(inside / (1 + inside), abs=0.04)
    mean = share[~left] @ centre[~left] / share[~left].sum()
    np.testing.assert_allclose(mean, [6, 0], atol=0.25)


def test_densities_are_asked_by_what_draws_come_from():
    """A density that is there for draws of the second component alone."""
    log_p = lambda x, k: jnp.where(k == 1, two(x), -jnp.inf)  # noqa: E731
    start = started([5.0, 0.5], [-5.0, 0.0])
    found = population.recycled(log_p, start, n_rounds=1, n_draws=64)
    assert (found.weight[:64] == 0).all()
    assert float(found.weight[64:].sum()) == pytest.approx(1, abs=1e-5)


def test_weights_are_tempered_where_few_have_all():
    log_weight = jnp.array([0.0, -5, -5, -5, -5])
    weight, power = population.tempered(log_weight, 3.0)
    assert power < 1
    assert population.effective(weight) >= 3
    assert population.tempered(log_weight, 1.0)[1] == 1
    assert population.tempered(log_weight, 6.0)[1] == population.POWERS[-1]


def test_where_there_is_nothing_it_says_so():
    nothing = lambda x, _: -jnp.inf * jnp.ones(())  # noqa: E731
    found = population.recycled(nothing, started([50.0, 0.0]), n_rounds=4, n_draws=32)
    assert (found.log_weight < population.NOTHING / 2).all()
    np.testing.assert_allclose(found.mixture.centre, [[50, 0]], atol=5)  # and stays where it was
