"""Flavour taggers by name, and back from a run folder to one that scores jets.

The line of ATLAS' taggers in order of time: RNNIP and DIPS on impact parameters, DL1 on classical
algorithms, DL1r and DL1d on both, then GN1 and GN2 on tracks alone.

>>> [name for name in NAMES if is_table(name)]
['dl1', 'dl1r', 'dl1d']
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from hepjax import parallel, train
from hepjax.jets import batches, training
from hepjax.jets import data as jets_data
from hepjax.jets.flavour import data, dl1, gn1, gn2, impact, loss
from hepjax.nn import model
from hepjax.nn.model import Model

Name = Literal["rnnip", "dips", "dl1", "dl1r", "dl1d", "gn1", "gn1_plain", "gn2", "gn2_plain"]
Size = Literal["small", "full"]
NAMES: dict[Name, str] = {
    "rnnip": "RNNIP",
    "dips": "DIPS",
    "dl1": "DL1",
    "dl1r": "DL1r",
    "dl1d": "DL1d",
    "gn1": "GN1",
    "gn1_plain": "GN1 without auxiliary tasks",
    "gn2": "GN2",
    "gn2_plain": "GN2 without auxiliary tasks",
}
"""Names of the taggers as plots show them."""

INSIDE: dict[Name, Name] = {"dl1r": "rnnip", "dl1d": "dips"}
"""Taggers whose inputs hold the answer of another one."""


STEPS = (
    *(("dips", "rnnip"), ("dl1r", "dl1"), ("dl1d", "dl1r"), ("gn1", "dl1d"), ("gn2", "gn1")),
    *(("gn1", "gn1_plain"), ("gn2", "gn2_plain")),
)
"""Taggers whose rejections are compared: each later one with the one before, and auxiliary tasks
with none.
"""


def is_table(name: str) -> bool:
    """Tell whether a tagger reads `dl1.sample` instead of tracks."""
    return name.startswith("dl1")


def has_vertices(name: str) -> bool:
    """Tell whether a tagger says which tracks share a vertex."""
    return name in ("gn1", "gn2")


def build(name: Name, size: Size, *, dtype: Any = None) -> Model:
    """Build a tagger on flavour.data.Inputs -> gn2.Output; "small" is for two CPU cores.

    RNNIP and DIPS have one size. Raises ValueError for another name or size.
    """
    if name not in NAMES or size not in ("small", "full"):
        raise ValueError(
            f"name, size: expected one of {list(NAMES)}, 'small' or 'full', found {name!r}, "
            f"{size!r}"
        )
    small = size == "small"
    if name in ("rnnip", "dips"):
        return model.from_linen((impact.RNNIP if name == "rnnip" else impact.DIPS)(dtype=dtype))
    if is_table(name):
        return model.from_linen((dl1.small if small else dl1.DL1)(dtype=dtype))
    kinds: dict[str, Any] = {"gn1": gn1.small, "gn2": gn2.small}
    if not small:
        kinds = {"gn1": gn1.GN1, "gn2": gn2.GN2}
    auxiliary = not name.endswith("_plain")
    return model.from_linen(kinds[name[:3]](auxiliary=auxiliary, dtype=dtype))


class Tagger(NamedTuple):
    """A trained network, its variables, and how its inputs are made and padded."""

    model: Model
    variables: Any
    inputs: loss.Features
    buckets: tuple[int, ...]


def reading(name: Name) -> tuple[loss.Features, tuple[int, ...]]:
    """Give the function from jets to Inputs that a tagger wants, and its padded lengths."""
    return (dl1.inputs, dl1.BUCKETS) if is_table(name) else (data.inputs, data.BUCKETS)


def meta(name: Name, size: Size, decay: float, n_features: int) -> dict[str, Any]:
    """Describe a tagger in JSON values, to be saved with its checkpoints for `restore`."""
    about = {"name": name, "size": size, "decay": decay, "n_features": n_features}
    return {"tagger": about}


def restore(run: str | Path) -> Tagger:
    """Rebuild the best tagger of a run folder; raises ValueError where it holds no checkpoint."""

    def network(about: dict[str, Any]) -> tuple[Model, data.Inputs]:
        example = data.Inputs(np.zeros((8, 8, about["n_features"])), np.zeros((8, 2)), _ONES)
        return build(about["name"], about["size"]), example

    found, best, about = training.restore(run, network)
    return Tagger(found, best, *reading(about["name"]))


def objective(network: Model, inputs: loss.Features, decay: float) -> training.Objective:
    """What a tagger learns, for `jets.training.fit`: its class, and origins and vertices."""
    return training.Objective(
        lambda extra: loss.multitask(network, inputs, batch_stats=extra["batch_stats"]),
        loss.evaluation(network, decay, inputs),
    )


_ONES = np.ones((8, 8), bool)


def logits(
    tagger: Tagger,
    jets: jets_data.RaggedJets,
    *,
    budget: int = 16384,
    layout: parallel.Layout | None = None,
) -> np.ndarray:
    """Give the logits [jet, class] of a sample, in its order."""
    served = batches.of_sample(jets, shuffle=False, buckets=tagger.buckets, budget=budget)
    function = loss.outputs(tagger.model, tagger.inputs)
    return train.predict(
        lambda variables, jets: function(variables, jets).flavour,
        tagger.variables,
        served,
        layout=layout,
    )
