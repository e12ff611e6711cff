"""Two-stage unweighting of top pairs: no bias, whatever the guess; calls counted; its worth."""

import jax
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.integration.amplitudes import standard_model, tree
from hepjax.integration.events import surrogate, unweighting
from hepjax.integration.kinematics import phasespace

TOP = standard_model.DEFAULT._replace(mass_top=172.5)
SMALL = surrogate.Settings(width=32, n_hidden=2, batch_size=256, n_steps=1500)


@pytest.fixture(scope="module")
def points():
    """g g > t t~ between 400 GeV and 2 TeV: momenta, |M|^2, and the other factors of the weight."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        energy = rng.uniform(400, 2000, 12_000)
        out, log = jax.jit(lambda u, e: phasespace.rambo(u, e, (172.5, 172.5)))(
            rng.uniform(size=(len(energy), 2)), energy
        )
        sides = [np.stack([energy, 0 * energy, 0 * energy, k * energy], 1) / 2 for k in (1, -1)]
        p4 = np.concatenate([np.stack(sides, 1), out], 1)
        plan = tree.build("g g > t t~")
        value = np.asarray(jax.jit(lambda p: tree.squared(plan, p, TOP))(p4))
    return p4, value, np.exp(np.asarray(log)) / energy**2


@pytest.fixture(scope="module")
def trained(points):
    """A network, trained on the first half of the points, and its guesses of all."""
    p4, value, _ = points
    with jax.enable_x64(True):
        found, losses = surrogate.fit(jax.random.key(1), p4[:6000], value[:6000], SMALL)
        guess = np.asarray(jax.jit(surrogate.predict)(found, p4))
    return found, losses, guess


def test_the_guess_is_good(points, trained):
    """To two percent, on points that it was not trained on, over a range of a factor of ten."""
    _, value, _ = points
    _, losses, guess = trained
    away = np.log(guess / value)[6000:]
    assert np.std(np.log(value)) > 0.4
    assert np.std(away) < 0.02
    assert losses.shape == (SMALL.n_steps,)
    assert losses[-50:].mean() < 1e-2 * losses[:5].mean()


def bins(points):
    """Of all points, by the top quark's angle and the energy."""
    p4 = points[0]
    cos = p4[:, 2, 3] / lorentz.momentum(p4[:, 2])
    energy = p4[:, 0, 0] * 2
    return np.digitize(cos, [-0.6, 0, 0.6]) * 3 + np.digitize(energy, [600, 1000])


@pytest.mark.parametrize("kind", ["trained", "flat", "wrong"])
@pytest.mark.parametrize("overweight", [0.0, 0.05])
def test_distributions_are_those_of_the_truth(points, trained, kind, overweight):
    """The sum of weights in each bin, over many draws, beside that of all weighted points; a guess
    that is flat or tilted costs efficiency only.
    """
    _, value, jacobian = points
    guesses = {"trained": trained[2], "flat": np.ones_like(value), "wrong": trained[2] ** 1.5}
    cheap, full, where = guesses[kind] * jacobian, value * jacobian, bins(points)
    most, most_ratio = surrogate.limits(cheap[:6000], full[:6000], overweight)
    rng, sums = np.random.default_rng(2), []
    for _ in range(60):
        found = surrogate.unweight(cheap, lambda index: full[index], most, most_ratio, rng)
        assert (found.weight >= 1).all()
        sums.append(np.bincount(where[found.index], found.weight, minlength=12))
    expected = np.bincount(where, full, minlength=12) / most / most_ratio
    error = np.std(sums, 0, ddof=1) / 60**0.5
    pull = (np.mean(sums, 0) - expected) / error
    assert 60 * expected.min() > 150
    assert (pull**2).sum() < 33  # of twelve, one in a thousand
    total = np.sum(sums, 1)
    assert total.mean() == pytest.approx(expected.sum(), abs=4 * total.std() / 60**0.5)
    assert total.std() / 60**0.5 < 0.02 * expected.sum()


def test_evaluations_are_those_that_the_first_stage_kept(points, trained):
    _, value, jacobian = points
    cheap, full = trained[2] * jacobian, value * jacobian
    most, most_ratio = surrogate.limits(cheap, full, 0.01)
    asked = []

    def truth(index):
        asked.append(index)
        return full[index]

    found = surrogate.unweight(cheap, truth, most, most_ratio, np.random.default_rng(3))
    assert len(asked) == 1
    assert len(asked[0]) == found.n_evaluated == found.second.n
    assert found.n_evaluated == found.first.efficiency * found.first.n
    expected = unweighting.efficiency(cheap, 0.005)
    spread = (expected.efficiency / len(cheap)) ** 0.5
    assert found.first.efficiency == pytest.approx(expected.efficiency, abs=4 * spread)
    assert found.first.limit == expected.limit == most
    assert found.first.overweight_fraction == pytest.approx(0.005)
    assert found.second.overweight_fraction == pytest.approx(0.005, abs=0.003)
    assert found.second.efficiency == len(found.index) / found.n_evaluated > 0.9


def test_worth(points, trained):
    """A free guess gives one over the efficiency of direct unweighting, up to what the second stage
    loses; a guess as slow as the truth gives nothing.
    """
    _, value, jacobian = points
    cheap, full = trained[2] * jacobian, value * jacobian
    direct = unweighting.efficiency(full, 0.01)
    _, carried = unweighting.unweight(full, direct.limit, np.random.default_rng(4))
    worth = unweighting.effective(carried)
    most, most_ratio = surrogate.limits(cheap, full, 0.01)
    draw = np.random.default_rng(5)
    found = surrogate.unweight(cheap, lambda index: full[index], most, most_ratio, draw)
    free = surrogate.gain(found, direct, 0.0, worth)
    assert free == pytest.approx(found.second.efficiency / direct.efficiency, rel=0.03)
    assert free > 3
    assert surrogate.gain(found, direct, 1.0, worth) < 1.1
    times = [surrogate.gain(found, direct, x, worth) for x in (0.0, 0.01, 0.1, 1.0)]
    assert times == sorted(times, reverse=True)
    slow = found.first.efficiency / (1 + found.first.efficiency)
    assert times[-1] == pytest.approx(free * slow)


def test_signs_are_carried():
    """A truth that is negative somewhere, whose guess is its size."""
    rng = np.random.default_rng(6)
    cheap = rng.exponential(size=20_000)
    full = cheap * rng.choice([1, 1, -1], 20_000) * rng.uniform(0.5, 1, 20_000)
    most, most_ratio = surrogate.limits(cheap, full, 0.02)
    found = surrogate.unweight(cheap, lambda index: full[index], most, most_ratio, rng)
    assert (np.sign(found.weight) == np.sign(full[found.index])).all()
    integral = found.weight.sum() * most * most_ratio / 20_000
    error = (found.weight**2).sum() ** 0.5 * most * most_ratio / 20_000
    assert integral == pytest.approx(full.mean(), abs=4 * error)


def test_inputs_do_not_depend_on_the_frame(points):
    p4 = points[0][:50]
    boosted = lorentz.boost(p4, np.array([0.3, -0.2, 0.6]))
    one, other = (np.asarray(surrogate.invariants(p)) for p in (p4, boosted))
    assert one.shape == (50, 6)
    np.testing.assert_allclose(one, other, atol=1e-9)
    energy = 2 * p4[:, 0, 0]
    np.testing.assert_allclose(one[:, 0], 2 * np.log(energy))
    np.testing.assert_allclose(np.exp(one[:, 1:3]).sum(1), 1)  # to both outgoing ones


def test_jitted_and_in_any_shape(points, trained):
    found, p4 = trained[0], points[0][:6]
    flat = surrogate.predict(found, p4)
    folded = jax.jit(surrogate.predict)(found, p4.reshape(2, 3, 4, 4))
    np.testing.assert_allclose(folded.reshape(-1), flat, rtol=1e-5)
    assert (np.asarray(flat) > 0).all()


def test_bad_input_is_named(points):
    p4, value, _ = points
    with pytest.raises(ValueError, match="value: 1 of 9 are not positive"):
        surrogate.fit(jax.random.key(0), p4[:9], np.where(np.arange(9) == 4, 0, value[:9]))
    with pytest.raises(ValueError, match="value: 0 of 1 are not positive, expected two or more"):
        surrogate.fit(jax.random.key(0), p4[:1], value[:1])
    with pytest.raises(ValueError, match="cheap: 0 at 1 points where full is not, expected none"):
        surrogate.limits([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"overweight: 1\.0, expected 0 to 1"):
        surrogate.limits([1.0, 1.0], [1.0, 1.0], 2.0)
