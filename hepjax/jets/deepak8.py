"""DeepAK8: convolutions along the particles of a jet in order of pt, and along its vertices.

A convolution of window 3 over an ordered list sees neighbours in the order, which are no neighbours
in space; residual units stacked with strides of 2 make it see all of them. DeepAK8
(arXiv:2004.08262) has 14 layers on particles, fewer on secondary vertices, and one dense layer of
512 on both. Its part for particles alone is the P-CNN that ParticleNet and the Particle Transformer
were compared with (arXiv:1902.08570, arXiv:2202.03772: 354,540 parameters for 17 inputs and 10
classes, of which 1,056 are biases that batch norm takes out again; they are not here). We differ in
the average, which is over real places of the list, and in what stands beyond its end, 0 in each
layer, so that padding is not seen.

>>> import jax, jax.numpy as jnp
>>> from hepjax.nn import model
>>> inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (17, 2, 4)), jnp.ones((2, 8), bool))
>>> net = model.from_linen(small(n_classes=2))
>>> variables = jax.eval_shape(net.init, jax.random.key(0), inputs)
>>> jax.eval_shape(net.apply, variables, inputs).shape
(2, 2)
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.jets import data, lists
from hepjax.nn import convolution, mlp, norm, sets


class DeepAK8(linen.Module):
    """Class logits [jet, n_classes] of Inputs, whose particles stand in falling order of pt.

    stem: width of the first convolution; stages: widths of the units of each, all but the first
    with a stride of 2; n_vertices: secondary vertices to look for, 0 for the P-CNN; vertex_stages:
    as `stages`, on them; hidden: width of the dense layer; dropout: behind it; axis_name: pmap's
    axis; dtype: of the products, None for that of the inputs.
    """

    n_classes: int
    stem: int = 32
    stages: tuple[tuple[int, ...], ...] = ((64, 64), (64, 64), (128, 128))
    n_vertices: int = 0
    vertex_stages: tuple[tuple[int, ...], ...] = ((32, 32), (64, 64))
    hidden: int = 512
    dropout: float = 0.2
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        read = [self._read(inputs.features, inputs.mask, self.stages, "particle", train)]
        if self.n_vertices:
            tracked = lists.tracks(inputs, "deepak8")
            found = lists.vertices(inputs, tracked, self.n_vertices)
            read.append(self._read(*found, self.vertex_stages, "vertex", train))
        x = linen.relu(linen.Dense(self.hidden, name="dense")(jnp.concatenate(read, -1)))
        if train and self.dropout > 0:
            x = mlp.dropout(x, self.dropout, self.make_rng("dropout"))
        return linen.Dense(self.n_classes, name="head")(x)

    def _read(
        self, x: jax.Array, mask: jax.Array, stages: Any, name: str, train: bool
    ) -> jax.Array:
        """Read a list x [jet, item, feature] into [jet, stages[-1][-1]], float32."""
        axis = self.axis_name
        x = jnp.where(mask[..., None], x, 0)
        x = norm.MaskedBatchNorm(-1, axis, name=f"{name}_norm")(x, mask, train)
        x = convolution.Convolution(self.stem, dtype=self.dtype, name=f"{name}_stem")(x, mask)
        x = linen.relu(norm.MaskedBatchNorm(-1, axis, name=f"{name}_stem_norm")(x, mask, train))
        for i, widths in enumerate(stages):
            for k, width in enumerate(widths):
                stride = 2 if i > 0 and k == 0 else 1
                unit = f"{name}_stage_{i}_unit_{k}"
                x = convolution.Residual(width, stride, axis, self.dtype, name=unit)(x, mask, train)
                mask = convolution.strided(mask, stride)
        return sets.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), mask)


def small(n_classes: int, **fields: Any) -> DeepAK8:
    """Configure a network for two CPU cores: one unit a stage, half the widths, no dropout."""
    sizes = {
        "stem": 16,
        "stages": ((32,), (32,), (64,)),
        "vertex_stages": ((16,), (32,)),
        "hidden": 64,
        "dropout": 0.0,
    }
    return DeepAK8(n_classes, **{**sizes, **fields})
