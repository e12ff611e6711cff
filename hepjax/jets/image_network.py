"""A convolutional network on the picture of a jet: the first deep taggers saw jets as images.

The full size is a ResNeXt-50 with a quarter of the channels, as in the comparison of top taggers
arXiv:1902.09914: units of three convolutions, the one in the middle in 32 groups
(arXiv:1611.05431); `small` has residual units of two. Both begin with patches: the 64 x 64 pixels
(`images.image`) are read as a coarser grid whose places hold the pixels of a square, so that
nothing is lost before the first convolution and no work is spent on single pixels. A picture shows
where the momentum went; of charges, particle types and displaced tracks it knows nothing.

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

from hepjax.jets import data, images
from hepjax.nn import convolution, mlp, norm


class ImageNetwork(linen.Module):
    """Class logits [jet, n_classes] of Inputs, by its points and p4 alone.

    patch: pixels along the edge of a patch; stem: width of the first convolution; stages: (width,
    units) of each, all but the first with a stride of 2; inner: width inside a Bottleneck over the
    width of the unit, 0 for Residual units; groups: of the former; axis_name: pmap's axis; dtype:
    of the products, None for that of the picture.
    """

    n_classes: int
    n_pixels: int = images.N_PIXELS
    radius: float = images.RADIUS
    patch: int = 2
    stem: int = 16
    stages: tuple[tuple[int, int], ...] = ((64, 3), (128, 4), (256, 6), (512, 3))
    inner: float = 0.5
    groups: int = 32
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32."""
        x = patches(images.image(inputs, self.n_pixels, self.radius), self.patch)
        x = jnp.sqrt(x)  # a pixel of a hundredth is a tenth: soft radiation can be seen
        real = jnp.broadcast_to(inputs.mask.any(-1)[:, None, None], x.shape[:-1])
        x = convolution.Convolution(self.stem, dtype=self.dtype, name="stem")(x, real)
        stem_norm = norm.MaskedBatchNorm(-1, self.axis_name, name="stem_norm")
        x = linen.relu(stem_norm(x, real, train))
        for i, (width, n_units) in enumerate(self.stages):
            for k in range(n_units):
                stride = 2 if i > 0 and k == 0 else 1
                x = self._unit(width, stride, f"stage_{i}_unit_{k}")(x, real, train)
                real = convolution.strided(real, stride)
        x = x.mean((1, 2), dtype=jnp.promote_types(x.dtype, jnp.float32))
        return mlp.MLP((self.n_classes,), name="head")(x)

    def _unit(self, width: int, stride: int, name: str) -> linen.Module:
        if not self.inner:
            return convolution.Residual(width, stride, self.axis_name, self.dtype, name=name)
        inner = round(self.inner * width)
        return convolution.Bottleneck(
            width, inner, self.groups, stride, self.axis_name, self.dtype, name=name
        )


def small(n_classes: int, **fields: Any) -> ImageNetwork:
    """Configure a network for two CPU cores: patches of 4 x 4, a unit of 32 and one of 64."""
    sizes = {"patch": 4, "stem": 32, "stages": ((32, 1), (64, 1)), "inner": 0}
    return ImageNetwork(n_classes, **{**sizes, **fields})


def patches(pictures: jax.Array, size: int) -> jax.Array:
    """Read pictures [jet, row, column] as a grid of squares: [jet, row / size, column / size,
    pixel]. Raises ValueError for a size that does not divide them.
    """
    n_jets, n_rows, n_columns = pictures.shape
    if n_rows % size or n_columns % size:
        raise ValueError(f"size: expected a divisor of {n_rows} and {n_columns}, found {size}")
    squares = pictures.reshape(n_jets, n_rows // size, size, n_columns // size, size)
    return jnp.moveaxis(squares, 2, 3).reshape(*squares.shape[:2], n_columns // size, size * size)
