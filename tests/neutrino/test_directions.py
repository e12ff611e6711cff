"""Directions: emission points against the simulation, the loss, a training that resumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import runs, sphere
from hepjax.neutrino import data, directions, dynedge, light, media, simulation, training, trident
from hepjax.nn import model

SIZES = {"blocks": ((16, 16),), "after": (16,), "readout": (16,), "k": 4}


@pytest.fixture(scope="module")
def events(cluster):
    def draw(key, n):
        pulses, truth = simulation.events(key, cluster, n)
        return directions.one_of_module(pulses, 24), truth

    return draw


@pytest.fixture(scope="module")
def lite(cluster):
    return trident.network(model.from_linen(trident.lite(width=16)), cluster.medium)


@pytest.mark.smoke
def test_light_from_emission_points_comes_when_the_simulation_says(tracks, cluster):
    pulses, truth = tracks
    point = directions.emission_points(truth, pulses.position, cluster.medium)
    relative = point - truth.position[:, None]
    left = truth.time[:, None] + (relative * truth.direction[:, None]).sum(-1) / media.LIGHT
    way = jnp.sqrt(((pulses.position - point) ** 2).sum(-1))
    time = left + way * cluster.medium.group_index / media.LIGHT
    expect = jax.vmap(lambda t, r: light.expected("track", cluster.medium, t, r).time[0])
    expected = expect(truth, pulses.position)
    gap = np.where(pulses.mask, time - expected, 0)
    assert np.abs(gap).max() < 10 * light.FLOOR  # ns: a module is no point there
    assert np.abs(np.median(gap[np.asarray(pulses.mask)])) < 0.5
    angle = sphere.angle(sphere.unit(pulses.position - point), truth.direction[:, None] + 0 * point)
    cosine = np.cos(np.asarray(angle))[np.asarray(pulses.mask & (way > 5))]
    np.testing.assert_allclose(cosine, 1 / cluster.medium.phase_index, atol=1e-3)


def test_one_pulse_a_module_and_not_too_many(cluster):
    pulses, _ = simulation.events(jax.random.key(2), cluster, 8)
    found = directions.one_of_module(pulses, 6)
    assert found.mask.shape == (8, 6)
    for e in range(8):
        modules = np.asarray(found.module[e])[np.asarray(found.mask[e])]
        assert (
            len(set(modules)) == len(modules) == min(6, data.first_of_module(pulses).mask[e].sum())
        )
        for k in range(len(modules)):
            here = np.asarray((pulses.module[e] == modules[k]) & pulses.mask[e])
            assert found.time[e, k] == np.asarray(pulses.time[e])[here].min()
            assert found.charge[e, k] == np.asarray(pulses.charge[e])[here].sum()


def test_the_loss_is_zero_at_the_truth_and_blind_to_empty_events(tracks, cluster):
    pulses, truth = tracks
    point = directions.emission_points(truth, pulses.position, cluster.medium)
    empty = jnp.arange(16)[:, None] < 4

    def perfect(variables, pulses):
        shift = variables["params"] * jnp.array([1.0, 0, 0])
        off = jnp.where(empty, 77.0, 0.0)[..., None]
        return directions.Reconstruction(truth.direction, point + shift + off, None)

    network = directions.Network(lambda *_: {}, perfect)
    seen = pulses._replace(mask=pulses.mask & ~empty)
    goal = directions.loss(network, lambda key, n: (seen, truth), 16, cluster.medium)
    sums = goal.sums(0.0, None, jax.random.key(0))
    _, values = goal.finish(sums)
    assert float(sums["means"]["chord"].weight) == 12
    assert float(values["loss"]) < 1e-2
    _, values = goal.finish(goal.sums(30.0, None, jax.random.key(0)))
    robust = float(directions.robust(jnp.float32(900.0)))
    assert robust == pytest.approx(50 * np.log1p((904**0.5 - 2) / 50), rel=1e-5)
    assert float(values["distance"]) == pytest.approx(robust, rel=1e-3)
    assert float(values["loss"]) == pytest.approx(robust / directions.EMISSION, rel=2e-2)


def test_a_training_learns_resumes_and_is_measured(events, lite, cluster, tmp_path):
    """Emission points come closer than those of the line fit."""
    plan = training.Plan(n_steps=50, n_events=32, learning_rate=5e-3, tail=0.3)
    fields = {"key": jax.random.key(0)}
    run = runs.Run(tmp_path / "run")
    variables = directions.fit(run, lite, events, plan, cluster.medium, **fields)
    steps = [row for row in runs.read(run) if row["split"] == "train"]
    assert steps[-1]["loss"] < steps[0]["loss"]
    again = directions.fit(run, lite, events, plan, cluster.medium, resume=True, **fields)
    for a, b in zip(jax.tree.leaves(variables), jax.tree.leaves(again)):
        np.testing.assert_array_equal(a, b)
    sizes = {"key": jax.random.key(7), "n_events": 60, "chunk": 64}
    example = events(jax.random.key(1), 2)[0]
    before, after = (
        directions.measure(lite, v, events, cluster.medium, **sizes)
        for v in (lite.init(jax.random.key(0), example), variables)
    )
    np.testing.assert_array_equal(before.line_angle, after.line_angle)
    assert np.median(after.distance) < np.median(before.distance)
    results = directions.summary(after)
    assert results["n_events"] == 60
    assert results["median_angle_deg"] == pytest.approx(np.degrees(np.median(after.angle)))
    assert results["median_distance_m_error"] > 0
    assert results["milliseconds_per_event"] > 0


def test_an_encoder_turns_the_line(tracks, cluster):
    pulses, _ = tracks
    net = model.from_linen(dynedge.small(3, **SIZES))
    network = directions.from_encoder(net, cluster.medium)
    variables = jax.jit(network.init)(jax.random.key(0), pulses)
    still = jax.tree.map(jnp.zeros_like, variables)
    found = jax.jit(network.reconstruct)(still, pulses)
    line = directions.frames.frame(pulses).line.direction
    assert float(sphere.angle(found.direction, line).max()) < 2e-3
    assert found.point is None
    moved = network.reconstruct(variables, pulses).direction
    np.testing.assert_allclose(jnp.linalg.norm(moved, axis=-1), 1, atol=1e-5)
    assert float(sphere.angle(moved, line).max()) > 1e-6


def test_bad_input(tracks, cluster):
    pulses, truth = tracks
    net = model.from_linen(dynedge.small(4, **SIZES))
    network = directions.from_encoder(net, cluster.medium)
    variables = network.init(jax.random.key(0), pulses)
    with pytest.raises(ValueError, match="gives 4 numbers"):
        network.reconstruct(variables, pulses)
    dark = pulses._replace(mask=jnp.zeros_like(pulses.mask))
    three = directions.from_encoder(model.from_linen(dynedge.small(3, **SIZES)), cluster.medium)
    with pytest.raises(ValueError, match="none of 16 events"):
        directions.measure(
            three,
            three.init(jax.random.key(0), pulses),
            lambda key, n: (dark, truth),
            cluster.medium,
            key=jax.random.key(0),
            n_events=4,
            chunk=16,
        )
