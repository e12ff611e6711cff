"""DeepJet: dense layers on each particle, an LSTM on each list, and dense layers on all of it.

Three lists are told apart that a detector tells apart: charged particles, neutral ones and
secondary vertices (`lists`). Convolutions of window 1, that is the same small dense network on each
member, make a few numbers of its many features; an LSTM reads each list, the most important last;
what the three remember goes with variables of the whole jet through dense layers (arXiv:2008.10519:
25 charged and 25 neutral particles, 4 vertices, layers of 64, 32, 32, 8 for charged ones and
vertices and 32, 16, 4 for neutral ones, LSTMs of 150, 50, 50, dense 200 and 7 of 100). We differ in
the variables, which are those of all taggers here, and in the order of charged particles, by pt
instead of displacement, since they come from tops here and not from b quarks alone.

>>> import jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (17, 2, 4)), jnp.ones((2, 8), bool))
>>> inputs = inputs._replace(displacement=jnp.ones((2, 8, 4)))
>>> net = model.from_linen(small(n_classes=2))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
>>> jax.eval_shape(net.apply, variables, inputs).shape
(2, 2)
"""

from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.jets import data, lists
from hepjax.nn import mlp, norm, recurrent


class Branch(NamedTuple):
    """One list: its length, the widths of the layers on each member, and that of the LSTM."""

    n: int
    widths: tuple[int, ...]
    memory: int


class DeepJet(linen.Module):
    """Class logits [jet, n_classes] of Inputs, whose particles stand in falling order of pt.

    charged, neutral, vertices: the lists; hidden: widths of the dense layers; dropout: behind each
    layer; axis_name: pmap's axis; dtype: of matrix products, None for that of the inputs.
    """

    n_classes: int
    charged: Branch = Branch(25, (64, 32, 32, 8), 150)
    neutral: Branch = Branch(25, (32, 16, 4), 50)
    vertices: Branch = Branch(4, (64, 32, 32, 8), 50)
    hidden: tuple[int, ...] = (200, *(100,) * 7)
    dropout: float = 0.1
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        tracked = lists.tracks(inputs, "deepjet")
        found = {
            "charged": lists.first(inputs.features, tracked, self.charged.n),
            "neutral": lists.first(inputs.features, inputs.mask & ~tracked, self.neutral.n),
            "vertices": lists.vertices(inputs, tracked, self.vertices.n),
        }
        real = inputs.mask.any(1)
        whole = lists.jet(inputs, tracked, inputs.mask & ~tracked, found["vertices"][1])
        whole = norm.MaskedBatchNorm(-1, self.axis_name, name="jet_norm")(whole, real, train)
        read = [
            self._read(*found[name], getattr(self, name), name, train)
            for name in ("charged", "neutral", "vertices")
        ]
        x = jnp.concatenate([whole, *read], -1)
        for k, width in enumerate(self.hidden):
            x = self._layer(x, real, width, f"dense_{k}", train)
        return linen.Dense(self.n_classes, name="head")(x.astype(whole.dtype))

    def _read(
        self, x: jax.Array, mask: jax.Array, branch: Branch, name: str, train: bool
    ) -> jax.Array:
        """Read a list x [jet, item, feature] into [jet, branch.memory]."""
        x = norm.MaskedBatchNorm(-1, self.axis_name, name=f"{name}_norm")(x, mask, train)
        for k, width in enumerate(branch.widths):
            x = self._layer(x, mask, width, f"{name}_{k}", train)
        layer = recurrent.LSTM(branch.memory, reverse=True, dtype=self.dtype, name=f"{name}_lstm")
        return layer(x, mask)

    def _layer(
        self, x: jax.Array, mask: jax.Array, width: int, name: str, train: bool
    ) -> jax.Array:
        x = linen.relu(linen.Dense(width, dtype=self.dtype, name=name)(x))
        x = norm.MaskedBatchNorm(-1, self.axis_name, name=f"{name}_norm")(x, mask, train)
        if train and self.dropout > 0:
            x = mlp.dropout(x, self.dropout, self.make_rng("dropout"))
        return x


def small(n_classes: int, **fields: Any) -> DeepJet:
    """Configure a network for two CPU cores: half the widths, two dense layers, no dropout."""
    sizes = {
        "charged": Branch(25, (32, 16, 8), 64),
        "neutral": Branch(25, (16, 8), 32),
        "vertices": Branch(4, (16, 8), 16),
        "hidden": (64, 32),
        "dropout": 0.0,
    }
    return DeepJet(n_classes, **{**sizes, **fields})
