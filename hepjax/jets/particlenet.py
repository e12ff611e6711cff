"""ParticleNet: a graph network that finds its neighbours anew in each layer (arXiv:1902.08570).

The first block joins each particle to its nearest in the (deta, dphi) plane, the later ones in the
space of the features before them; the jet is the mean over its particles. The default is the
published size, 368,216 parameters for 7 inputs and 10 classes; `small` trains on two CPU cores.
`from_weaver` takes the weights of weaver's networks, such as the official ones of JetClass.

>>> import jax, jax.numpy as jnp
>>> from hepjax.jets import data
>>> from hepjax.nn import model
>>> inputs = data.Inputs(*(jnp.ones((2, 8, n)) for n in (7, 2, 4)), jnp.ones((2, 8), bool))
>>> net = model.from_linen(small(n_classes=2))
>>> net.apply(net.init(jax.random.key(0), inputs), inputs).shape
(2, 2)
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from hepjax.io import torch_weights
from hepjax.jets import data
from hepjax.nn import edgeconv, mlp, model, norm


class ParticleNet(linen.Module):
    """Class logits [jet, n_classes] of Inputs.

    widths: of the layers of each block; k: neighbours; fc_width: of the dense layer behind the
    pooling; dropout: there; axis_name: pmap's axis; dtype: of matrix products.
    """

    n_classes: int
    widths: tuple[tuple[int, ...], ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
    k: int = 16
    fc_width: int = 256
    dropout: float = 0.1
    axis_name: str | None = None
    dtype: Any = None

    @linen.compact
    def __call__(self, inputs: data.Inputs, train: bool = False) -> jax.Array:
        """Compute logits [jet, n_classes], float32; statistics are over real particles and edges.
        """
        mask = inputs.mask
        kept = mask[..., None]
        features = jnp.where(kept, inputs.features, 0)
        x = norm.MaskedBatchNorm(axis_name=self.axis_name, name="norm")(features, mask, train)
        x = jnp.where(kept, x, 0)
        for i, widths in enumerate(self.widths):
            neighbours = edgeconv.nearest(inputs.points if i == 0 else x, mask, self.k)
            block = edgeconv.EdgeConv(widths, self.axis_name, self.dtype, name=f"block_{i}")
            x = block(x, neighbours, mask, train)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        x = x.astype(wide).sum(-2) / jnp.maximum(kept.sum(-2), 1)
        x = jax.nn.relu(linen.Dense(self.fc_width, name="dense")(x))
        if train and self.dropout:
            x = mlp.dropout(x, self.dropout, self.make_rng("dropout"))
        return linen.Dense(self.n_classes, name="head")(x)


def small(n_classes: int, **fields: Any) -> ParticleNet:
    """Configure a network for two CPU cores: two blocks of width 24 and 32, 8 neighbours."""
    sizes: dict[str, Any] = {"widths": ((24, 24), (32, 32)), "k": 8, "fc_width": 64, "dropout": 0.0}
    return ParticleNet(n_classes, **{**sizes, **fields})


def from_weaver(weights: Mapping[str, np.ndarray]) -> tuple[model.Model, model.Variables]:
    """Rebuild a network of weaver-core's ParticleNet with its weights, as (model, variables).

    weights: of io.torch_weights.read. Sizes are taken from the shapes; k is the published 16.
    Raises ValueError that lists every name missing or not known, and every shape that differs.
    """
    found = {k: x for k, x in weights.items() if not k.endswith("num_batches_tracked")}
    n_blocks = 1 + max([int(k.split(".")[1]) for k in found if k.startswith("edge_convs.")] or [-1])
    widths = []
    for b in range(n_blocks):
        layers = [k for k in found if k.startswith(f"edge_convs.{b}.convs.")]
        widths.append(
            tuple(len(found[f"edge_convs.{b}.convs.{i}.weight"]) for i in range(len(layers)))
        )
    n_features = len(found.get("bn_fts.weight", ()))
    fc_width, n_classes = (len(found.get(f"fc.{n}.weight", ())) for n in ("0.0", "1"))
    names = _names(n_features, tuple(widths), fc_width, n_classes)
    torch_weights.match(found, {name: shape for name, (_, shape) in names.items()}, "ParticleNet")
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, (path, shape) in names.items():
        value = found[name].reshape(shape[:2] if len(shape) > 1 else shape)
        branch = variables
        for step in path[:-1]:
            branch = branch.setdefault(step, {})
        branch[path[-1]] = jnp.asarray(value.T)
    module = ParticleNet(n_classes, tuple(widths), fc_width=fc_width)
    return model.from_linen(module), variables


def _names(
    n_features: int, widths: tuple[tuple[int, ...], ...], fc_width: int, n_classes: int
) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """List weaver's names: name -> (path in our variables, shape in the file)."""
    names: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {}

    def batch_norm(theirs: str, ours: tuple[str, ...], width: int) -> None:
        names[f"{theirs}.weight"] = (("params", *ours, "scale"), (width,))
        names[f"{theirs}.bias"] = (("params", *ours, "bias"), (width,))
        names[f"{theirs}.running_mean"] = (("batch_stats", *ours, "mean"), (width,))
        names[f"{theirs}.running_var"] = (("batch_stats", *ours, "var"), (width,))

    batch_norm("bn_fts", ("norm",), n_features)
    inner = n_features
    for b, block in enumerate(widths):
        theirs, ours, before = f"edge_convs.{b}", f"block_{b}", 2 * inner
        for i, width in enumerate(block):
            kernel = ("params", ours, f"dense_{i}") + (("kernel",) if i else ())
            names[f"{theirs}.convs.{i}.weight"] = (kernel, (width, before, 1, 1))
            batch_norm(f"{theirs}.bns.{i}", (ours, f"norm_{i}"), width)
            before = width
        if inner != block[-1]:
            kernel = ("params", ours, "shortcut", "kernel")
            names[f"{theirs}.sc.weight"] = (kernel, (block[-1], inner, 1))
            batch_norm(f"{theirs}.sc_bn", (ours, "shortcut_norm"), block[-1])
        inner = block[-1]
    for theirs, ours, shape in (
        ("fc.0.0", "dense", (fc_width, inner)),
        ("fc.1", "head", (n_classes, fc_width)),
    ):
        names[f"{theirs}.weight"] = (("params", ours, "kernel"), shape)
        names[f"{theirs}.bias"] = (("params", ours, "bias"), shape[:1])
    return names
