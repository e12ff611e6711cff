"""Transformer blocks of hepjax beside torch's, for sphere_flow_vs_peers.py.

Both have the same sizes, attention over all items of dense sets, and float32; ratios are torch's
CPU seconds over ours, of alternated calls in one thread: normalised first on both sides, and, for
the forward pass, torch's fused path of layers that are normalised last.
"""

import sys
from pathlib import Path
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from _tracking_sides import ratios, timed

from hepjax import batch
from hepjax.nn import transformer

sys.path.insert(0, str(Path(__file__).parents[1]))

import _peers

HERE = Path(__file__).parent
N_LAYERS, N_HEADS, RATIO = 8, 8, 4


class Encoder(linen.Module):
    """Blocks in a row."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [set, item, feature] to the same shape."""
        for _ in range(N_LAYERS):
            x = transformer.Block(N_HEADS, RATIO)(x)
        return x


def encoder(
    cache: Path, folder: Path, *, shape: tuple[int, int, int], repeats: int, seed: int
) -> dict[str, Any]:
    """Time both on x of a shape [set, item, feature]; returns the ratios."""
    folder.mkdir(parents=True)
    x = batch.generator(seed).normal(size=shape).astype(np.float32)
    np.save(folder / "x.npy", x)
    python = _peers.environment(cache, ["torch==2.13.0", "numpy"])
    words = (folder, N_LAYERS, N_HEADS, RATIO)
    ask = _peers.conversation(python, HERE / "_torch_encoder.py", *words)
    given, network = jnp.asarray(x), Encoder()
    variables = jax.jit(network.init)(jax.random.key(seed), given)
    forward = jax.jit(network.apply)
    gradient = jax.jit(jax.grad(lambda v: (network.apply(v, given) ** 2).mean()))
    results: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {}
    for turn in range(repeats + 1):  # the first one warms up
        taken = {"forward": timed(forward, variables, given)[0]}
        taken["gradient"] = timed(gradient, variables)[0]
        for way, what in (("pre", "forward"), ("pre", "gradient"), ("post", "forward")):
            taken[f"{way} {what}"] = float(ask(way, what)[0])
        for name, value in taken.items():
            seconds.setdefault(name, []).extend([value] if turn else [])
    results |= ratios("encoder_forward", seconds["forward"], seconds["pre forward"])
    results |= ratios("encoder_gradient", seconds["gradient"], seconds["pre gradient"])
    results |= ratios("encoder_forward_fused", seconds["forward"], seconds["post forward"])
    return results
