"""What is shown of a tagger of origins: the matrix, flavours, flips, and one flavour against all.

`evaluate` takes the logits of one tagger on test jets and returns plain numbers for metrics.json;
it draws the matrix of the eleven classes, the efficiency of each flavour, the flips of the charge
beside those of the jet charge, and the ROC curves of b, c and s jets into the run folder.

>>> NAMES["bbar"]
'$\\\\bar{b}$'
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hepjax import counting, plot
from hepjax import metrics as plain_metrics
from hepjax.jets import data
from hepjax.jets.origin import metrics
from hepjax.jets.origin.generator import CLASSES, FLAVOURS

NAMES = {c: f"$\\bar{{{c[0]}}}$" if c.endswith("bar") else f"${c}$" for c in CLASSES}
"""Names of the classes as plots show them."""

TAGGED = ("b", "c", "s")
"""Flavours whose tagging is shown as a curve."""

Numbers = Mapping[str, counting.Value]


def evaluate(
    folder: Path,
    logits: np.ndarray,
    jets: data.RaggedJets,
    kappas: dict[str, float],
    *,
    sample: str = "",
) -> dict[str, Any]:
    """Evaluate a tagger on test jets.

    folder: of the plots; logits: [jet, class]; jets: with Constituents; kappas: powers of the jet
    charge, chosen on a training sample; sample: what the jets are. Returns accuracy,
    efficiency_{b,c,s,u,d,g}, charge_flip_{b,...}, charge_flip_all_{b,...} (over all jets of the
    flavour) and jet_charge_flip_{b,...} beside it, auc_{b,c,s}, all with _error, and the matrix.
    """
    label, weight = jets.label, jets.weight
    predicted = logits.argmax(1)
    found = metrics.matrix(predicted, label, weight)
    efficiency = metrics.flavour_efficiency(predicted, label, weight)
    flips = metrics.charge_flip(predicted, label, weight)
    all_flips = metrics.charge_flip(metrics.sign(logits, label), label, weight)
    classical = metrics.jet_charge_flip(jets, kappas)
    results = {"matrix": found.value, "matrix_error": found.error, "classes": CLASSES}
    results |= _numbers("efficiency", efficiency) | _numbers("charge_flip", flips)
    results |= _numbers("charge_flip_all", all_flips) | _numbers("jet_charge_flip", classical)
    results |= {f"kappa_{name}": kappa for name, kappa in kappas.items()}
    accuracy = counting.accuracy(label, predicted, weight)
    results |= {"accuracy": accuracy.value, "accuracy_error": accuracy.error, "n_test": len(label)}
    scores = {name: metrics.flavour(logits, name) for name in TAGGED}
    for k, name in enumerate(TAGGED):
        area = plain_metrics.auc(scores[name], label // 2 == k, weight)
        results |= {f"auc_{name}": area.value, f"auc_{name}_error": area.error}
    about = f"{sample}, {len(label):,} test jets".removeprefix(", ")
    _matrix(folder, found, about)
    _flavours(folder, efficiency, about)
    shown = {"tagger, flavour found": flips, "tagger, all": all_flips, "jet charge, all": classical}
    _flips(folder, shown, about)
    _curves(folder, scores, jets, about)
    return results


def _numbers(key: str, values: Numbers) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, (value, error) in values.items():
        found |= {f"{key}_{name}": value, f"{key}_{name}_error": error}
    return found


def _matrix(folder: Path, found: counting.Confusion, about: str) -> None:
    with plot.figure(folder / "matrix", height=7) as ax:
        plot.confusion(ax, found, [NAMES[c] for c in CLASSES])
        plot.sample(ax, about)


def _flavours(folder: Path, efficiency: Numbers, about: str) -> None:
    with plot.figure(folder / "efficiency") as ax:
        value, error = zip(*efficiency.values())
        ax.bar(range(len(value)), value, color="lightgrey", edgecolor="k")
        ax.errorbar(range(len(value)), value, error, fmt="k.", capsize=3)
        _name_bars(ax, list(efficiency))
        ax.set(ylim=(0, 1), ylabel="Jets that are given their flavour")
        plot.sample(ax, about)


def _flips(folder: Path, shown: Mapping[str, Numbers], about: str) -> None:
    with plot.figure(folder / "charge_flip") as ax:
        width = 0.27
        for i, (label, values) in enumerate(shown.items()):
            at = [FLAVOURS.index(name) + (i - 1) * width for name in values]
            value, error = zip(*values.values())
            ax.bar(at, value, width, color=("k", "grey", "white")[i], edgecolor="k", label=label)
            ax.errorbar(at, value, error, fmt="none", ecolor="#D55E00", capsize=3)
        ax.axhline(0.5, color="k", linestyle=":", linewidth=1)
        _name_bars(ax, FLAVOURS)
        ax.set(ylim=(0, 0.6), ylabel="Quark and antiquark exchanged")
        ax.legend(ncols=3, loc="upper center", fontsize=10)
        plot.sample(ax, about)


def _name_bars(ax: Axes, flavours: Sequence[str]) -> None:
    ax.set_xticks(range(len(flavours)), [NAMES[name] for name in flavours])
    ax.tick_params(axis="x", which="both", length=0)
    ax.set_xlabel("Flavour, quark and antiquark")


def _curves(
    folder: Path, scores: Mapping[str, np.ndarray], jets: data.RaggedJets, about: str
) -> None:
    flavour = jets.label // 2
    curves = {
        f"{NAMES[name]} jets": plain_metrics.roc(score, flavour == k, jets.weight)
        for k, (name, score) in enumerate(scores.items())
    }
    with plot.figure(folder / "roc") as ax:
        plot.roc(ax, curves, lowest=0.2)
        ax.set_xlabel("Efficiency of the flavour")
        ax.set_ylabel("Rejection of all others")
        plot.sample(ax, about, "classes in equal numbers")
