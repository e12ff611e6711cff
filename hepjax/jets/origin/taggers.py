"""Taggers of a jet's origin: the networks of `jets.taggers` on constituents of this folder.

`build` gives a network with eleven outputs, `meta` describes it beside its checkpoints, `restore`
brings it back from a run folder; `jets.taggers.score` applies it.

>>> type(build("pfn", "small").init).__name__
'function'
"""

from pathlib import Path
from typing import Any

import numpy as np

from hepjax.jets import data as jets_data
from hepjax.jets import taggers, training
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

    def network(about: dict[str, Any]) -> tuple[Model, jets_data.Inputs]:
        return build(about["name"], about["size"]), _example()

    found, best, about = training.restore(run, network)
    tagger = taggers.Tagger(found, best, data.inputs, CLASSES, data.BUCKETS)
    return tagger, about["identity"]


def _example() -> jets_data.Inputs:
    shape = (8, data.BUCKETS[0])
    return jets_data.Inputs(
        *(np.zeros((*shape, n), np.float32) for n in (len(data.FEATURES), 2, 4)),
        mask=np.ones(shape, bool),
    )
