"""Convolutions against sums by hand; padding is not seen; units add to what they get."""

import itertools

import jax
import numpy as np
import pytest

from hepjax.nn import convolution

RNG = np.random.default_rng(0)


def case(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(np.float32), rng.random(shape[:-1]) < 0.7


def by_hand(x, mask, kernel, stride, groups):
    """Sum over the window place by place and group by group."""
    x = np.where(mask[..., None], x, 0)
    grid, window = x.shape[1:-1], kernel.shape[0]
    half, n_in, n_out = window // 2, kernel.shape[-2], kernel.shape[-1] // groups
    places = [range(0, n, stride) for n in grid]
    out = np.zeros((len(x), *(len(p) for p in places), kernel.shape[-1]))
    for where in itertools.product(*(range(len(p)) for p in places)):
        for offset in itertools.product(range(window), repeat=len(grid)):
            at = [stride * w + o - half for w, o in zip(where, offset)]
            if any(a < 0 or a >= n for a, n in zip(at, grid)):
                continue
            for g in range(groups):
                seen = x[(slice(None), *at, slice(g * n_in, (g + 1) * n_in))]
                part = slice(g * n_out, (g + 1) * n_out)
                out[(slice(None), *where, part)] += seen @ kernel[(*offset, slice(None), part)]
    return out


@pytest.mark.parametrize(
    ("grid", "window", "stride", "groups"),
    [((7,), 3, 1, 1), ((7,), 3, 2, 2), ((8,), 1, 2, 1), ((5, 6), 3, 1, 1), ((6, 5), 5, 2, 2)],
)
def test_sums_by_hand(grid, window, stride, groups):
    x, mask = case((2, *grid, 4))
    layer = convolution.Convolution(6, window, stride, groups)
    variables = layer.init(jax.random.key(0), x, mask)
    kernel = np.asarray(variables["params"]["kernel"])
    found = layer.apply(variables, np.where(mask[..., None], x, 9), mask)
    np.testing.assert_allclose(found, by_hand(x, mask, kernel, stride, groups), atol=1e-4)
    assert convolution.strided(mask, stride).shape == found.shape[:-1]


UNITS = {
    "residual": lambda stride: convolution.Residual(4, stride),
    "bottleneck": lambda stride: convolution.Bottleneck(4, 4, 2, stride),
}


@pytest.mark.parametrize("name", UNITS)
def test_units_do_not_see_padding(name):
    """A longer list with garbage behind it gives the same, in training too."""
    x, _ = case((3, 8, 4))
    mask = np.arange(8) < np.array([[8], [5], [0]])
    unit = UNITS[name](2)
    variables = jax.jit(unit.init)(jax.random.key(0), x, mask)
    apply = jax.jit(unit.apply, static_argnums=3, static_argnames="mutable")
    wide = np.pad(np.where(mask[..., None], x, 7), [(0, 0), (0, 4), (0, 0)], constant_values=5)
    wide_mask = np.pad(mask, [(0, 0), (0, 4)])
    for train in (False, True):
        options = {"mutable": ("batch_sums",)} if train else {}
        out = apply({"params": variables["params"]}, x, mask, train, **options)
        more = apply({"params": variables["params"]}, wide, wide_mask, train, **options)
        for a, b in zip(*(o[0] if train else o for o in (out, more))):
            np.testing.assert_allclose(a, b[:4], atol=1e-5)
            np.testing.assert_array_equal(b[4:], 0)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_adds_to_what_it_gets(name):
    x, mask = case((2, 6, 4))
    unit, x = UNITS[name](1), np.abs(x)
    variables = jax.device_get(unit.init(jax.random.key(0), x, mask))
    last = "norm_1" if name == "residual" else "norm_2"
    variables["params"][last]["scale"] = np.zeros(4)
    out = unit.apply(variables, x, mask)
    np.testing.assert_allclose(out, np.where(mask[..., None], x, 0), atol=1e-6)


def test_bad_input():
    x, mask = case((2, 6, 4))
    for layer in (convolution.Convolution(6, 2), convolution.Convolution(6, 3, 1, 4)):
        with pytest.raises(ValueError, match="expected an odd number and a divisor of 4 and 6"):
            layer.init(jax.random.key(0), x, mask)
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 6\)"):
        convolution.Convolution(6).init(jax.random.key(0), x, mask[:, :3])
