"""What an LSTM remembers of a padded sequence.

A step whose mask is False leaves the memory as it was, so padding may stand anywhere and a sequence
of nothing gives 0. What the cell makes of the inputs alone is computed for all steps at once; only
the product with the last state has to wait for its turn.

>>> import jax, jax.numpy as jnp
>>> x, mask = jnp.ones((2, 6, 3)), jnp.arange(6) < jnp.array([[6], [0]])
>>> layer = LSTM(4)
>>> layer.apply(layer.init(jax.random.key(0), x, mask), x, mask)[1].tolist()
[0.0, 0.0, 0.0, 0.0]
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.nn import mlp


class LSTM(linen.Module):
    """The last state [set, width] of a long short-term memory (Neural Comput. 9 (1997) 1735, with
    forget gates) that has read x [set, item, feature].

    reverse: read from the last item to the first; unroll: steps in one turn of the compiled loop;
    dtype: of the matrix products, the memory is in float32.
    """

    width: int
    reverse: bool = False
    unroll: int = 1
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Read x where mask [set, item] is True; float32."""
        if mask.shape != x.shape[:-1]:
            raise ValueError(f"mask: expected shape {x.shape[:-1]}, found {mask.shape}")
        shape = (x.shape[-1], 4 * self.width)
        kernel = self.param("kernel", linen.initializers.lecun_normal(), shape)
        recurrent = self.param("recurrent_kernel", _orthogonal, (self.width, 4 * self.width))
        bias = self.param("bias", _remembering, (4 * self.width,))
        dtype = self.dtype or x.dtype
        wide = jnp.promote_types(dtype, jnp.float32)
        x = jnp.where(mask[..., None], x, 0).astype(dtype)
        given = (mlp.matmul(x, kernel.astype(dtype)) + bias.astype(dtype)).astype(wide)
        recurrent = recurrent.astype(dtype)

        def step(state: tuple[Any, Any], now: tuple[Any, Any]) -> tuple[tuple[Any, Any], None]:
            hidden, memory = state
            gates = now[0] + (hidden.astype(dtype) @ recurrent).astype(wide)
            enter, forget, write, out = jnp.split(gates, 4, -1)
            new = jax.nn.sigmoid(forget) * memory + jax.nn.sigmoid(enter) * jnp.tanh(write)
            shown = jax.nn.sigmoid(out) * jnp.tanh(new)
            real = now[1][:, None]
            return (jnp.where(real, shown, hidden), jnp.where(real, new, memory)), None

        start = jnp.zeros((x.shape[0], self.width), wide)
        steps = (jnp.swapaxes(given, 0, 1), mask.T)
        options: dict[str, Any] = {"reverse": self.reverse, "unroll": self.unroll}
        (hidden, _), _ = jax.lax.scan(step, (start, start), steps, **options)
        return hidden


def _orthogonal(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Start each gate's product with an orthogonal matrix."""
    one = linen.initializers.orthogonal()
    return jnp.concatenate([one(k, (shape[0], shape[0])) for k in jax.random.split(key, 4)], 1)


def _remembering(key: jax.Array, shape: tuple[int]) -> jax.Array:
    """Start with an open forget gate, so that early steps are not lost at once."""
    return jnp.zeros(shape).at[shape[0] // 4 : shape[0] // 2].set(1)
