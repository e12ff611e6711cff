"""RNNIP and DIPS: flavour from impact parameters alone, in an order or in none.

The tracks of a decay know of each other: a likelihood that multiplies track by track misses it.
RNNIP (ATL-PHYS-PUB-2017-003) reads them as a sequence, the most displaced first, with an LSTM; DIPS
(ATL-PHYS-PUB-2020-014) sums over what a network makes of each, a deep set, which is faster and no
worse. Both see the signed significances of impact parameters, the share of momentum, the distance
to the axis and the hits, and neither has auxiliary tasks.

>>> import jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> net = model.from_linen(DIPS())
>>> inputs = data.Inputs(jnp.ones((2, 8, 18)), jnp.ones((2, 2)), jnp.ones((2, 8), bool))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
>>> jax.eval_shape(net.apply, variables, inputs).flavour.shape
(2, 4)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from hepjax.jets.flavour import data, gn2
from hepjax.nn import mlp, sets

SEEN = (
    *("d0_significance", "dz_significance", "log_pt_fraction", "delta_r"),
    *("hits_first", "hits_pixel", "hits_strip"),
)
"""Features of data.FEATURES that both use."""


def _seen(inputs: data.Inputs) -> jax.Array:
    index = np.array([data.FEATURES.index(name) for name in SEEN])
    return jnp.where(inputs.mask[..., None], inputs.tracks[..., index], 0)


class RNNIP(linen.Module):
    """gn2.Output of Inputs, flavour alone, by an LSTM over tracks and dense layers.

    width: of the LSTM; hidden: of the dense layers; dtype: of matrix products.
    """

    n_classes: int = len(data.CLASSES)
    width: int = 100
    hidden: tuple[int, ...] = (20,)
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> gn2.Output:
        """Compute the logits, float32; tracks are read in the order of data.from_columns."""
        count = inputs.mask.sum(-1)
        cell = linen.OptimizedLSTMCell(self.width, dtype=self.dtype)
        layer = linen.RNN(cell, return_carry=True, name="lstm")
        (_, last), _ = layer(_seen(inputs), seq_lengths=jnp.maximum(count, 1))
        last = jnp.where(count[:, None] > 0, last, 0).astype(jnp.float32)
        head = mlp.MLP((*self.hidden, self.n_classes), name="head")
        return gn2.Output(head(last), None, None)


class DIPS(linen.Module):
    """gn2.Output of Inputs, flavour alone, by a sum over tracks.

    phi: widths of the layers on tracks; hidden: of those on the sum; dtype: of matrix products.
    """

    n_classes: int = len(data.CLASSES)
    phi: tuple[int, ...] = (100, 100, 128)
    hidden: tuple[int, ...] = (100, 100, 100, 30)
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> gn2.Output:
        """Compute the logits, float32."""
        x = mlp.MLP(self.phi, activate_last=True, dtype=self.dtype, name="phi")(_seen(inputs))
        pooled = sets.total(x.astype(jnp.float32), inputs.mask)
        head = mlp.MLP((*self.hidden, self.n_classes), name="head")
        return gn2.Output(head(pooled), None, None)
