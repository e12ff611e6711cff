"""GN2: a transformer on tracks, taught flavour, origins and vertices at once (arXiv:2505.19689).

Each track, with the momentum of its jet beside it, is embedded, attends to the others, and is
pooled into one vector a jet. Three heads read that: the flavour of the jet; the origin of each
track; and for each two tracks whether they share a vertex. The last two are what the generator
knows and an experiment does not: they teach the network what a decay is, and tell a physicist what
it saw. `Heads` is shared with GN1. Sizes of the defaults are those of the public configuration,
`small` is for two CPU cores.

>>> import jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> net = model.from_linen(small())
>>> inputs = data.Inputs(jnp.ones((2, 8, 18)), jnp.ones((2, 2)), jnp.ones((2, 8), bool))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
>>> out = jax.eval_shape(net.apply, variables, inputs)
>>> out.flavour.shape, out.origin.shape, out.vertex.shape
((2, 4), (2, 8, 8), (2, 8, 8))
"""

from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.jets.flavour import data
from hepjax.jets.simulation import events
from hepjax.nn import attention, mlp, norm


class Output(NamedTuple):
    """Logits of a tagger with auxiliary tasks; None where it has none.

    flavour: [jet, class]; origin: [jet, track, origin] in the order of events.ORIGINS; vertex:
    [jet, track, track], symmetric, of two tracks to share a vertex.
    """

    flavour: Any
    origin: Any
    vertex: Any


class Heads(linen.Module):
    """Pool tracks x [jet, track, feature] by attention, and read Output from them and the pool.

    hidden: widths of the layers of each head; auxiliary: whether there are origins and vertices.
    """

    n_classes: int
    hidden: tuple[int, ...]
    auxiliary: bool
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> Output:
        """Read the logits; mask: [jet, track] True = real."""
        pooled = AttentionPooling(name="pooling")(x, mask)
        flavour = mlp.MLP((*self.hidden, self.n_classes), name="flavour")(pooled)
        if not self.auxiliary:
            return Output(flavour, None, None)
        beside = jnp.broadcast_to(pooled[:, None], (*x.shape[:2], pooled.shape[-1]))
        together = jnp.concatenate([x, beside.astype(x.dtype)], -1)
        widths = (*self.hidden, len(events.ORIGINS))
        origin = mlp.MLP(widths, dtype=self.dtype, name="origin")(together)
        vertex = PairHead(self.hidden, self.dtype, name="vertex")(x, pooled)
        return Output(flavour, *(y.astype(jnp.float32) for y in (origin, vertex)))


class AttentionPooling(linen.Module):
    """Average x [jet, track, feature] over tracks with weights softmax(w.x): [jet, feature]; 0 for
    a jet without tracks.
    """

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Pool over the tracks where mask [jet, track] is True."""
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        logit = jnp.where(mask, linen.Dense(1, name="gate")(wide)[..., 0], attention.MASKED)
        e = jnp.where(mask, jnp.exp(logit - jax.lax.stop_gradient(logit.max(-1, keepdims=True))), 0)
        total = e.sum(-1, keepdims=True)
        return jnp.einsum("jt,jtf->jf", e / jnp.where(total > 0, total, 1), wide)


class PairHead(linen.Module):
    """Logit [jet, track, track] of every two tracks, from x of both and the pool: the mean of both
    orders, so that it is symmetric.
    """

    hidden: tuple[int, ...]
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, pooled: jax.Array) -> jax.Array:
        """Score all pairs of x [jet, track, feature]; pooled: [jet, feature]."""
        first = {"features": self.hidden[0], "dtype": self.dtype}
        here = linen.Dense(**first, name="first")(x)
        there = linen.Dense(**first, use_bias=False, name="second")(x)
        jet = linen.Dense(**first, use_bias=False, name="jet")(pooled)
        pair = linen.relu(here[:, :, None] + there[:, None] + jet[:, None, None].astype(here.dtype))
        rest = mlp.MLP((*self.hidden[1:], 1), dtype=self.dtype, name="rest")
        logit = rest(pair)[..., 0]
        return (logit + jnp.swapaxes(logit, 1, 2)) / 2


class EncoderLayer(linen.Module):
    """Attention and two dense layers of `wide` units, each behind a layer norm and beside a
    residual, on x [jet, track, feature].
    """

    n_heads: int
    wide: int
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Transform x; mask: [jet, track] True = real."""
        heads = attention.MultiHeadAttention(
            self.n_heads, pre_norm=True, dtype=self.dtype, name="attention"
        )
        x = x + heads(x, mask)
        hidden = linen.relu(norm.NormedDense(self.wide, self.dtype, name="dense_in")(x))
        return x + linen.Dense(x.shape[-1], dtype=self.dtype, name="dense_out")(hidden)


class GN2(linen.Module):
    """Output of Inputs by a transformer encoder.

    width: of the tracks in the encoder; n_layers, n_heads, wide: of its layers, wide the inner
    width of their dense part; out_width: behind it; hidden: of the heads; auxiliary: whether to
    have heads for origins and vertices; dtype: of matrix products.
    """

    n_classes: int = len(data.CLASSES)
    width: int = 256
    n_layers: int = 4
    n_heads: int = 8
    wide: int = 512
    out_width: int = 128
    hidden: tuple[int, ...] = (128, 64, 32)
    auxiliary: bool = True
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> Output:
        """Compute the logits, float32."""
        mask = inputs.mask
        x = embed(inputs, self.width, self.dtype)
        for k in range(self.n_layers):
            x = EncoderLayer(self.n_heads, self.wide, self.dtype, name=f"layer_{k}")(x, mask)
        x = norm.NormedDense(self.out_width, self.dtype, name="out")(x)
        return Heads(self.n_classes, self.hidden, self.auxiliary, self.dtype, name="heads")(x, mask)


def embed(inputs: data.Inputs, width: int, dtype: Any) -> jax.Array:
    """Map each track, its jet's features beside it, to `width` by two dense layers: [jet, track,
    width]. To be called inside a linen module.
    """
    jet = jnp.broadcast_to(inputs.jet[:, None], (*inputs.tracks.shape[:2], inputs.jet.shape[-1]))
    both = jnp.concatenate([jnp.where(inputs.mask[..., None], inputs.tracks, 0), jet], -1)
    return mlp.MLP((width, width), dtype=dtype, name="embedding")(both)


def small(**fields: Any) -> GN2:
    """Configure a network of width 64 with 2 layers."""
    sizes = {"width": 64, "n_layers": 2, "n_heads": 4, "wide": 128, "out_width": 64}
    return GN2(**{**sizes, "hidden": (64, 32), **fields})
