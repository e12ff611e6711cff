"""What is shown of flavour taggers: rejections with errors over seeds, their ratios, and plots.

`compare` takes the logits of taggers, a few seeds each, on the same test jets; it returns plain
numbers for metrics.json and draws rejection against b efficiency, the rejections side by side, the
scan of f_c and the discriminant into the run folder.

>>> KEYS["u"]
'light'
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import metrics, plot
from hepjax.jets import report
from hepjax.jets.flavour import metrics as flavour_metrics
from hepjax.jets.flavour.generator import CLASSES

KEYS = {"u": "light", "c": "c", "tau": "tau"}
"""Names of the backgrounds in metrics.json."""

FRACTIONS = (0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
EFFICIENCY = 0.7
LOGITS = Mapping[str, Sequence[np.ndarray]]


def compare(
    folder: Path,
    logits: LOGITS,
    label: np.ndarray,
    names: Mapping[str, str],
    pairs: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Evaluate taggers on the same test jets.

    folder: of the plots; logits: tagger -> [jet, class] a seed; label: [jet] index into CLASSES;
    names: of the taggers as plots show them; pairs: taggers whose rejections are divided. Returns
    {tagger}_{light,c,tau}_rejection_70 with _error (and _spread) for each, and
    {tagger}_over_{other}_{light,c}, paired on the jets, for the pairs that are there, unless one of
    them passes no background.
    """
    scores = {k: [flavour_metrics.discriminant(x) for x in found] for k, found in logits.items()}
    results: dict[str, Any] = {
        f"n_test_{KEYS.get(k, k)}": int((label == i).sum()) for i, k in enumerate(CLASSES)
    }
    for name, found in scores.items():
        for background, values in _rejections(found, label).items():
            results |= report.over_seeds(f"{name}_{KEYS[background]}_rejection_70", values)
    here = [pair for pair in pairs if set(pair) <= set(scores)]
    for (name, other), background in itertools.product(here, ("u", "c")):
        ratios = [_ratio(*pair, label, background) for pair in zip(scores[name], scores[other])]
        if all(ratios):
            results |= report.over_seeds(f"{name}_over_{other}_{KEYS[background]}", ratios)
    titles = {k: names.get(k, k) for k in logits}
    for background in ("u", "c"):
        _roc(folder, {titles[k]: x[0] for k, x in scores.items()}, label, background)
    _side_by_side(folder, results, titles, label)
    _scan(folder, {titles[k]: x[0] for k, x in logits.items()}, label)
    last = list(scores)[-1]
    _discriminant(folder, titles[last], scores[last][0], label)
    return results


def vertices(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """Average the numbers of vertices.performance over seeds: tagger -> a mapping a seed."""
    results: dict[str, float] = {}
    for name, seeds in found.items():
        for key in [k for k in seeds[0] if not k.endswith("_error")]:
            results |= report.over_seeds(
                f"{name}_{key}", [(x[key], x[f"{key}_error"]) for x in seeds]
            )
    return results


def _rejections(
    scores: Sequence[np.ndarray], label: np.ndarray
) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for score in scores:
        for name, r in flavour_metrics.rejections(score, label, EFFICIENCY).items():
            error = float(np.hypot(r.error, r.threshold_error))
            found.setdefault(name, []).append((r.value, error))
    return found


def _ratio(
    a: np.ndarray, b: np.ndarray, label: np.ndarray, background: str
) -> metrics.Value | None:
    """Rejection by a over that by b; None where one of them passes no background at all."""
    signal = CLASSES.index("b")
    pair = (label == signal) | (label == CLASSES.index(background))
    y = label[pair] == signal
    if any(metrics.rejection(x[pair], y, EFFICIENCY).lower_limit for x in (a, b)):
        return None
    return metrics.rejection_ratio(a[pair], b[pair], y, EFFICIENCY)


def _about(label: np.ndarray) -> str:
    counts = ", ".join(f"{(label == i).sum():,} {KEYS.get(k, k)}" for i, k in enumerate(CLASSES))
    return f"Pythia 8, {counts} jets"


def _roc(folder: Path, scores: Mapping[str, np.ndarray], label: np.ndarray, background: str):
    signal, other = CLASSES.index("b"), CLASSES.index(background)
    pair = (label == signal) | (label == other)
    curves = {k: metrics.roc(s[pair], label[pair] == signal) for k, s in scores.items()}
    with plot.figure(folder / f"roc_{KEYS[background]}") as ax:
        plot.roc(ax, curves, lowest=0.4)
        ax.set_xlabel("Efficiency of b jets")
        ax.set_ylabel(f"Rejection of {KEYS[background]} jets")
        plot.sample(ax, _about(label))


def _side_by_side(
    folder: Path, results: Mapping[str, Any], names: Mapping[str, str], label: np.ndarray
) -> None:
    with plot.figure(folder / "rejections") as ax:
        for background, marker in (("light", "o"), ("c", "s")):
            keys = [f"{name}_{background}_rejection_70" for name in names]
            value, error = ([results[k + end] for k in keys] for end in ("", "_error"))
            look = {"fmt": f"k{marker}", "capsize": 3, "label": f"{background} jets"}
            ax.errorbar(range(len(keys)), value, error, **look)
        ax.set_xticks(range(len(names)), names.values(), rotation=20, ha="right", fontsize=10)
        ax.set(yscale="log", ylabel="Rejection at 70 % efficiency of b jets")
        ax.set(xlim=(-0.5, len(names) - 0.5), ylim=(3, None))
        ax.tick_params(axis="x", which="minor", bottom=False, top=False)
        ax.legend()
        plot.sample(ax, _about(label))


def _scan(folder: Path, logits: Mapping[str, np.ndarray], label: np.ndarray) -> None:
    with plot.figure(folder / "fraction_scan") as ax:
        for i, (name, x) in enumerate(logits.items()):
            scan = flavour_metrics.fraction_scan(x, label, FRACTIONS, efficiency=EFFICIENCY)
            light, charm = ([r.value for r in scan[k]] for k in ("u", "c"))
            ax.plot(light, charm, marker="os^vDP"[i % 6], label=name)
            at = FRACTIONS.index(flavour_metrics.F_C)
            usual = f"$f_c$ = {FRACTIONS[at]}" if i + 1 == len(logits) else None
            ax.plot(light[at], charm[at], "ko", fillstyle="none", markersize=11, label=usual)
        ax.set(xscale="log", yscale="log")
        ax.set(xlabel="Rejection of light jets", ylabel="Rejection of c jets")
        title = f"{EFFICIENCY:.0%} efficiency of b jets"
        ax.legend(loc="lower left", ncols=2, fontsize=11, title=title, title_fontsize=11)
        plot.sample(ax, _about(label))


def _discriminant(folder: Path, name: str, score: np.ndarray, label: np.ndarray) -> None:
    low, high = np.quantile(score, [0.0005, 0.9995])
    with plot.figure(folder / "discriminant") as ax:
        for i, (k, style) in enumerate(zip(CLASSES, ("-", "--", "-.", ":"))):
            edges = np.linspace(low, high, 61)
            ax.hist(
                score[label == i],
                edges,
                density=True,
                histtype="step",
                linestyle=style,
                label=f"{KEYS.get(k, k)} jets",
                linewidth=1.5,
            )
        ax.set(xlabel=f"$D_b$ of {name}", ylabel="Density", yscale="log")
        ax.legend()
        plot.sample(ax, _about(label))
