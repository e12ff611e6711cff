"""Weights trained with weaver-core, in our networks.

`particle_transformer` and `particlenet` take a state dict by name (`io.torch_weights.read`) and the
variables of one of our networks as a template, and give variables of the same structure with the
numbers of the state dict. Every parameter and every statistic must be in both: what is left over on
either side, or has another shape, is an error that lists it all, since weights that are almost
right give logits that are almost right.

Weights of a ParT were trained on weaver's pair features; `pairs.stable` agrees with them in exact
arithmetic and may be used.

>>> import numpy as np
>>> template = {"params": {"head": {"dense_1": {"bias": np.zeros(10)}}}}
>>> particlenet({"fc.1.bias": np.arange(10.0)}, template)["params"]["head"]["dense_1"]["bias"][9]
np.float64(9.0)
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

LEAVES = {
    "scale": "weight",
    "bias": "bias",
    "kernel": "weight",
    "mean": "running_mean",
    "var": "running_var",
}
"""Last part of our names and of theirs."""


def particle_transformer(state: Mapping[str, np.ndarray], template: Any) -> Any:
    """Fill the variables of a ParticleTransformer from weaver's state dict of version 1.

    template: of Model.init, arrays or shapes. Raises ValueError listing names and shapes that do
    not match.
    """
    old = {f"in_proj_{kind}": f"in_proj.{kind}" for kind in ("weight", "bias")}
    renamed = {}
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        renamed[f"{stem}.{old[last]}" if last in old else name] = value
    return _fill(renamed, template, _particle_transformer_name)


def particlenet(state: Mapping[str, np.ndarray], template: Any) -> Any:
    """Fill the variables of a ParticleNet from weaver's state dict without fusion.

    template: of Model.init, arrays or shapes. Raises ValueError listing names and shapes that do
    not match.
    """
    return _fill(state, template, _particlenet_name)


def _fill(state: Mapping[str, np.ndarray], template: Any, name_of: Callable[[str], str]) -> Any:
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    wrong, values, used = [], [], set()
    for path, leaf in leaves:
        ours = "/".join(key.key for key in path[1:])
        theirs = name_of(ours)
        used.add(theirs)
        if theirs not in state:
            wrong.append(f"{ours} needs {theirs}, which the weights do not have")
            continue
        value = np.asarray(state[theirs])
        matrix = value.ndim >= 2 and theirs != "cls_token"
        value = value.reshape(value.shape[:2]).T if matrix else value.ravel()
        if value.shape != leaf.shape:
            wrong.append(f"{ours} {list(leaf.shape)} differs from {theirs} {list(value.shape)}")
        values.append(value.astype(leaf.dtype))
    left = [name for name in state if name not in used and not name.endswith("num_batches_tracked")]
    wrong += [f"{name} of the weights has no place" for name in left]
    if wrong:
        raise ValueError(f"{len(wrong)} parameters do not match:\n" + "\n".join(sorted(wrong)))
    return jax.tree_util.tree_unflatten(structure, values)


def _particle_transformer_name(ours: str) -> str:
    head, _, leaf = ours.rpartition("/")
    fixed = {"class_token": "cls_token", "norm": "norm", "head": "fc.0"}
    if ours in fixed:
        return fixed[ours]
    if head in fixed:
        return f"{fixed[head]}.{LEAVES[leaf]}"
    if head == "embedding/norm":
        return f"embed.input_bn.{LEAVES[leaf]}"
    if match := re.fullmatch(r"embedding/dense_(\d+)/(norm_)?(\w+)", ours):
        index, norm, leaf = match.groups()
        return f"embed.embed.{3 * int(index) + (0 if norm else 1)}.{LEAVES[leaf]}"
    if head == "pair_embedding/norm":
        return f"pair_embed.embed.0.{LEAVES[leaf]}"
    if match := re.fullmatch(r"pair_embedding/(kernel|bias)_(\d+)", ours):
        return f"pair_embed.embed.{3 * int(match[2]) + 1}.{LEAVES[match[1]]}"
    if match := re.fullmatch(r"pair_embedding/norm_(\d+)/(\w+)", ours):
        return f"pair_embed.embed.{3 * int(match[1]) + 2}.{LEAVES[match[2]]}"
    if match := re.fullmatch(r"(class_)?block_(\d+)/(.+)", ours):
        kind = "cls_blocks" if match[1] else "blocks"
        return f"{kind}.{match[2]}.{_block_name(match[3])}"
    return ours


def _block_name(ours: str) -> str:
    fixed = {"head_scale": "c_attn", "residual_scale": "w_resid"}
    if ours in fixed:
        return fixed[ours]
    head, _, leaf = ours.rpartition("/")
    if head == "attention" and leaf.startswith(("qkv_", "out_")):
        place, kind = leaf.split("_")
        return f"attn.{'in' if place == 'qkv' else 'out'}_proj.{LEAVES[kind]}"
    norms = {
        "attention": "pre_attn_norm",
        "pre_attention_norm": "pre_attn_norm",
        "post_attention_norm": "post_attn_norm",
        "dense_in": "pre_fc_norm",
        "dense_out": "post_fc_norm",
    }
    if leaf.startswith("norm_") or head.endswith("_norm"):
        return f"{norms[head]}.{LEAVES[leaf.removeprefix('norm_')]}"
    dense = {"dense_in": "fc1", "dense_out": "fc2"}
    return f"{dense.get(head, head)}.{LEAVES.get(leaf, leaf)}"


def _particlenet_name(ours: str) -> str:
    head, _, leaf = ours.rpartition("/")
    fixed = {"norm": "bn_fts", "head/dense_0": "fc.0.0", "head/dense_1": "fc.1"}
    if head in fixed:
        return f"{fixed[head]}.{LEAVES[leaf]}"
    if match := re.fullmatch(r"edgeconv_(\d+)/kernel_(\d+)", ours):
        return f"edge_convs.{match[1]}.convs.{match[2]}.weight"
    if match := re.fullmatch(r"edgeconv_(\d+)/norm_(\d+)/(\w+)", ours):
        return f"edge_convs.{match[1]}.bns.{match[2]}.{LEAVES[match[3]]}"
    if match := re.fullmatch(r"edgeconv_(\d+)/shortcut_(kernel|norm/\w+)", ours):
        place = "sc" if match[2] == "kernel" else "sc_bn"
        return f"edge_convs.{match[1]}.{place}.{LEAVES[leaf.removeprefix('shortcut_')]}"
    return ours
