"""A tagger as one function of physical quantities, to be written to a file that others run.

What a tagger learns belongs to its scaling, so the scaling goes into the file: inputs are momenta,
charges and impact parameters in GeV and mm, padded to any number of constituents that was chosen
when the file was written, and outputs are logits and class probabilities. `function` joins scaling
and network, `events` makes its inputs of jets, and `write` puts both into a file of `io.onnx` or
`io.export`, checked on jets of a sample: some of them, one alone, the largest, and padding.

>>> INPUTS["kinematic"]
('part_p4', 'part_deta', 'part_dphi', 'mask', 'jet_p4')
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batch
from hepjax.io import export, onnx
from hepjax.jets import batches, data, taggers

KINEMATIC = ("part_p4", "part_deta", "part_dphi", "mask", "jet_p4")
DISPLACED = ("part_d0", "part_d0_error", "part_dz", "part_dz_error")
INPUTS = {"kinematic": KINEMATIC, "full": (*KINEMATIC, "part_charge", "part_pid", *DISPLACED)}
"""Names of the inputs for each set of features: part_* [jet, particle, ...] as in data.Particles,
mask [jet, particle] bool, jet_p4 [jet, 4].
"""

ENDINGS = (".onnx", ".zip")
"""Of the files that `save` writes: ONNX, and StableHLO as an artefact of io.export."""


def function(tagger: taggers.Tagger) -> export.Function:
    """Join scaling and network: {name: array} as INPUTS says -> logits and probabilities [jet,
    class].
    """

    def apply(inputs: dict[str, Any]) -> dict[str, Any]:
        mask = inputs["mask"]
        zero = jnp.zeros(mask.shape, jnp.float32)
        parts = {
            name: inputs.get(f"part_{name}", jnp.zeros((*mask.shape, 5)) if name == "pid" else zero)
            for name in data.Particles._fields
        }
        jets = data.Jets(
            particles=data.Particles(**parts),
            mask=mask,
            p4=inputs["jet_p4"],
            label=jnp.zeros(mask.shape[0], jnp.int32),
            weight=jnp.ones(mask.shape[0]),
        )
        logits = tagger.model.apply(tagger.variables, data.inputs(jets, tagger.features))
        return {"logits": logits, "probabilities": jax.nn.softmax(logits, -1)}

    return apply


def events(
    jets: data.RaggedJets, rows: np.ndarray, length: int, features: data.FeatureSet
) -> dict[str, np.ndarray]:
    """Make the inputs of `function` for some jets; rows: [jet], -1 for padding."""
    padded = batches.padded(jets, rows, length)
    parts = {f"part_{k}": np.asarray(x) for k, x in padded.particles._asdict().items()}
    all_of_it = {**parts, "mask": padded.mask, "jet_p4": padded.p4}
    return {name: all_of_it[name] for name in INPUTS[features]}


def write(
    path: str | os.PathLike[str],
    tagger: taggers.Tagger,
    jets: data.RaggedJets,
    *,
    length: int | None = None,
    config: Mapping[str, Any] | None = None,
    tolerance: float = 1e-5,
    **options: Any,
) -> dict[str, float]:
    """Write a tagger to a file NAME.onnx (io.onnx) or NAME.zip (io.export), checked on some jets.

    length: constituents that a jet is padded to or cut at (None: the tagger's largest bucket);
    config: of the training, kept in the file; options: as for `save`. Returns the largest
    differences; raises ValueError for a file that does not agree, and for a tagger with features of
    its own, which no set of data.inputs names.
    """
    if callable(tagger.features):
        raise ValueError(f"tagger.features is a function, expected one of {sorted(INPUTS)}")
    length = length or tagger.buckets[-1]
    about = {
        "tagger": {"classes": list(tagger.classes), "features": tagger.features},
        "normalisation": "inside: inputs are physical quantities, GeV, mm and rad",
        "length": length,
        "config": dict(config or {}),
    }
    rows = chosen(jets)
    samples = [events(jets, some, length, tagger.features) for some in rows]
    return save(path, function(tagger), samples, about, tolerance=tolerance, **options)


def save(
    path: str | os.PathLike[str],
    apply: export.Function,
    samples: Sequence[export.Arrays],
    about: Mapping[str, Any],
    *,
    tolerance: float = 1e-5,
    opset: int = onnx.OPSET,
    platforms: Sequence[str] = export.PLATFORMS,
    folder: str | os.PathLike[str] | None = None,
) -> dict[str, float]:
    """Write a function by the ending of the path; opset, folder: of io.onnx; platforms: of
    io.export. Raises ValueError for another ending.
    """
    ending = Path(path).suffix
    if ending not in ENDINGS:
        raise ValueError(f"path: expected a name that ends in {ENDINGS}, found {path}")
    if ending == ".onnx":
        return onnx.write(
            path, apply, samples, about, opset=opset, tolerance=tolerance, folder=folder
        )
    return export.write(path, apply, samples, about, tolerance=tolerance, platforms=platforms)


def read(
    path: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None
) -> export.Artefact:
    """Read a file of `save`, by its ending; folder: of io.onnx."""
    onnx_file = Path(path).suffix == ".onnx"
    return onnx.read(path, folder=folder) if onnx_file else export.read(path)


def chosen(jets: data.RaggedJets) -> list[np.ndarray]:
    """Choose the jets that a file is checked with, -1 for padding: sixteen at random, one alone,
    those of most and of fewest constituents, some beside padding, and padding alone.
    """
    random = np.random.default_rng(0).permutation(len(jets.label))[:16]
    by_size = np.argsort(batch.lengths(jets.particles))
    nothing = np.full(4, -1)
    extreme = np.concatenate([by_size[:3], by_size[-4:]])
    return [random, random[:1], extreme, np.concatenate([random[:4], nothing]), nothing[:2]]
