"""Discrete numbers: probabilities that add up, frequencies, what is given and what is forbidden."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import discrete

SIZES = (2, 3, 4)
ALL = np.array(list(itertools.product(*map(range, SIZES))))


def wild(seed=0, **options):
    """Networks whose last layers are no zeros, and priors that stay."""
    found = discrete.init(jax.random.key(seed), SIZES, discrete.Settings(8), **options)
    rng = np.random.default_rng(seed)

    def moved(one):
        shift = lambda x: x + rng.normal(0, 0.7, x.shape).astype(np.float32)  # noqa: E731
        return one._replace(layers=jax.tree.map(shift, one.layers))

    return [moved(one) for one in found]


def test_they_begin_even_or_as_the_prior_says():
    even = discrete.init(jax.random.key(0), SIZES)
    np.testing.assert_allclose(discrete.log_prob(even, ALL), -np.log(24), atol=1e-5)
    prior = [np.array([1.0, 3.0]), np.array([0.0, 1.0, 1.0]), np.ones(4)]
    known = discrete.init(jax.random.key(0), SIZES, prior=prior)
    expected = np.array([prior[0][i] / 4 * prior[1][j] / 2 / 4 for i, j, _ in ALL])
    np.testing.assert_allclose(np.exp(discrete.log_prob(known, ALL)), expected, atol=1e-6)


@pytest.mark.parametrize("n_given", [0, 2])
def test_probabilities_add_up(n_given):
    given = np.full((len(ALL), n_given), 0.3) if n_given else None
    log_p = jax.jit(discrete.log_prob)(wild(n_given=n_given), ALL, given)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(log_p) > 1


def test_values_come_as_often_as_their_probability_says():
    flow, n = wild(), 50_000
    z = np.random.default_rng(1).uniform(size=(n, 3)).astype(np.float32)
    value, log_p = jax.jit(discrete.forward)(flow, z)
    np.testing.assert_allclose(log_p, discrete.log_prob(flow, value), atol=1e-5)
    p = np.exp(np.asarray(discrete.log_prob(flow, ALL), float))
    code = np.ravel_multi_index(np.asarray(value).T, SIZES)
    count = np.bincount(code, minlength=24)
    pull = (count - n * p) / np.sqrt(n * p * (1 - p))
    assert np.abs(pull).max() < 4.5
    assert (pull**2).sum() < 60  # of 23 degrees of freedom


def test_each_number_depends_on_those_before_and_on_what_is_given():
    flow = wild(n_given=1)

    def of(value, given):
        return float(discrete.log_prob(flow, np.array([value]), np.array([[given]]))[0])

    assert of([0, 1, 2], 0.0) != pytest.approx(of([0, 1, 2], 1.0), abs=1e-3)
    ratio = [of([0, j, 2], 0.0) - of([0, j, 3], 0.0) for j in range(3)]
    assert np.ptp(ratio) > 0.01  # p(d3 | d2)


def test_what_is_forbidden_stays_so():
    """Whatever is learned, and at the very end of the interval."""
    flow = wild(prior=[[1, 0], [0, 1, 0], [1, 1, 0, 0]])
    z = np.random.default_rng(0).uniform(size=(5000, 3)).astype(np.float32)
    z[:3] = [[0, 0, 0], [1, 1, 1], [1 - 1e-7] * 3]
    value, log_p = discrete.forward(flow, z)
    assert (np.asarray(value)[:, :2] == [0, 1]).all()
    assert set(np.unique(value[:, 2])) == {0, 1}
    assert np.isfinite(log_p).all()
    slope = jax.grad(lambda flow: discrete.log_prob(flow, value).sum())(flow)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))
    assert all((one.log_prior == 0).all() for one in slope)


def test_leading_axes_are_networks_of_their_own():
    both = jax.tree.map(lambda *x: jnp.stack(x), wild(0), wild(1))
    z = np.random.default_rng(0).uniform(size=(2, 30, 3)).astype(np.float32)
    value, log_p = discrete.forward(both, z)
    assert value.shape == (2, 30, 3)
    for k in (0, 1):
        alone, log_alone = discrete.forward(wild(k), z[k])
        np.testing.assert_array_equal(value[k], alone)
        np.testing.assert_allclose(log_p[k], log_alone, atol=1e-5)


def test_ones_tell_the_values():
    found = discrete.one_hot(np.array([[1, 0, 3]]), SIZES)
    assert found.tolist() == [[0, 1, 1, 0, 0, 0, 0, 0, 1]]
    assert discrete.n_values(wild()) == SIZES


def test_bad_input_is_named():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"sizes\[1\]: 0, expected at least 1"):
        discrete.init(key, (2, 0))
    for bad in ([1.0], [-1.0, 2.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match=r"prior\[0\]: .*, expected 2 probabilities"):
            discrete.init(key, (2,), prior=[bad])
    with pytest.raises(ValueError, match=r"points: \(5, 2\), expected 3 discrete numbers"):
        discrete.forward(wild(), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="a network looks at 1 numbers, found 0"):
        discrete.log_prob(wild(n_given=1), ALL)
