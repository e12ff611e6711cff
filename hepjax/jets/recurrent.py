"""A recurrent network: the particles of a jet as a sentence, read by an LSTM.

Language was the next picture of a jet after images: particles in an order, one after the other,
each changing what is remembered (arXiv:1711.09059, with 128 units and a dense layer of 64). The
order is a choice that physics does not make; here it is that of pt, read from the softest to the
hardest, so that what matters most is read last.

>>> import jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (7, 2, 4)), jnp.ones((2, 8), bool))
>>> net = model.from_linen(small(n_classes=2))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
>>> jax.eval_shape(net.apply, variables, inputs).shape
(2, 2)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.jets import data
from hepjax.nn import mlp, norm, recurrent


class RecurrentNetwork(linen.Module):
    """Class logits [jet, n_classes] of Inputs, whose particles stand in falling order of pt.

    width: of the LSTM; hidden: of the dense layers; dropout: on these; axis_name: pmap's axis;
    dtype: of matrix products, None for that of the inputs.
    """

    n_classes: int
    width: int = 128
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        mask = inputs.mask
        x = jnp.where(mask[..., None], inputs.features, 0)
        x = norm.MaskedBatchNorm(-1, self.axis_name, name="norm")(x, mask, train)
        layer = recurrent.LSTM(self.width, reverse=True, dtype=self.dtype, name="lstm")
        widths = (*self.hidden, self.n_classes)
        return mlp.MLP(widths, dropout=self.dropout, name="head")(layer(x, mask), train)


def small(n_classes: int, **fields: Any) -> RecurrentNetwork:
    """Configure a network of 64 units and a dense layer of 32."""
    return RecurrentNetwork(n_classes, **{"width": 64, "hidden": (32,), **fields})
