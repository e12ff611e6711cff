"""A model is three pure functions, whatever library its layers are written in.

Dropout and batch norm make a network differ between training and evaluation. Here that difference
is in the arguments: `train` and `key` go in, and what batch norm learns of a batch comes out as
sums that add over micro-batches and devices (`hepjax.nn.norm.update` turns them into running
statistics, once a step). `from_linen` adapts a flax.linen module whose `__call__(*inputs, train)`
follows that contract; nothing else in hepjax knows flax.

>>> import flax.linen as linen, jax, jax.numpy as jnp
>>> class Line(linen.Module):
...     @linen.compact
...     def __call__(self, x, train=False): return linen.Dense(1)(x)
>>> model = from_linen(Line())
>>> variables = model.init(jax.random.key(0), jnp.ones((8, 3)))
>>> model.apply(variables, jnp.ones((8, 3))).shape
(8, 1)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as linen

Variables = Mapping[str, Any]
"""{"params": ..., "batch_stats": ...}, the second only for models with batch norm."""


class Model(NamedTuple):
    """A network as pure functions.

    init(key, *inputs) -> variables; apply(variables, *inputs, train=False, key=None) -> output;
    apply_train(variables, *inputs, key=None) -> (output, batch_sums), the sums {} for models
    without batch norm. key: for dropout, needed when training with it.
    """

    init: Callable[..., Variables]
    apply: Callable[..., Any]
    apply_train: Callable[..., tuple[Any, Mapping[str, Any]]]


def from_linen(module: linen.Module) -> Model:
    """Adapt a linen module whose __call__ takes (*inputs, train=...)."""

    def init(key: Any, *inputs: Any) -> Variables:
        variables = module.init(key, *inputs, train=False)
        return {name: tree for name, tree in variables.items() if name != SUMS}

    def apply(variables: Variables, *inputs: Any, train: bool = False, key: Any = None) -> Any:
        return module.apply(variables, *inputs, train=train, rngs=_rngs(key))

    def apply_train(variables: Variables, *inputs: Any, key: Any = None) -> tuple[Any, Mapping]:
        out, new = module.apply(variables, *inputs, train=True, rngs=_rngs(key), mutable=[SUMS])
        return out, dict(new).get(SUMS, {})

    return Model(init, apply, apply_train)


SUMS = "batch_sums"
"""The linen collection where batch norm leaves its sums."""


def _rngs(key: Any) -> dict[str, Any] | None:
    return None if key is None else {"dropout": key}
