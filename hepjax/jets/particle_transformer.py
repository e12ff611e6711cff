"""The Particle Transformer: attention between the particles of a jet, biased by their kinematics as
pairs.

Version 1 in full (arXiv:2202.03772), as weaver-core 0.5.3 has it with the options of the published
trainings: batch norm of the inputs over real particles, three dense layers to the width of the
network, pair features through four dense layers into one bias a head that every block adds to its
attention, blocks in the manner of NormFormer, and a class token that attends to the particles in
the last blocks. The default is the published size, 2,143,486 parameters for 17 inputs and 10
classes; `small` is one that trains on two CPU cores. In order: `ParticleTransformer`, its parts
`Embedding`, `PairEmbedding`, `Block`, `ClassBlock`, and `trim`.

We differ in the default pair features, which hold in float32 (`pairs.stable`), and, where the
inputs list no pairs, in computing the bias for padded pairs of the lower triangle too, which nobody
looks at; statistics are over real pairs.

>>> import jax, jax.numpy as jnp
>>> from hepjax.jets import data
>>> from hepjax.nn import model
>>> inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (17, 2, 4)), jnp.ones((2, 8), bool))
>>> part = model.from_linen(small(n_classes=2))
>>> variables = jax.eval_shape(part.init, jax.random.key(0), inputs)
>>> jax.eval_shape(part.apply, variables, inputs).shape
(2, 2)
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from hepjax.jets import data, pairs
from hepjax.nn import attention, mlp, model, norm, packing, recompute

Activation = Callable[[jax.Array], jax.Array]
xavier = linen.initializers.xavier_uniform()


class ParticleTransformer(linen.Module):
    """Class logits [jet, n_classes] of Inputs.

    embed_dims: widths of the embedding, the last one that of the network; pair_dims: widths of the
    pair embedding before its last layer, which has one output a head, () for a network without pair
    bias; n_layers, n_class_layers: blocks; dropout: of the particle blocks, on attention weights,
    activations and residuals; pair_features: `pairs.stable` or `.weaver`; trim: whether
    training drops random particles of the largest jets of a batch, as weaver does; axis_name:
    pmap's axis; dtype: of matrix products, None for that of the inputs; remat: whether training
    on inputs that do not list what is real computes the embedding of pairs and the inside of blocks
    again in the backward pass (`nn.recompute`): less memory for more work.
    """

    n_classes: int
    embed_dims: tuple[int, ...] = (128, 512, 128)
    pair_dims: tuple[int, ...] = (64, 64, 64)
    n_heads: int = 8
    n_layers: int = 8
    n_class_layers: int = 2
    mlp_ratio: int = 4
    dropout: float = 0.1
    activation: Activation = mlp.gelu
    pair_features: pairs.PairFeatures = pairs.stable
    trim: bool = False
    axis_name: str | None = None
    dtype: Any = None
    remat: bool = True

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32; with train=True from the statistics of the
        batch.
        """
        mask = inputs.mask
        if train and self.trim:
            mask = trim(mask, self.make_rng("dropout"))
        features = jnp.where(mask[..., None], inputs.features, 0)
        embedding = Embedding(
            self.embed_dims, self.activation, self.axis_name, self.dtype, name="embedding"
        )
        here = mask
        if inputs.real is not None:
            features = packing.pack(features, inputs.real.particles)
            here = packing.chosen(mask, inputs.real.particles)
        x = jnp.where(here[..., None], embedding(features, here, train), 0)
        p4 = jnp.where(mask[..., None], inputs.p4, 0)
        bias = self._bias(p4, mask, train, inputs.real) if self.pair_dims else None
        x = self._blocks(x, mask, bias, train, inputs.real)
        token = self.param("class_token", linen.initializers.truncated_normal(0.02), (x.shape[-1],))
        token = jnp.broadcast_to(token.astype(x.dtype), (x.shape[0], x.shape[-1]))
        for k in range(self.n_class_layers):
            block = ClassBlock(
                self.n_heads, self.mlp_ratio, self.activation, self.dtype, name=f"class_block_{k}"
            )
            token = block(token, x, mask)
        token = norm.LayerNorm(name="norm")(token)
        wide = jnp.promote_types(token.dtype, jnp.float32)
        return linen.Dense(self.n_classes, kernel_init=xavier, name="head")(token.astype(wide))

    def _bias(self, p4: jax.Array, mask: jax.Array, train: bool, real: Any) -> jax.Array:
        """Embed pairs as a bias [jet, head, particle, particle]."""
        name, widths = "pair_embedding", (*self.pair_dims, self.n_heads)
        fields = (widths, self.pair_features, self.activation, self.axis_name, self.dtype)
        listed = None if real is None else real.pairs
        bias = PairEmbedding(*fields, name=name)(p4, mask, train, listed)
        if not self._recomputes(train, real):
            return bias
        known = {kind: tree[name] for kind, tree in self.variables.items() if name in tree}
        params = known.pop("params")
        embed = PairEmbedding(*fields, parent=None)

        def again(params: Any, p4: jax.Array) -> jax.Array:
            variables = {**known, "params": params}
            return embed.apply(variables, p4, mask, train, mutable=[model.SUMS])[0]

        some = mask.any()
        if self.axis_name is not None:
            some = jax.lax.pmax(some, self.axis_name)
        return recompute.gradient(bias, again, some, params, p4)

    def _blocks(
        self, x: jax.Array, mask: jax.Array, bias: Any, train: bool, real: Any
    ) -> jax.Array:
        """Apply the particle blocks, block_0 and so on; x: as the embedding gives it, returns
        [jet, particle, feature].
        """
        fields = (self.n_heads, self.mlp_ratio, self.dropout, self.activation, self.dtype)
        if not self._recomputes(train, real) or not self.n_layers:
            listed = None if real is None else real.particles
            for k in range(self.n_layers):
                scale = 1 / math.sqrt(2 * (k + 1))
                block = Block(*fields, out_scale=scale, name=f"block_{k}")
                x = block(x, mask, bias, train, listed)
            return x if listed is None else packing.unpack(x, listed, mask.shape)
        block = Block(*fields, out_scale=1.0, parent=None)
        keys = jax.random.split(self.make_rng("dropout"), self.n_layers) if self.dropout else None

        def layer(params: Any, x: jax.Array, key: Any) -> Any:
            rngs = None if key is None else {"dropout": key}
            return block.apply({"params": params}, x, mask, bias, train, rngs=rngs)

        params = [self.variables["params"][f"block_{k}"] for k in range(self.n_layers)]
        return recompute.layers(layer, params, x, keys)

    def _recomputes(self, train: bool, real: Any) -> bool:
        return train and self.remat and real is None and not self.is_initializing()


def small(n_classes: int, **fields: Any) -> ParticleTransformer:
    """Configure a network for two CPU cores: width 32, pairs 16, 3 + 1 blocks, no dropout, and all
    that the backward pass needs kept.
    """
    sizes = {"embed_dims": (32, 32), "pair_dims": (16, 16), "n_heads": 4, "n_layers": 3}
    return ParticleTransformer(
        n_classes, **{**sizes, "n_class_layers": 1, "dropout": 0.0, "remat": False, **fields}
    )


class Embedding(linen.Module):
    """From features [set, item, feature] to [set, item, widths[-1]]: masked batch norm, then
    layers; sets are jets, or groups of them whose real particles are packed.
    """

    widths: tuple[int, ...]
    activation: Activation
    axis_name: str | None
    dtype: Any

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array, train: bool) -> jax.Array:
        """Embed each particle on its own."""
        x = norm.MaskedBatchNorm(axis_name=self.axis_name, name="norm")(x, mask, train)
        for k, width in enumerate(self.widths):
            x = self.activation(norm.NormedDense(width, self.dtype, xavier, name=f"dense_{k}")(x))
        return x


class PairEmbedding(linen.Module):
    """From p4 [jet, particle, 4] to a bias [jet, head, particle, particle], symmetric in the
    particles.
    """

    widths: tuple[int, ...]
    features: pairs.PairFeatures
    activation: Activation
    axis_name: str | None
    dtype: Any

    @linen.compact
    def __call__(
        self, p4: jax.Array, mask: jax.Array, train: bool, listed: jax.Array | None = None
    ) -> jax.Array:
        """Embed the pairs of the lower triangle, or those listed, and mirror them."""
        n_jets = p4.shape[0]
        real = pairs.mask(mask)
        n_pairs = real.size
        if listed is not None:
            real = packing.chosen(real, listed)
        real = real.reshape(-1)
        x = self.features(p4, listed)
        x = x.reshape(x.shape[0], -1)
        first = norm.MaskedBatchNorm(0, self.axis_name, fixed_bias=True, name="norm")
        x = first(x, real, train).astype(self.dtype or x.dtype)
        for k, width in enumerate(self.widths):
            kernel = self.param(f"kernel_{k}", mlp.uniform, (x.shape[0], width))
            shift = self.param(f"bias_{k}", linen.initializers.zeros, (width,))
            shift = jax.lax.stop_gradient(shift)  # as the norm's bias: the next takes it out
            x = kernel.T.astype(x.dtype) @ jnp.where(real, x, 0) + shift.astype(x.dtype)[:, None]
            layer = norm.MaskedBatchNorm(0, self.axis_name, self.dtype, name=f"norm_{k}")
            x = self.activation(layer(x, real, train))
        if listed is not None:
            x = x.reshape(x.shape[0], *listed.shape)
            x = pairs.spread(x, listed, n_pairs // len(listed))
        x = x.reshape(x.shape[0], n_jets, -1)
        return pairs.mirror(jnp.swapaxes(x, 0, 1))


class Block(linen.Module):
    """Attention between particles with a pair bias, then a dense layer of mlp_ratio times the
    width and back; all but the attention sees real particles alone where they are listed.
    """

    n_heads: int
    mlp_ratio: int
    dropout: float
    activation: Activation
    dtype: Any
    out_scale: float

    @linen.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, bias: Any, train: bool, listed: Any = None
    ) -> jax.Array:
        """Map x [jet, particle, feature], or [group, entry, feature], to the same shape."""
        attend = attention.MultiHeadAttention(
            self.n_heads, True, self.dropout, self.dtype, out_scale=self.out_scale, name="attention"
        )
        y = attend(x, mask, bias, train, listed)
        x = x + self._drop(_scale_heads(self, y), train)
        y = _widen(self, x, lambda h: self._drop(h, train), self.out_scale)
        return _residual(self, x) + self._drop(y, train)

    def _drop(self, x: jax.Array, train: bool) -> jax.Array:
        if not train or self.dropout == 0:
            return x
        return mlp.dropout(x, self.dropout, self.make_rng("dropout"))


class ClassBlock(linen.Module):
    """The class token attends to itself and the particles (arXiv:2103.17239), then passes through
    dense layers.

    Keys and values are normalised, the query is the token as it is.
    """

    n_heads: int
    mlp_ratio: int
    activation: Activation
    dtype: Any

    @linen.compact
    def __call__(self, token: jax.Array, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Update token [jet, feature] from x [jet, particle, feature]."""
        items = jnp.concatenate([token[:, None], x], 1)
        real = jnp.concatenate([jnp.ones_like(mask[:, :1]), mask], 1)
        attend = attention.QueryAttention(self.n_heads, self.dtype, name="attention")
        y = attend(token, norm.LayerNorm(name="pre_attention_norm")(items), real)
        token = token + _scale_heads(self, y)
        return _residual(self, token) + _widen(self, token, lambda h: h, 1.0)


def trim(
    mask: jax.Array, key: jax.Array, quantiles: tuple[float, float] = (0.9, 1.02)
) -> jax.Array:
    """Drop random particles of the jets with the most, [jet, particle] -> [jet, particle].

    The largest multiplicity that is kept whole is a quantile of those of the batch, drawn uniformly
    from `quantiles`; weaver cuts its arrays there, here the length stays and the mask changes.
    Under pmap each device draws for its own jets.
    """
    draw, order = jax.random.split(key)
    counts = mask.sum(-1)
    q = jnp.minimum(jax.random.uniform(draw, minval=quantiles[0], maxval=quantiles[1]), 1)
    longest = jnp.maximum(jnp.floor(jnp.quantile(counts.astype(jnp.float32), q)), 1)
    draws = jnp.where(mask, jax.random.uniform(order, mask.shape), 2)
    rank = jnp.argsort(jnp.argsort(draws, -1), -1)
    return mask & (rank < longest)


def _scale_heads(block: Any, y: jax.Array) -> jax.Array:
    """Weigh the heads' shares of the attention's output, then normalise."""
    scale = block.param("head_scale", linen.initializers.ones, (block.n_heads,)).astype(y.dtype)
    y = y * jnp.repeat(scale, y.shape[-1] // block.n_heads)
    return norm.LayerNorm(name="post_attention_norm")(y)


def _widen(block: Any, x: jax.Array, drop: Activation, out_scale: float) -> jax.Array:
    """Normalise, map to mlp_ratio times the width, normalise there, and map back."""
    width, wide = x.shape[-1], block.mlp_ratio * x.shape[-1]
    hidden = norm.NormedDense(wide, block.dtype, xavier, name="dense_in")(x)
    x = drop(block.activation(checkpoint_name(hidden, "hidden")))

    def small(*args: Any) -> jax.Array:
        return xavier(*args) * out_scale

    return norm.NormedDense(width, block.dtype, small, name="dense_out")(x)


def _residual(block: Any, x: jax.Array) -> jax.Array:
    scale = block.param("residual_scale", linen.initializers.ones, (x.shape[-1],))
    return x * scale.astype(x.dtype)
