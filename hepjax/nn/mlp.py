"""Dense layers: the activation of transformers, dropout, and a stack of dense layers.

>>> import jax, jax.numpy as jnp
>>> layer = MLP((16, 3))
>>> variables = layer.init(jax.random.key(0), jnp.ones((8, 5)))
>>> layer.apply(variables, jnp.ones((8, 5))).shape
(8, 3)
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

uniform = linen.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Initial kernels between -1 / sqrt(inputs) and 1 / sqrt(inputs), as torch has them."""


@jax.checkpoint
def gelu(x: jax.Array) -> jax.Array:
    """Apply x times the normal distribution's cumulative function, exactly (arXiv:1606.08415).

    Its derivative is computed again from x in the backward pass: cheaper than to keep the parts of
    it.
    """
    return 0.5 * x * (1 + jax.lax.erf(x * math.sqrt(0.5)))


@jax.custom_vjp
def matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiply x [..., in] by kernel [in, out]; the kernel's gradient comes without a transpose."""
    return x @ kernel


def _matmul_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple]:
    return x @ kernel, (x, kernel)


def _matmul_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    flat = gradient.reshape(-1, kernel.shape[1])
    slope = jax.lax.dot_general(x.reshape(-1, kernel.shape[0]), flat, (((0,), (0,)), ((), ())))
    return (flat @ kernel.T).reshape(x.shape), slope


matmul.defvjp(_matmul_forward, _matmul_backward)


def dot(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Multiply as `matmul`, in the place of a layer's `dot_general`."""
    return matmul(x, kernel)


def dropout(
    x: jax.Array, rate: float, key: jax.Array, shape: tuple[int, ...] | None = None
) -> jax.Array:
    """Set a fraction `rate` of x to 0, and scale the rest so that the mean stays.

    The rate is taken to 16 bits, which halves the cost of the random numbers. shape: of the draws,
    if they shall be shared along axes of x.
    """
    cut = round(rate * 65536)
    bits = jax.random.bits(key, x.shape if shape is None else shape, jnp.uint16)
    return jnp.where(bits >= cut, x * (65536 / (65536 - cut)), 0).astype(x.dtype)


class MLP(linen.Module):
    """Dense layers with an activation between them, on x [..., feature].

    features: width of each layer, the last one the output; activate_last: activate that too;
    dropout: rate behind each activation; dtype: of the matrix products, parameters stay float32.
    """

    features: tuple[int, ...]
    activation: Callable[[jax.Array], jax.Array] = linen.relu
    activate_last: bool = False
    dropout: float = 0.0
    dtype: Any = None
    kernel_init: Any = linen.initializers.lecun_normal()

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map x [..., feature] to [..., features[-1]]."""
        for k, width in enumerate(self.features):
            x = linen.Dense(
                width, dtype=self.dtype, kernel_init=self.kernel_init, name=f"dense_{k}"
            )(x)
            if k < len(self.features) - 1 or self.activate_last:
                x = self.activation(x)
                if train and self.dropout > 0:
                    x = dropout(x, self.dropout, self.make_rng("dropout"))
        return x
