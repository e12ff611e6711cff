"""Convolutions over padded sequences and pictures, and the residual units made of them.

A convolution looks across the border between what is real and what is padding, so whatever stands
in the padding would leak into its neighbours: `Convolution` sets it to 0 first, as beyond the edge
of the grid. A stride of 2 keeps every second place of the grid, and of its mask (`strided`).
`Residual` is a unit of two convolutions and a shortcut, `Bottleneck` one of three, the one in the
middle in groups (arXiv:1512.03385, arXiv:1611.05431). Batch norm has its statistics from real
places.

>>> import jax, jax.numpy as jnp
>>> x, mask = jnp.ones((2, 7, 3)), jnp.arange(7) < jnp.array([[5], [0]])
>>> unit = Residual(4, stride=2)
>>> variables = unit.init(jax.random.key(0), x, mask)
>>> unit.apply(variables, x, mask).shape, strided(mask, 2)[0].tolist()
((2, 4, 4), [True, True, True, False])
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from hepjax.nn import mlp, norm

he = linen.initializers.he_normal()


class Convolution(linen.Module):
    """Map x [set, *grid, feature] of one or two dimensions to [set, *grid / stride, width], without
    a bias, since a norm follows.

    window: places of the kernel along each dimension, odd; groups: of features that do not mix;
    dtype: of the products.
    """

    width: int
    window: int = 3
    stride: int = 1
    groups: int = 1
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Convolve; mask: [set, *grid] True = real."""
        if mask.shape != x.shape[:-1]:
            raise ValueError(f"mask: expected shape {x.shape[:-1]}, found {mask.shape}")
        if self.window % 2 == 0 or x.shape[-1] % self.groups or self.width % self.groups:
            raise ValueError(
                f"window, groups: expected an odd number and a divisor of {x.shape[-1]} and "
                f"{self.width}, found {self.window}, {self.groups}"
            )
        n_dims = x.ndim - 2
        shape = (self.window,) * n_dims + (x.shape[-1] // self.groups, self.width)
        dtype = self.dtype or x.dtype
        kernel = self.param("kernel", he, shape).astype(dtype)
        x = jnp.where(mask[..., None], x, 0).astype(dtype)
        if self.window == 1 and self.groups == 1:
            return mlp.matmul(strided(x, self.stride, n_dims), kernel.reshape(shape[-2:]))
        letters = "NWC" if n_dims == 1 else "NHWC"
        around = self.window // 2
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (self.stride,) * n_dims,
            ((around, around),) * n_dims,
            dimension_numbers=(letters, letters[1:-1] + "IO", letters),
            feature_group_count=self.groups,
        )


def strided(x: jax.Array, stride: int, n_dims: int | None = None) -> jax.Array:
    """Keep every stride-th place of a grid, from the first: of a mask [set, *grid], or of x [set,
    *grid, feature] with n_dims dimensions of the grid.
    """
    n_dims = x.ndim - 1 if n_dims is None else n_dims
    return x[(slice(None), *(slice(None, None, stride),) * n_dims)]


class Residual(linen.Module):
    """x [set, *grid, feature] plus what two convolutions of window 3 make of it, each with batch
    norm and a ReLU; the first one has the stride. 0 where masked.

    Another width or a stride maps the shortcut by a dense layer.
    """

    width: int
    stride: int = 1
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array, train: bool = False) -> jax.Array:
        """Map x to [set, *grid / stride, width]; mask: [set, *grid]."""
        kept = strided(mask, self.stride)
        y = Convolution(self.width, 3, self.stride, dtype=self.dtype, name="convolution_0")(x, mask)
        y = linen.relu(norm.MaskedBatchNorm(-1, self.axis_name, name="norm_0")(y, kept, train))
        y = Convolution(self.width, dtype=self.dtype, name="convolution_1")(y, kept)
        y = linen.relu(norm.MaskedBatchNorm(-1, self.axis_name, name="norm_1")(y, kept, train))
        if self.stride > 1 or x.shape[-1] != self.width:
            short = Convolution(self.width, 1, self.stride, dtype=self.dtype, name="shortcut")
            x = short(x, mask)
        return jnp.where(kept[..., None], x + y, 0)


class Bottleneck(linen.Module):
    """x [set, *grid, feature] plus what three convolutions make of it: to a width of `inner`, with
    a window of 3 in groups there, and to `width`; batch norm after each, ReLUs between and behind.

    The stride is that of the convolution in the middle. 0 where masked.
    """

    width: int
    inner: int
    groups: int
    stride: int = 1
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, mask: jax.Array, train: bool = False) -> jax.Array:
        """Map x to [set, *grid / stride, width]; mask: [set, *grid]."""
        kept = strided(mask, self.stride)
        settings = ((self.inner, 1, 1, 1), (self.inner, 3, self.stride, self.groups))
        y, seen = x, mask
        for k, (width, window, stride, groups) in enumerate((*settings, (self.width, 1, 1, 1))):
            layer = Convolution(width, window, stride, groups, self.dtype, name=f"convolution_{k}")
            y, seen = layer(y, seen), strided(seen, stride)
            y = norm.MaskedBatchNorm(-1, self.axis_name, name=f"norm_{k}")(y, seen, train)
            y = linen.relu(y) if k < 2 else y
        if self.stride > 1 or x.shape[-1] != self.width:
            short = Convolution(self.width, 1, self.stride, dtype=self.dtype, name="shortcut")
            x = short(x, mask)
            x = norm.MaskedBatchNorm(-1, self.axis_name, name="shortcut_norm")(x, kept, train)
        return jnp.where(kept[..., None], linen.relu(x + y), 0)
