"""What a flavour tagger learns from: its class, the origins of its tracks, the vertices they share.

Three means with three denominators: the cross-entropy of flavours over jets, of origins over
tracks, and the binary one of shared vertices over pairs of tracks. GN2 joins them with weights 1,
0.5 and 1.5; a tagger without auxiliary tasks has the first alone.

>>> WEIGHTS["vertex"]
1.5
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hepjax import batch, train
from hepjax.jets import data as jets_data
from hepjax.jets import loss as jet_loss
from hepjax.jets.flavour import data
from hepjax.nn.model import Model

WEIGHTS = {"flavour": 1.0, "origin": 0.5, "vertex": 1.5, "accuracy": 0.0}
"""Weights of GN2's tasks (its public configuration); accuracy is reported only."""

Features = Callable[[jets_data.Jets], data.Inputs]


def multitask(model: Model, inputs: Features = data.inputs, *, batch_stats: Any = None) -> Any:
    """Build the train.Loss of a tagger on flavour.data.Inputs -> gn2.Output.

    inputs: jets to Inputs; batch_stats: as in `jets.loss.classification`.
    """
    further = {"batch_stats": batch_stats} if batch_stats else {}

    def means(params: Any, jets: jets_data.Jets, key: Any) -> Any:
        variables = {"params": params, **further}
        out, batch_sums = model.apply_train(variables, inputs(jets), key=key)
        return _means(out, jets), {"batch_sums": batch_sums}

    return train.mean_loss(means, WEIGHTS)


def evaluation(model: Model, decay: float, inputs: Features = data.inputs) -> Any:
    """Build sums(state, jets) of the averaged network, for train.Validation."""

    def sums(state: train.TrainState, jets: jets_data.Jets) -> Any:
        variables = jet_loss.averaged(state.params, state.extra, decay)
        return {"means": _means(model.apply(variables, inputs(jets)), jets)}

    return sums


def outputs(model: Model, inputs: Features = data.inputs) -> Any:
    """Build function(variables, jets) -> gn2.Output, for train.predict."""

    def function(variables: Any, jets: jets_data.Jets) -> Any:
        return model.apply(variables, inputs(jets))

    return function


def _means(out: Any, jets: jets_data.Jets) -> dict[str, batch.Mean]:
    label, weight = jets.label, jets.weight
    entropy = optax.softmax_cross_entropy_with_integer_labels
    means = {
        "flavour": batch.mean(entropy(out.flavour, label), weight),
        "accuracy": batch.mean(out.flavour.argmax(-1) == label, weight),
    }
    if out.origin is None:
        return means
    tracks, mask = jets.particles, jnp.asarray(jets.mask)
    of_track = jnp.where(mask, weight[:, None], 0)
    pair = mask[:, :, None] & mask[:, None] & ~jnp.eye(mask.shape[1], dtype=bool)
    of_pair = jnp.where(pair, weight[:, None, None], 0)
    together = tracks.vertex[:, :, None] == tracks.vertex[:, None]
    vertex = optax.sigmoid_binary_cross_entropy(out.vertex, together.astype(jnp.float32))
    origin = jax.lax.clamp(0, tracks.origin, out.origin.shape[-1] - 1)
    return {
        **means,
        "origin": batch.mean(entropy(out.origin, origin), of_track),
        "vertex": batch.mean(vertex, of_pair),
    }
