"""Jets scored by the official ParticleNet, trained on JetClass, without any training here.

Paper:    Particle Transformer, arXiv:2202.03772 (weights); top landscape, arXiv:1902.09914 (jets)
Command:  uv run experiments/jets_pretrained.py --weights W.pt --jets DIR --out RUN
Cost:     half a minute on two CPU cores for 1000 jets; with --compare-n-jets the jets' generation
Expected: AUC 0.9866 on 1000 top landscape jets, logits as torch gives them to 1e-4

DIR holds NAME_pf_vectors.npy [jet, 4, particle] = (px, py, pz, E) in GeV and NAME_labels.npy [jet]
(1 = top). With --compare-n-jets N, N own Pythia jets are generated and scored beside them, with
--ten-classes-n-jets N as many of all the classes that the network knows.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import lorentz, metrics, plot, runs
from hepjax.io import root, torch_weights
from hepjax.jets import data, report, taggers, transfer_report
from hepjax.jets import metrics as jet_metrics
from hepjax.jets.simulation import generator

TOP, QCD = data.CLASSES.index("Tbqq"), data.CLASSES.index("QCD")


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the experiment."""

    weights: Path = Path("ParticleNet_kin.pt")  # torch state dict, 7 inputs and 10 classes
    jets: Path = Path(".")  # folder of NAME_pf_vectors.npy and NAME_labels.npy
    name: str = ""  # the NAME; none: the only set of such files in the folder
    out: Path = Path("runs/jets_pretrained")
    seed: int = 1  # of the generated jets
    compare_n_jets: int = 0  # own Pythia jets to score beside the reference
    ten_classes_n_jets: int = 0  # own jets of all ten classes to score
    samples: Path = Path("runs/samples")  # where generated jets are kept


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"compare_n_jets": 0},
    "full": {"compare_n_jets": 10_000, "ten_classes_n_jets": 10_000},
}


def main(config: Config) -> dict[str, Any]:
    """Score the jets; returns what metrics.json holds."""
    run = runs.create(config.out, config)
    jets = read(config)
    tagger = taggers.from_weaver("particlenet", torch_weights.read(config.weights), "kinematic")
    tagger = tagger._replace(buckets=(64, 128))  # a thousand jets: fewer compilations are faster
    logits = taggers.score(tagger, jets)
    scores = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    runs.write_atomically(run.path / "scores.npy", lambda path: save(path, scores))
    odds = jet_metrics.log_odds(logits, TOP, QCD)
    sample = "Top landscape"
    results = report.binary(run, jets, {"ParticleNet (JetClass)": odds}, sample=sample, log=False)
    if config.compare_n_jets:
        results |= compare(config, run, tagger, jets, odds)
    if config.ten_classes_n_jets:
        number, seed = config.ten_classes_n_jets, config.seed
        path = generator.cached(config.samples, number, seed, name="ten_classes")
        many = data.from_columns(root.read_jetclass(path))
        answers = taggers.score(tagger, many)
        results |= transfer_report.many_classes(run.path / "plots", answers, many, name="own")
    return runs.finish(run, {**results, "n_jets": len(jets.label)})


def save(path: Path, scores: np.ndarray) -> None:
    """Write [jet, class] to a file of any name."""
    with open(path, "wb") as file:
        np.save(file, scores)


def read(config: Config) -> data.RaggedJets:
    """Read the jets of a folder, QCD and top."""
    found = sorted(config.jets.glob("*_pf_vectors.npy"))
    names = [path.name.removesuffix("_pf_vectors.npy") for path in found]
    names = [name for name in names if (config.jets / f"{name}_labels.npy").exists()]
    if config.name not in names and (config.name or len(names) != 1):
        raise ValueError(f"{config.jets} holds the sets {names}: choose one of them with --name")
    name = config.name or names[0]
    vectors = np.load(config.jets / f"{name}_pf_vectors.npy")
    label = np.load(config.jets / f"{name}_labels.npy")
    if vectors.ndim != 3 or vectors.shape[1] != 4 or label.shape != (len(vectors),):
        raise ValueError(
            f"{name}: expected vectors [jet, 4, particle] and labels [jet], "
            f"found {vectors.shape} and {label.shape}"
        )
    p4 = vectors[:, [3, 0, 1, 2]].swapaxes(1, 2)
    return data.from_arrays(p4, label=label, classes=("QCD", "Tbqq"))


def compare(
    config: Config,
    run: runs.Run,
    tagger: taggers.Tagger,
    reference: data.RaggedJets,
    odds: np.ndarray,
) -> dict[str, Any]:
    """Score own Pythia jets and draw their multiplicity and mass beside the reference."""
    path = generator.cached(config.samples, config.compare_n_jets, config.seed)
    own = data.select(data.from_columns(root.read_jetclass(path)), ("QCD", "Tbqq"))
    logits = taggers.score(tagger, own)
    area = metrics.auc(jet_metrics.log_odds(logits, TOP, QCD), own.label)
    results = {"auc_own": area.value, "auc_own_error": area.error, "n_own": len(own.label)}
    for quantity, unit, edges in (
        ("mass", "GeV", np.linspace(0, 300, 31)),
        ("constituents", "", np.linspace(0, 130, 27)),
    ):
        for i, name in enumerate(("QCD", "top")):
            samples = {}
            for label, jets in (("Top landscape", reference), ("own Pythia 8", own)):
                mass = lorentz.mass(jets.p4.astype(np.float64))
                count = np.diff(jets.particles.offsets)
                samples[label] = (mass if unit else count)[jets.label == i]
                where = f"{quantity}_{name}_{'own' if jets is own else 'reference'}"
                results[where] = float(np.median(samples[label]))
            path = run.path / "plots" / f"compare_{quantity}_{name}"
            with plot.figure_with_ratio(path) as (ax, ratio):
                axis = f"{name} jets: {quantity}"
                plot.compare(ax, samples, edges, quantity=axis, unit=unit, ratio_ax=ratio)
    return results


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
