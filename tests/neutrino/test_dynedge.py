"""DynEdge: order, padding, events of few pulses, and its place before a flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.flows import sphere as flow
from hepjax.neutrino import dynedge, frames, posterior
from hepjax.nn import model

SIZES = {"blocks": ((8, 12), (12, 8)), "after": (12, 10), "readout": (8,), "k": 3}


@pytest.fixture(scope="module")
def net():
    return model.from_linen(dynedge.small(n_out=5, **SIZES))


@pytest.fixture(scope="module")
def inputs(tracks, cluster):
    pulses, _ = tracks
    return frames.features(pulses, frames.frame(pulses), cluster.medium)


@pytest.fixture(scope="module")
def variables(net, inputs):
    return jax.jit(net.init)(jax.random.key(0), inputs)


@pytest.mark.smoke
def test_pooling_has_four_ways():
    x = jnp.array([[[1.0, -1], [3, 5], [100, 100]], [[7, 7], [7, 7], [7, 7]]])
    mask = jnp.array([[True, True, False], [False, False, False]])
    found = jax.jit(dynedge.pool)(x, mask)
    np.testing.assert_allclose(found[0], [1, -1, 3, 5, 2, 2, 4 / 2**0.5, 4 / 2**0.5], rtol=1e-6)
    assert (found[1] == 0).all()


def test_order_and_padding_do_not_matter(net, variables, inputs):
    order = np.random.default_rng(0).permutation(inputs.mask.shape[1])
    grow = [(0, 0), (0, 5)]
    moved = frames.Features(
        jnp.pad(inputs.pulse[:, order], [*grow, (0, 0)], constant_values=3.0),
        inputs.whole,
        jnp.pad(inputs.mask[:, order], grow),
    )
    run = jax.jit(net.apply)
    np.testing.assert_allclose(run(variables, moved), run(variables, inputs), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_events_of_few_pulses(net, variables, inputs, n):
    """They have numbers and gradients, and their own pulses and no others count."""
    mask = inputs.mask & (jnp.cumsum(inputs.mask, -1) <= n)
    few = inputs._replace(mask=mask)
    found, pull = jax.vjp(lambda v: net.apply(v, few), variables)
    assert found.shape == (16, 5)
    assert np.isfinite(found).all()
    (slope,) = pull(jnp.ones_like(found))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))
    changed = few._replace(pulse=jnp.where(mask[..., None], few.pulse + 1, few.pulse))
    same = few._replace(pulse=jnp.where(mask[..., None], few.pulse, 9.0))
    assert (np.abs(net.apply(variables, changed) - found).max() > 0) == (n > 0)
    np.testing.assert_allclose(net.apply(variables, same), found, atol=1e-6)


def test_edges_follow_what_is_learned(net, variables, inputs):
    """Neighbours of the second convolution are those of the first one's output: a change of its
    kernel by another factor for each feature changes more than a scale."""
    kernel = variables["params"]["edges_0"]["dense_1"]["kernel"]
    flipped = {**variables["params"]["edges_0"], "dense_1": {"kernel": kernel[:, ::-1]}}
    bias = variables["params"]["edges_0"]["dense_1"]["bias"]
    flipped["dense_1"]["bias"] = bias
    other = {"params": {**variables["params"], "edges_0": flipped}}
    assert float(jnp.abs(net.apply(other, inputs) - net.apply(variables, inputs)).max()) > 1e-6


def test_it_stands_where_the_transformer_does(tracks, cluster):
    pulses, truth = tracks
    plan = flow.Plan(n_layers=2)
    network = model.from_linen(dynedge.small(posterior.size(plan, None), **SIZES))
    whole = posterior.Posterior(network, plan, cluster, None)
    variables = jax.jit(lambda k: posterior.init(whole, k, pulses))(jax.random.key(0))

    @jax.jit
    def density(variables):
        encoded = posterior.encode(whole, variables, pulses)
        return posterior.log_prob(whole, encoded, truth.direction)

    assert density(variables).shape == (16,)
    assert np.isfinite(density(variables)).all()


def test_the_published_sizes(inputs):
    net = dynedge.DynEdge(n_out=3)
    shapes = jax.eval_shape(net.init, jax.random.key(0), inputs)["params"]
    seen = frames.N_PULSE + 4 * 256
    assert shapes["after"]["dense_0"]["kernel"].shape == (seen, 336)
    assert shapes["readout"]["dense_0"]["kernel"].shape == (4 * 256 + frames.N_WHOLE, 128)
    assert shapes["edges_3"]["kernel"].shape == (2 * 256, 336)
