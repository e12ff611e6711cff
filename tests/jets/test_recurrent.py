"""What is this tagger's own; the invariances of all stand in test_particle_transformer.py."""

import jax
import numpy as np

from hepjax.jets import data, recurrent
from hepjax.nn import model


def test_the_hardest_particle_is_read_last():
    """With a memory that forgets all, only the first particle of the list is left."""
    net = model.from_linen(recurrent.small(2, width=4))
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 6, 5)).astype(np.float32)
    mask = np.arange(6) < np.array([[6], [3]])
    inputs = data.Inputs(features, np.zeros((2, 6, 2)), np.zeros((2, 6, 4)), mask)
    variables = jax.device_get(jax.jit(net.init)(jax.random.key(0), inputs))
    memory = variables["params"]["lstm"]
    memory["recurrent_kernel"] = np.zeros_like(memory["recurrent_kernel"])
    memory["kernel"] = memory["kernel"].copy()
    memory["kernel"][:, 4:8] = 0
    memory["bias"] = np.where(np.arange(16) // 4 == 1, -50, 0).astype(np.float32)
    apply = jax.jit(net.apply)
    logits = np.asarray(apply(variables, inputs))
    for place, seen in ((0, True), (1, False), (2, False), (5, False)):
        changed = features.copy()
        changed[:, place] += 1
        found = np.asarray(apply(variables, inputs._replace(features=changed)))
        assert (np.abs(found - logits).max() > 1e-4) == seen
