"""Classification of jets: cross-entropy, running statistics and the average of parameters.

`classification` is the loss of every tagger, with event weights; `start` and `update` keep what a
tagger learns beside its parameters, the running statistics of its batch norms and an exponential
moving average of its parameters; `evaluation` looks at the averaged network, and `logits` applies
it to a batch.

>>> import flax.linen as linen, jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> class Sum(linen.Module):
...     @linen.compact
...     def __call__(self, x, train=False): return linen.Dense(2)(x.features.sum(1))
>>> loss = classification(model.from_linen(Sum()), "kinematic")
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from hepjax import batch, train
from hepjax.jets import data
from hepjax.nn import norm
from hepjax.nn.model import Model

REPORTED = {"accuracy": 0.0}
"""Means that are reported and not minimised, for train.mean_loss."""


def classification(
    model: Model,
    features: data.Features = "full",
    *,
    smoothing: float = 0.0,
    batch_stats: Any = None,
) -> train.Loss:
    """Build the weighted mean cross-entropy of a tagger over jets, and its accuracy.

    model: init/apply on data.Inputs -> logits [jet, class]; smoothing: share of the label spread
    over all classes; batch_stats: running statistics to renormalise by, `nn.norm`. The sums carry
    those of batch norm as "batch_sums".
    """
    further = {"batch_stats": batch_stats} if batch_stats else {}

    def means(params: Any, jets: data.Jets, key: Any) -> Any:
        inputs = data.inputs(jets, features)
        out, batch_sums = model.apply_train({"params": params, **further}, inputs, key=key)
        return _means(out, jets, smoothing), {"batch_sums": batch_sums}

    return train.mean_loss(means, REPORTED)


def _means(logits: jax.Array, jets: data.Jets, smoothing: float = 0.0) -> dict[str, batch.Mean]:
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    target = optax.smooth_labels(jax.nn.one_hot(jets.label, logits.shape[-1]), smoothing)
    cross_entropy = optax.softmax_cross_entropy(logits, target)
    return {
        "cross_entropy": batch.mean(cross_entropy, jets.weight),
        "accuracy": batch.mean(logits.argmax(-1) == jets.label, jets.weight),
    }


def start(variables: Any) -> dict[str, Any]:
    """Set up TrainState.extra for a tagger: batch statistics, and the average of parameters."""
    return {
        "batch_stats": variables.get("batch_stats", {}),
        "average": optax.ema(0.0).init(variables["params"]),
    }


def renormalised(model: Model, features: data.Features = "full", **options: Any) -> Any:
    """Build extra -> `classification` that renormalises by the running statistics in extra."""
    return lambda extra: classification(
        model, features, batch_stats=extra["batch_stats"], **options
    )


def update(decay: float, momentum: float = norm.MOMENTUM, *, known: bool = False) -> Any:
    """Build the update of TrainState.extra after a step, for train.gradient_step.

    decay: of the moving average per step, 0 to 1; momentum: weight of a batch in the running
    statistics; known: whether these are from a training before, which the first batch of this one
    must not replace. Otherwise early steps are biased in neither towards where they began.
    """
    average = optax.ema(decay, debias=False)

    def after_step(extra: dict[str, Any], params: Any, sums: Any) -> dict[str, Any]:
        weight: Any = momentum
        if not known:
            weight = jnp.maximum(momentum, 1 / (1 + extra["average"].count))
        return {
            "batch_stats": norm.update(extra["batch_stats"], sums["batch_sums"], weight),
            "average": average.update(params, extra["average"])[1],
        }

    return after_step


def averaged(params: Any, extra: Any, decay: float) -> dict[str, Any]:
    """Give the variables to evaluate with: averaged parameters and running statistics."""
    count, ema = extra["average"]
    seen = jnp.maximum(1 - decay**count, 1e-12)
    mean_params = jax.tree.map(
        lambda last, mean: jnp.where(count > 0, mean / seen, last).astype(last.dtype),
        params,
        ema,
    )
    return {"params": mean_params, "batch_stats": extra["batch_stats"]}


def evaluation(model: Model, features: data.Features, decay: float) -> Any:
    """Build sums(state, jets) of the averaged network, for train.Validation and evaluate."""

    def sums(state: train.TrainState, jets: data.Jets) -> Any:
        variables = averaged(state.params, state.extra, decay)
        out = model.apply(variables, data.inputs(jets, features))
        return {"means": _means(out, jets)}

    return sums


def logits(model: Model, features: data.Features) -> Any:
    """Build function(variables, jets) -> logits [jet, class], for train.predict."""

    def function(variables: Any, jets: data.Jets) -> jax.Array:
        return model.apply(variables, data.inputs(jets, features))

    return function
