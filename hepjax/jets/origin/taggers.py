"""Taggers of a jet's origin: the networks of `jets.taggers` on constituents of this folder.

`build` gives a network with eleven outputs, `meta` describes it beside its checkpoints, `restore`
brings it back from a run folder; `jets.taggers.score` applies it.

>>> type(build("pfn", "small").init).__name__
'function'
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from hepjax import checkpoint
from hepjax.jets import data as jets_data
from hepjax.jets import loss, taggers
from hepjax.jets.origin import data
from hepjax.jets.origin.generator import CLASSES
from hepjax.nn.model import Model


def build(name: taggers.Name, size: taggers.Size, *, dtype: Any = None) -> Model:
    """Build a tagger on origin.data.inputs -> logits [jet, 11]; arguments as `jets.taggers`."""
    return taggers.build(name, size, n_classes=len(CLASSES), dtype=dtype)


def meta(
    name: taggers.Name, size: taggers.Size, identity: data.Identity, decay: float
) -> dict[str, Any]:
    """Describe a tagger in JSON values, to be saved with its checkpoints for `restore`."""
    return {"tagger": {"name": name, "size": size, "identity": identity, "decay": decay}}


def restore(run: str | Path) -> tuple[taggers.Tagger, data.Identity]:
    """Rebuild the best tagger of a run folder, and the identity of particles it was trained with.

    Raises ValueError where the folder holds no checkpoint.
    """
    folder = Path(run) / "checkpoints"
    if not folder.is_dir():
        raise ValueError(f"{run} is no run folder: it has no checkpoints/")
    with checkpoint.open(folder) as checkpoints:
        about = checkpoint.load_meta(checkpoints)["tagger"]
        network = build(about["name"], about["size"])
        variables = jax.eval_shape(network.init, jax.random.key(0), _example())
        wanted = {
            "params": variables["params"],
            "extra": jax.eval_shape(loss.start, variables),
        }
        found, _ = checkpoint.restore(checkpoints, wanted, "best", partial=True)
    best = loss.averaged(found["params"], found["extra"], about["decay"])
    tagger = taggers.Tagger(network, best, data.inputs, CLASSES, data.BUCKETS)
    return tagger, about["identity"]


def _example() -> jets_data.Inputs:
    shape = (8, data.BUCKETS[0])
    return jets_data.Inputs(
        *(np.zeros((*shape, n), np.float32) for n in (len(data.FEATURES), 2, 4)),
        mask=np.ones(shape, bool),
    )
