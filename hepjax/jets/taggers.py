"""Taggers by name and size, and back from a run folder to a tagger that scores jets.

`build` gives a network of the published or of a small size; `restore` rebuilds the one of a run
with its best parameters, averaged as they were evaluated; `graft` puts what it learned into a
network for other classes, as `start` begins one; `score` applies it to jets in order,
`score_file` to a file.

>>> import jax
>>> tagger = build("pfn", "small", n_classes=2)
>>> type(tagger.init).__name__
'function'
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from hepjax import batch, parallel, train
from hepjax.io import root
from hepjax.jets import (
    batches,
    data,
    deepak8,
    deepjet,
    image_network,
    loss,
    particle_flow,
    particle_transformer,
    particlenet,
    recurrent,
    training,
    weaver_weights,
)
from hepjax.nn import model
from hepjax.nn.model import Model
from hepjax.train import transfer

Name = Literal["part", "particlenet", "pfn", "efn", "cnn", "lstm", "pcnn", "deepak8", "deepjet"]
Size = Literal["small", "full"]
N_VERTICES = 7
"""Secondary vertices that DeepAK8 reads."""


def build(
    name: Name, size: Size, *, n_classes: int, axis_name: str | None = None, dtype: Any = None
) -> Model:
    """Build a tagger on data.Inputs -> logits [jet, class].

    name: part (arXiv:2202.03772), particlenet (arXiv:1902.08570), pfn or efn (arXiv:1810.05165);
    cnn on jet images (arXiv:1902.09914), lstm (arXiv:1711.09059), deepak8 and its part for
    particles, pcnn (arXiv:2004.08262), deepjet (arXiv:2008.10519). size: "full" as published,
    "small" for two CPU cores; axis_name: parallel.axis_name(layout); dtype: of matrix products.
    lstm, pcnn, deepak8 and deepjet read particles in the order of pt, in which samples have them.
    Raises ValueError for another name or size.
    """
    if size not in ("small", "full"):
        raise ValueError(f"size must be 'small' or 'full', found {size!r}")
    options: dict[str, Any] = {"axis_name": axis_name, "dtype": dtype}
    kinds: dict[str, tuple[Any, Any]] = {  # full, small
        "part": (particle_transformer.ParticleTransformer, particle_transformer.small),
        "particlenet": (particlenet.ParticleNet, particlenet.small),
        "pfn": (particle_flow.PFN, particle_flow.small_pfn),
        "efn": (particle_flow.EFN, particle_flow.small_efn),
        "cnn": (image_network.ImageNetwork, image_network.small),
        "lstm": (recurrent.RecurrentNetwork, recurrent.small),
        "pcnn": (deepak8.DeepAK8, deepak8.small),
        "deepak8": (deepak8.DeepAK8, deepak8.small),
        "deepjet": (deepjet.DeepJet, deepjet.small),
    }
    if name not in kinds:
        raise ValueError(f"name must be one of {', '.join(kinds)}, found {name!r}")
    if name == "deepak8":
        options["n_vertices"] = N_VERTICES
    module = kinds[name][size == "small"](n_classes, **options)
    return model.from_linen(module)


class Tagger(NamedTuple):
    """A trained network: its functions, variables and features, the names of its classes, and the
    lengths to which jets are padded; the largest one is where they are cut.
    """

    model: Model
    variables: Any
    features: data.Features
    classes: tuple[str, ...]
    buckets: tuple[int, ...] = batch.BUCKETS


def meta(
    name: Name,
    size: Size,
    features: data.FeatureSet,
    classes: tuple[str, ...],
    buckets: tuple[int, ...],
    decay: float,
) -> dict[str, Any]:
    """Describe a tagger in JSON values, to be saved with its checkpoints for `restore`."""
    return {
        "tagger": {
            "name": name,
            "size": size,
            "features": features,
            "classes": list(classes),
            "buckets": list(buckets),
            "decay": decay,
        }
    }


def restore(run: str | Path, step: Literal["best", "latest"] = "best") -> Tagger:
    """Rebuild the tagger of a run folder; raises ValueError where it holds no checkpoint."""

    def network(about: dict[str, Any]) -> tuple[Model, data.Inputs]:
        n_classes = len(about["classes"])
        example = data.inputs(_example(), about["features"])
        return build(about["name"], about["size"], n_classes=n_classes), example

    found, best, about = training.restore(run, network, step)
    names, buckets = tuple(about["classes"]), tuple(about["buckets"])
    return Tagger(found, best, about["features"], names, buckets)


def objective(network: Model, features: data.Features, decay: float) -> training.Objective:
    """What a tagger learns, for `training.fit`: its classes; decay: of the average a step."""
    evaluation = loss.evaluation(network, features, decay)
    return training.Objective(loss.renormalised(network, features), evaluation)


def from_weaver(
    name: Literal["part", "particlenet"],
    weights: Mapping[str, np.ndarray],
    features: data.FeatureSet = "full",
) -> Tagger:
    """Build a published network of JetClass's ten classes with its weights.

    weights: of io.torch_weights.read. Raises ValueError that lists what does not match.
    """
    classes = len(data.CLASSES)
    network = build(name, "full", n_classes=classes)
    if name == "particlenet":
        network = model.from_linen(particlenet.ParticleNet(classes, drop="first"))
    example = data.inputs(_example(), features)
    template = jax.eval_shape(network.init, jax.random.key(0), example)
    part = weaver_weights.particle_transformer
    fill = weaver_weights.particlenet if name == "particlenet" else part
    return Tagger(network, fill(weights, template), features, data.CLASSES)


def start(
    network: Model,
    classes: Sequence[str],
    key: jax.Array,
    *,
    features: data.Features = "full",
    buckets: Sequence[int] = batch.BUCKETS,
) -> Tagger:
    """Set up a tagger with the parameters that a network of `build` begins with.

    Raises ValueError if the network has not as many outputs as there are classes.
    """
    example = data.inputs(_example(), features)
    variables = jax.jit(network.init)(key, example)
    n_outputs = jax.eval_shape(network.apply, variables, example).shape[-1]
    if n_outputs != len(classes):
        raise ValueError(
            f"classes: found {tuple(classes)}, expected {n_outputs} as the network has"
        )
    return Tagger(network, variables, features, tuple(classes), tuple(buckets))


def graft(
    tagger: Tagger,
    network: Model,
    classes: Sequence[str],
    key: jax.Array,
    *,
    skip: str | None = None,
) -> tuple[Tagger, transfer.Report]:
    """Begin a network for other classes with what a tagger has learned, running statistics too.

    network: of `build`, with an output for each of classes; key: for its own initial parameters;
    skip: regular expression of paths ("params/head/kernel") that stay new even where they fit,
    r"^params/head/" for as many classes with other meanings. What fits is taken over, of a head for
    another number of classes all but its last layer; the report says what is new. Raises ValueError
    if nothing fits, or if the network has not as many outputs as there are classes.
    """
    features, buckets = tagger.features, tagger.buckets
    new = start(network, classes, key, features=features, buckets=buckets)
    variables, report = transfer.graft(new.variables, dict(tagger.variables), skip=skip)
    return new._replace(variables=variables), report


def _example() -> data.Jets:
    p4 = np.array([[[2.0, 1.0, 0.0, 1.0]]])
    return batches.padded(data.from_arrays(p4, label=np.zeros(1)), np.zeros(8, int), 16)


def score(
    tagger: Tagger,
    jets: data.RaggedJets,
    *,
    layout: parallel.Layout | None = None,
    budget: int = 16384,
) -> np.ndarray:
    """Give the logits [jet, class] of a sample, in its order."""
    served = batches.of_sample(jets, shuffle=False, buckets=tagger.buckets, budget=budget)
    function = loss.logits(tagger.model, tagger.features)
    return train.predict(function, tagger.variables, served, layout=layout)


def score_file(tagger: Tagger, path: Path, folder: Path) -> Path:
    """Write a file's jets with all their observers and score_CLASS, the class probabilities.

    path: a ROOT file in the JetClass layout, labels not needed; returns the path of the new file,
    NAME_scores.root in the folder.
    """
    columns = root.read_jetclass(path, labels=False)
    particles, jets = columns.particles, columns.jets
    unlabelled = {name: x for name, x in jets.items() if not name.startswith("label_")}
    sample = data.from_columns(root.Columns(particles, columns.offsets, unlabelled))
    logits = score(tagger, sample)
    probability = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    extra = {f"score_{name}": probability[:, i] for i, name in enumerate(tagger.classes)}
    target = folder / f"{path.stem}_scores.root"
    root.write_jetclass(target, columns, extra=extra)
    return target
