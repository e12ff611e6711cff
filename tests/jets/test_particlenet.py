"""What is this tagger's own; the invariances of all stand in test_particle_transformer.py."""

import jax
import jax.numpy as jnp

from hepjax.jets import data, particlenet
from hepjax.nn import model


def test_fewer_particles_than_neighbours():
    inputs = data.Inputs(*(jnp.ones((2, 3, n)) for n in (7, 2, 4)), jnp.ones((2, 3), bool))
    net = model.from_linen(particlenet.small(2, k=8))
    variables = jax.jit(net.init)(jax.random.key(0), inputs)
    logits = jax.jit(net.apply)(variables, inputs)
    assert logits.shape == (2, 2)
    assert bool(jnp.isfinite(logits).all())
