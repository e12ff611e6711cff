"""What is this tagger's own; the invariances of all stand in test_particle_transformer.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.jets import data, image_network
from hepjax.nn import model


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    p4 = np.abs(rng.normal(size=(2, 6, 4))).astype(np.float32)
    points = rng.normal(0, 0.3, (2, 6, 2)).astype(np.float32)
    return data.Inputs(rng.normal(size=(2, 6, 7)), points, p4, np.ones((2, 6), bool))


def test_patches_hold_all_pixels():
    picture = jnp.arange(2 * 8 * 12.0).reshape(2, 8, 12)
    found = image_network.patches(picture, 4)
    assert found.shape == (2, 2, 3, 16)
    np.testing.assert_array_equal(found[1, 1, 2].reshape(4, 4), picture[1, 4:, 8:])
    assert set(np.ravel(found)) == set(np.ravel(picture))
    with pytest.raises(ValueError, match="divisor of 8 and 12, found 5"):
        image_network.patches(picture, 5)


def test_only_the_picture_is_seen():
    net = model.from_linen(image_network.small(2, n_pixels=16, stem=8, stages=((8, 1),)))
    one = inputs()
    variables = jax.jit(net.init)(jax.random.key(0), one)
    apply = jax.jit(net.apply)
    logits = np.asarray(apply(variables, one))
    same = apply(variables, one._replace(features=one.features + 1))
    np.testing.assert_array_equal(same, logits)
    other = apply(variables, one._replace(points=one.points * [1.0, 0.1]))
    assert np.abs(np.asarray(other) - logits).max() > 1e-4


def test_full_is_a_quarter_of_resnext_50():
    """Parameters of 50 layers: one, 16 units of three, one, counted from widths by hand."""
    net = model.from_linen(image_network.ImageNetwork(10))
    shapes = jax.eval_shape(net.init, jax.random.key(0), inputs())["params"]
    n_found = sum(x.size for x in jax.tree.leaves(shapes))
    expected = 9 * 4 * 16 + 2 * 16
    before = 16
    for width, n_units in ((64, 3), (128, 4), (256, 6), (512, 3)):
        inner = width // 2
        for k in range(n_units):
            expected += before * inner + 9 * inner * inner // 32 + inner * width
            expected += 4 * inner + 2 * width
            expected += (before * width + 2 * width) if k == 0 else 0
            before = width
    assert n_found == expected + 512 * 10 + 10
    assert n_found == pytest.approx(1.46e6, rel=0.01)
