"""The origin of a jet: one of five quarks, five antiquarks or the gluon, in e+e- at 240 GeV.

Paper:    Jet origin identification, arXiv:2310.03440
Command:  uv run --extra generators experiments/jets_origin.py --out runs/origin
Cost:     --quick a few minutes on two CPU cores; default half an hour; --full a GPU
Expected: see the README; the paper, in full simulation, finds 92 to 67 % of b, c and s jets and
          flips the charge of 7 to 24 % of the jets of a quark

Without --data it generates jets of Higgs bosons and keeps them under --samples; --z-jets N measures
the tagger on jets of Z bosons, which it has not seen, too. --identity none takes kaons and protons
for pions. The network trains on each jet and on its charge conjugate.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax

from hepjax import runs
from hepjax.io import root
from hepjax.jets import batches, data, training
from hepjax.jets import taggers as jet_taggers
from hepjax.jets.origin import data as origin_data
from hepjax.jets.origin import generator, metrics, report, taggers


@dataclasses.dataclass(frozen=True)
class Config:
    """Options; the presets --quick and --full set some of them."""

    out: Path = Path("runs/jets_origin")  # run folder
    data: tuple[Path, ...] = ()  # ROOT files of jets.origin.generator; none: generate
    model: jet_taggers.Name = "part"
    size: jet_taggers.Size = "small"
    identity: origin_data.Identity = "perfect"  # of charged hadrons
    seed: int = 0  # of the network and the order of its data
    n_jets: int = 220_000  # of Higgs bosons, to generate
    z_jets: int = 0  # of Z bosons, to measure the tagger on too
    data_seed: int = 1  # of the generated samples and the split
    samples: Path = Path("runs/samples")  # where generated jets are kept
    n_epochs: int = 5  # over the jets and their conjugates
    budget: int = 4096  # padded particles a batch
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    decay: float = 0.998  # of the average of parameters, a step
    resume: bool = False  # go on from the latest checkpoint


SAMPLE = "Pythia 8, $e^+e^-$ at 240 GeV, ${}$ decays"
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"n_jets": 33_000, "n_epochs": 3, "decay": 0.99},
    "full": {"n_jets": 11_000_000, "size": "full", "n_epochs": 10, "budget": 65536}
    | {"z_jets": 1_000_000, "learning_rate": 1e-3},
}


def main(config: Config) -> dict[str, Any]:
    """Train and measure; returns what metrics.json holds."""
    began = time.monotonic()
    run = runs.create(config.out, config, resume=config.resume)
    files = config.data or generator.cached(
        config.samples, "higgs", config.n_jets, config.data_seed
    )
    jets = origin_data.from_columns(root.read_jetclass(files), config.identity)
    parts = data.split(jets, (0.7, 0.05, 0.25), config.data_seed)
    fit(config, run, *parts[:2])
    tagger, _ = taggers.restore(run.path)
    kappas = metrics.best_kappas(parts[0])
    logits = jet_taggers.score(tagger, parts[2])
    plots, sample = run.path / "plots", "" if config.data else SAMPLE.format("H")
    results = report.evaluate(plots, logits, parts[2], kappas, sample=sample)
    if config.z_jets:
        results |= {f"z_{name}": x for name, x in of_z(config, plots, tagger, kappas).items()}
    n_parameters = sum(x.size for x in jax.tree.leaves(tagger.variables["params"]))
    results |= {"n_train": len(parts[0].label), "n_parameters": n_parameters}
    return runs.finish(run, {**results, "seconds": time.monotonic() - began})


def of_z(
    config: Config, plots: Path, tagger: jet_taggers.Tagger, kappas: dict[str, float]
) -> dict[str, Any]:
    """Measure the tagger on quark jets of another boson."""
    file = generator.cached(config.samples, "z", config.z_jets, config.data_seed)
    jets = origin_data.from_columns(root.read_jetclass(file), config.identity)
    logits = jet_taggers.score(tagger, jets)
    return report.evaluate(plots / "z", logits, jets, kappas, sample=SAMPLE.format("Z"))


def fit(config: Config, run: runs.Run, jets: data.RaggedJets, validation: data.RaggedJets) -> None:
    """Train the network; checkpoints and metrics go to the run folder."""
    model, features = taggers.build(config.model, config.size), origin_data.inputs
    serve: dict[str, Any] = {"buckets": origin_data.BUCKETS, "budget": config.budget}
    served = batches.of_sample(origin_data.with_conjugates(jets), seed=config.seed, **serve)
    keys = jax.random.split(jax.random.key(config.seed))
    training.fit(
        run,
        jax.jit(model.init)(keys[0], features(served.get(0, 0))),
        jet_taggers.objective(model, features, config.decay),
        served,
        batches.of_sample(validation, shuffle=False, **serve),
        training.Plan(
            config.n_epochs, config.learning_rate, config.weight_decay, config.decay, warm=0.1
        ),
        key=keys[1],
        meta=taggers.meta(config.model, config.size, config.identity, config.decay),
        resume=config.resume,
    )


if __name__ == "__main__":
    print(main(runs.parse(Config, PRESETS)))
