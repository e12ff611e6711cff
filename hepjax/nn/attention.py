"""Attention over padded sets, with a bias for every pair of items.

`attention` is the function; it chooses cuDNN's fused kernel where that exists (a GPU, half
precision, heads of a multiple of 8 channels) and otherwise plain products with a softmax in
float32, whose backward pass computes the weights again from queries and keys instead of keeping
them: a pair bias makes memory traffic the price, not arithmetic. For the same reason a CPU takes a
few sets at once. `MultiHeadAttention` holds the projections around it. `QueryAttention` pools a set
with a single query: keys and values of its items are never formed, since q.(W x) = (W^T q).x.

An item whose mask is False is never looked at; an item that may look at nothing gets 0, with
gradient 0.

>>> import jax, jax.numpy as jnp
>>> x, mask = jnp.ones((2, 6, 16)), jnp.arange(6) < jnp.array([[6], [0]])
>>> layer = MultiHeadAttention(n_heads=4)
>>> layer.apply(layer.init(jax.random.key(0), x, mask), x, mask).shape
(2, 6, 16)
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from hepjax.nn import mlp, norm, packing

Implementation = Literal["auto", "cudnn", "plain"]
MASKED = -1e30
"""Logit of an item that is not there: finite, so that a set of no items gives no NaN."""
IN_CACHE = 2**19
"""Weights of attention that a CPU's second cache holds."""


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    dropout: float = 0.0,
    dropout_key: Any = None,
    implementation: Implementation = "auto",
) -> jax.Array:
    """Average values by softmax(query.key / sqrt(channels) + bias): [set, query, head, channel].

    query: [set, query, head, channel]; key, value: [set, item, head, channel]; mask: [set, item]
    True = real; bias: [set, head, query, item]; dropout: rate on the weights, with dropout_key.
    Raises ValueError for shapes that do not fit, and for cudnn where it cannot run.
    """
    _check(query, key, mask, bias, implementation)
    if implementation == "auto":
        implementation = "cudnn" if _fits_cudnn(query, key, bias, dropout) else "plain"
    if implementation == "cudnn":
        full = None if mask is None else mask[:, None, None, :]
        bias = None if bias is None else bias.astype(query.dtype)
        out = jax.nn.dot_product_attention(query, key, value, bias, full, implementation="cudnn")
        return out if mask is None else jnp.where(mask.any(-1)[:, None, None, None], out, 0)
    q, k, v = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    q = q * (1 / math.sqrt(q.shape[-1]))
    if dropout > 0:
        full = None if mask is None else mask[:, None, None]
        weights = mlp.dropout(_softmax(_logits(q, k, bias, mask), full), dropout, dropout_key)
        out = _product(weights.astype(v.dtype), v, 3, 2)
    else:
        out = _attend(q, k, v, bias, mask)
    return jnp.swapaxes(out, 1, 2).astype(query.dtype)


class MultiHeadAttention(linen.Module):
    """Self-attention of the items of a set, x [set, item, feature] -> the same shape
    (arXiv:1706.03762).

    pre_norm: whether x goes through layer norm first; dropout: rate on the attention weights;
    dtype: of the matrix products; out_scale: factor on the initial output kernel.
    """

    n_heads: int
    pre_norm: bool = False
    dropout: float = 0.0
    dtype: Any = None
    implementation: Implementation = "auto"
    out_scale: float = 1.0

    @linen.compact
    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        train: bool = False,
        listed: jax.Array | None = None,
    ) -> jax.Array:
        """Attend within each set; mask: [set, item] True = real; bias: [set, head, item, item];
        listed: with it x and what is returned are [group, entry, feature], nn.packing. Raises
        ValueError for a list without a mask.
        """
        n_features = x.shape[-1]
        kernel, shift, out_kernel, out_shift = _projections(self, n_features, self.out_scale)
        dtype = self.dtype or x.dtype
        if self.pre_norm:
            factors = norm.factors(self, n_features, "norm_")
            qkv = norm.standardise_dense(x, *factors, kernel, shift, dtype)
        else:
            qkv = mlp.matmul(x.astype(dtype), kernel.astype(dtype)) + shift.astype(dtype)
        qkv = checkpoint_name(qkv, "projected")
        if listed is not None:
            if mask is None:
                raise ValueError("mask: expected one beside a list of what is real, found None")
            qkv = packing.unpack(qkv, listed, mask.shape)
        qkv = qkv.reshape(*qkv.shape[:-1], 3, self.n_heads, n_features // self.n_heads)
        query, key, value = (qkv[..., k, :, :] for k in range(3))
        rate = self.dropout if train else 0.0
        out = attention(
            query,
            key,
            value,
            mask,
            bias,
            dropout=rate,
            dropout_key=self.make_rng("dropout") if rate > 0 else None,
            implementation=self.implementation,
        )
        out = out.reshape(*out.shape[:2], n_features)
        out = out if listed is None else packing.pack(out, listed)
        out = mlp.matmul(out, out_kernel.astype(dtype))
        return out + out_shift.astype(dtype)


class QueryAttention(linen.Module):
    """One query that attends to a set: query [set, feature], items [set, item, feature] -> [set,
    feature].

    The parameters, and what is computed, are those of MultiHeadAttention.
    """

    n_heads: int
    dtype: Any = None

    @linen.compact
    def __call__(
        self, query: jax.Array, items: jax.Array, mask: jax.Array | None = None
    ) -> jax.Array:
        """Attend from query to the items where mask [set, item] is True."""
        n_features = query.shape[-1]
        heads = (self.n_heads, n_features // self.n_heads)
        dtype = self.dtype or items.dtype
        projections = _projections(self, n_features, 1.0)
        kernel, shift, out_kernel, out_shift = (p.astype(dtype) for p in projections)
        kernels = kernel.reshape(n_features, 3, *heads)
        shifts = shift.reshape(3, *heads)
        items = items.astype(dtype)
        q = jnp.einsum("bf,fhc->bhc", query.astype(dtype), kernels[:, 0]) + shifts[0]
        q *= 1 / math.sqrt(heads[1])
        seen = jnp.einsum("bhc,fhc->bhf", q, kernels[:, 1])
        wide = jnp.promote_types(dtype, jnp.float32)
        logits = jnp.einsum("bhf,bnf->bhn", seen, items, preferred_element_type=wide)
        logits += (q * shifts[1]).sum(-1, keepdims=True)
        weights = _softmax(logits, None if mask is None else mask[:, None]).astype(dtype)
        mixed = jnp.einsum("bhn,bnf->bhf", weights, items)
        out = jnp.einsum("bhf,fhc->bhc", mixed, kernels[:, 2])
        out += weights.sum(-1, keepdims=True) * shifts[2]
        return out.reshape(query.shape) @ out_kernel + out_shift


def _projections(module: Any, n_features: int, out_scale: float) -> tuple[jax.Array, ...]:
    """Make the maps into queries, keys and values, [feature, 3 feature], and out of the heads."""
    if n_features % module.n_heads:
        raise ValueError(f"n_heads: expected a divisor of {n_features}, found {module.n_heads}")
    xavier = linen.initializers.xavier_uniform()
    zeros = linen.initializers.zeros

    def into(key: Any, shape: tuple[int, int]) -> jax.Array:
        parts = [xavier(k, (n_features, n_features)) for k in jax.random.split(key, 3)]
        return jnp.concatenate(parts, 1)

    def outward(key: Any, shape: tuple[int, int]) -> jax.Array:
        return xavier(key, shape) * out_scale

    return (
        module.param("qkv_kernel", into, (n_features, 3 * n_features)),
        module.param("qkv_bias", zeros, (3 * n_features,)),
        module.param("out_kernel", outward, (n_features, n_features)),
        module.param("out_bias", zeros, (n_features,)),
    )


def _product(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int, wide: bool = False) -> jax.Array:
    """Multiply matrices a and b [set, head, ..., ...] over one axis of each."""
    numbers = (((axis_a,), (axis_b,)), ((0, 1), (0, 1)))
    dtype = jnp.promote_types(a.dtype, jnp.float32) if wide else a.dtype
    return jax.lax.dot_general(a, b, numbers, preferred_element_type=dtype)


def _logits(q: jax.Array, k: jax.Array, bias: Any, mask: Any) -> jax.Array:
    logits = _product(q, k, 3, 3, wide=True)
    if bias is not None:
        logits = logits + bias
    return logits if mask is None else jnp.where(mask[:, None, None], logits, MASKED)


def _softmax(logits: jax.Array, mask: Any) -> jax.Array:
    """Normalise over the last axis where mask is True; 0 where it nowhere is."""
    if mask is None:
        return jax.nn.softmax(logits, -1)
    logits = jnp.where(mask, logits, MASKED)
    top = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    e = jnp.where(mask, jnp.exp(logits - top), 0)
    total = e.sum(-1, keepdims=True)
    return e / jnp.where(total > 0, total, 1)


@jax.custom_vjp
def _attend(q: jax.Array, k: jax.Array, v: jax.Array, bias: Any, mask: Any) -> jax.Array:
    """Attend [set, head, item, channel] with q already scaled."""
    return _attend_forward(q, k, v, bias, mask)[0]


def _attend_forward(q: jax.Array, k: jax.Array, v: jax.Array, bias: Any, mask: Any) -> tuple:
    out, log_total = _some_at_once(_weighted, q, k, v, bias, mask)
    out, log_total = (
        checkpoint_name(x, name) for x, name in ((out, "attended"), (log_total, "log_total"))
    )
    return out, (q, k, v, bias, mask, out, log_total)


def _weighted(q: jax.Array, k: jax.Array, v: jax.Array, bias: Any, mask: Any) -> tuple:
    """Give the mean of v, and the logarithm of the sum of weights."""
    logits = _logits(q, k, bias, mask)
    top = logits.max(-1, keepdims=True)
    weights = jnp.exp(logits - top)
    if mask is not None:
        weights = jnp.where(mask[:, None, None], weights, 0)
    total = weights.sum(-1, keepdims=True)
    total = jnp.where(total > 0, total, 1)
    out = _product(weights.astype(v.dtype), v, 3, 2, wide=True) / total
    return out, top + jnp.log(total)


def _attend_backward(saved: tuple, gradient: jax.Array) -> tuple:
    *slopes, bias = _some_at_once(_slopes, *saved, gradient)
    return *slopes, bias, None


def _slopes(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: Any,
    mask: Any,
    out: jax.Array,
    log_total: jax.Array,
    gradient: jax.Array,
) -> tuple:
    """Give slopes by q, k, v and bias. Weights are [set, head, item, query]: products over the last
    axis of the first matrix are the quickest, and of three two are over queries.
    """
    logits = _product(k, q, 3, 3, wide=True)
    if bias is not None:
        logits = logits + jnp.swapaxes(bias, 2, 3)
    weights = jnp.exp(logits - jnp.swapaxes(log_total, 2, 3))
    if mask is not None:
        weights = jnp.where(mask[:, None, :, None], weights, 0)
    along = (gradient * out).sum(-1)[:, :, None]
    gradient = gradient.astype(v.dtype)
    slope = weights * (_product(v, gradient, 3, 3, wide=True) - along)
    narrow = slope.astype(q.dtype)
    return (
        _product(narrow, k, 2, 2),
        _product(narrow, q, 3, 2),
        _product(weights.astype(v.dtype), gradient, 3, 2),
        None if bias is None else jnp.swapaxes(slope, 2, 3).astype(bias.dtype),
    )


def _some_at_once(function: Callable[..., tuple], q: jax.Array, k: jax.Array, *rest: Any) -> tuple:
    """Map over sets, on one CPU so many at once that their weights stay in its cache; all at once
    where their number is not known, as for export.
    """
    n = q.shape[0]
    if jax.default_backend() != "cpu" or jax.device_count() > 1 or not isinstance(n, int):
        return function(q, k, *rest)
    most = max(IN_CACHE // (q.shape[1] * q.shape[2] * k.shape[2]), 1)
    if n <= most:
        return function(q, k, *rest)
    each = next(m for m in range(most, 0, -1) if n % m == 0)
    given = jax.tree.map(lambda x: x.reshape(n // each, each, *x.shape[1:]), (q, k, *rest))
    found = jax.lax.map(lambda some: function(*some), given)
    return jax.tree.map(lambda x: x.reshape(n, *x.shape[2:]), found)


_attend.defvjp(_attend_forward, _attend_backward)


def _fits_cudnn(query: jax.Array, key: jax.Array, bias: Any, dropout: float) -> bool:
    """Tell whether cuDNN's kernel can run: half precision on a GPU, even lengths where there is a
    bias or a mask.
    """
    half = query.dtype in (jnp.bfloat16, jnp.float16)
    channels = query.shape[-1]
    even = query.shape[1] % 2 == 0 and key.shape[1] % 2 == 0
    fits = half and channels % 8 == 0 and channels <= 128 and even and dropout == 0
    return fits and jax.default_backend() == "gpu"


def _check(query: jax.Array, key: jax.Array, mask: Any, bias: Any, implementation: str) -> None:
    n_sets, n_queries, n_heads, _ = query.shape
    if implementation not in ("auto", "cudnn", "plain"):
        raise ValueError(f"implementation: expected auto, cudnn or plain, found {implementation!r}")
    if mask is not None and mask.shape != key.shape[:2]:
        raise ValueError(f"mask: expected shape {key.shape[:2]}, found {mask.shape}")
    expected = (n_sets, n_heads, n_queries, key.shape[1])
    if bias is not None and bias.shape != expected:
        raise ValueError(f"bias: expected shape {expected}, found {bias.shape}")
