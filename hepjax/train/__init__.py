"""Training: a loss of additive sums, a pure step, and `fit`, the one loop that drives any step.

In order of use: `loss` (Loss, mean_loss, gradient), `step` (TrainState, init, gradient_step),
`loop` (Settings, Validation, fit; minimise, for small networks) and `evaluation` (evaluate,
predict).

>>> import jax, jax.numpy as jnp, numpy as np, optax
>>> from hepjax import batch, train
>>> x = np.arange(8.0, dtype=np.float32)
>>> batches = batch.Batches(lambda epoch: [8], lambda epoch, i: x, lambda epoch, i: np.arange(8))
>>> loss = train.mean_loss(lambda w, x, key: batch.mean((x - w) ** 2))
>>> state = train.init(jnp.zeros(()), optax.sgd(0.5), jax.random.key(0))
>>> step = train.gradient_step(loss, optax.sgd(0.5))
>>> float(train.fit(step, state, batches, loss.finish, train.Settings(n_epochs=2)).state.params)
3.5
"""

from hepjax.train.evaluation import evaluate, predict
from hepjax.train.loop import Fit, Position, Settings, Validation, fit, minimise
from hepjax.train.loss import Loss, Sums, gradient, mean_loss
from hepjax.train.step import Step, TrainState, gradient_step, init

__all__ = [
    "Fit",
    "Loss",
    "Position",
    "Settings",
    "Step",
    "Sums",
    "TrainState",
    "Validation",
    "evaluate",
    "fit",
    "gradient",
    "gradient_step",
    "init",
    "mean_loss",
    "minimise",
    "predict",
]
