"""The Particle Transformer as one writes it first in JAX: every pair of the square, plain autodiff.

`logits(variables, inputs)` is training mode without dropout; the variables and the numbers
are those of jets.particle_transformer, whose memory jets_vs_weaver.py compares with this.
"""

from typing import Any

import jax
import jax.numpy as jnp

from hepjax import lorentz


def pair_features(p4: jax.Array) -> jax.Array:
    """ln kT, ln z, ln Delta R, ln m^2 of all pairs [jet, particle, particle, 4]."""
    a, b = p4[:, :, None], p4[:, None]
    lower = jnp.minimum(lorentz.pt(a), lorentz.pt(b))
    squared = (lorentz.rapidity(a) - lorentz.rapidity(b)) ** 2 + lorentz.delta_phi(a, b) ** 2
    distance = jnp.sqrt(jnp.where(squared > 0, squared, 1)) * (squared > 0)
    z = lower / jnp.maximum(lorentz.pt(a) + lorentz.pt(b), 1e-8)
    stacked = jnp.stack([lower * distance, z, distance, lorentz.mass_squared(a + b)], -1)
    return jnp.log(jnp.maximum(stacked, 1e-8))


def batch_norm(p: Any, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Normalise x [..., feature] by its mean and variance where the mask is True."""
    axes, real = tuple(range(x.ndim - 1)), mask[..., None]
    n = mask.sum()
    mean = jnp.where(real, x, 0).sum(axes) / n
    var = jnp.where(real, (x - mean) ** 2, 0).sum(axes) / n
    return (x - mean) / jnp.sqrt(var + 1e-5) * p["scale"] + p["bias"]


def layer_norm(p: Any, x: jax.Array, prefix: str = "") -> jax.Array:
    """Normalise each vector."""
    centred = x - x.mean(-1, keepdims=True)
    x = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return x * p[prefix + "scale"] + p[prefix + "bias"]


def dense(p: Any, x: jax.Array) -> jax.Array:
    """Layer norm and a dense layer."""
    return layer_norm(p, x, "norm_") @ p["kernel"] + p["bias"]


def gelu(x: jax.Array) -> jax.Array:
    """The exact form."""
    return jax.nn.gelu(x, approximate=False)


def attend(p: Any, query: jax.Array, items: jax.Array, bias: jax.Array) -> jax.Array:
    """Multi-head attention with a bias [jet, head, query, item]."""
    n_heads = bias.shape[1]
    kernels, shifts = jnp.split(p["qkv_kernel"], 3, 1), jnp.split(p["qkv_bias"], 3)
    sides = (query, items, items)
    q, k, v = (
        (x @ w + b).reshape(*x.shape[:2], n_heads, -1) for x, w, b in zip(sides, kernels, shifts)
    )
    scores = jnp.einsum("bqhc,bkhc->bhqk", q, k) / jnp.sqrt(q.shape[-1]) + bias
    out = jnp.einsum("bhqk,bkhc->bqhc", jax.nn.softmax(scores, -1), v)
    return out.reshape(query.shape) @ p["out_kernel"] + p["out_bias"]


def finish(p: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """What follows the attention y in a block: scaled heads, and the dense layers."""
    y = y * jnp.repeat(p["head_scale"], y.shape[-1] // len(p["head_scale"]))
    x = x + layer_norm(p["post_attention_norm"], y)
    return p["residual_scale"] * x + dense(p["dense_out"], gelu(dense(p["dense_in"], x)))


def logits(variables: Any, inputs: Any) -> jax.Array:
    """Class logits [jet, class]."""
    p, mask = variables["params"], inputs.mask
    x = batch_norm(p["embedding"]["norm"], inputs.features, mask)
    for name in sorted(k for k in p["embedding"] if k.startswith("dense")):
        x = gelu(dense(p["embedding"][name], x))
    x = jnp.where(mask[..., None], x, 0)
    pair = p["pair_embedding"]
    both = jnp.tril(mask[:, :, None] & mask[:, None])  # statistics count each pair once
    u = batch_norm(pair["norm"], pair_features(inputs.p4), both)
    for k in range(sum(name.startswith("kernel") for name in pair)):
        u = u @ pair[f"kernel_{k}"] + pair[f"bias_{k}"]
        u = gelu(batch_norm(pair[f"norm_{k}"], u, both))
    absent = jnp.where(mask, 0, -1e30)[:, None, None]
    bias = jnp.moveaxis(u, -1, 1) + absent
    for k in range(sum(name.startswith("block") for name in p)):
        block = p[f"block_{k}"]
        y = layer_norm(block["attention"], x, "norm_")
        x = finish(block, x, attend(block["attention"], y, y, bias))
    token = jnp.broadcast_to(p["class_token"], (len(x), 1, x.shape[-1]))
    absent = jnp.repeat(jnp.pad(absent, ((0, 0), (0, 0), (0, 0), (1, 0))), bias.shape[1], 1)
    for k in range(sum(name.startswith("class_block") for name in p)):
        block = p[f"class_block_{k}"]
        items = layer_norm(block["pre_attention_norm"], jnp.concatenate([token, x], 1))
        token = finish(block, token, attend(block["attention"], token, items, absent))
    return layer_norm(p["norm"], token[:, 0]) @ p["head"]["kernel"] + p["head"]["bias"]
