"""Hidden modules: which, what they see, what is predicted, and that no truth slips in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import runs
from hepjax.neutrino import data, detectors, simulation, superresolution, training
from hepjax.nn import model


@pytest.fixture(scope="module")
def resolver(cluster):
    hidden = superresolution.every_second(cluster.detector, "modules")
    net = model.from_linen(superresolution.VirtualLight(16, 1, 2))
    fields = {"n_virtual": 20, "length": 16, "min_modules": 3}
    return superresolution.Resolver(net, cluster.detector, hidden, cluster.medium, **fields)


@pytest.fixture(scope="module")
def sampled(resolver, tracks):
    return jax.jit(lambda pulses: superresolution.sample(resolver, pulses))(tracks[0])


@pytest.fixture(scope="module")
def variables(resolver, tracks):
    return superresolution.init(resolver, jax.random.key(0), lambda key, n: tracks)


@pytest.mark.smoke
def test_every_second_string_or_module():
    detector = detectors.pone()
    strings = superresolution.every_second(detector, "strings")
    assert set(detector.string[strings]) == {1, 3, 5, 7, 9}
    assert set(detector.string[~strings]) == {0, 2, 4, 6, 8}
    order = np.random.default_rng(0).permutation(200)
    mixed = data.Detector(*(np.asarray(x)[order] for x in detector))
    modules = superresolution.every_second(mixed, "modules")
    for string in range(10):
        z = mixed.position[:, 2][mixed.string == string]
        hidden = modules[mixed.string == string][np.argsort(z)]
        assert hidden.tolist() == [False, True] * 10
    with pytest.raises(ValueError, match="expected 'strings' or 'modules'"):
        superresolution.every_second(detector, "photons")


def test_hidden_modules_are_not_seen_and_dim_events_not_at_all(resolver, tracks):
    pulses, _ = tracks
    seen = superresolution.seen_by(pulses, ~resolver.hidden, min_pulses=4)
    left = np.asarray(pulses.mask) & ~resolver.hidden[np.asarray(pulses.module)]
    left &= left.sum(-1, keepdims=True) >= 4
    np.testing.assert_array_equal(seen.mask, left)
    assert (np.asarray(seen.time)[~left] == 0).all()
    assert (~left.any(-1)).sum() < len(left)


def test_what_hidden_modules_see_is_in_the_pulses(resolver, tracks, sampled):
    pulses, _ = jax.tree.map(np.asarray, tracks)
    real, true = jax.tree.map(np.asarray, sampled)
    assert resolver.hidden[true.module].all()
    assert not resolver.hidden[real.module][real.mask].any()
    np.testing.assert_array_equal(true.position, resolver.detector.position[true.module])
    for e in range(16):
        assert len(set(true.module[e])) == 20
        for v in range(20):
            here = (pulses.module[e] == true.module[e, v]) & pulses.mask[e]
            assert true.charge[e, v] == pulses.charge[e][here].sum()
            assert true.time[e, v] == (pulses.time[e][here].min() if here.any() else 0)
    lit = resolver.hidden[pulses.module] & pulses.mask & real.mask.any(-1, keepdims=True)
    assert (true.charge > 0).sum() > 0.7 * lit.sum()  # those near hits are the ones with light


def test_too_many_to_look_at(resolver, tracks):
    with pytest.raises(ValueError, match="n_virtual: 101, but 100"):
        superresolution.near(resolver._replace(n_virtual=101), tracks[0])


def test_predictions_do_not_know_what_is_hidden(resolver, variables, tracks, sampled):
    """They depend on real pulses alone, each module by itself, in any order."""
    pulses, _ = tracks
    real, true = sampled
    hidden = jnp.asarray(resolver.hidden)[pulses.module] & pulses.mask
    other = pulses._replace(time=jnp.where(hidden, 1e4, pulses.time))
    predict = jax.jit(lambda p, x: superresolution.predict(resolver, variables, p, x))
    found = predict(real, true.position)
    same = predict(superresolution.sample(resolver, other)[0], true.position)
    for a, b in zip(found, same):
        np.testing.assert_array_equal(a, b)
    half = predict(real, true.position[:, ::-2])
    for a, b in zip(found, half):
        np.testing.assert_allclose(a[:, ::-2], b, rtol=1e-4, atol=1e-3)
    moved = predict(real._replace(time=real.time + 50), true.position)
    some = np.asarray(real.mask.any(-1))
    np.testing.assert_allclose(moved.time[some], found.time[some] + 50, atol=0.1)
    assert float(found.width.min()) > superresolution.SHARPEST


def test_densities_are_normalised():
    found = superresolution.Prediction(jnp.log(jnp.full((1, 30), 2.5)), jnp.zeros((1, 30)), 4.0)
    n = jnp.arange(30.0)[None]
    true = superresolution.Targets(None, None, n, jnp.zeros((1, 30)))
    count, late = superresolution.log_density(found, true)
    assert float(jnp.exp(count).sum()) == pytest.approx(1, abs=1e-5)
    assert float(late[0, 0]) == 0
    t = jnp.linspace(-100, 100, 20001)[None]
    wide = superresolution.Prediction(jnp.zeros(t.shape), jnp.full(t.shape, 3.0), 4.0)
    _, late = superresolution.log_density(wide, true._replace(charge=1.0, time=t))
    assert float(jnp.exp(late).sum() * 0.01) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_a_training_predicts_light_and_its_time(resolver, cluster, tmp_path):
    def draw(key, n):
        pulses, truth = simulation.events(key, cluster, n)
        return data.first_of_module(pulses), truth

    params = superresolution.init(resolver, jax.random.key(1), draw)["params"]
    plan = training.Plan(n_steps=50, n_events=48, learning_rate=1e-2, tail=0.3)
    goal = superresolution.loss(resolver, draw, plan.n_events)
    run = runs.Run(tmp_path / "light")
    learned = training.averaged(run, goal, params, plan, key=jax.random.key(2))
    pulses, _ = draw(jax.random.key(3), 128)
    real, true = superresolution.sample(resolver, pulses)
    results = [
        superresolution.quality(
            superresolution.predict(resolver, v, real, true.position), true, real
        )
        for v in ({"params": params}, learned)
    ]
    assert results[1]["auc"] > max(0.75, results[0]["auc"])
    assert results[1]["chance"] == pytest.approx(results[1]["seen"], abs=0.15)
    assert 0.3 < results[1]["pull"] < 3
    more = superresolution.enhance(resolver, learned, real)
    hidden = np.asarray(more.mask) & resolver.hidden[np.asarray(more.module)]
    assert hidden.sum() > 0
    assert (hidden.sum(-1)[~np.asarray(real.mask).any(-1)] == 0).all()
    np.testing.assert_array_equal((more.mask & ~hidden).sum(-1), real.mask.sum(-1))
    data.check(more, 200)
    late = np.where(np.asarray(more.mask), np.asarray(more.time), np.inf)
    assert (late[:, 1:] >= late[:, :-1])[np.isfinite(late[:, 1:])].all()


def test_gains_compare_the_same_events():
    angle = np.random.default_rng(0).exponential(1.0, 2000)
    found = {"line fit, real": angle, "line fit, predicted": angle / 2, "line fit, whole": angle}
    result = superresolution.gains(found)
    assert result["gain_line_fit"] == pytest.approx(2)
    assert result["gain_line_fit_error"] == pytest.approx(0, abs=1e-9)
    assert result["room_line_fit"] == pytest.approx(1)
