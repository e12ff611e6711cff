"""What is this tagger's own; the invariances of all stand in test_particle_transformer.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.jets import data, particle_flow
from hepjax.nn import model


def test_energy_flow_does_not_look_at_features():
    inputs = data.Inputs(*(jnp.ones((2, 3, n)) for n in (7, 2, 4)), jnp.ones((2, 3), bool))
    net = model.from_linen(particle_flow.small_efn(2))
    variables = net.init(jax.random.key(0), inputs)
    other = inputs._replace(features=inputs.features * 5)
    np.testing.assert_array_equal(net.apply(variables, other), net.apply(variables, inputs))


@pytest.fixture(scope="module")
def inputs():
    """Two jets of six places, of which four and three are real, with unlike particles."""
    rng = np.random.default_rng(0)
    mask = np.arange(6) < np.array([[4], [3]])
    momentum = np.where(mask[..., None], rng.normal(size=(2, 6, 3)) * 10, 0).astype(np.float32)
    energy = np.linalg.norm(momentum, axis=-1, keepdims=True)
    points, features = (rng.normal(size=(2, 6, n)).astype(np.float32) for n in (2, 7))
    return data.Inputs(features, points, np.concatenate([energy, momentum], -1), mask)


@pytest.fixture(scope="module")
def energy_flow(inputs):
    net = model.from_linen(particle_flow.small_efn(2))
    variables = net.init(jax.random.key(1), inputs)
    return lambda x: np.asarray(net.apply(variables, x))


def changed(inputs, jet, place, **fields):
    """Set what is given of one particle, which becomes real."""
    arrays = {name: getattr(inputs, name).copy() for name in (*fields, "mask")}
    for name, value in fields.items():
        arrays[name][jet, place] = value
    arrays["mask"][jet, place] = True
    return inputs._replace(**arrays)


def test_energy_flow_is_collinear_safe(inputs, energy_flow):
    """A particle that splits in two of the same direction changes nothing (arXiv:1810.05165)."""
    whole = inputs.p4[0, 1]
    split = changed(inputs, 0, 1, p4=0.3 * whole)
    split = changed(split, 0, 4, p4=0.7 * whole, points=inputs.points[0, 1])
    np.testing.assert_allclose(energy_flow(split), energy_flow(inputs), rtol=1e-4, atol=1e-6)
    aside = changed(split, 0, 4, points=inputs.points[0, 1] + 0.5)
    assert np.abs(energy_flow(aside)[0] - energy_flow(inputs)[0]).max() > 1e-3


def test_energy_flow_is_infrared_safe(inputs, energy_flow):
    """A particle of no momentum changes nothing, wherever it goes, and one of little but little."""
    expected = energy_flow(inputs)
    moves = []
    for share in (0.0, 1e-3, 1e-2):
        soft = changed(inputs, 1, 3, p4=share * inputs.p4[1, 0], points=np.array([3.0, -2.0]))
        moves.append(np.abs(energy_flow(soft)[1] - expected[1]).max())
    assert moves[0] < 1e-6
    assert moves[1] < moves[2] < 0.05 * np.abs(expected).max() + 0.05


def test_particle_flow_is_a_sum_over_particles(inputs):
    """By hand: Phi of each real particle, summed, and what F makes of the sum."""
    layers = particle_flow.PFN(2, phi=(8, 5), hidden=(6,))
    net = model.from_linen(layers)
    variables = net.init(jax.random.key(2), inputs)
    params = variables["params"]

    def dense(name, layer, x):
        known = params[name][f"dense_{layer}"]
        return x @ np.asarray(known["kernel"]) + np.asarray(known["bias"])

    mean, var = (np.asarray(variables["batch_stats"]["norm"][k]) for k in ("mean", "var"))
    x = (inputs.features - mean) / np.sqrt(var + 1e-5)
    for k in range(2):
        x = np.maximum(dense("phi", k, x), 0)
    total = (x * inputs.mask[..., None]).sum(1)
    expected = dense("head", 1, np.maximum(dense("head", 0, total), 0))
    np.testing.assert_allclose(net.apply(variables, inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [particle_flow.small_pfn, particle_flow.small_efn])
def test_a_jet_of_padding_alone_is_finite(inputs, make):
    none = inputs._replace(mask=np.zeros_like(inputs.mask))
    net = model.from_linen(make(3))
    variables = net.init(jax.random.key(3), inputs)
    out = np.asarray(net.apply(variables, none))
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(out[0], out[1])
