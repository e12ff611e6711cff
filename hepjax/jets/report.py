"""What is shown of a binary tagger: numbers with errors for metrics.json, plots for the paper.

`binary` takes the scores of one or more taggers on the same test jets and returns AUC, rejections,
how far the first tagger stands above the others, its efficiency against pt and its sculpting of the
mass; it writes the plots into the run folder, and the scores into scores.npz. `over_seeds` and
`rejection_over_seeds` put the results of several trainings into such numbers.

>>> names = list(NAMES.values())
>>> names[0]
'Particle Transformer'
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import lorentz, metrics, plot, runs
from hepjax.jets import data
from hepjax.jets import metrics as jet_metrics

NAMES = {
    "part": "Particle Transformer",
    "particlenet": "ParticleNet",
    "pfn": "particle flow network",
    "efn": "energy flow network",
    "cnn": "CNN on images",
    "lstm": "LSTM",
    "pcnn": "P-CNN",
    "deepak8": "DeepAK8",
    "deepjet": "DeepJet",
}
"""Names of the taggers as plots show them."""

MASS_EDGES = np.linspace(0, 300, 31)
"""Bins of the jet mass, GeV."""


def binary(
    run: runs.Run,
    jets: data.RaggedJets,
    scores: Mapping[str, np.ndarray],
    *,
    sample: str,
    log: bool = True,
) -> dict[str, Any]:
    """Evaluate taggers of signal (label 1) against background (label 0) on the same jets.

    scores: name -> log-odds or probability of signal [jet], the tagger of the run first; sample:
    what the jets are, for the plots; log: whether the run holds a training history to draw.
    Returns plain numbers: auc, rejection_30, rejection_50 and accuracy of the first with errors,
    and for each further tagger its auc, with the difference and its paired error.
    """
    label, weight = jets.label, jets.weight
    mass, pt = lorentz.mass(np.asarray(jets.p4, np.float64)), lorentz.pt(jets.p4)
    (name, score), *others = scores.items()
    area = metrics.auc(score, label, weight)
    results: dict[str, Any] = {"auc": area.value, "auc_error": area.error}
    for percent in (30, 50):
        found = metrics.rejection(score, label, percent / 100, weight)
        results |= {
            f"rejection_{percent}": found.value,
            f"rejection_{percent}_error": float(np.hypot(found.error, found.threshold_error)),
            f"rejection_{percent}_is_lower_limit": found.lower_limit,
        }
    for other, other_score in others:
        short = "bdt" if other == "boosted trees" else other
        value = metrics.auc(other_score, label, weight)
        gap = metrics.auc_difference(score, other_score, label, weight)
        results |= {
            f"auc_{short}": value.value,
            f"auc_{short}_error": value.error,
            f"auc_above_{short}": gap.value,
            f"auc_above_{short}_error": gap.error,
        }
    results["n_test"] = len(label)
    sculpting = None
    if not metrics.rejection(score, label, 0.5, weight).lower_limit:
        sculpting = jet_metrics.mass_sculpting(mass, score, label, MASS_EDGES, weight=weight)
        results["mass_sculpting"] = sculpting.divergence.value
        results["mass_sculpting_error"] = sculpting.divergence.error
    about = f"{sample}, {len(label):,} test jets".replace(",", " ", 1) if sample else ""
    folder = run.path / "plots"
    _curves(folder, scores, label, weight, pt, about)
    _distributions(folder, name, score, jets, mass, sculpting, about)
    if log:
        _history(folder, run, about)
    arrays: dict[str, Any] = {"label": label, "weight": weight, "event": jets.event, **scores}
    np.savez(run.path / "scores.npz", **arrays)
    return results


def over_seeds(name: str, values: Sequence[Any]) -> dict[str, float]:
    """Average (value, error) over seeds: the mean, its error with the spread in it, the spread."""
    numbers, errors = zip(*values)
    if len(numbers) == 1:
        return {name: numbers[0], f"{name}_error": errors[0]}
    mean = metrics.combine_seeds(numbers, errors)
    return {name: mean.mean, f"{name}_error": mean.error, f"{name}_spread": mean.spread}


def rejection_over_seeds(
    name: str, scores: Sequence[np.ndarray], label: np.ndarray, efficiency: float
) -> dict[str, Any]:
    """Average a rejection over seeds; {name}_is_lower_limit says whether one of them is a limit.

    scores: [jet] of each seed on the same jets; label: [jet] 1 signal, 0 background.
    """
    found = [metrics.rejection(score, label, efficiency) for score in scores]
    values = [(r.value, float(np.hypot(r.error, r.threshold_error))) for r in found]
    limit = any(r.lower_limit for r in found)
    return {**over_seeds(name, values), f"{name}_is_lower_limit": limit}


def _curves(
    folder: Path,
    scores: Mapping[str, np.ndarray],
    label: np.ndarray,
    weight: np.ndarray,
    pt: np.ndarray,
    about: str,
) -> None:
    """Draw rejection against efficiency, and both against pt at a signal efficiency of 50 %."""
    with plot.figure(folder / "roc") as ax:
        plot.roc(ax, {name: metrics.roc(score, label, weight) for name, score in scores.items()})
        plot.sample(ax, about)
    edges = np.quantile(pt, np.linspace(0, 1, 7))
    edges[-1] = np.nextafter(edges[-1], np.inf)
    points = {
        name: jet_metrics.efficiency_against(pt, score, label, edges, weight=weight)
        for name, score in scores.items()
    }
    with plot.figure(folder / "efficiency") as ax:
        plot.efficiency_against(
            ax,
            {f"{name}": point.signal for name, point in points.items()},
            ylabel=r"Signal efficiency (50 % on average)",
        )
        plot.sample(ax, about)
    with plot.figure(folder / "rejection") as ax:
        plot.rejection_against(ax, {name: point.background for name, point in points.items()})
        plot.sample(ax, about)


def _distributions(
    folder: Path,
    name: str,
    score: np.ndarray,
    jets: data.RaggedJets,
    mass: np.ndarray,
    sculpting: jet_metrics.Sculpting | None,
    about: str,
) -> None:
    """Draw the score of each class, the confusion matrix, and the mass before and after a cut."""
    probability = 1 / (1 + np.exp(-score))
    by_class = {jets.classes[i]: jets.label == i for i in range(2)}
    with plot.figure(folder / "scores") as ax:
        plot.scores(
            ax,
            {c: probability[rows] for c, rows in by_class.items()},
            weights={c: jets.weight[rows] for c, rows in by_class.items()},
            xlabel=f"{name}: probability of {jets.classes[1]}",
        )
        plot.sample(ax, about)
    with plot.figure(folder / "confusion") as ax:
        found = metrics.confusion(jets.label, (score > 0).astype(int), 2, jets.weight)
        plot.confusion(ax, found, jets.classes)
        plot.sample(ax, about)
    if sculpting is None:  # no background passes: there is no shape to show
        return
    background = jets.label == 0
    with plot.figure_with_ratio(folder / "mass_sculpting") as (ax, ratio):
        passed = {f"{name}, 50 % signal efficiency": sculpting.passed[background]}
        plot.mass_sculpting(
            ax,
            mass[background],
            passed,
            MASS_EDGES,
            weight=jets.weight[background],
            ratio_ax=ratio,
        )
        plot.sample(ax, about)


def _history(folder: Path, run: runs.Run, about: str) -> None:
    """Draw the loss of training and validation against the step."""
    lines = runs.read(run)
    curves = {}
    for split in ("train", "validation"):
        chosen = [line for line in lines if line["split"] == split]
        if chosen:
            curves[split] = (
                np.array([line["step"] for line in chosen]),
                np.array([line["cross_entropy"] for line in chosen]),
            )
    if curves:
        with plot.figure(folder / "history") as ax:
            plot.history(ax, curves, ylabel="Cross-entropy")
            plot.sample(ax, about)
