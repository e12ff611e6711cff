"""Likelihood ratios of impact parameters: additive over tracks, and in favour of the truth."""

import numpy as np
import pytest

from hepjax.jets import data as jets_data
from hepjax.jets.flavour import data, likelihood


@pytest.fixture(scope="module")
def sample(make_columns):
    return data.from_columns(make_columns(n=600, seed=3))


@pytest.fixture(scope="module")
def filled(sample):
    return likelihood.templates(sample)


def test_templates_are_densities(filled):
    assert filled.shape == (4, 2, 40, 40)
    np.testing.assert_allclose(filled.sum((2, 3)), 1)
    assert filled.min() > 0


def test_ratios_favour_the_truth_on_other_jets(filled, make_columns):
    other = data.from_columns(make_columns(n=400, seed=4))
    found = likelihood.ratios(filled, other)
    b, c, u = (other.label == data.CLASSES.index(k) for k in ("b", "c", "u"))
    assert found[b, 0].mean() > 0.2 > -0.2 > found[u, 0].mean()
    assert found[c, 2].mean() > found[u, 2].mean()
    assert np.isfinite(found).all()


def test_ratios_add_up_over_tracks(filled, sample):
    """A jet's ratio is the sum over its tracks, one at a time, and 0 without any."""
    jet = int(np.argmax(np.diff(sample.particles.offsets) >= 4))
    whole = likelihood.ratios(filled, jets_data.take(sample, np.array([jet])))[0]
    first, last = sample.particles.offsets[jet : jet + 2]
    alone = np.zeros(3)
    for k in range(first, last):
        values = data.Tracks(*(x[k : k + 1] for x in sample.particles.values))
        one = jets_data.take(sample, np.array([jet]))
        one = one._replace(
            particles=one.particles._replace(values=values, offsets=np.array([0, 1]))
        )
        alone += likelihood.ratios(filled, one)[0]
    np.testing.assert_allclose(whole, alone, rtol=1e-4, atol=1e-5)
    nothing = data.Tracks(*(x[:0] for x in sample.particles.values))
    empty = one._replace(particles=one.particles._replace(values=nothing, offsets=np.array([0, 0])))
    assert likelihood.ratios(filled, empty).tolist() == [[0, 0, 0]]


def test_a_ratio_of_two_is_the_difference_of_those_with_a_third(filled, sample):
    found = likelihood.ratios(filled, sample)
    np.testing.assert_allclose(found[:, 0], found[:, 1] + found[:, 2], rtol=1e-3, atol=1e-3)
