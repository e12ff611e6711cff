"""The transformer of pulses: what it may not depend on, its sizes, and how bfloat16 compares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.neutrino import frames, pulse_transformer
from hepjax.nn import model

N_OUT = 10


def given(n=3, length=8):
    keys = jax.random.split(jax.random.key(0), 2)
    mask = jnp.arange(length) < jnp.array([[length], [3], [0]])[:n]
    pulse = jax.random.normal(keys[0], (n, length, frames.N_PULSE))
    return frames.Features(pulse, jax.random.normal(keys[1], (n, frames.N_WHOLE)), mask)


def built(**fields):
    return model.from_linen(
        pulse_transformer.small(N_OUT, width=16, n_layers=2, n_heads=2, **fields)
    )


@pytest.fixture(scope="module", params=[0, 4], ids=["plain", "pairs"])
def network(request):
    net = built(pair_width=request.param)
    return jax.jit(net.apply), net.init(jax.random.key(1), given())


@pytest.mark.smoke
def test_the_order_of_pulses_and_padding_do_not_count(network):
    apply, variables = network
    inputs = given()
    out = apply(variables, inputs)
    assert out.shape == (3, N_OUT)
    assert out.dtype == jnp.float32
    order = np.random.default_rng(0).permutation(8)
    turned = inputs._replace(pulse=inputs.pulse[:, order], mask=inputs.mask[:, order])
    np.testing.assert_allclose(apply(variables, turned), out, atol=1e-5)
    other = inputs._replace(pulse=jnp.where(inputs.mask[..., None], inputs.pulse, 99.0))
    np.testing.assert_allclose(apply(variables, other), out, atol=1e-5)


def test_an_event_without_pulses_is_known_as_a_whole(network):
    apply, variables = network
    inputs = given()
    out = apply(variables, inputs)
    assert np.isfinite(out).all()
    moved = apply(variables, inputs._replace(whole=inputs.whole.at[2].add(1.0)))
    assert np.abs(moved - out)[2].max() > 0
    np.testing.assert_allclose(moved[:2], out[:2], atol=1e-6)


def test_it_begins_small(network):
    """Zeros are a nearly even density, and that is what a flow should begin with."""
    apply, variables = network
    assert np.abs(apply(variables, given())).max() < 0.5


def test_bfloat16_is_near_float32_and_its_slopes_too():
    exact, half = built(), built(dtype=jnp.bfloat16)
    inputs = given()
    variables = exact.init(jax.random.key(1), inputs)
    head = variables["params"]["head"]
    head["kernel"] = 10 * head["kernel"]

    def value(net, v):
        return (net.apply(v, inputs) ** 2).mean()

    one, other = (jax.jit(net.apply)(variables, inputs) for net in (exact, half))
    assert other.dtype == jnp.float32
    assert np.abs(one - other).max() < 0.02 * np.abs(one).max() + 0.02
    slopes = [jax.grad(lambda v, net=net: value(net, v))(variables) for net in (exact, half)]
    flat = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(s)]) for s in slopes]
    assert np.linalg.norm(flat[0] - flat[1]) < 0.05 * np.linalg.norm(flat[0])


def test_sizes():
    shapes = jax.eval_shape(
        model.from_linen(pulse_transformer.PulseTransformer(N_OUT)).init,
        jax.random.key(0),
        given(),
    )
    count = sum(x.size for x in jax.tree.leaves(shapes))
    small = jax.eval_shape(
        model.from_linen(pulse_transformer.small(N_OUT)).init, jax.random.key(0), given()
    )
    assert 1_000_000 < count < 10_000_000
    assert 100_000 < sum(x.size for x in jax.tree.leaves(small)) < 400_000
