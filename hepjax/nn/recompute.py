"""A backward pass that computes again what it needs, instead of keeping it from the forward pass.

`jax.checkpoint` alone saves no memory on a CPU: the compiler sees that what is to be computed again
was there before, and keeps it. It does not look into a loop or a branch, which is what both
functions here make. `layers` runs equal layers one after the other in one loop that keeps, of each,
what it has named in `KEPT`. `gradient` gives a value that was computed already a backward pass that
computes it from the beginning.

>>> import flax.linen as linen, jax, jax.numpy as jnp
>>> layer, x = linen.Dense(4), jnp.ones((2, 4))
>>> params = [layer.init(jax.random.key(k), x)["params"] for k in range(3)]
>>> y = layers(lambda p, x, key: layer.apply({"params": p}, x), params, x)
>>> in_turn = x
>>> for p in params:
...     in_turn = layer.apply({"params": p}, in_turn)
>>> bool(jnp.allclose(y, in_turn, atol=1e-6))
True
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

KEPT = ("projected", "attended", "log_total", "hidden")
"""What is kept of a layer, by the names of `jax.ad_checkpoint.checkpoint_name`: queries, keys and
values; what attention gives, and the logarithm of the sum over its weights; the wide layer before
its activation. All else follows from these with little work.
"""


def layers(
    layer: Callable[[Any, jax.Array, Any], jax.Array],
    params: Sequence[Any],
    x: jax.Array,
    keys: jax.Array | None = None,
) -> jax.Array:
    """Apply a layer with each of several parameters in turn.

    layer: (parameters, x, key) -> x of the same shape and dtype; params: pytrees of equal
    structure and shapes, a layer each; keys: [layer] for dropout. What the layer closes over
    (masks, a bias for all of them) may have gradients. Raises ValueError for no layer at all, or
    keys in another number.
    """
    if not params or (keys is not None and len(keys) != len(params)):
        n_keys = "no" if keys is None else len(keys)
        raise ValueError(
            f"params: expected one layer or more, each with a key if there are any, "
            f"found {len(params)} layers and {n_keys} keys"
        )
    kept = jax.checkpoint_policies.save_only_these_names(*KEPT)

    def turn(x: jax.Array, now: tuple[Any, Any]) -> tuple[jax.Array, None]:
        return layer(now[0], x, now[1]), None

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    return jax.lax.scan(jax.checkpoint(turn, policy=kept), x, (stacked, keys))[0]


def gradient(value: Any, function: Callable[..., Any], needed: jax.Array, *args: Any) -> Any:
    """Give value = function(*args) the gradients of `function`, computed again when they are asked.

    needed: whether there is one, a boolean scalar, equal on all devices: where it is False,
    gradients are 0 without work. It has to come from data, or else the compiler sees through it.
    What `function` closes over has no gradient.
    """

    @jax.custom_vjp
    def given(value: Any, needed: jax.Array, *args: Any) -> Any:
        return value

    def forward(value: Any, needed: jax.Array, *args: Any) -> tuple[Any, tuple]:
        return value, (needed, args)

    def backward(saved: tuple, slope: Any) -> tuple:
        needed, args = saved

        def compute(slope: Any) -> tuple:
            return jax.vjp(function, *args)[1](slope)

        def nothing(slope: Any) -> tuple:
            return jax.tree.map(jnp.zeros_like, args)

        return None, None, *jax.lax.cond(needed, compute, nothing, slope)

    given.defvjp(forward, backward)
    return given(jax.lax.stop_gradient(value), needed, *args)
