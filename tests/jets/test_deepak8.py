"""What is this tagger's own; the invariances of all stand in test_particle_transformer.py."""

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.jets import data, deepak8
from hepjax.nn import model


def shapes(net, n_features=17):
    inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (n_features, 2, 4)), jnp.ones((2, 8), bool))
    inputs = inputs._replace(displacement=jnp.ones((2, 8, 4)))
    return jax.eval_shape(model.from_linen(net).init, jax.random.key(0), inputs)["params"]


def count(params):
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(params))


def test_published_size_of_the_p_cnn():
    """354,540 parameters, of which the biases in front of a norm have no effect: one a channel."""
    params = shapes(deepak8.DeepAK8(10))
    biases = sum(x["bias"].size for k, x in params.items() if "stem_norm" in k)
    biases += sum(u[f"norm_{k}"]["bias"].size for u in _units(params) for k in (0, 1))
    assert biases == 1056
    assert count(params) + biases == 354_540


def _units(params):
    return [unit for name, unit in params.items() if "unit" in name]


def test_fourteen_layers_on_particles():
    """One convolution and six units of two, and the dense layer."""
    params = shapes(deepak8.DeepAK8(10))
    assert 1 + 2 * len(_units(params)) + 1 == 14
    assert params["dense"]["kernel"].shape == (128, 512)


def test_vertices_are_a_second_list():
    params = shapes(deepak8.DeepAK8(10, n_vertices=7))
    assert params["vertex_stem"]["kernel"].shape == (3, 9, 32)
    assert params["dense"]["kernel"].shape == (128 + 64, 512)
    assert not any("vertex" in name for name in shapes(deepak8.DeepAK8(10)))


def test_all_places_of_the_list_are_seen():
    """Through strides and the average: a change of any particle changes the logits."""
    net = model.from_linen(deepak8.small(2, stem=4, stages=((4,), (4,)), hidden=4))
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 9, 5)).astype(np.float32)
    mask = np.arange(9)[None] < 7
    inputs = data.Inputs(features, np.zeros((1, 9, 2)), np.zeros((1, 9, 4)), mask)
    variables = jax.jit(net.init)(jax.random.key(1), inputs)
    slope = jax.jit(jax.grad(lambda x: net.apply(variables, inputs._replace(features=x)).sum()))
    seen = np.abs(np.asarray(slope(features))[0]).max(-1)
    assert np.all((seen > 0) == mask[0])
