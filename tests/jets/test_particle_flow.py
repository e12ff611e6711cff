"""What is this tagger's own; the invariances of all stand in test_particle_transformer.py."""

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.jets import data, particle_flow
from hepjax.nn import model


def test_energy_flow_does_not_look_at_features():
    inputs = data.Inputs(*(jnp.ones((2, 3, n)) for n in (7, 2, 4)), jnp.ones((2, 3), bool))
    net = model.from_linen(particle_flow.small_efn(2))
    variables = net.init(jax.random.key(0), inputs)
    other = inputs._replace(features=inputs.features * 5)
    np.testing.assert_array_equal(net.apply(variables, other), net.apply(variables, inputs))
