"""What pre-training is worth, in numbers with errors: the many classes, then few labels of two.

`many_classes` judges a network of many classes on held-out jets: accuracy, AUC and rejection of
each class against QCD, and how honest its probabilities are before and after one temperature, which
is found on other jets. `label_curve` sets trainings of two classes side by side that had the same
labels and another start, a few seeds each, against the number of labels.

>>> GAIN.format("finetune", 1000)
'finetune_gain_1000'
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import metrics, plot
from hepjax.jets import calibration_report, data, report
from hepjax.jets import metrics as jet_metrics

GAIN = "{}_gain_{}"
STARTS = {
    "finetune": "pre-trained, fine-tuned",
    "frozen": "pre-trained, only the head learns",
    "scratch": "from scratch",
}
"""How a training of few labels may begin, as plots show it; others are set against the last."""

Logits = Mapping[tuple[str, int], Sequence[np.ndarray]]
"""(start, number of labels) -> logits [jet, 2] of the test jets, a seed each."""


def many_classes(
    folder: Path,
    logits: np.ndarray,
    jets: data.RaggedJets,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    name: str = "pretrain",
) -> dict[str, Any]:
    """Evaluate a network of many classes on held-out jets.

    folder: of the plots; logits: [jet, class]; validation: logits and labels of other jets, to find
    the temperature; name: of the network, which begins all keys: accuracy, auc (each class against
    each other), auc_CLASS and rejection_CLASS against QCD, calibration_error_before and _after.
    """
    label, classes = jets.label, jets.classes
    accuracy = metrics.accuracy(label, logits.argmax(1))
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    area = metrics.one_vs_one(log_p, label).mean
    found: dict[str, Any] = {
        "n_test": len(label),
        "accuracy": accuracy.value,
        "accuracy_error": accuracy.error,
        "auc": area.value,
        "auc_error": area.error,
    }
    for kind, seen in jet_metrics.against_background(logits, label, names=classes).items():
        r = seen.rejection
        found |= {
            f"auc_{kind}": seen.auc.value,
            f"auc_{kind}_error": seen.auc.error,
            f"rejection_{kind}": r.value,
            f"rejection_{kind}_error": float(np.hypot(r.error, r.threshold_error)),
            f"rejection_{kind}_is_lower_limit": r.lower_limit,
        }
    with plot.figure(folder / f"confusion_{name}", height=7) as ax:
        found_classes = metrics.confusion(label, logits.argmax(1), len(classes))
        plot.confusion(ax, found_classes, classes)
        plot.sample(ax, "Pythia 8", f"{len(label):,} test jets")
    if validation is not None:
        about = f"{len(classes)} classes, {len(label):,} test jets"
        path = folder / f"calibration_{name}"
        found |= calibration_report.temperature(path, validation, (logits, label), about)
    return {f"{name}_{key}": value for key, value in found.items()}


def label_curve(folder: Path, logits: Logits, label: np.ndarray) -> dict[str, Any]:
    """Compare starts at each number of labels on the same test jets.

    Returns {start}_{n}_auc, _rejection_50 and _rejection_30 with _error (and _spread over seeds),
    and what a start gains on training from scratch, {start}_gain_{n} in AUC and
    {start}_gain_rejection_50_{n} as a ratio, paired by seed and test jet; gain_{n} is the
    fine-tuned network's.
    """
    results: dict[str, Any] = {"n_test": len(label)}
    scores = {of: [x[:, 1] - x[:, 0] for x in found] for of, found in logits.items()}
    for (start, n), found in scores.items():
        areas = [metrics.auc(s, label) for s in found]
        results |= report.over_seeds(f"{start}_{n}_auc", areas)
        for percent in (50, 30):
            key = f"{start}_{n}_rejection_{percent}"
            results |= report.rejection_over_seeds(key, found, label, percent / 100)
        reference = scores.get(("scratch", n))
        if reference is None or start == "scratch":
            continue
        pairs = list(zip(found, reference))
        gaps = [metrics.auc_difference(a, b, label) for a, b in pairs]
        gain = report.over_seeds(GAIN.format(start, n), [(g.value, g.error) for g in gaps])
        results |= gain
        if start == "finetune":
            results |= {k.removeprefix("finetune_"): value for k, value in gain.items()}
        if not any(metrics.rejection(s, label, 0.5).lower_limit for pair in pairs for s in pair):
            ratios = [metrics.rejection_ratio(a, b, label, 0.5) for a, b in pairs]
            results |= report.over_seeds(GAIN.format(start, f"rejection_50_{n}"), ratios)
    _curves(folder, results, logits)
    return results


def _curves(folder: Path, results: Mapping[str, Any], logits: Logits) -> None:
    """Draw AUC, on an axis of what is lost, and rejection against the number of labels."""
    for key, ylabel in (("auc", "1 - AUC"), ("rejection_50", "Rejection of QCD at 50 % of tops")):
        with plot.figure(folder / f"labels_{key}") as ax:
            starts = [start for start in STARTS if any(start == s for s, _ in logits)]
            for i, start in enumerate(starts):
                n = np.array(sorted(n for s, n in logits if s == start))
                value, error = (
                    np.array([results[f"{start}_{x}_{key}{end}"] for x in n])
                    for end in ("", "_error")
                )
                value = 1 - value if key == "auc" else value
                limit = np.array([results.get(f"{start}_{x}_{key}_is_lower_limit", 0) for x in n])
                shift = 1.04 ** (i - (len(starts) - 1) / 2)  # points do not cover each other
                ax.errorbar(
                    n * shift,
                    value,
                    np.where(limit, 0.5 * value, error),
                    lolims=limit.astype(bool),  # an arrow up
                    label=STARTS[start],
                    color="k",
                    capsize=3,
                    marker="os^"[i],
                    linestyle=("-", ":", "--")[i],
                    markerfacecolor="k" if i == 0 else "w",
                )
            ax.set(xscale="log", yscale="log", xlabel="Labelled jets", ylabel=ylabel)
            ax.legend()
            seeds = max(len(found) for found in logits.values())
            plot.sample(ax, f"Top against QCD, {seeds} seeds", f"{results['n_test']:,} test jets")
